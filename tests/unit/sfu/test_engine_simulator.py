"""The core through ``Simulator``, against an independent peer, over a seeded lossy network."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiortc.rtp import RtpPacket
from engine_peer import AUDIO_PT, PAYLOADS, EnginePeer, Subscriber, packetize_vp8
from recorded_media import Encoded, NoisyCamera, encode_video

from sfu import engine as native
from sfu.ids import Codec

SSRC, SUB_SSRC = 0x10000, 0x20000
FIRST_TS = 0xFFFF_0000  # wraps soon
VIDEO = encode_video(Codec.VP8, 100, size=(640, 480), gop=1000)


class Network:
    """Virtual time, and links that lose, delay and reorder by a seed."""

    def __init__(
        self, *, seed: int = 1, loss: float = 0.0, delay_us: int = 10_000, jitter_us: int = 0
    ) -> None:
        self.simulator = native.Simulator(seed)
        self.random = random.Random(seed)
        self.loss, self.delay_us, self.jitter_us = loss, delay_us, jitter_us
        self.now_us = 1_000_000
        self.peers: dict[tuple[str, int], EnginePeer] = {}
        self.log: list[bytes] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when_us: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when_us, self._count, action))

    def join(self, peer: EnginePeer) -> None:
        address = (f"192.0.2.{len(self.peers) + 1}", 5000)
        self.peers[address] = peer
        self.send(peer, peer.check(), is_lossless=True)

    def _pass(self, action: Callable[[], None], *, is_lossless: bool) -> None:
        if is_lossless or self.random.random() >= self.loss:
            delay_us = self.delay_us + self.random.randint(0, self.jitter_us)
            self.at(self.now_us + delay_us, action)

    def send(self, peer: EnginePeer, data: bytes, *, is_lossless: bool = False) -> None:
        address = next(key for key, value in self.peers.items() if value is peer)

        def arrive() -> None:
            self.simulator.handle_datagram(self.now_us, address, data)

        self._pass(arrive, is_lossless=is_lossless)

    def _deliver(self, peer: EnginePeer, data: bytes) -> None:
        for answer in peer.handle(data):
            self.send(peer, answer)

    def run(self, until_us: int) -> None:
        """Let time pass."""
        while self.now_us < until_us:
            due = min(self.simulator.next_timeout_us(), until_us)
            if self._queue:
                due = min(due, self._queue[0][0])
            self.now_us = max(self.now_us, due)
            while self._queue and self._queue[0][0] <= self.now_us:
                heapq.heappop(self._queue)[2]()
            for ip, port, data in self.simulator.poll(self.now_us):
                self.log.append(data)
                peer = self.peers[ip, port]
                self._pass(
                    lambda peer=peer, data=data: self._deliver(peer, data),  # type: ignore[misc]
                    is_lossless=data[0] < 4,
                )
            if self.simulator.next_timeout_us() <= self.now_us:
                self.now_us += 1000


def publish(
    network: Network, publisher: EnginePeer, frames: list[Encoded] | NoisyCamera, start_us: int
) -> None:
    """Sends 100 frames at their times; a camera makes a key frame when it is asked for one."""
    state = {"seq": 65_500, "wishes": 0}  # the numbers wrap soon

    def send(number: int) -> None:
        if isinstance(frames, NoisyCamera):
            wishes, state["wishes"] = state["wishes"], publisher.keyframe_wishes()
            frame = frames.encode(is_key=number == 0 or state["wishes"] > wishes)
        else:
            frame = frames[number]
        packets = packetize_vp8(
            frame.data,
            ssrc=SSRC,
            first_seq=state["seq"],
            ts_rtp=frame.ts_rtp + FIRST_TS,
            picture_id=number + 1,
        )
        state["seq"] += len(packets)
        for packet in packets:
            network.send(publisher, publisher.protect(packet))

    for number in range(100 if isinstance(frames, NoisyCamera) else len(frames)):
        network.at(start_us + number * 40_000, lambda number=number: send(number))  # type: ignore[misc]


def connect(network: Network, profile: str = "AEAD_AES_128_GCM") -> tuple[EnginePeer, int]:
    publisher = EnginePeer(network.simulator, seed=1, profile=profile)
    network.join(publisher)
    rows = [("", SSRC, SSRC + 1)]
    source = network.simulator.add_source(publisher.transport, "0", False, rows)
    return publisher, source


def subscribe(network: Network, source: int, count: int) -> list[Subscriber]:
    profiles = ("AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80")
    subscribers = []
    for number in range(count):
        peer = Subscriber(network.simulator, seed=10 + number, profile=profiles[number % 2])
        network.join(peer)
        peer.subscribe(source, ssrc=SUB_SSRC)
        subscribers.append(peer)
    return subscribers


def run_lossy(
    seed: int, loss: float, *, until_us: int = 7_000_000
) -> tuple[Network, EnginePeer, list[Subscriber], list[Encoded]]:
    network = Network(seed=seed, loss=loss, delay_us=20_000, jitter_us=5_000)
    publisher, source = connect(network)
    subscribers = subscribe(network, source, 2)
    network.run(1_200_000)
    camera = NoisyCamera(seed)
    publish(network, publisher, camera, 1_300_000)

    def ask() -> None:
        for peer in subscribers:
            if (nack := peer.nack(SUB_SSRC)) is not None:
                network.send(peer, nack)

    for step_us in range(1_350_000, until_us, 40_000):
        network.at(step_us, ask)
    network.run(until_us)
    return network, publisher, subscribers, camera.frames


@pytest.mark.parametrize("profile", ["AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"])
def test_media_arrives_whole_and_in_order(profile: str) -> None:
    network = Network()
    publisher, source = connect(network, profile)
    subscribers = subscribe(network, source, 3)
    network.run(1_100_000)
    assert publisher.is_connected and all(peer.is_connected for peer in subscribers)
    publish(network, publisher, VIDEO, 1_200_000)
    network.run(6_000_000)
    for peer in subscribers:
        stream = peer.streams[SUB_SSRC]
        assert stream.missing() == []
        assert stream.frames() == [frame.data for frame in VIDEO]
        assert peer.refused == 0
        stamps = [stream.packets[seq].timestamp for seq in sorted(stream.packets)]
        gaps = np.diff(np.unique(np.unwrap(stamps, period=2**32)))
        assert set(gaps.astype(int)) == {3600}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_percent_loss_both_ways_is_repaired(seed: int) -> None:
    _, publisher, subscribers, sent = run_lossy(seed, 0.1)
    assert publisher.nacked
    for peer in subscribers:
        frames = peer.streams[SUB_SSRC].frames()
        assert peer.rtx_packets > 0
        data = [frame.data for frame in sent]
        # Starting may take a second key frame, as wishes for one can be lost as well. From there
        # on nothing is damaged and next to nothing missing.
        first = data.index(frames[0])
        assert first <= 40
        assert set(frames) <= set(data)
        assert len(frames) >= 0.95 * len(data[first:])


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other, third = (run_lossy(seed, 0.1, until_us=2_200_000)[0] for seed in (5, 5, 6))
    assert one.log == other.log
    assert one.log != third.log


def test_a_check_with_the_wrong_password_gets_no_answer() -> None:
    network = Network()
    peer = EnginePeer(network.simulator, seed=3)
    network.peers["192.0.2.9", 9] = peer
    network.send(peer, peer.check(password="guessed-password-of-22"))
    network.run(2_000_000)
    assert network.log == []
    assert network.simulator.counters()["dropped_stun_auth"] == 1
    network.send(peer, peer.check())
    network.run(2_100_000)
    assert peer.is_connected
    (event,) = [e for e in network.simulator.drain_events() if e[0] == "transport"]
    assert event == ("transport", peer.transport, 1, "udp", "192.0.2.9", 9)


def test_replayed_forged_and_unknown_packets_are_counted_and_gone() -> None:
    network = Network()
    publisher, source = connect(network)
    (subscriber,) = subscribe(network, source, 1)
    network.run(1_100_000)
    packets = packetize_vp8(VIDEO[0].data, ssrc=SSRC, first_seq=1, ts_rtp=0, picture_id=1)
    sealed = [publisher.protect(packet) for packet in packets]
    stranger = RtpPacket(payload_type=96, ssrc=99, sequence_number=1, payload=b"x" * 40)
    forged = bytearray(sealed[0])
    forged[-1] ^= 1
    for data in [*sealed, sealed[0], bytes(forged), publisher.protect(stranger)]:
        network.send(publisher, data)
    network.run(1_300_000)
    counters = network.simulator.counters()
    assert counters["dropped_replay"] >= 1
    assert counters["dropped_auth"] + counters["dropped_replay"] >= 2
    assert counters["dropped_unknown_ssrc"] == 1
    assert subscriber.streams[SUB_SSRC].frames() == [VIDEO[0].data]


def test_a_pushed_frame_reaches_subscribers_and_taps() -> None:
    network = Network()
    simulator = network.simulator
    source = simulator.add_source(None, "", False, [("", 0, 0)])
    (subscriber,) = subscribe(network, source, 1)
    tap = simulator.add_tap(source)
    network.run(1_100_000)
    for frame in VIDEO:

        def push(frame: Encoded = frame) -> None:
            simulator.push_frame(source, 0, 3, frame.ts_rtp, frame.data)

        network.at(1_200_000 + frame.ts_rtp * 100 // 9, push)
    network.run(5_500_000)
    assert subscriber.streams[SUB_SSRC].frames() == [frame.data for frame in VIDEO]
    taken = simulator.drain_tap(tap)
    assert [row[7] for row in taken] == [frame.data for frame in VIDEO]
    assert [row[0] for row in taken] == [frame.ts_rtp for frame in VIDEO]
    assert [row[3] for row in taken] == [frame.is_key for frame in VIDEO]
    assert {(row[4], row[5], row[6]) for row in taken} == {(0, 3, 0)}
    assert ("tap", tap) in simulator.drain_events()
    simulator.remove_tap(tap)
    assert simulator.drain_tap(tap) == []


def test_a_tap_of_a_publisher_gives_the_frames_it_sent() -> None:
    network = Network(loss=0.05, seed=4, delay_us=5_000)
    publisher, source = connect(network)
    tap = network.simulator.add_tap(source)
    network.run(1_100_000)
    publish(network, publisher, VIDEO, 1_200_000)
    network.run(6_000_000)
    rows = network.simulator.drain_tap(tap)
    sent = {frame.ts_rtp: frame.data for frame in VIDEO}
    assert len(rows) > 90
    assert all(sent[row[0] - FIRST_TS] == row[7] for row in rows)
    assert all(row[1] >= row[2] - 1 for row in rows)


def test_audio_packets_pass_and_levels_do_not_break_them() -> None:
    network = Network()
    simulator = network.simulator
    publisher = EnginePeer(simulator, seed=1)
    network.join(publisher)
    source = simulator.add_source(publisher.transport, "a", True, [("", SSRC, 0)])
    subscriber = Subscriber(simulator, seed=2)
    network.join(subscriber)
    subscriber.subscribe(source, ssrc=SUB_SSRC, is_audio=True)
    network.run(1_100_000)
    for number in range(50):
        packet = RtpPacket(
            payload_type=AUDIO_PT,
            sequence_number=number,
            timestamp=number * 960,
            ssrc=SSRC,
            payload=bytes([252, number]) * 40,
        )
        network.send(publisher, publisher.protect(packet))
        network.run(network.now_us + 20_000)
    network.run(2_500_000)
    got = subscriber.streams[SUB_SSRC].packets
    assert [got[seq].payload for seq in sorted(got)] == [bytes([252, n]) * 40 for n in range(50)]


def test_snapshots_have_the_layout_of_their_dtypes() -> None:
    network = Network()
    publisher, source = connect(network)
    (subscriber,) = subscribe(network, source, 1)
    publish(network, publisher, VIDEO[:50], 1_200_000)
    network.run(3_300_000)
    simulator = network.simulator

    def rows(data: bytes, dtype: Any) -> Any:
        return np.frombuffer(data, dtype)

    transports = rows(simulator.snapshot_transports(), native.TRANSPORT_DTYPE)
    assert sorted(transports["transport"]) == [publisher.transport, subscriber.transport]
    assert set(transports["state"]) == {1}
    (encoding,) = rows(simulator.snapshot_encodings(), native.ENCODING_DTYPE)
    assert (encoding["source"], encoding["codec"], encoding["ssrc"]) == (source, 3, SSRC)
    assert (encoding["width"], encoding["height"]) == (640, 480)
    assert encoding["frames"] == 50
    (sink,) = rows(simulator.snapshot_sinks(), native.SINK_DTYPE)
    assert (sink["source"], sink["transport"]) == (source, subscriber.transport)
    assert sink["packets"] == len(subscriber.streams[SUB_SSRC].packets)
    assert len(simulator.drain_twcc()) % native.TWCC_DTYPE.itemsize == 0


def test_a_budget_paces_and_tells_how_far_it_is_behind() -> None:
    network = Network()
    publisher, source = connect(network)
    fast, slow = subscribe(network, source, 2)
    simulator = network.simulator
    size = sum(len(frame.data) for frame in VIDEO) * 8 // 4  # bits per second of the four seconds
    simulator.set_budget(slow.transport, size // 2)
    publish(network, publisher, VIDEO, 1_200_000)
    network.run(3_200_000)
    rows = np.frombuffer(simulator.snapshot_transports(), native.TRANSPORT_DTYPE)
    (row,) = rows[rows["transport"] == slow.transport]
    assert (row["budget_bps"], row["is_braking"], row["has_twcc"]) == (size // 2, 0, 0)
    assert row["waiting_us"] > 100_000
    assert 0 < row["sent_bps"] < size * 3 // 4
    sent = [len(peer.streams[SUB_SSRC].packets) for peer in (fast, slow)]
    assert sent[1] < sent[0] * 3 // 4
    (encoding,) = np.frombuffer(simulator.snapshot_encodings(), native.ENCODING_DTYPE)
    assert encoding["num_temporal"] == 1
    assert encoding["bitrate_t0_bps"] == encoding["bitrate_t1_bps"] == encoding["bitrate_bps"]


def test_a_probe_is_filled_although_nothing_is_shown_and_copies_follow_unasked() -> None:
    network = Network()
    publisher, source = connect(network)
    watching, paused = subscribe(network, source, 2)
    simulator = network.simulator
    sinks = np.frombuffer(simulator.snapshot_sinks(), native.SINK_DTYPE)
    for row in sinks:
        if row["transport"] == paused.transport:
            simulator.set_layers(int(row["sink"]), 0, 7, True)
        else:
            simulator.set_protection(int(row["sink"]), 1)
    publish(network, publisher, VIDEO[:50], 1_200_000)
    network.at(2_000_000, lambda: simulator.probe(paused.transport, 9, 500_000, 40_000))
    network.at(2_000_000, lambda: simulator.probe(paused.transport + 1000, 9, 500_000, 40_000))
    network.run(4_000_000)
    counters = simulator.counters()
    assert counters["probes"] == 1 and counters["padding_sent"] >= 8
    assert counters["probes_unfilled"] == 0 and counters["stale_commands"] == 1
    sinks = np.frombuffer(simulator.snapshot_sinks(), native.SINK_DTYPE)
    (row,) = sinks[sinks["transport"] == watching.transport]
    assert row["copies_sent"] == row["packets"] > 0
    assert watching.rtx_packets == row["copies_sent"]
    assert row["left_out"] == 0


@pytest.mark.parametrize(
    "misuse",
    [
        lambda s: s.set_srtp(1, "NULL", b"", b""),
        lambda s: s.set_srtp(1, "AEAD_AES_128_GCM", bytes(28), bytes(27)),
        lambda s: s.set_media(1, {"colour": 1}, []),
        lambda s: s.set_media(1, {}, [(128, 3, 0)]),
        lambda s: s.set_media(1, {}, [(96, 9, 0)]),
        lambda s: s.add_source(None, "", False, []),
        lambda s: s.add_source(None, "", False, [("", 0, 0)] * 4),
        lambda s: s.push_frame(1, 0, 0, 0, b""),
        lambda s: s.handle_datagram(0, ("store.example", 1), b""),
    ],
)
def test_misuse_raises_and_changes_nothing(misuse: Callable[[Any], None]) -> None:
    simulator = native.Simulator(1)
    with pytest.raises(native.EngineError):
        misuse(simulator)
    assert simulator.counters()["stale_commands"] == 0


def test_orders_for_what_is_gone_are_counted_and_harmless() -> None:
    simulator = native.Simulator(1)
    transport = simulator.add_transport("abcd", "x" * 22)
    simulator.remove_transport(transport)
    simulator.set_media(transport, {}, PAYLOADS)
    simulator.remove_transport(transport)
    simulator.send_dtls(77, b"x")
    simulator.remove_sink(4)
    simulator.set_layers(4, 0, 0, False)
    simulator.request_keyframe(5)
    simulator.push_frame(5, 0, 3, 0, b"x")
    assert simulator.drain_tap(9) == []
    assert simulator.counters()["stale_commands"] == 8
    assert simulator.poll(10) == []
