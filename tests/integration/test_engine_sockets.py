"""The engine over real loopback sockets: UDP and ICE-TCP, IPv4 and IPv6."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_peer import EnginePeer, Subscriber, packetize_vp8
from recorded_media import NoisyCamera

from sfu import engine as native

SSRC, SUB_SSRC = 0x10000, 0x20000
HOSTS = ("127.0.0.1", "::1")
CAMERA = NoisyCamera()
VIDEO = [CAMERA.encode(is_key=number == 0) for number in range(50)]


@pytest.fixture
def engine() -> Iterator[Any]:
    made = native.Engine([(host, 0) for host in HOSTS], [(host, 0) for host in HOSTS])
    yield made
    made.close()


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "it never happened"
        time.sleep(0.005)


def recv_frame(stream: socket.socket) -> bytes:
    """One RFC 4571 frame; empty at the end."""

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not (part := stream.recv(count - len(data))):
                return b""
            data += part
        return data

    return exactly(struct.unpack("!H", exactly(2) or b"\0\0")[0])


def frame(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


class Link:
    """Moves a peer's datagrams over a socket, answers from a thread of its own."""

    def __init__(self, engine: Any, peer: EnginePeer, *, host: str, is_tcp: bool = False) -> None:
        self.peer, self.is_tcp = peer, is_tcp
        index = HOSTS.index(host)
        if is_tcp:
            self.socket = socket.create_connection((host, engine.tcp_ports[index]))
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
            self.socket.connect((host, engine.udp_ports[index]))
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.send(peer.check())
        wait_for(lambda: peer.is_connected)

    def send(self, data: bytes) -> None:
        self.socket.sendall(frame(data) if self.is_tcp else data)

    def _read(self) -> None:
        while True:
            try:
                data = recv_frame(self.socket) if self.is_tcp else self.socket.recv(2048)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                for answer in self.peer.handle(data):
                    self.send(answer)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR) if self.is_tcp else None
        self.socket.close()


@pytest.fixture
def links() -> Iterator[list[Link]]:
    opened: list[Link] = []
    yield opened
    for link in opened:
        link.close()


def publish(link: Link, *, pause_s: float = 0.02) -> None:
    seq = 1
    for number, encoded in enumerate(VIDEO):
        packets = packetize_vp8(
            encoded.data, ssrc=SSRC, first_seq=seq, ts_rtp=encoded.ts_rtp, picture_id=number + 1
        )
        seq += len(packets)
        for packet in packets:
            link.send(link.peer.protect(packet))
        time.sleep(pause_s)


def frames_of(peer: Subscriber) -> list[bytes]:
    return peer.streams[SUB_SSRC].frames() if SUB_SSRC in peer.streams else []


@pytest.mark.parametrize("publisher_is_tcp", [False, True])
def test_media_over_every_kind_of_socket(
    engine: Any, links: list[Link], publisher_is_tcp: bool
) -> None:
    publisher = EnginePeer(engine, seed=1)
    links.append(Link(engine, publisher, host="::1", is_tcp=publisher_is_tcp))
    source = engine.add_source(publisher.transport, "0", False, [("", SSRC, SSRC + 1)])
    subscribers = []
    for seed, (host, is_tcp) in enumerate([(h, t) for h in HOSTS for t in (False, True)]):
        peer = Subscriber(engine, seed=10 + seed)
        links.append(Link(engine, peer, host=host, is_tcp=is_tcp))
        peer.subscribe(source, ssrc=SUB_SSRC)
        subscribers.append(peer)
    time.sleep(0.05)
    publish(links[0])
    sent = [encoded.data for encoded in VIDEO]
    wait_for(lambda: all(frames_of(peer) == sent for peer in subscribers))
    counters = engine.counters()
    assert counters["net_gso_bundles"] > 10
    assert counters["net_udp_dropped_full"] == counters["net_tcp_dropped_full"] == 0
    assert counters["net_udp_kernel_drops"] == 0
    assert counters["net_tcp_open"] == 2 + publisher_is_tcp


