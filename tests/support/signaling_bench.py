"""Signaling on a bench: real rooms and sessions over recording transports, a clock in hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from fake_transport import CANDIDATES, DIGEST, FakeSource, FakeTransport
from livekit.protocol import models, rtc
from livekit.protocol.webhook import WebhookEvent
from manual_clock import ManualClock

from sfu.ids import Codec, EncodingSpec
from sfu.stats import MediaSnapshot, Rows
from signaling.config import SignalingConfig
from signaling.join import JoinParams
from signaling.pages import PAGE_ATTRIBUTE
from signaling.service import SignalingService
from signaling.tokens import Grants, VideoGrant

KEY = "key"
SECRET = "0123456789abcdef0123456789abcdef"

ENCODING_ROW = np.dtype(
    [
        ("source", "<u4"),
        ("encoding", "u1"),
        ("loud_packets", "<u4"),
        ("leveled_packets", "<u4"),
        ("level_sum", "<u8"),
        ("packets", "<u8"),
        ("lost", "<u8"),
        ("frames", "<u4"),
        ("bitrate_bps", "<u4"),
    ]
)
TRANSPORT_ROW = np.dtype(
    [
        ("transport", "<u4"),
        ("loss_permille", "<u2"),
        ("rtt_us", "<u4"),
        ("received_bytes", "<u8"),
        ("sent_bytes", "<u8"),
    ]
)


class BenchSource(FakeSource):
    """A source as signaling sees it."""

    _handles = itertools.count(1)

    def __init__(
        self, is_audio: bool, mid: str = "", specs: tuple[EncodingSpec, ...] = (EncodingSpec(),)
    ) -> None:
        super().__init__(is_audio, mid, specs)
        self.handle = next(self._handles)
        self.specs = specs
        self.is_muted = False
        self.has_tap = False
        self.is_watched = True
        self.keyframe_requests = 0
        self.codec: Codec | None = None
        self.on_started: Callable[[int, int, Codec], None] | None = None
        self.on_watched: Callable[[bool], None] | None = None

    def mute(self, is_muted: bool) -> None:
        self.is_muted = is_muted

    def request_keyframe(self) -> None:
        self.keyframe_requests += 1


class BenchData:
    """Data channels that are open as soon as they are named."""

    def __init__(self) -> None:
        self.on_message: Callable[[str, bytes], None] | None = None
        self.opened: list[str] = []
        self.sent: list[tuple[str, models.DataPacket]] = []
        self.takes = True
        self.unacked_bytes = 0
        self.labels = frozenset({"_reliable", "_lossy"})
        self.on_open: Callable[[str], None] | None = None

    def start(self, **_arguments: int) -> None:
        pass

    def open(self, label: str, **_arguments: object) -> None:
        self.opened.append(label)

    def send(self, label: str, data: bytes) -> bool:
        if self.takes:
            self.sent.append((label, models.DataPacket.FromString(data)))
        return self.takes


class BenchTransport(FakeTransport):
    """A recording transport with a handle and data channels."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self.handle = handle
        self.data = BenchData()  # type: ignore[assignment]
        self.uplink_limit_bps = 0
        self.has_fallen = False
        self.on_uplink: Callable[[int], None] | None = None

    def limit_uplink(self, rate_bps: int) -> None:
        self.uplink_limit_bps = rate_bps

    def add_source(self, *, mid: str, is_audio: bool, encodings: Any) -> BenchSource:
        source = BenchSource(is_audio, mid, tuple(encodings))
        source.transport = self
        self.sources.append(source)
        return source

    def become(self, state: str) -> None:
        """Changes state, as ICE and DTLS would."""
        self.state = state
        if self.on_state is not None:
            self.on_state(state)


class BenchGroup:
    """A speaker group that remembers its members."""

    def __init__(self) -> None:
        self.members: list[object] = []

    def add(self, source: object) -> None:
        self.members.append(source)


class BenchMedia:
    """Stands in for `sfu.server.MediaServer`."""

    candidates = CANDIDATES

    def __init__(self) -> None:
        self.transports: list[BenchTransport] = []
        self.encodings = np.zeros(0, ENCODING_ROW)
        self.lines = np.zeros(0, TRANSPORT_ROW)
        self.downlink = None
        self.now = 0  # of the engine's clock, µs
        self.groups: list[BenchGroup] = []

    def create_speaker_group(self) -> BenchGroup:
        self.groups.append(BenchGroup())
        return self.groups[-1]

    def create_transport(self) -> BenchTransport:
        self.transports.append(BenchTransport(len(self.transports) + 1))
        return self.transports[-1]

    def snapshot(self) -> MediaSnapshot:
        sinks = np.zeros(0, np.dtype([("sink", "<u4")]))
        return MediaSnapshot(self.now, self.lines, self.encodings, sinks)

    def snapshot_encodings(self) -> Rows:
        return self.encodings


