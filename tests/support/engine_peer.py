"""An independent far end of the engine: STUN of aioice, SRTP of libsrtp, RTP and VP8 of aiortc.

Bytes in, bytes out; it neither reads a clock nor opens a socket, so it runs under a simulated
network as well as over real sockets.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aioice import stun
from aiortc.codecs.vpx import Vp8Encoder, VpxPayloadDescriptor
from aiortc.rtp import (
    HeaderExtensionsMap,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    unwrap_rtx,
    wrap_rtx,
)
from pylibsrtp import Policy, Session

__all__ = ["AUDIO_PT", "RTX_PT", "VIDEO_PT", "EnginePeer", "Subscriber"]

AUDIO_PT, VIDEO_PT, RTX_PT = 111, 96, 97
PAYLOADS = [(AUDIO_PT, 1, 0), (VIDEO_PT, 3, RTX_PT)]
EXTENSIONS = {"mid": 1, "twcc": 2}
_NACK, _TWCC, _PLI = 1, 15, 1
_PROFILES = {
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
}


class EnginePeer:
    """One association with an engine or a simulator.

    Attributes:
        nacked: sequence numbers the engine asked for again, in order.
        feedback: RTCP packets that arrived, but for NACKs.
        refused: datagrams whose protection did not hold.
    """

    def __init__(self, engine: Any, *, seed: int, profile: str = "AEAD_AES_128_GCM") -> None:
        """Makes the transport in the engine, with keys and media negotiated."""
        self.random = random.Random(seed)
        self.engine = engine
        self.local_ufrag, self.local_pwd = f"peer{seed}", f"password-of-peer-{seed:08d}"
        self.remote_ufrag, self.remote_pwd = f"eng{seed}", f"password-of-engine-{seed:06d}"
        self.transport = engine.add_transport(self.remote_ufrag, self.remote_pwd)
        engine.set_remote_ice(self.transport, self.local_ufrag, self.local_pwd)
        engine.set_media(self.transport, EXTENSIONS, PAYLOADS)
        number, key_length = _PROFILES[profile]
        ours, theirs = (self.random.randbytes(key_length) for _ in range(2))
        engine.set_srtp(self.transport, profile, ours, theirs)
        self._out = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=number))
        self._in = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, srtp_profile=number))
        self.extensions = HeaderExtensionsMap()
        self.extensions.configure(_Parameters())
        self.is_connected = False
        self.sent: dict[tuple[int, int], RtpPacket] = {}
        self.nacked: list[int] = []
        self.feedback: list[Any] = []
        self.refused = 0
        self._twcc = 0
        self._rtx_seq = 0

    def check(self, *, password: str | None = None, is_nominated: bool = True) -> bytes:
        """A connectivity check."""
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, self.random.randbytes(12))
        message.attributes["USERNAME"] = f"{self.remote_ufrag}:{self.local_ufrag}"
        message.attributes["PRIORITY"] = 1 << 24
        message.attributes["ICE-CONTROLLING"] = 7
        if is_nominated:
            message.attributes["USE-CANDIDATE"] = None
        message.add_message_integrity((password or self.remote_pwd).encode())
        return bytes(message)

    def protect(self, packet: RtpPacket) -> bytes:
        """A media packet with the next transport-wide number; kept for retransmission."""
        self.sent[packet.ssrc, packet.sequence_number] = packet
        self._twcc = (self._twcc + 1) & 0xFFFF
        packet.extensions.transport_sequence_number = self._twcc
        return bytes(self._out.protect(packet.serialize(self.extensions)))

    def protect_rtcp(self, *packets: Any) -> bytes:
        """A compound packet."""
        return bytes(self._out.protect_rtcp(b"".join(map(bytes, packets))))

    def handle(self, data: bytes) -> list[bytes]:
        """Take what the engine sent; returns the answers."""
        if data[0] < 4:
            message = stun.parse_message(data)
            if message.message_class == stun.Class.RESPONSE:
                self.is_connected = message.check_message_integrity(self.remote_pwd.encode())
            return []
        try:
            if 192 <= data[1] <= 223:
                return self._handle_rtcp(self._in.unprotect_rtcp(data))
            packet = RtpPacket.parse(self._in.unprotect(data), self.extensions)
        except Exception:
            self.refused += 1
            return []
        return self.handle_rtp(packet)

    def handle_rtp(self, packet: RtpPacket) -> list[bytes]:
        """Take one media packet; for subclasses."""
        return []

    def _handle_rtcp(self, data: bytes) -> list[bytes]:
        answers: list[bytes] = []
        for packet in RtcpPacket.parse(data):
            if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == _NACK:
                self.nacked += packet.lost
                answers += self._resend(packet.media_ssrc, packet.lost)
            else:
                self.feedback.append(packet)
        return answers

    def _resend(self, ssrc: int, lost: Iterable[int]) -> list[bytes]:
        packets = [self.sent[ssrc, seq] for seq in lost if (ssrc, seq) in self.sent]
        answers = []
        for packet in packets:
            self._rtx_seq += 1
            rtx = wrap_rtx(packet, RTX_PT, self._rtx_seq & 0xFFFF, ssrc + 1)
            rtx.extensions.transport_sequence_number = None
            answers.append(bytes(self._out.protect(rtx.serialize(self.extensions))))
        return answers

    def keyframe_wishes(self) -> int:
        """Picture loss indications that arrived."""
        return sum(isinstance(p, RtcpPsfbPacket) and p.fmt == _PLI for p in self.feedback)


def packetize_vp8(
    frame: bytes, *, ssrc: int, first_seq: int, ts_rtp: int, picture_id: int
) -> list[RtpPacket]:
    """RTP packets of one VP8 frame."""
    payloads = Vp8Encoder._packetize(frame, picture_id)
    return [
        RtpPacket(
            payload_type=VIDEO_PT,
            marker=int(index + 1 == len(payloads)),
            sequence_number=(first_seq + index) & 0xFFFF,
            timestamp=ts_rtp & 0xFFFFFFFF,
            ssrc=ssrc,
            payload=payload,
        )
        for index, payload in enumerate(payloads)
    ]


@dataclass
class Received:
    """One stream at a subscriber, by sequence number of the sender's space."""

    packets: dict[int, RtpPacket] = field(default_factory=dict)
    highest: int = -1

    def add(self, packet: RtpPacket) -> list[int]:
        """Take a packet; returns sequence numbers that are newly seen to be missing."""
        seq = packet.sequence_number
        if self.highest >= 0:
            distance = (seq - self.highest + 0x8000) % 0x10000 - 0x8000
            seq = self.highest + distance
        missing = list(range(self.highest + 1, seq)) if 0 <= self.highest < seq else []
        self.packets[seq] = packet
        self.highest = max(self.highest, seq)
        return missing

    def missing(self) -> list[int]:
        """Gaps below the highest number."""
        low = min(self.packets, default=0)
        return [seq for seq in range(low, self.highest) if seq not in self.packets]

    def frames(self) -> list[bytes]:
        """Complete VP8 frames in order."""
        frames, parts, is_open = [], [], False
        for seq in sorted(self.packets):
            packet = self.packets[seq]
            descriptor, data = VpxPayloadDescriptor.parse(packet.payload)
            if descriptor.partition_start and descriptor.partition_id == 0:
                parts, is_open = [], True
            if seq - 1 not in self.packets and not descriptor.partition_start:
                is_open = False
            parts.append(data)
            if packet.marker and is_open:
                frames.append(b"".join(parts))
                is_open = False
        return frames


