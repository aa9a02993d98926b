"""The TCP settings of a signalling connection, and the pings that follow what is not confirmed."""

from __future__ import annotations

import asyncio
import struct

from virtual_loop import pass_virtual, run_virtual

from web.rtc.line import NUDGE_PAUSES_S, Line
from web.rtc.socket import SocketConnection

CORK, USER_TIMEOUT, RTO_MAX_MS = 3, 18, 44


class FakeTcp:
    """A socket that knows only some options."""

    def __init__(self, *, lacks: tuple[int, ...] = ()) -> None:
        self.set: list[tuple[int, int | bytes]] = []
        self.lacks = lacks

    def fileno(self) -> int:
        return -1

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        return b"".join(struct.pack("I", number) for number in range(length // 4))

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if option in self.lacks:
            raise OSError("unknown option")
        self.set.append((option, value))


class FakeSocket:
    """A WebSocket that is always writable."""

    def __init__(self) -> None:
        self.compress = 0
        self.sent: list[bytes] = []
        self.sent_s: list[float] = []
        self.pings_s: list[float] = []

    async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
        self.sent.append(data)
        self.sent_s.append(asyncio.get_running_loop().time())

    async def ping(self) -> None:
        self.pings_s.append(asyncio.get_running_loop().time())

    async def close(self, *, code: int) -> None:
        pass


class FakeLine(Line):
    """Unconfirmed for a while."""

    def __init__(self, unconfirmed_until_s: float) -> None:
        super().__init__(None)
        self.until_s = unconfirmed_until_s

    def has_unacknowledged(self) -> bool:
        return asyncio.get_running_loop().time() < self.until_s


def test_options_that_the_system_lacks_are_gone_without() -> None:
    whole = FakeTcp()
    Line(whole)
    tcp = FakeTcp(lacks=(RTO_MAX_MS,))
    Line(tcp)
    assert len(whole.set) == 4
    assert tcp.set == [one for one in whole.set if one[0] != RTO_MAX_MS]
    assert dict(tcp.set)[USER_TIMEOUT] == 35_000, "the pings decide, not the pages' patience"
    Line(FakeTcp(lacks=tuple(range(64)))).cork()
    line = Line(None)
    line.cork()
    assert not line.has_unacknowledged() and line.num_losses() == 0


def test_a_cork_is_set_and_drawn_once() -> None:
    tcp = FakeTcp()
    line = Line(tcp)
    line.uncork()
    line.cork()
    line.cork()
    line.uncork()
    line.uncork()
    assert [entry for entry in tcp.set if entry[0] == CORK] == [(CORK, 1), (CORK, 0)]


def test_losses_are_what_was_sent_again_and_what_came_out_of_order() -> None:
    # Each number of the answer is its place: 100 / 4 and 224 / 4.
    assert Line(FakeTcp()).num_losses() == 25 + 56


def test_a_closed_socket_has_nothing_unconfirmed() -> None:
    assert not Line(FakeTcp()).has_unacknowledged()


MESSAGES = (b"join" * 20, b"answer")


def run_for(
    line: Line, seconds_s: float, messages: tuple[bytes, ...] = MESSAGES, *, apart_s: float = 0.0
) -> FakeSocket:
    """Sends the messages one after the other, then lets time pass."""
    ws = FakeSocket()

    async def main() -> None:
        connection = SocketConnection(ws, lambda: None, line)
        writer = asyncio.create_task(connection.write())
        for message in messages:
            connection.send(message)
            if apart_s:
                await pass_virtual(apart_s)
        await pass_virtual(seconds_s)
        writer.cancel()
        await asyncio.wait([writer])

    run_virtual(main())
    assert ws.sent == list(messages)
    return ws


def test_what_is_confirmed_soon_is_not_followed_by_pings() -> None:
    assert run_for(FakeLine(0.1), 5.0).pings_s == []


def test_pings_follow_until_it_is_confirmed() -> None:
    pings_s = run_for(FakeLine(0.5), 5.0).pings_s
    assert len(pings_s) == 4 and 0.14 < pings_s[0] < 0.16


def test_pings_into_a_dead_line_end() -> None:
    assert len(run_for(FakeLine(100.0), 30.0).pings_s) == len(NUDGE_PAUSES_S)


def test_a_pong_is_not_followed_by_pings() -> None:
    assert run_for(FakeLine(100.0), 30.0, (b"pong",)).pings_s == []


def test_what_is_said_meanwhile_is_sent_at_once_and_followed_as_well() -> None:
    ws = run_for(FakeLine(0.5), 5.0, (MESSAGES[0], MESSAGES[0]), apart_s=0.3)
    assert [round(at_s, 2) for at_s in ws.sent_s] == [0.0, 0.3]
    assert [round(at_s, 2) for at_s in ws.pings_s] == [0.15, 0.25, 0.45]


def test_a_pong_does_not_end_the_pings_that_follow_something_else() -> None:
    ws = run_for(FakeLine(0.5), 5.0, (MESSAGES[0], b"pong"), apart_s=0.1)
    assert len(ws.pings_s) >= 2
