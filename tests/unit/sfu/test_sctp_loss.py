"""Data channels over paths that lose datagrams, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from lossy_pair import LossyPair, LossyPath
from virtual_loop import pass_virtual, run_virtual

from sfu.config import DataLimits
from sfu.datachannel import DataChannels
from sfu.dtls import DtlsIdentity

STEP_S = 0.01


@pytest.fixture(scope="module")
def identities() -> tuple[DtlsIdentity, DtlsIdentity]:
    return DtlsIdentity(), DtlsIdentity()


class DataPair:
    """Two ends with data channels; the client's makes the association, as a browser does."""

    def __init__(self, identities: tuple[DtlsIdentity, DtlsIdentity], path: LossyPath) -> None:
        self.path = path
        self.dtls = LossyPair(identities, path)
        self.dtls.client.dtls._transport = SimpleNamespace(role="controlling")
        clock = asyncio.get_running_loop().time
        self.client = DataChannels(DataLimits(), self.dtls.client.counters, clock=clock)
        self.server = DataChannels(DataLimits(), self.dtls.server.counters, clock=clock)
        self.got: list[bytes] = []
        self.client.on_message = lambda label, data: self.got.append(data)

    async def open(self) -> float:
        """DTLS, association and channel; returns the seconds after DTLS."""
        loop = asyncio.get_running_loop()
        for end in (self.client, self.server):
            end.start()
        self.client.open("_reliable")
        await self.dtls.connect()
        begun_s = loop.time()
        self.server.attach(self.dtls.server.dtls)
        self.client.attach(self.dtls.client.dtls)
        await until(lambda: bool(self.server.labels and self.client.labels))
        return loop.time() - begun_s

    async def close(self) -> None:
        await self.client.close()
        await self.server.close()
        await self.dtls.close()


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await pass_virtual(STEP_S)


def test_channels_open_soon_where_three_of_ten_are_lost(
    identities: tuple[DtlsIdentity, DtlsIdentity],
) -> None:
    async def main(seed: int) -> float:
        pair = DataPair(identities, LossyPath(seed=seed, loss=0.3, delay_s=0.1))
        taken_s = await pair.open()
        await pair.close()
        return taken_s

    taken_s = sorted(run_virtual(main(seed)) for seed in range(40))
    assert taken_s[20] < 2.0 and taken_s[37] < 4.5, taken_s


def test_a_still_gets_through_where_three_of_ten_are_lost(
    identities: tuple[DtlsIdentity, DtlsIdentity],
) -> None:
    async def main(seed: int) -> float:
        pair = DataPair(identities, LossyPath(seed=seed, loss=0.3, delay_s=0.1))
        await pair.open()
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        assert pair.server.send("_reliable", bytes(12_000))
        assert pair.server.unacked_bytes >= 12_000
        await until(lambda: bool(pair.got))
        taken_s = loop.time() - begun_s
        await until(lambda: pair.server.unacked_bytes == 0)
        await pair.close()
        return taken_s

    taken_s = sorted(run_virtual(main(seed)) for seed in range(20))
    assert taken_s[10] < 2.5 and taken_s[19] < 5.0, taken_s


def test_what_was_sent_into_a_dead_line_arrives_when_it_is_back(
    identities: tuple[DtlsIdentity, DtlsIdentity],
) -> None:
    async def main() -> float:
        pair = DataPair(identities, LossyPath(seed=1, loss=0.0, delay_s=0.1))
        await pair.open()
        pair.path.loss = 1.0
        messages = [bytes([number]) * 100 for number in range(10)]
        for message in messages:
            assert pair.server.send("_reliable", message)
            await pass_virtual(1.0)
        pair.path.loss = 0.0
        back_s = asyncio.get_running_loop().time()
        await until(lambda: len(pair.got) == len(messages))
        assert pair.got == messages
        taken_s = asyncio.get_running_loop().time() - back_s
        await pair.close()
        return taken_s

    assert run_virtual(main()) < 1.5


def test_a_line_that_is_dead_while_the_association_begins(
    identities: tuple[DtlsIdentity, DtlsIdentity],
) -> None:
    async def main() -> float:
        path = LossyPath(seed=1, loss=0.0, delay_s=0.1)
        pair = DataPair(identities, path)
        loop = asyncio.get_running_loop()
        opening = asyncio.create_task(pair.open())
        await until(lambda: pair.dtls.server.states[-1:] == ["connected"])
        path.loss = 1.0
        loop.call_later(12.0, setattr, path, "loss", 0.0)
        taken_s = await opening
        await pair.close()
        return taken_s

    assert 11.0 < run_virtual(main()) < 16.0


def test_a_queue_of_seconds_is_not_fed_with_repetitions(
    identities: tuple[DtlsIdentity, DtlsIdentity],
) -> None:
    """The line's queue has become so long that answers come later than any timer waits."""

    async def main() -> tuple[int, int]:
        pair = DataPair(identities, LossyPath(seed=1, loss=0.0, delay_s=0.02))
        await pair.open()
        pair.path.delay_s = 2.5
        before = pair.path.carried
        messages = [bytes([number]) * 1_000 for number in range(12)]
        for message in messages:
            assert pair.server.send("_reliable", message)
        await until(lambda: len(pair.got) == len(messages))
        assert pair.got == messages
        taken = pair.path.carried - before
        # The next ones know how long answers take.
        before = pair.path.carried
        for message in messages:
            assert pair.server.send("_reliable", message)
        await until(lambda: len(pair.got) == 2 * len(messages))
        again = pair.path.carried - before
        await pair.close()
        return taken, again

    taken, again = run_virtual(main())
    # Both ways, answers included; without patience 270 and 290.
    assert taken < 120 and again < 120, (taken, again)
