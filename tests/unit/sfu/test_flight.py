"""Flights that are repeated, over paths that lose them."""

from __future__ import annotations

import asyncio

import pytest
from dtls_pair import Pair
from lossy_pair import LossyPair, LossyPath
from virtual_loop import pass_virtual, run_virtual

from sfu.config import DtlsConfig
from sfu.dtls import DtlsIdentity
from sfu.flight import FinishedKey, FlightNumbers, Record, parse_records

QUICK = DtlsConfig(handshake_timeout_s=10.0, resend_delays_s=(0.01, 0.01, 0.01))


@pytest.fixture(scope="module")
def identity() -> DtlsIdentity:
    return DtlsIdentity()


def record(seq: int, *, epoch: int = 0, kind: int = 22, payload: bytes = b"x") -> Record:
    return Record(kind, b"\xfe\xfd", epoch, seq, payload)


def numbers(data: bytes) -> list[tuple[int, int]]:
    return [(one.epoch, one.seq) for one in parse_records(data)]


class Receiver:
    """The place of SCTP."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def _handle_data(self, data: bytes) -> None:
        self.got.append(data)

    def _handle_disconnect(self) -> None:
        self.got.append(b"the end")


def test_records_are_read_and_written_as_they_were() -> None:
    data = record(1).to_bytes() + record(2, epoch=1, payload=b"").to_bytes()
    assert b"".join(one.to_bytes() for one in parse_records(data)) == data
    assert list(parse_records(data[:-14])) == [] and list(parse_records(b"")) == []


def test_every_repeat_has_numbers_of_its_own() -> None:
    book = FlightNumbers()
    flight = [book.take(record(0)), book.take(record(1))]
    sent = [book.number(one, None).seq for _ in range(3) for one in flight]
    assert sent == [0, 1, 2, 3, 4, 5]
    # What OpenSSL makes later follows on.
    assert book.number(book.take(record(2)), None).seq == 6
    assert book.surplus == 0


def test_an_encrypted_record_without_its_key_is_sent_as_it_is() -> None:
    book = FlightNumbers()
    finished = book.take(record(0, epoch=1))
    assert book.number(finished, None) == finished == book.number(finished, None)
    key = FinishedKey(bytes(16), bytes(4))
    foreign = finished._replace(payload=bytes(64))
    assert book.number(foreign, key) == foreign and book.surplus == 0
    assert book.number(finished._replace(payload=b"short"), key).payload == b"short"


async def test_a_lost_last_flight_is_asked_for_with_a_new_finished(identity: DtlsIdentity) -> None:
    pair = Pair(identity, ours_is_client=True, config=QUICK)
    lost: list[bytes] = []
    deliver = pair.path._send_datagram

    def lose_three(data: bytes) -> None:
        # ChangeCipherSpec and Finished of the server, which has no timer for them.
        if data[0] == 20 and len(lost) < 3:
            lost.append(data)
        else:
            deliver(data)

    pair.path._send_datagram = lose_three
    async with asyncio.timeout(0.9):  # OpenSSL alone would come again after 1 and 3 s
        await pair.connect()
    assert len(lost) == 3
    receiver = Receiver()
    pair.peer._register_data_receiver(receiver)
    await pair.ours.dtls._send_data(b"first")
    async with asyncio.timeout(1):
        while not receiver.got:
            await asyncio.sleep(0)
    assert receiver.got == [b"first"]  # not taken for a replay of a Finished
    sealed = [seq for data in pair.sent for epoch, seq in numbers(data) if epoch == 1]
    assert len(set(sealed)) == len(sealed) >= 5
    await pair.close()


async def test_a_servers_last_flight_is_repeated_until_the_client_sends_data(
    identity: DtlsIdentity,
) -> None:
    pair = Pair(identity, ours_is_client=False, config=QUICK)
    lost: list[bytes] = []
    pair.drop = lambda data: data[0] != 22 and len(lost) < 2 and not lost.append(data)
    async with asyncio.timeout(0.9):
        await pair.connect()
    assert len(lost) == 2 and pair.ours.states[-1] == "connected"
    await pair.peer._send_data(b"data")
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        while pair.ours.dtls._flight:
            await asyncio.sleep(0)
    await pair.close()


def test_handshakes_over_a_path_that_loses_three_of_ten(identity: DtlsIdentity) -> None:
    identities = (identity, DtlsIdentity())
    taken_s = []
    lost = 0
    for seed in range(50):
        path = LossyPath(seed=seed, loss=0.3, delay_s=0.1)
        taken_s.append(run_virtual(_time_to_data(LossyPair(identities, path))))
        lost += path.lost
    taken_s.sort()
    assert lost > 100
    assert taken_s[25] < 0.9 and taken_s[47] < 1.6 and taken_s[-1] < 3.0, taken_s


def test_handshake_over_a_path_that_is_dead_at_first(identity: DtlsIdentity) -> None:
    async def main() -> float:
        path = LossyPath(seed=1, loss=1.0, delay_s=0.1)
        loop = asyncio.get_running_loop()
        loop.call_later(8.0, setattr, path, "loss", 0.0)
        return await _time_to_data(LossyPair((identity, identity), path)) - 8.0

    assert run_virtual(main()) < 1.3


async def _time_to_data(pair: LossyPair) -> float:
    """Both ends connected, and a message through each way."""
    loop = asyncio.get_running_loop()
    await pair.connect()
    taken_s = loop.time()
    assert pair.client.states[-1] == pair.server.states[-1] == "connected"
    pair.path.loss = 0.0
    for sender, taker in ((pair.client, pair.server), (pair.server, pair.client)):
        receiver = Receiver()
        taker.dtls._register_data_receiver(receiver)
        await sender.dtls._send_data(b"hello")
        await pass_virtual(1.0)
        assert receiver.got == [b"hello"]
    await pair.close()
    return taken_s