class BenchConnection:
    """A WebSocket that keeps what is sent."""

    def __init__(self) -> None:
        self.unsent_bytes = 0
        self.num_losses = 0
        self.frames: list[bytes] = []
        self.closed: int | None = None

    def send(self, data: bytes) -> None:
        if self.closed is None:
            self.frames.append(data)

    def close(self, code: int) -> None:
        if self.closed is None:
            self.closed = code


@dataclass
class Section:
    """One m-section of a client's offer."""

    kind: str
    direction: str = "recvonly"
    cid: str = ""
    rids: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ("VP8", "H264")


RECEIVE_ONLY = [Section("audio")] * 3 + [Section("video")] * 3 + [Section("application")]
_PTS = {"VP8": 96, "H264": 102, "VP9": 98, "AV1": 45}
_FMTP = {"H264": "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"}


def write_offer(sections: list[Section], *, ufrag: str = "abcd") -> str:
    """An offer as a native client would make it, no more than needed."""
    mids = " ".join(str(index) for index in range(len(sections)))
    lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}"]
    for mid, section in enumerate(sections):
        lines += _write_section(section, mid, ufrag)
    return "\r\n".join(lines) + "\r\n"


def _write_section(section: Section, mid: int, ufrag: str) -> list[str]:
    transport = [
        "c=IN IP4 0.0.0.0",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{'p' * 24}",
        f"a=fingerprint:sha-256 {DIGEST}",
        "a=setup:actpass",
        f"a=mid:{mid}",
    ]
    if section.kind == "application":
        first = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
        return [first, *transport, "a=sctp-port:5000", "a=max-message-size:65536"]
    if section.kind == "audio":
        first = "m=audio 9 UDP/TLS/RTP/SAVPF 111 63"
        codecs = ["a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1"]
        codecs += ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"]
    else:
        first = "m=video 9 UDP/TLS/RTP/SAVPF " + " ".join(str(_PTS[c]) for c in section.codecs)
        codecs = [f"a=rtpmap:{_PTS[c]} {c}/90000" for c in section.codecs]
        codecs += [f"a=fmtp:{_PTS[c]} {_FMTP[c]}" for c in section.codecs if c in _FMTP]
    lines = [first, *transport, f"a={section.direction}", "a=rtcp-mux", *codecs]
    lines += [
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    ]
    if section.cid:
        lines.append(f"a=msid:- {section.cid}")
    if section.rids:
        lines += [f"a=rid:{rid} send" for rid in section.rids]
        lines.append("a=simulcast:send " + ";".join(section.rids))
    return lines


