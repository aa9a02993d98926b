"""Around every request: plain refusals, headers, CORS, an access log without secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from web.http.callers import caller_address, caller_host
from web.http.problems import Problem, not_found, problem_response, stopping

log = structlog.get_logger("web.http")

CORS_PREFIXES: Final = ("/rtc", "/twirp/", "/whip", "/whep", "/settings/")
"""Paths API clients of other origins use; they carry a token, never a cookie."""

PERMISSIONS_POLICY: Final = (
    "camera=(self), microphone=(self), display-capture=(self), screen-wake-lock=(self), "
    "fullscreen=(self), autoplay=(self), geolocation=(), payment=(), usb=()"
)
NEVER_SHOWN: Final = frozenset({"text/javascript", "text/css"})
"""Parts of pages that no browser shows on their own: policies of documents say nothing of them."""
OUR_HEADER: Final = "X-Requested-With"
STILL_ANSWERED: Final = ("/healthz", "/metrics", "/static/")
"""What a server that drains answers: that it does, and the rest of pages that are loading."""
CHANGING_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal and every fault of ours into an answer with plain words."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem_response(problem)
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith("/api/"):
            raise
        if error.status == 404:
            return problem_response(not_found())
        allowed = error.headers.get("Allow")
        headers = {"Allow": allowed} if allowed else None
        return problem_response(
            Problem(error.status, "refused", f"{error.reason}.", headers=headers)
        )
    except (ConnectionResetError, BrokenPipeError):
        raise  # the caller went away; nobody is there to answer
    except Exception:
        log.exception("request_failed", route=route_of(request), method=request.method)
        sorry = Problem(500, "internal", "Something went wrong here. Please try again.")
        return problem_response(sorry)


@web.middleware
async def log_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log method, route pattern, status, time; never path or query, which carry secrets."""
    started_s = time.monotonic()
    status = 500
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        log.debug(
            "request",
            method=request.method,
            route=route_of(request),
            status=status,
            duration_ms=round((time.monotonic() - started_s) * 1000, 1),
            caller=caller_address(request),
        )


@web.middleware
async def refuse_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse changes to /api that another site's page could have caused with our cookie.

    A caller with an Authorization header is not a page riding on a cookie. All others must send
    a header that no cross-site form or link can set, and an Origin, if any, that is ours.
    """
    if (
        request.method in CHANGING_METHODS
        and request.path.startswith("/api/")
        and "Authorization" not in request.headers
    ):
        sent_from = request.headers.get("Origin", "")
        is_ours = not sent_from or sent_from.partition("://")[2] == caller_host(request)
        if not is_ours or OUR_HEADER not in request.headers:
            raise Problem(403, "cross_site", "This call must come from our own pages.")
    return await handler(request)


def refuse_while(is_draining: Callable[[], bool]) -> Middleware:
    """Return what refuses new requests once the server drains: its parts close one by one."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_draining() and not request.path.startswith(STILL_ANSWERED):
            if wants_page(request):
                return _restarting()
            raise stopping()
        return await handler(request)

    return refuse


def _restarting() -> web.Response:
    # Both languages: the catalogues belong to pages, and this one looks again by itself.
    return web.Response(
        text="服务器正在重启。页面会自动打开。\nThe server restarts. This page opens by itself.\n",
        status=503,
        headers={"Refresh": "3", "Retry-After": "3", "Cache-Control": "no-store"},
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add security headers, and CORS where API clients call (a signal on every response)."""
    headers = response.headers
    if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
        # No document follows that they could protect, and with the first messages behind it the
        # answer to a WebSocket has to fit three packets.
        headers.pop("Date", None)
        headers.pop("Server", None)
        return
    headers["Server"] = "aislecast"
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.path.startswith("/static/") and response.content_type in NEVER_SHOWN:
        # Forty of them make a page: 0.6 kB each would be two seconds on a line of 100 kb/s.
        return
    # Links hold codes: no other site may learn the address somebody came from.
    headers.setdefault("Referrer-Policy", "no-referrer")
    if is_for_api_clients(request):
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = "Location, Link, ETag, Accept-Patch"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match, *"
            headers["Access-Control-Max-Age"] = "86400"
        return
    headers.setdefault("Content-Security-Policy", content_security_policy(request))
    headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    if request.path.startswith("/api/"):
        headers.setdefault("Cache-Control", "no-store")


def is_for_api_clients(request: web.Request) -> bool:
    """Tell whether this is a call LiveKit, WHIP or WHEP clients of any origin make."""
    if request.path == "/":
        return not wants_page(request)
    return request.path.startswith(CORS_PREFIXES)


def wants_page(request: web.Request) -> bool:
    """Tell a browser that navigates from a client that checks whether the server is there."""
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def content_security_policy(request: web.Request) -> str:
    """Return the policy: our own modules and styles, nothing inline, media from here.

    Safari before 15.4 does not count wss: as 'self', so the host is named.
    """
    host = caller_host(request)
    sockets = f" ws://{host} wss://{host}" if host else ""
    return (
        "default-src 'self'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
        f"connect-src 'self'{sockets}; manifest-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def route_of(request: web.Request) -> str:
    """Return the route's pattern, such as `/j/{code}`; `-` if none matches."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"
