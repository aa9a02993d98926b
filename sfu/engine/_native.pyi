"""The compiled packet engine. Orders return at once; none calls back into Python.

Snapshots wait for the media thread without the GIL: well under a millisecond as a rule, 250 ms at
most, after which the previous rows are returned. Rows may be 50 ms old.

Identifiers are ints handed out by the add_* methods and never reused. Codec numbers are those of
`api::Codec` (1 opus, 2 red, 3 vp8, 4 h264, 5 vp9, 6 av1).
"""

from collections.abc import Sequence
from typing import final, type_check_only

__all__ = ["Engine", "EngineError", "Simulator"]

class EngineError(Exception):
    """A malformed argument, too much waiting (65 536 orders or 32 MB of frames), or closed."""

# (pt, codec, rtx_pt or 0)
_Payload = tuple[int, int, int]
# ("dtls", transport, bytes) | ("transport", transport, state, proto "udp"/"tcp"/"", ip, port)
# ("encoding", source, encoding, ssrc, codec) | ("sink", sink)
# ("tap", tap): its queue was empty and is not any more; drain until fewer than asked come back
# ("restless", transport): a line shows a queue or losses, once for each time watch_lines() named it
# ("uplink", transport, rate_bps): a peer's own line has fallen to this; 0 = it is back
# ("dead",): the media thread failed; nothing is forwarded any more (Engine only)
_Event = tuple[object, ...]
# (ts_rtp_ext, arrived_us, captured_us, is_key, encoding, codec, lost_before, data)
_Frame = tuple[int, int, int, bool, int, int, int, bytes]

@type_check_only
class _Orders:
    """What Engine and Simulator share. An order for an id that is gone is a counted no-op."""

    def add_transport(self, local_ufrag: str, local_pwd: str) -> int: ...
    def restart_ice(self, transport: int, local_ufrag: str, local_pwd: str) -> None: ...
    def set_remote_ice(self, transport: int, remote_ufrag: str, remote_pwd: str) -> None: ...
    def set_media(
        self, transport: int, extensions: dict[str, int], payloads: list[_Payload]
    ) -> None:
        """extensions: keys are the field names of api::ExtMap; missing = 0."""

    def set_srtp(self, transport: int, profile: str, receive_key: bytes, send_key: bytes) -> None:
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
        payloads: list[_Payload],
        spatial: int,
        temporal: int,
        paused: bool,
    ) -> int: ...
    def set_layers(self, sink: int, spatial: int, temporal: int, paused: bool) -> None: ...
    def set_speaker_group(self, source: int, group: int) -> None:
        """Audio: of the sources of one group only the loudest are forwarded; taps hear all. 0 = no
        group."""

    def set_group_size(self, group: int, size: int) -> None:
        """How many of a group are forwarded, 1 to 16; 3 before it is told. A group lives as long as
        it has members."""

    def set_red(self, sink: int, num_earlier: int) -> None:
        """Audio: earlier frames that each packet carries again, 0 (plain Opus) to 2. Without effect
        where the sink has no payload type for RED."""

    def set_budget(self, transport: int, rate_bps: int) -> None:
        """What the link is believed to carry, for everything sent to this peer. Video and
        retransmissions then wait their turn; audio never does. 0 = no limit, as at first."""

    def limit_uplink(self, transport: int, rate_bps: int) -> None:
        """The most that this peer should send, in all, as its receiver's estimate (REMB), which
        libwebrtc's senders keep to. 0 = no limit."""

    def probe(self, transport: int, probe: int, rate_bps: int, duration_us: int) -> None:
        """A probe cluster at this rate, at most 100 ms and 100 kB. `probe` (not 0) comes back in
        the rows of drain_twcc. One at a time: another one replaces it."""

    def watch_lines(self, transports: Sequence[int]) -> None:
        """Send one "restless" event for each of these that has a budget, when its line shows a
        queue or losses."""

    def set_protection(self, sink: int, copies: int) -> None:
        """Every video packet is followed by so many copies (0..3) on the retransmission stream, as
        far as the budget has room."""

    def remove_sink(self, sink: int) -> None: ...
    def request_keyframe(self, source: int, encoding: int = 255) -> None: ...
    def add_tap(self, source: int, max_bytes: int = 8_000_000, lowest: bool = False) -> int:
        """Reads the best active encoding, or the lowest."""

    def remove_tap(self, tap: int) -> None: ...
    def drain_tap(self, tap: int, max_frames: int = 1000) -> list[_Frame]: ...
    def push_frame(
        self, source: int, encoding: int, codec: int, ts_rtp: int, data: bytes
    ) -> None: ...
    def drain_events(self) -> list[_Event]: ...
    def snapshot_transports(self) -> bytes:
        """Rows of sfu.engine.TRANSPORT_DTYPE."""

    def snapshot_encodings(self) -> bytes:
        """Rows of sfu.engine.ENCODING_DTYPE."""

    def snapshot_sinks(self) -> bytes:
        """Rows of sfu.engine.SINK_DTYPE."""

    def drain_twcc(self) -> bytes:
        """Rows of sfu.engine.TWCC_DTYPE: what subscribers reported of what they got since the last
        call, oldest first; bounded."""

    def counters(self) -> dict[str, int]:
        """Engine-wide counters by name: drops by reason, datagrams, bundles, stale orders. Names
        that begin with net_ are of the sockets and exist in Engine only."""

@final
class Engine(_Orders):
    """Sockets and the media thread. Bind errors raise OSError.

    Bind concrete addresses where peers may reach several: replies of a wildcard socket leave from
    the address that the kernel picks.
    """

    def __new__(cls, udp: list[tuple[str, int]], tcp: list[tuple[str, int]]) -> Engine:
        """Binds and starts. Port 0 picks one; every further entry with port 0 then uses the first
        entry's port if it can. IPv6 sockets take no IPv4."""

    @property
    def udp_ports(self) -> list[int]: ...
    @property
    def tcp_ports(self) -> list[int]: ...
    @property
    def event_fd(self) -> int:
        """Readable while events wait; give it to loop.add_reader. Emptied by drain_events."""

    def close(self) -> None:
        """Orders given before still leave. Waits for the thread; repeatable."""

    def now_us(self) -> int:
        """The engine's monotonic clock."""

@final
class Simulator(_Orders):
    """The same core without sockets or threads, driven by the caller's clock."""

    def __new__(cls, seed: int) -> Simulator: ...
    def handle_datagram(self, now_us: int, remote: tuple[str, int], data: bytes) -> None: ...
    def poll(self, now_us: int) -> list[tuple[str, int, bytes]]:
        """Runs due timers, flushes, and returns datagrams to send as (ip, port, data)."""

    def next_timeout_us(self) -> int: ...