@dataclass
class Bench:
    """A service and everything around it."""

    config: SignalingConfig = field(default_factory=lambda: SignalingConfig(keys={KEY: SECRET}))
    clock: ManualClock = field(default_factory=ManualClock)
    media: BenchMedia = field(default_factory=BenchMedia)
    events: list[WebhookEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        self.service = SignalingService(
            self.media,  # type: ignore[arg-type]
            self.config,
            clock=self.clock,
            token_bytes=lambda size: next(numbers).to_bytes(size, "big"),
            on_webhook=lambda event: self.events.append(_copy(event)),
        )
        self.service.start()

    def grants(self, identity: str, room: str = "room", **video: Any) -> Grants:
        """What a token of this person would say."""
        return Grants(
            api_key=KEY,
            identity=identity,
            name=f"n-{identity}",
            video=VideoGrant(**{"room_join": True, "room": room, **video}),
            expires_s=self.clock.wall_ms() // 1000 + 3600,
        )

    def join(
        self,
        identity: str,
        *,
        room: str = "room",
        single: bool = True,
        offers: bool = True,
        page: bool = False,
        params: dict[str, Any] | None = None,
        **video: Any,
    ) -> Client:
        """Joins; in single mode with the usual first offer. The client is not yet connected."""
        grants = self.grants(identity, room, **video)
        if page:
            grants = replace(grants, attributes={PAGE_ATTRIBUTE: "1"})
        client = Client(self, grants, is_single=single)
        offer = write_offer(RECEIVE_ONLY) if single and offers else None
        client.sections = list(RECEIVE_ONLY) if offer else []
        client.open(
            publisher_offer=rtc.SessionDescription(type="offer", sdp=offer) if offer else None,
            **(params or {}),
        )
        return client

    def connected(self, identity: str, **options: Any) -> Client:
        """Joins and connects, and forgets what was said meanwhile."""
        client = self.join(identity, **options)
        client.connect()
        self.clock.advance(0.3)
        client.clear()
        return client


def _copy(event: WebhookEvent) -> WebhookEvent:
    copy = WebhookEvent()
    copy.CopyFrom(event)
    return copy


class Client:
    """One client of the bench."""

    def __init__(self, bench: Bench, grants: Grants, *, is_single: bool) -> None:
        self.bench = bench
        self.grants = grants
        self.is_single = is_single
        self.sid = ""
        self.sections: list[Section] = []
        self.connection = BenchConnection()
        self.transports: list[BenchTransport] = []

    def open(self, **params: Any) -> None:
        """Opens a WebSocket."""
        params.setdefault("client", models.ClientInfo(protocol=16))
        count = len(self.bench.media.transports)
        self.connection = BenchConnection()
        self.peer = self.bench.service.open(
            self.grants, JoinParams(is_single_pc=self.is_single, **params), self.connection
        )
        self.transports += self.bench.media.transports[count:]
        joins = self.named("join")
        if joins:
            self.sid = joins[0].participant.sid

    def resume(self, **params: Any) -> None:
        """Loses the WebSocket if it is there, and comes back with a new one."""
        self.lose()
        self.open(is_reconnect=True, participant_sid=self.sid, **params)

    def lose(self) -> None:
        """The WebSocket breaks."""
        self.peer.handle_closed()

    def connect(self) -> None:
        """ICE and DTLS succeed."""
        for transport in self.transports:
            transport.become("connected")

    @property
    def data(self) -> BenchData:
        """Its data channels, as the server writes to them."""
        return self.transports[-1].data  # type: ignore[return-value]

    def clear(self) -> None:
        """Forgets what was received."""
        self.connection.frames.clear()

    @property
    def received(self) -> list[rtc.SignalResponse]:
        """All messages since the last `clear`."""
        return [rtc.SignalResponse.FromString(frame) for frame in self.connection.frames]

    def kinds(self) -> list[str]:
        """Their names, in order."""
        return [str(message.WhichOneof("message")) for message in self.received]

    def named(self, kind: str) -> list[Any]:
        """Those of one kind."""
        return [
            getattr(message, kind)
            for message in self.received
            if message.WhichOneof("message") == kind
        ]

    def last(self, kind: str) -> Any:
        """The newest of a kind."""
        return self.named(kind)[-1]

    def seen(self, identity: str) -> models.ParticipantInfo | None:
        """The newest news of a participant."""
        found = None
        for update in self.named("update"):
            for info in update.participants:
                if info.identity == identity:
                    found = info
        return found

    def send(self, **message: Any) -> None:
        """Sends one SignalRequest."""
        self.peer.handle_message(rtc.SignalRequest(**message).SerializeToString())

    def offer(self, *sections: Section, ufrag: str = "abcd", id: int = 0) -> str:
        """Offers with further sections; returns the answer."""
        self.sections += sections
        sdp = write_offer(self.sections, ufrag=ufrag)
        self.send(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=id))
        return self.last("answer").sdp

    def publish(
        self, cid: str, kind: str = "audio", *, rids: tuple[str, ...] = (), **request: Any
    ) -> str:
        """Announces and sends a track; returns its sid."""
        is_video = kind == "video"
        request.setdefault(
            "source", models.TrackSource.CAMERA if is_video else models.TrackSource.MICROPHONE
        )
        if rids:
            request.setdefault("layers", LAYERS[: len(rids)])
            request.setdefault("width", 1280)
            request.setdefault("height", 720)
        track_type = models.TrackType.VIDEO if is_video else models.TrackType.AUDIO
        self.send(add_track=rtc.AddTrackRequest(cid=cid, type=track_type, **request))
        sid = self.last("track_published").track.sid
        self.offer(Section(kind, "sendonly", cid, rids))
        self.bench.clock.advance()
        return str(sid)

    def answer(self) -> str:
        """Answers the last server offer; returns the offer."""
        offer = self.last("offer")
        self.send(
            answer=rtc.SessionDescription(type="answer", sdp=mirror_offer(offer.sdp), id=offer.id)
        )
        return str(offer.sdp)

    def send_data(self, packet: models.DataPacket, label: str = "_reliable") -> None:
        """Sends on a data channel."""
        on_message = self.transports[0].data.on_message
        assert on_message is not None
        on_message(label, packet.SerializeToString())


LAYERS = [
    models.VideoLayer(quality=quality, width=width, height=width * 9 // 16, bitrate=width * 1000)
    for quality, width in ((0, 320), (1, 640), (2, 1280))
]


def mirror_offer(sdp: str) -> str:
    """An answer that takes everything."""
    replaced = {
        "a=sendonly": "a=recvonly",
        "a=setup:actpass": "a=setup:active",
        "a=ice-lite": None,
    }
    lines = []
    for line in sdp.split("\r\n"):
        if line.startswith(("a=candidate", "a=end-of-candidates", "a=msid:", "a=ssrc")):
            continue
        line = replaced.get(line, line)  # type: ignore[assignment]
        if line is not None:
            lines.append(line)
    return "\r\n".join(lines)
