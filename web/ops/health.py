"""GET /healthz: whether this process should be sent new callers."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from web.http.operations import Operation


class Health:
    """Answers load balancers and service managers."""

    def __init__(self, is_draining: Callable[[], bool], version: str) -> None:
        """Take what is asked on every call."""
        self._is_draining = is_draining
        self._version = version

    def operations(self) -> list[Operation]:
        """Return the routes."""
        return [
            Operation(
                "GET",
                "/healthz",
                self.handle_health,
                "Whether the server takes new callers",
                "operations",
                access="anyone",
                answers={200: "It does.", 503: "It is shutting down."},
            )
        ]

    async def handle_health(self, _request: web.Request) -> web.Response:
        """Answer 200 while new callers are welcome."""
        is_draining = self._is_draining()
        return web.json_response(
            {"status": "draining" if is_draining else "ok", "version": self._version},
            status=503 if is_draining else 200,
            headers={"Cache-Control": "no-store"},
        )