def test_events_make_the_descriptor_readable(engine: Any, links: list[Link]) -> None:
    assert select.select([engine.event_fd], [], [], 0)[0] == []
    peer = EnginePeer(engine, seed=1)
    links.append(Link(engine, peer, host="127.0.0.1"))
    assert select.select([engine.event_fd], [], [], 5)[0]
    events = engine.drain_events()
    port = links[0].socket.getsockname()[1]
    assert ("transport", peer.transport, 1, "udp", "127.0.0.1", port) in events
    assert select.select([engine.event_fd], [], [], 0)[0] == []


def test_tcp_frames_cut_anywhere_are_put_together(engine: Any) -> None:
    peer = EnginePeer(engine, seed=1)
    with socket.create_connection(("127.0.0.1", engine.tcp_ports[0])) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(5)
        for octet in frame(peer.check()):
            stream.send(bytes([octet]))
        peer.handle(recv_frame(stream))
        assert peer.is_connected
        # Two checks and a half in one piece, then the rest, with an empty frame between.
        piece = frame(peer.check()) + frame(b"") + frame(peer.check()) * 2
        stream.sendall(piece[:-9])
        assert recv_frame(stream) and recv_frame(stream)
        stream.sendall(piece[-9:])
        assert recv_frame(stream)


def test_garbage_on_tcp_is_closed_at_once(engine: Any) -> None:
    with socket.create_connection(("127.0.0.1", engine.tcp_ports[0])) as stream:
        stream.settimeout(5)
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert stream.recv(100) == b""
        except ConnectionResetError:
            pass
    wait_for(lambda: engine.counters()["net_tcp_garbage"] == 1)


def test_a_flood_of_silent_connections_leaves_room_for_a_real_one(
    engine: Any, links: list[Link]
) -> None:
    flood = [socket.create_connection(("127.0.0.1", engine.tcp_ports[0])) for _ in range(400)]
    try:
        wait_for(lambda: engine.counters()["net_tcp_accepted"] == 400)
        assert engine.counters()["net_tcp_open"] <= 256
        links.append(Link(engine, EnginePeer(engine, seed=1), host="127.0.0.1", is_tcp=True))
    finally:
        for stream in flood:
            stream.close()
    wait_for(lambda: engine.counters()["net_tcp_open"] == 1)


def test_a_peer_that_never_reads_costs_counted_drops_and_nobody_else(
    engine: Any, links: list[Link]
) -> None:
    publisher = EnginePeer(engine, seed=1)
    links.append(Link(engine, publisher, host="127.0.0.1"))
    source = engine.add_source(publisher.transport, "0", False, [("", SSRC, SSRC + 1)])
    reader = Subscriber(engine, seed=2)
    links.append(Link(engine, reader, host="127.0.0.1", is_tcp=True))
    sleeper = Subscriber(engine, seed=3)
    stuck = socket.create_connection(("127.0.0.1", engine.tcp_ports[0]))
    stuck.sendall(frame(sleeper.check()))
    sleeper.handle(recv_frame(stuck))
    assert sleeper.is_connected
    for peer in (reader, sleeper):
        # Many sinks for one who sleeps: its socket fills in no time.
        for number in range(1 if peer is reader else 30):
            peer.subscribe(source, ssrc=SUB_SSRC + 2 * number)
    time.sleep(0.05)
    publish(links[0])
    sent = [encoded.data for encoded in VIDEO]
    wait_for(lambda: frames_of(reader) == sent)
    assert engine.counters()["net_tcp_dropped_full"] > 0
    # What is in its socket is whole frames, none torn.
    stuck.settimeout(0.5)
    torn = 0
    try:
        while data := recv_frame(stuck):
            sleeper.handle(data)
    except TimeoutError:
        pass
    torn = sleeper.refused
    stuck.close()
    assert torn == 0 and sleeper.streams


