"""Who calls: address, scheme and host of a request, also behind a reverse proxy."""

from __future__ import annotations

import re

from aiohttp import web

BEHIND_PROXY = web.AppKey("behind_proxy", bool)
HOST_PATTERN = re.compile(r"^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?$")


def caller_address(request: web.Request) -> str:
    """Return the caller's IP address.

    Behind a proxy the last X-Forwarded-For entry counts: the proxy wrote it, the caller
    may have written those before it.
    """
    if request.config_dict.get(BEHIND_PROXY, False):
        forwarded = request.headers.get("X-Forwarded-For", "")
        last = forwarded.rsplit(",", 1)[-1].strip()
        if last:
            return last[:64]
    return request.remote or ""


def is_https(request: web.Request) -> bool:
    """Tell whether the caller's browser speaks HTTPS."""
    if request.config_dict.get(BEHIND_PROXY, False):
        forwarded = request.headers.get("X-Forwarded-Proto", "")
        if forwarded:
            return forwarded.rsplit(",", 1)[-1].strip().lower() == "https"
    return request.scheme == "https"


def caller_host(request: web.Request) -> str:
    """Return the Host header, checked; empty if it is not one."""
    host = request.headers.get("Host", "")
    return host if HOST_PATTERN.match(host) else ""


def origin(request: web.Request) -> str:
    """Return the address the caller uses, without a path: `https://host:port`."""
    return f"{'https' if is_https(request) else 'http'}://{caller_host(request) or 'localhost'}"
