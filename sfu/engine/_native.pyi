"""The compiled packet engine. All methods return at once; none calls back into Python.

Identifiers are ints handed out by the add_* methods and never reused. Codec numbers are those of
`api::Codec` (1 opus, 2 red, 3 vp8, 4 h264, 5 vp9, 6 av1).
"""

from typing import final

__all__ = ["Engine", "EngineError", "Simulator"]

class EngineError(Exception): ...

# (pt, codec, rtx_pt or 0)
Payload = tuple[int, int, int]
# ("dtls", transport, bytes) | ("transport", transport, state, proto "udp"/"tcp"/"", ip, port)
# ("encoding", source, encoding, ssrc, codec) | ("sink", sink) | ("tap", tap)
Event = tuple[object, ...]
# (ts_rtp_ext, arrived_us, captured_us, is_key, encoding, codec, lost_before, data)
Frame = tuple[int, int, int, bool, int, int, int, bytes]

@final
class Engine:
    """Sockets and the media thread. Bind errors raise OSError."""

    def __init__(self, udp: list[tuple[str, int]], tcp: list[tuple[str, int]]) -> None:
        """Binds and starts. Port 0 picks one; every further entry then uses the first entry's port if it can."""

    udp_ports: list[int]
    tcp_ports: list[int]
    event_fd: int  # readable while events wait; give it to loop.add_reader
    def close(self) -> None: ...
    def now_us(self) -> int:
        """The engine's monotonic clock."""

    def add_transport(self, local_ufrag: str, local_pwd: str) -> int: ...
    def restart_ice(self, transport: int, local_ufrag: str, local_pwd: str) -> None: ...
    def set_remote_ice(self, transport: int, remote_ufrag: str, remote_pwd: str) -> None: ...
    def set_media(
        self, transport: int, extensions: dict[str, int], payloads: list[Payload]
    ) -> None:
        """extensions: keys are the field names of api::ExtMap; missing = 0."""

    def set_srtp(
        self, transport: int, profile: str, receive_key: bytes, send_key: bytes
    ) -> None:
        """profile: "AEAD_AES_128_GCM" or "AES_CM_128_HMAC_SHA1_80"; keys are key||salt."""

    def send_dtls(self, transport: int, data: bytes) -> None: ...
    def remove_transport(self, transport: int) -> None: ...
    def add_source(
        self,
        transport: int | None,
        mid: str,
        is_audio: bool,
        encodings: list[tuple[str, int, int]],
    ) -> int:
        """encodings: (rid, ssrc or 0, rtx ssrc or 0), lowest first."""

    def mute_source(self, source: int, muted: bool) -> None: ...
    def remove_source(self, source: int) -> None: ...
    def add_sink(
        self,
        transport: int,
        source: int,
        ssrc: int,
        rtx_ssrc: int,
        mid: str,
        payloads: list[Payload],
        spatial: int,
        temporal: int,
        paused: bool,
    ) -> int: ...
    def set_layers(self, sink: int, spatial: int, temporal: int, paused: bool) -> None: ...
    def remove_sink(self, sink: int) -> None: ...
    def request_keyframe(self, source: int, encoding: int = 255) -> None: ...
    def add_tap(self, source: int, max_bytes: int = 8_000_000) -> int: ...
    def remove_tap(self, tap: int) -> None: ...
    def drain_tap(self, tap: int, max_frames: int = 1000) -> list[Frame]: ...
    def push_frame(
        self, source: int, encoding: int, codec: int, ts_rtp: int, data: bytes
    ) -> None: ...
    def drain_events(self) -> list[Event]: ...
    def snapshot_transports(self) -> bytes:
        """Rows of sfu.engine.TRANSPORT_DTYPE."""

    def snapshot_encodings(self) -> bytes:
        """Rows of sfu.engine.ENCODING_DTYPE."""

    def snapshot_sinks(self) -> bytes:
        """Rows of sfu.engine.SINK_DTYPE."""

    def drain_twcc(self) -> bytes:
        """Rows of sfu.engine.TWCC_DTYPE: what subscribers reported of what they got, oldest first; bounded."""

    def counters(self) -> dict[str, int]:
        """Engine-wide counters by name (drops by reason, datagrams, GSO bundles, stale commands …)."""

@final
class Simulator:
    """The same core without sockets or threads, driven by the caller's clock."""

    def __init__(self, seed: int) -> None: ...
    # every add_*/set_*/remove_*/drain_*/snapshot_* method of Engine is here as well
    def handle_datagram(self, now_us: int, remote: tuple[str, int], data: bytes) -> None: ...
    def poll(self, now_us: int) -> list[tuple[str, int, bytes]]:
        """Runs due timers, flushes, and returns datagrams to send as (ip, port, data)."""

    def next_timeout_us(self) -> int: ...
