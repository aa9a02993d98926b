"""Identifiers and small value types shared by the media side."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, NewType

__all__ = [
    "BEST_LAYERS",
    "EXTENSION_URIS",
    "Codec",
    "EncodingInfo",
    "EncodingSpec",
    "Layers",
    "Payload",
    "SinkHandle",
    "SourceHandle",
    "TapHandle",
    "TransportHandle",
]

# Handed out by the engine, never reused within a process.
TransportHandle = NewType("TransportHandle", int)
SourceHandle = NewType("SourceHandle", int)
SinkHandle = NewType("SinkHandle", int)
TapHandle = NewType("TapHandle", int)


class Codec(IntEnum):
    """What a payload type carries; the numbers are the engine's."""

    OPUS = 1
    RED = 2
    VP8 = 3
    H264 = 4
    VP9 = 5
    AV1 = 6

    @property
    def is_audio(self) -> bool:
        """Opus or RED."""
        return self in (Codec.OPUS, Codec.RED)

    @property
    def clock_hz(self) -> int:
        """RTP clock rate."""
        return 48_000 if self.is_audio else 90_000


# RTP header extension URIs by the engine's names for them.
EXTENSION_URIS = {
    "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",
    "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "repaired_rid": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "audio_level": "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "twcc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "abs_capture_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "video_orientation": "urn:3gpp:video-orientation",
    "dependency": (
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
    ),
}


class Payload(NamedTuple):
    """One negotiated payload type."""

    pt: int
    codec: Codec
    rtx_pt: int = 0  # 0 = no RTX stream


class EncodingSpec(NamedTuple):
    """One encoding (simulcast layer) that a publisher announced."""

    rid: str = ""
    ssrc: int = 0  # 0 = learned from mid and rid
    rtx_ssrc: int = 0


class EncodingInfo(NamedTuple):
    """One encoding as it arrives."""

    rid: str
    ssrc: int
    codec: Codec


class Layers(NamedTuple):
    """What a subscription should get."""

    spatial: int = 2  # index into the source's encodings; the next lower active one is used
    temporal: int = 7  # highest temporal layer; 7 = all
    paused: bool = False


BEST_LAYERS = Layers()
