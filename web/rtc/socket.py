"""One client's WebSocket: a bounded queue with one writer, pings, and an end in every case."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohttp import WSMsgType, web

from web.rtc.line import NUDGE_PAUSES_S, Line

PING_EVERY_S = 10.0
SILENCE_S = 35.0
"""A phone between two masts is silent for many seconds; its media tells sooner that it is gone."""
MESSAGES_PER_TURN = 32
"""Messages of one client handled before others get a turn of the event loop."""
MIN_NUDGE_BYTES = 48
"""What is smaller, as the answer to a ping, is worth no further packets: TCP brings it in time."""
MIN_DEFLATE_BYTES = 1_200
"""What fits one packet is not worth it."""
DEFLATE_WBITS = 13
"""Descriptions and lists of people repeat themselves within 8 kB."""
NUM_FIRST = 4
"""Messages of a join, which everybody waits for."""
CODE_NORMAL = 1000
CODE_GOING_AWAY = 1001
CODE_UNSUPPORTED = 1003
CODE_INTERNAL = 1011
FLUSH_S = 5.0
"""What is queued at the end has so long to leave: a line that is dead takes nothing."""
CODES_AT_ONCE = frozenset({1008, 1013})
"""Policy violation and overload: nothing that is still queued is worth sending."""


class SocketConnection:
    """A WebSocket as signaling wants it: `send` and `close` that never block.

    One writer task sends in order. How much may wait is bounded by signaling, which reads
    `unsent_bytes` and closes a client that does not read.
    """

    def __init__(
        self, ws: web.WebSocketResponse, abort: Callable[[], None], line: Line | None = None
    ) -> None:
        """Take the open socket, what cuts the TCP connection, and that connection."""
        self._ws = ws
        self._line = line or Line(None)
        self._abort = abort
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._close_code: int | None = None
        self._unsent_bytes = 0
        self._is_unconfirmed = False
        self._doubted_bytes = 0  # sent, and not looked after yet
        self._num_written = 0
        self.last_received_s = 0.0

    @property
    def unsent_bytes(self) -> int:
        """Bytes taken by `send` and not yet written to the socket."""
        return self._unsent_bytes

    @property
    def num_losses(self) -> int:
        """Packets that the connection has lost, in either direction."""
        return self._line.num_losses()

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._close_code is not None

    def send(self, data: bytes) -> None:
        """Queue one binary frame; nothing happens once closed."""
        if self._close_code is None:
            self._queue.append(data)
            self._unsent_bytes += len(data)
            self._wake.set()

    def close(self, code: int) -> None:
        """Close after what is queued, or at once for a client that broke a rule. Idempotent."""
        if self._close_code is not None:
            return
        self._close_code = code
        self._wake.set()
        limit_s = FLUSH_S
        if code in CODES_AT_ONCE:
            self._queue.clear()
            self._unsent_bytes = 0
            limit_s = 1.0
        # The writer may wait for a client that reads nothing: only cutting the line ends that.
        asyncio.get_running_loop().call_later(limit_s, self._abort)

    async def write(self) -> None:
        """Send what is queued until closed; the writer task's whole life."""
        try:
            while True:
                if len(self._queue) > 1:
                    self._line.cork()
                while self._queue:
                    data = self._queue.popleft()
                    await self._ws.send_bytes(data, compress=self._choose_wbits(data))
                    self._num_written += 1
                    self._doubted_bytes += len(data)
                    self._unsent_bytes = max(0, self._unsent_bytes - len(data))
                self._line.uncork()
                if self._close_code is not None:
                    await self._ws.close(code=self._close_code)
                    return
                self._wake.clear()
                await self._wait()
        except (ConnectionError, RuntimeError):
            # aiohttp raises RuntimeError for a socket that closed under the writer.
            self._abort()

    def _choose_wbits(self, data: bytes) -> int | None:
        """Choose the window to deflate a message with; None: it leaves as it is.

        It costs 0.1 ms, too much for what a room of hundreds is told, on lines that lose nothing.
        """
        if len(data) < MIN_DEFLATE_BYTES or not self._ws.compress:
            return None
        is_worth_it = self._num_written < NUM_FIRST or self._line.num_losses() > 0
        return DEFLATE_WBITS if is_worth_it else None

    async def _wait(self) -> None:
        """Wait for something to send; see `web.rtc.line` for the pings meanwhile."""
        loop = asyncio.get_running_loop()
        is_much = self._doubted_bytes >= MIN_NUDGE_BYTES
        for pause_s in NUDGE_PAUSES_S if is_much else ():
            timer = loop.call_later(pause_s, self._look_back)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
            is_nudge, self._is_unconfirmed = self._is_unconfirmed, False
            if not is_nudge or self._queue or self._close_code is not None:
                return
            self._wake.clear()
            await self._ws.ping()
        self._doubted_bytes = 0
        await self._wake.wait()

    def _look_back(self) -> None:
        """Wake the writer for a ping if what it sent is not confirmed by now."""
        if self._line.has_unacknowledged():
            self._is_unconfirmed = True
            self._wake.set()
        else:
            self._doubted_bytes = 0

    async def ping(self, now_s: Callable[[], float]) -> None:
        """Ping who says nothing, and in the end cut that connection; runs until cancelled.

        Clients of the protocol ping by themselves, more often than this.
        """
        try:
            while True:
                await asyncio.sleep(PING_EVERY_S)
                silent_s = now_s() - self.last_received_s
                if silent_s > SILENCE_S:
                    self._abort()
                    return
                if silent_s >= PING_EVERY_S:
                    await self._ws.ping()
        except (ConnectionError, RuntimeError):
            self._abort()


async def read_messages(
    ws: web.WebSocketResponse,
    connection: SocketConnection,
    handle: Callable[[bytes], None],
    now_s: Callable[[], float],
) -> None:
    """Hand every binary frame to `handle` until the socket ends."""
    connection.last_received_s = now_s()
    num_in_turn = 0
    while True:
        message = await ws.receive()
        connection.last_received_s = now_s()
        if message.type is WSMsgType.BINARY:
            handle(message.data)
            num_in_turn += 1
            if num_in_turn >= MESSAGES_PER_TURN:
                num_in_turn = 0
                await asyncio.sleep(0)
        elif message.type is WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type is WSMsgType.TEXT:
            # DEVIATION: LiveKit also takes JSON in text frames; every shipped SDK sends binary.
            connection.close(CODE_UNSUPPORTED)
        elif message.type is not WSMsgType.PONG:
            return