class Subscriber(EnginePeer):
    """Collects media, and asks again for what is missing."""

    def __init__(self, engine: Any, *, seed: int, profile: str = "AEAD_AES_128_GCM") -> None:
        """Like EnginePeer."""
        super().__init__(engine, seed=seed, profile=profile)
        self.streams: dict[int, Received] = {}
        self.rtx_packets = 0

    def subscribe(self, source: int, *, ssrc: int, is_audio: bool = False) -> int:
        """A sink for ``source``."""
        payloads = [PAYLOADS[0] if is_audio else PAYLOADS[1]]
        sink: int = self.engine.add_sink(
            self.transport, source, ssrc, 0 if is_audio else ssrc + 1, "0", payloads, 2, 7, False
        )
        return sink

    def handle_rtp(self, packet: RtpPacket) -> list[bytes]:
        """Store it; RTX packets count for their original."""
        if packet.payload_type == RTX_PT:
            if len(packet.payload) < 2:
                return []
            self.rtx_packets += 1
            packet = unwrap_rtx(packet, VIDEO_PT, packet.ssrc - 1)
        self.streams.setdefault(packet.ssrc, Received()).add(packet)
        return []

    def nack(self, ssrc: int) -> bytes | None:
        """Asks for everything missing of one stream."""
        missing = self.streams[ssrc].missing() if ssrc in self.streams else []
        if not missing:
            return None
        lost = [seq & 0xFFFF for seq in missing[-100:]]
        return self.protect_rtcp(RtcpRtpfbPacket(fmt=_NACK, ssrc=1, media_ssrc=ssrc, lost=lost))


class _Parameters:
    """What HeaderExtensionsMap.configure reads."""

    def __init__(self) -> None:
        uris = {
            "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",
            "twcc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        }
        self.headerExtensions = [_Extension(uris[name], id) for name, id in EXTENSIONS.items()]


@dataclass
class _Extension:
    uri: str
    id: int
