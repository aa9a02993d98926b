"""The aiohttp application: routes of every subject under one set of middlewares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from web.http.callers import BEHIND_PROXY
from web.http.middleware import (
    add_headers,
    answer_problems,
    is_for_api_clients,
    log_access,
    refuse_cross_site,
    refuse_while,
    wants_page,
)
from web.http.operations import Operation, add_operations

MAX_BODY_BYTES = 1 << 20
MAX_LINE_BYTES = 128 * 1024
"""`/rtc/v1` carries its whole join request, offer included, in the query."""
MAX_HEADERS = 100
KEEPALIVE_S = 75.0
LINGER_S = 2.0
SHUTDOWN_S = 1.0


def build_app(
    operations: Sequence[Operation],
    add_others: Sequence[Callable[[web.Application], None]],
    *,
    is_behind_proxy: bool,
    is_draining: Callable[[], bool] = lambda: False,
) -> web.Application:
    """Put the application together.

    Args:
        operations: the described API.
        add_others: add routes that are not part of it (pages, WHIP).
        is_behind_proxy: believe X-Forwarded headers.
        is_draining: asked on every request; once it is so, new ones are refused.
    """
    app = web.Application(
        middlewares=[
            log_access,
            answer_problems,
            answer_api_clients,
            refuse_while(is_draining),
            refuse_cross_site,
        ],
        client_max_size=MAX_BODY_BYTES,
    )
    app[BEHIND_PROXY] = is_behind_proxy
    app.on_response_prepare.append(add_headers)
    add_operations(app, operations)
    for add in add_others:
        add(app)
    return app


def build_runner(app: web.Application) -> web.AppRunner:
    """Return a runner with our limits and without aiohttp's access log, which prints queries."""
    return web.AppRunner(
        app,
        access_log=None,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
        keepalive_timeout=KEEPALIVE_S,
        lingering_time=LINGER_S,
        shutdown_timeout=SHUTDOWN_S,
    )


@web.middleware
async def answer_api_clients(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer CORS preflights, and `OK` on / for clients that check whether the server is there."""
    if is_for_api_clients(request):
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204)
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return web.Response(text="OK", headers={"Vary": "Accept"})
    response = await handler(request)
    if request.path == "/" and wants_page(request) and not response.prepared:
        response.headers.setdefault("Vary", "Accept")
    return response
