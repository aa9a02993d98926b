"""Data channels over DTLS in memory, against aiortc's SCTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import State
from aiortc.rtcsctptransport import (
    WEBRTC_BINARY,
    DataChunk,
    InitChunk,
    RTCSctpTransport,
    SackChunk,
)
from dtls_pair import Pair
from virtual_loop import run_virtual, take_turns

from sfu.config import DataLimits
from sfu.datachannel import DataChannels
from sfu.dtls import DtlsIdentity


@pytest.fixture(scope="module")
def identity() -> DtlsIdentity:
    return DtlsIdentity()


class DataPair:
    """Both ends with an association over a connected DTLS pair."""

    def __init__(self, identity: DtlsIdentity, limits: DataLimits, *, ours_is_client: bool) -> None:
        self.pair = Pair(identity, ours_is_client=ours_is_client)
        self.now_s = 100.0
        self.counters = self.pair.ours.counters
        self.data = DataChannels(limits, self.counters, clock=lambda: self.now_s)
        self.got: list[tuple[str, bytes]] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.data.on_message = lambda label, data: self.got.append((label, data))
        self.data.on_open = self.opened.append
        self.data.on_close = self.closed.append
        self.peer_channels: dict[str, RTCDataChannel] = {}
        self.peer_got: list[tuple[str, object]] = []

    async def connect(self) -> None:
        await self.pair.connect()
        self.peer = RTCSctpTransport(self.pair.peer)
        self.peer.on("datachannel", self._take)
        self.data.attach(self.pair.ours.dtls)
        self.data.start(max_message_bytes=65_535)
        await self.peer.start(None, 5000)
        await until(lambda: self.peer.state == "connected")

    def _take(self, channel: RTCDataChannel) -> None:
        self.peer_channels[channel.label] = channel
        channel.on("message", lambda data: self.peer_got.append((channel.label, data)))

    def peer_opens(self, label: str, **options: object) -> RTCDataChannel:
        channel = RTCDataChannel(self.peer, RTCDataChannelParameters(label=label, **options))
        channel.on("message", lambda data: self.peer_got.append((label, data)))
        return channel

    async def close(self) -> None:
        await self.data.close()
        await self.peer.stop()
        await self.pair.close()


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await take_turns()


@pytest.fixture(params=[True, False], ids=["we are DTLS client", "we are DTLS server"])
async def both(identity: DtlsIdentity, request: pytest.FixtureRequest) -> AsyncIterator[DataPair]:
    pair = DataPair(identity, DataLimits(), ours_is_client=request.param)
    await pair.connect()
    yield pair
    await pair.close()


async def make(identity: DtlsIdentity, limits: DataLimits) -> DataPair:
    pair = DataPair(identity, limits, ours_is_client=False)
    await pair.connect()
    return pair


async def test_channels_made_by_the_peer_carry_both_ways(both: DataPair) -> None:
    reliable = both.peer_opens("_reliable")
    lossy = both.peer_opens("_lossy", ordered=False, maxRetransmits=0)
    await until(lambda: both.data.labels == {"_reliable", "_lossy"})
    await until(lambda: lossy.readyState == reliable.readyState == "open")
    reliable.send(b"from peer")
    lossy.send(b"lossy")
    await until(lambda: len(both.got) == 2)
    assert both.got == [("_reliable", b"from peer"), ("_lossy", b"lossy")]
    assert both.data.send("_reliable", b"back") and both.data.send("_lossy", b"back")
    await until(lambda: len(both.peer_got) == 2)
    assert sorted(both.opened) == ["_lossy", "_reliable"]


async def test_channels_made_by_us_carry_both_ways(both: DataPair) -> None:
    both.data.open("_reliable")
    both.data.open("_data_track", is_ordered=False, max_retransmits=0)
    await until(lambda: both.data.labels == {"_reliable", "_data_track"})
    assert both.peer_channels["_data_track"].maxRetransmits == 0
    assert not both.peer_channels["_data_track"].ordered
    assert both.data.send("_reliable", b"x" * 65_535)
    await until(lambda: bool(both.peer_got))
    assert both.peer_got == [("_reliable", b"x" * 65_535)]
    both.peer_channels["_reliable"].send(b"y" * 65_535)
    await until(lambda: bool(both.got))
    assert both.got == [("_reliable", b"y" * 65_535)]


async def test_channels_asked_for_before_the_association(identity: DtlsIdentity) -> None:
    pair = DataPair(identity, DataLimits(), ours_is_client=False)
    pair.data.open("_reliable")
    await pair.connect()
    await until(lambda: pair.opened == ["_reliable"])
    await pair.close()


async def test_nothing_is_made_before_an_application_section(identity: DtlsIdentity) -> None:
    data = DataChannels(
        DataLimits(), DataPair(identity, DataLimits(), ours_is_client=True).counters
    )
    assert data._sctp is None and data.buffered_bytes == 0 and not data.is_started
    assert data.send("_reliable", b"x") is False
    await data.close()


async def test_reliable_is_refused_and_lossy_dropped_beyond_the_bound(
    identity: DtlsIdentity,
) -> None:
    limits = DataLimits(max_reliable_bytes=100_000, max_lossy_bytes=20_000)
    pair = await make(identity, limits)
    pair.data.open("_reliable")
    pair.data.open("_lossy", is_ordered=False, max_retransmits=0)
    await until(lambda: len(pair.data.labels) == 2)
    pair.pair.drop = lambda data: True  # a peer that never reads
    taken = [pair.data.send("_lossy", b"x" * 5000) for _ in range(10)]
    assert taken.count(True) == 4 and pair.counters["data_lossy_dropped"] == 6
    taken = [pair.data.send("_reliable", b"x" * 10_000) for _ in range(20)]
    assert taken.count(True) == 8 and pair.counters["data_reliable_refused"] == 12
    assert pair.data.buffered_bytes <= 100_000 and pair.data.dropped == 18
    await pair.close()


async def test_too_large_and_unknown_label_are_refused(both: DataPair) -> None:
    both.data.open("_reliable")
    await until(lambda: bool(both.data.labels))
    assert both.data.send("_reliable", b"x" * 65_536) is False
    assert both.data.send("_other", b"x") is False
    assert both.counters["data_send_too_large"] == both.counters["data_no_channel"] == 1


def test_flooding_peer_is_dropped_beyond_its_rate(identity: DtlsIdentity) -> None:
    # The peer's SCTP fills its window and waits three seconds before it sends again.
    run_virtual(flood(identity))


async def flood(identity: DtlsIdentity) -> None:
    pair = await make(identity, DataLimits(messages_per_s=80.0, message_burst=50.0))
    channel = pair.peer_opens("_reliable")
    await until(lambda: channel.readyState == "open")
    for index in range(200):
        channel.send(str(index).encode())
    await until(lambda: len(pair.got) + pair.counters["data_over_rate"] == 200)
    assert len(pair.got) == 50
    pair.now_s += 0.125
    for index in range(20):
        channel.send(str(index).encode())
    await until(lambda: len(pair.got) + pair.counters["data_over_rate"] == 220)
    assert len(pair.got) == 60
    await pair.close()


async def test_text_and_oversized_messages_are_counted(identity: DtlsIdentity) -> None:
    pair = await make(identity, DataLimits(max_message_bytes=2000))
    channel = pair.peer_opens("_reliable")
    await until(lambda: channel.readyState == "open")
    channel.send("text")
    channel.send(b"x" * 2001)
    channel.send(b"x" * 2000)
    await until(lambda: bool(pair.got))
    assert pair.got == [("_reliable", b"x" * 2000)]
    assert pair.counters["data_not_binary"] == pair.counters["data_too_large"] == 1
    await pair.close()


async def test_peer_may_not_open_channels_without_end(identity: DtlsIdentity) -> None:
    pair = await make(identity, DataLimits(max_channels=3))
    for index in range(6):
        pair.peer_opens(str(index))
    await until(lambda: pair.counters["data_open_refused"] == 3)
    assert len(pair.opened) == 3
    await pair.close()


async def test_closing_a_channel_is_told(both: DataPair) -> None:
    channel = both.peer_opens("_reliable")
    await until(lambda: channel.readyState == "open")
    channel.close()
    await until(lambda: both.closed == ["_reliable"])
    assert both.data.send("_reliable", b"x") is False


async def test_malformed_sctp_is_counted_and_survived(both: DataPair) -> None:
    sctp = both.data._sctp
    assert sctp is not None
    channel = both.peer_opens("_reliable")
    await until(lambda: channel.readyState == "open")
    # DCEP OPEN with a label that is not UTF-8; the same stream twice; ACK of an unknown stream.
    bad_open = b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\xff\xfe"
    for stream_id, protocol, data in (
        (20, 50, bad_open),
        (channel.id, 50, bad_open),
        (22, 50, b"\x02"),
    ):
        await both.peer._send(stream_id, protocol, data)
    await both.peer._send(500, WEBRTC_BINARY, b"nobody's")
    await until(lambda: both.counters["data_unknown_channel"] == 1)
    assert both.counters["sctp_malformed"] == 2
    assert both.counters["data_open_refused"] == 1
    channel.send(b"still here")
    await until(lambda: both.got == [("_reliable", b"still here")])


async def test_sack_with_absurd_gaps_costs_nothing(both: DataPair) -> None:
    sctp = both.data._sctp
    assert sctp is not None
    sack = SackChunk()
    sack.cumulative_tsn = (sctp._local_tsn - 1) % 2**32
    sack.advertised_rwnd = 0
    sack.gaps = [(1, 65_535)] * 200
    await sctp._receive_sack_chunk(sack)
    assert both.counters["sctp_bad_sack"] == 1


async def test_peer_that_sends_endless_tiny_fragments_is_bounded(identity: DtlsIdentity) -> None:
    pair = await make(identity, DataLimits())
    sctp = pair.data._sctp
    assert sctp is not None and sctp._last_received_tsn is not None
    start = sctp._last_received_tsn
    for index in range(5000):
        chunk = DataChunk(flags=2 if index == 0 else 0)
        chunk.tsn = (start + 1 + index) % 2**32
        chunk.stream_id, chunk.stream_seq, chunk.protocol = 1, 0, WEBRTC_BINARY
        chunk.user_data = b"x"
        await sctp._receive_data_chunk(chunk)
    assert sum(len(s.reassembly) for s in sctp._inbound_streams.values()) <= 2048
    await pair.close()


async def test_peer_that_ignores_our_window_is_bounded(identity: DtlsIdentity) -> None:
    pair = await make(identity, DataLimits(receive_window_bytes=20_000))
    sctp = pair.data._sctp
    assert sctp is not None and sctp._last_received_tsn is not None
    start = sctp._last_received_tsn
    for index in range(2000):  # a message that never ends, its second fragment missing
        chunk = DataChunk(flags=2 if index == 0 else 0)
        chunk.tsn = (start + 1 + index + (index > 0)) % 2**32
        chunk.stream_id, chunk.stream_seq, chunk.protocol = 1, 0, WEBRTC_BINARY
        chunk.user_data = b"x" * 1000
        await sctp._receive_data_chunk(chunk)
    kept = sum(len(c.user_data) for s in sctp._inbound_streams.values() for c in s.reassembly)
    assert kept <= 21_000
    assert pair.counters["sctp_over_window"] > 1900
    beyond = DataChunk(flags=3)
    beyond.tsn, beyond.stream_id, beyond.user_data = start, 5000, b"x"
    await sctp._receive_data_chunk(beyond)
    assert pair.counters["sctp_bad_stream"] == 1
    await pair.close()


async def test_a_listeners_bug_is_logged_and_survived(
    both: DataPair, caplog: pytest.LogCaptureFixture
) -> None:
    channel = both.peer_opens("_reliable")
    await until(lambda: channel.readyState == "open")
    keep = both.data.on_message
    both.data.on_message = lambda label, data: 1 / 0
    channel.send(b"one")
    await until(lambda: both.counters["callback_errors"] == 1)
    assert "listener failed" in caplog.text and both.counters["sctp_malformed"] == 0
    both.data.on_message = keep
    channel.send(b"two")
    await until(lambda: both.got == [("_reliable", b"two")])


async def test_a_retransmission_timer_after_the_end_is_counted_not_raised(
    identity: DtlsIdentity,
) -> None:
    """aiortc starts these as tasks that nobody awaits: a raise would be a stray traceback."""
    both = DataPair(identity, DataLimits(), ours_is_client=False)
    await both.connect()
    sctp = both.data._sctp
    assert sctp is not None
    await both.pair.ours.dtls.stop()
    both.pair.ours.dtls._set_state(State.CLOSED)
    await sctp._send_chunk(InitChunk())
    assert both.counters["sctp_send_after_close"] == 1
    await both.data.close()
