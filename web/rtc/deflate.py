"""Compressed messages (RFC 7692): from clients all, to them where it is worth it."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter


class TakesDeflated(web.WebSocketResponse):
    """A WebSocket that agrees on permessage-deflate and deflates only the messages it is told to.

    Browsers ask for it, and their offers shrink from 17-22 kB to a few, the later ones, which are
    much like the first, to less: a lossy uplink brings them in one round trip. To inflate costs
    40 kB for each client that does it. A context for deflating would cost 300 kB, more than all
    else that we keep for one; a message deflated on its own costs nothing that stays.
    """

    def __init__(self, **options: Any) -> None:
        """Takes what WebSocketResponse takes."""
        super().__init__(compress=True, **options)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Answer the upgrade."""
        writer = await super().prepare(request)
        if self._writer is not None:
            # What was agreed is a right to deflate, no duty; aiohttp has no name for that.
            self._writer.compress = 0
        return writer