def test_closing_tcp_is_noticed_and_the_peer_may_come_back_over_udp(
    engine: Any, links: list[Link]
) -> None:
    peer = EnginePeer(engine, seed=1)
    first = Link(engine, peer, host="127.0.0.1", is_tcp=True)
    first.close()
    wait_for(lambda: engine.counters()["net_tcp_open"] == 0)
    peer.is_connected = False
    links.append(Link(engine, peer, host="127.0.0.1"))
    wait_for(lambda: any(event[:4] == ("transport", peer.transport, 1, "udp")
                         for event in engine.drain_events()))  # fmt: skip


def test_frames_of_a_tap_arrive_through_its_queue(engine: Any) -> None:
    source = engine.add_source(None, "", False, [("", 0, 0)])
    tap = engine.add_tap(source)
    for encoded in VIDEO:
        engine.push_frame(source, 0, 3, encoded.ts_rtp, encoded.data)
        time.sleep(0.002)
    taken: list[Any] = []

    def drain() -> bool:
        taken.extend(engine.drain_tap(tap, 7))
        return len(taken) == len(VIDEO)

    wait_for(drain)
    assert [row[7] for row in taken] == [encoded.data for encoded in VIDEO]
    assert ("tap", tap) in engine.drain_events()


def test_a_slow_reader_of_a_tap_loses_counted_frames_and_starts_at_a_key_frame(
    engine: Any,
) -> None:
    source = engine.add_source(None, "", False, [("", 0, 0)])
    size = sum(len(encoded.data) for encoded in VIDEO)
    tap = engine.add_tap(source, size)
    camera = NoisyCamera(3)
    group = [camera.encode(is_key=number == 0) for number in range(25)]
    sent = [
        encoded._replace(ts_rtp=encoded.ts_rtp + 25 * 3600 * turn)
        for turn in range(10)
        for encoded in group
    ]
    for encoded in sent:
        engine.push_frame(source, 0, 3, encoded.ts_rtp, encoded.data)
        time.sleep(0.001)
    taken: list[Any] = []
    until_s = time.monotonic() + 1
    while time.monotonic() < until_s:
        rows = engine.drain_tap(tap)
        taken += rows
        time.sleep(0.01)
    assert 10 < len(taken) < 250
    data = [encoded.data for encoded in sent]
    assert all(row[7] in data for row in taken)
    if lossy := [row for row in taken if row[6]]:
        assert lossy[0][3]
    assert len(taken) + sum(row[6] for row in taken) <= 250


def test_orders_after_closing_raise(engine: Any) -> None:
    engine.close()
    engine.close()
    with pytest.raises(native.EngineError):
        engine.add_transport("abcd", "x" * 22)
    assert engine.snapshot_sinks() == b""
    assert engine.drain_events() == []


def test_a_port_in_use_raises_oserror(engine: Any) -> None:
    with pytest.raises(OSError, match="127.0.0.1"):
        native.Engine([("127.0.0.1", engine.udp_ports[0])], [])
    assert engine.udp_ports[0] == engine.udp_ports[1]


def test_ten_thousand_orders_and_garbage_do_not_disturb(engine: Any, links: list[Link]) -> None:
    publisher = EnginePeer(engine, seed=1)
    links.append(Link(engine, publisher, host="127.0.0.1"))
    source = engine.add_source(publisher.transport, "0", False, [("", SSRC, SSRC + 1)])
    subscriber = Subscriber(engine, seed=2)
    links.append(Link(engine, subscriber, host="127.0.0.1"))
    subscriber.subscribe(source, ssrc=SUB_SSRC)
    time.sleep(0.05)
    noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    noise.connect(("127.0.0.1", engine.udp_ports[0]))

    def disturb() -> None:
        random = publisher.random.__class__(7)
        for number in range(3000):
            noise.send(random.randbytes(random.randint(1, 1400)))
            engine.set_layers(number, 0, 0, False)

    thread = threading.Thread(target=disturb)
    thread.start()
    publish(links[0])
    thread.join()
    noise.close()
    sent = [encoded.data for encoded in VIDEO]
    wait_for(lambda: frames_of(subscriber) == sent)
    counters = engine.counters()
    assert counters["stale_commands"] >= 2990
    assert counters["dropped_unknown_kind"] + counters["dropped_unknown_path"] > 500
