"""The socket's queue, writer and pings without a network."""

from __future__ import annotations

import asyncio

import pytest
from virtual_loop import pass_virtual, run_virtual

from web.rtc import socket
from web.rtc.line import Line
from web.rtc.socket import DEFLATE_WBITS, MIN_DEFLATE_BYTES, NUM_FIRST, SocketConnection


class FakeSocket:
    def __init__(self) -> None:
        self.compress = 0
        self.sent: list[bytes] = []
        self.wbits: list[int | None] = []
        self.codes: list[int] = []
        self.num_pings = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_broken = False

    async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
        await self.gate.wait()
        if self.is_broken:
            raise ConnectionResetError
        self.sent.append(data)
        self.wbits.append(compress)

    async def close(self, *, code: int) -> None:
        self.codes.append(code)

    async def ping(self) -> None:
        if self.is_broken:
            raise ConnectionResetError
        self.num_pings += 1


class Rig:
    def __init__(self) -> None:
        self.ws = FakeSocket()
        self.num_aborts = 0
        self.connection = SocketConnection(self.ws, self._abort)

    def _abort(self) -> None:
        self.num_aborts += 1
        self.ws.is_broken = True
        self.ws.gate.set()


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_order_and_accounting(rig: Rig) -> None:
    rig.ws.gate.clear()
    writer = asyncio.create_task(rig.connection.write())
    for number in range(3):
        rig.connection.send(bytes([number]) * 10)
    await asyncio.sleep(0)
    assert rig.connection.unsent_bytes == 30
    rig.ws.gate.set()
    rig.connection.close(1000)
    rig.connection.close(1008)
    rig.connection.send(b"too late")
    await writer
    assert rig.ws.sent == [bytes([number]) * 10 for number in range(3)]
    assert rig.ws.codes == [1000]
    assert rig.connection.unsent_bytes == 0


@pytest.mark.parametrize(("agreed", "num_losses"), [(0, 3), (15, 0), (15, 3)])
async def test_large_messages_are_deflated_in_a_join_and_where_packets_are_lost(
    agreed: int, num_losses: int
) -> None:
    class LossyLine(Line):
        def num_losses(self) -> int:
            return num_losses

    ws = FakeSocket()
    ws.compress = agreed
    connection = SocketConnection(ws, lambda: None, LossyLine(None))  # type: ignore[arg-type]
    for _ in range(NUM_FIRST + 1):
        connection.send(bytes(MIN_DEFLATE_BYTES))
    connection.send(bytes(MIN_DEFLATE_BYTES - 1))
    connection.close(1000)
    await connection.write()
    joins, later = ws.wbits[:NUM_FIRST], ws.wbits[NUM_FIRST:]
    assert joins == [DEFLATE_WBITS if agreed else None] * NUM_FIRST
    assert later == [DEFLATE_WBITS if agreed and num_losses else None, None]


async def test_a_broken_line_ends_the_writer(rig: Rig) -> None:
    rig.ws.is_broken = True
    rig.connection.send(b"x")
    await rig.connection.write()
    assert rig.num_aborts == 1


async def test_overload_drops_what_waits(rig: Rig) -> None:
    rig.ws.gate.clear()
    writer = asyncio.create_task(rig.connection.write())
    rig.connection.send(b"first")
    await asyncio.sleep(0)
    rig.connection.send(b"second")
    rig.connection.close(1013)
    assert rig.connection.unsent_bytes == 0
    rig._abort()
    await writer
    assert rig.ws.sent == []


def test_a_dead_line_that_was_replaced_is_cut() -> None:
    async def main() -> Rig:
        rig = Rig()
        rig.ws.gate.clear()
        writer = asyncio.create_task(rig.connection.write())
        rig.connection.send(b"never taken")
        rig.connection.close(1000)
        await pass_virtual(socket.FLUSH_S - 0.1)
        assert rig.num_aborts == 0
        await writer
        return rig

    assert run_virtual(main()).num_aborts >= 1


async def test_silence_is_cut_and_life_is_not(rig: Rig, monkeypatch) -> None:
    turns = iter([5.0, 20.0, 30.0, 36.0])

    async def no_sleep(_delay_s: float) -> None:
        return None

    monkeypatch.setattr(socket.asyncio, "sleep", no_sleep)
    await rig.connection.ping(lambda: next(turns))
    assert (rig.ws.num_pings, rig.num_aborts) == (2, 1), "who has just been heard is not asked"
