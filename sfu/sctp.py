"""aiortc's SCTP association with the bounds that a server facing the open internet needs.

aiortc trusts its peer: it takes any number of streams, channels and gap blocks, ignores its own
receive window, and stops on the first malformed message. Each override here closes one of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    SCTP_MAX_INIT_RETRANS,
    SCTP_TSN_MODULO,
    USERDATA_MAX_LENGTH,
    WEBRTC_BINARY,
    WEBRTC_DCEP,
    Chunk,
    DataChunk,
    InitChunk,
    RTCSctpTransport,
    SackChunk,
)
from aiortc.utils import uint32_gt

from sfu.bucket import TokenBucket
from sfu.config import DataLimits
from sfu.stats import Counters

__all__ = ["BoundedSctp"]

# RFC 9260 allows 1 s; libwebrtc's dcsctp uses 400 ms and 500 ms, which matters on lossy radio.
_RTO_MIN_S = 0.4
_RTO_INITIAL_S = 0.5
# Between two tries into a line that answers nothing: seldom enough for the narrowest line, soon
# enough for one that is back.
_RTO_UNANSWERED_S = 1.0
# Where the far end gets chunks twice the answers are on their way: a queue of seconds in the line.
_RTO_QUEUE_S = 8.0
_MANY_REPEATED = 3
# Chunks out of order kept before newer ones are refused; sorted by aiortc on every chunk.
_MAX_MISORDERED = 512
# Fragments kept whatever their size; each is a Python object of some 500 bytes.
_MAX_FRAGMENTS = 2048
# Pause between tries to begin once the usual ones have failed.
_LATE_INIT_S = 2.0
_MIN_CWND_PACKETS = 4
# Four packets again and again are more than a line that is full bears.
_PATIENT_FAILURES = 3
_DCEP_OPEN = 3


class BoundedSctp(RTCSctpTransport):
    """One association; binary messages go straight to ``on_binary``."""

    def __init__(
        self,
        transport: RTCDtlsTransport,
        limits: DataLimits,
        counters: Counters,
        *,
        clock: Callable[[], float],
        on_binary: Callable[[RTCDataChannel, bytes], None],
    ) -> None:
        """Sends nothing before ``start``."""
        super().__init__(transport)
        self._limits = limits
        self._counters = counters
        self._clock = clock
        self._on_binary = on_binary
        self._advertised_rwnd = limits.receive_window_bytes
        self._inbound_streams_max = limits.max_streams
        self._outbound_streams_count = limits.max_streams
        self._rto = _RTO_INITIAL_S
        self._t3_failures = 0
        self._num_repeated = 0
        self._bucket = TokenBucket(rate_per_s=limits.messages_per_s, burst=limits.message_burst)

    @property
    def outbound_bytes(self) -> int:
        """Bytes handed to the association and not yet sent for the first time."""
        return sum(len(chunk.user_data) for chunk in self._outbound_queue)

    @property
    def unacked_bytes(self) -> int:
        """Bytes handed to the association that the peer does not have yet, as far as is known."""
        sent = sum(len(chunk.user_data) for chunk in self._sent_queue if not chunk._acked)
        return sent + self.outbound_bytes

    async def _handle_data(self, data: bytes) -> None:
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except Exception:
            # aiortc asserts and decodes on what the peer sent; whatever that raises is the peer's.
            self._counters["sctp_malformed"] += 1

    async def _send_chunk(self, chunk: Chunk) -> None:
        peer_tag = self._remote_verification_tag
        if isinstance(chunk, InitChunk):
            # RFC 9260 §8.5.1: an INIT carries tag 0, also one repeated after the peer's own came.
            self._remote_verification_tag = 0
        try:
            await super()._send_chunk(chunk)
        except ConnectionError:
            # aiortc's retransmission timers call this from tasks that nobody awaits, also in the
            # moment after the peer has gone.
            self._counters["sctp_send_after_close"] += 1
        finally:
            self._remote_verification_tag = peer_tag

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        if self._last_received_tsn is None or chunk.stream_id >= self._limits.max_streams:
            self._counters["sctp_bad_stream"] += 1
            return
        is_next = chunk.tsn == (self._last_received_tsn + 1) % SCTP_TSN_MODULO
        is_full = self._advertised_rwnd <= 0 or len(self._sack_misordered) >= _MAX_MISORDERED
        # The next chunk in order may be what lets the rest go: it is taken a little beyond.
        has_reserve = (
            self._advertised_rwnd > -self._limits.max_message_bytes
            and self._count_fragments() < _MAX_FRAGMENTS
        )
        if not has_reserve or (is_full and not is_next):
            # Not acknowledged, so a well-behaved peer sends it again when the window is open.
            self._counters["sctp_over_window"] += 1
            return
        await super()._receive_data_chunk(chunk)

    def _count_fragments(self) -> int:
        return sum(len(stream.reassembly) for stream in self._inbound_streams.values())

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        # A gap ends at the last chunk we sent; a longer one would only burn time in aiortc's loops.
        reach = (self._local_tsn - 1 - chunk.cumulative_tsn) % SCTP_TSN_MODULO
        if any(start > end or end > reach for start, end in chunk.gaps):
            self._counters["sctp_bad_sack"] += 1
            return
        if uint32_gt(chunk.cumulative_tsn, self._last_sacked_tsn):
            self._t3_failures = 0
        self._be_patient(len(chunk.duplicates))
        await super()._receive_sack_chunk(chunk)

    def _be_patient(self, num_repeated: int) -> None:
        """The far end had what was sent again: the timer is shorter than the way there and back.

        What was sent twice gives no sample of the round trip (Karn), and aiortc has no back-off: a
        queue of seconds would be kept full by repetitions. A few are answers that got lost. The
        next sample sets the timer anew.
        """
        self._num_repeated += num_repeated
        self._counters["sctp_sent_for_nothing"] += num_repeated
        if self._num_repeated >= _MANY_REPEATED:
            self._num_repeated = 0
            self._rto = min(2 * self._rto, _RTO_QUEUE_S)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id == WEBRTC_DCEP:
            await self._receive_dcep(stream_id, data)
            return
        channel = self._data_channels.get(stream_id)
        if channel is None:
            self._counters["data_unknown_channel"] += 1
        elif len(data) > self._limits.max_message_bytes:
            self._counters["data_too_large"] += 1
        elif not self._bucket.take(self._clock()):
            self._counters["data_over_rate"] += 1
        elif pp_id == WEBRTC_BINARY:
            self._on_binary(channel, data)
        else:
            self._counters["data_not_binary"] += 1

    async def _receive_dcep(self, stream_id: int, data: bytes) -> None:
        is_open = data[:1] == bytes([_DCEP_OPEN])
        if is_open and (
            stream_id in self._data_channels
            or len(self._data_channels) >= self._limits.max_channels
        ):
            self._counters["data_open_refused"] += 1
            return
        await self._data_channel_receive(stream_id, WEBRTC_DCEP, data)

    def _t1_expired(self) -> None:
        """Ask for the association again.

        aiortc gives up after eight times, so that a line which is dead for 4.5 s right after the
        join would be without data channels for good. How long a peer may be silent is for the
        transport's owner to say, who stops the association with it.
        """
        assert self._t1_chunk is not None and self._loop is not None, "cancelled with its chunk"
        self._t1_failures += 1
        asyncio.ensure_future(self._send_chunk(self._t1_chunk))
        is_slow = self._t1_failures > SCTP_MAX_INIT_RETRANS
        delay_s = max(self._rto, _LATE_INIT_S) if is_slow else self._rto
        self._t1_handle = self._loop.call_later(delay_s, self._t1_expired)

    def _t3_expired(self) -> None:
        self._t3_failures += 1
        super()._t3_expired()
        # RFC 9260 §7.2.3 goes back to one packet, from which a line that loses three of ten never
        # recovers; dcsctp of libwebrtc keeps four as well.
        if self._t3_failures < _PATIENT_FAILURES:
            self._cwnd = max(self._cwnd, _MIN_CWND_PACKETS * USERDATA_MAX_LENGTH)

    def _t3_start(self) -> None:
        with self._backed_off():
            super()._t3_start()

    def _t3_restart(self) -> None:
        with self._backed_off():
            super()._t3_restart()

    @contextmanager
    def _backed_off(self) -> Iterator[None]:
        """RFC 9260 §6.3.3 E2, which aiortc leaves out, up to a bound."""
        rto_s = self._rto
        self._rto = min(rto_s * 2.0 ** min(self._t3_failures, 8), max(rto_s, _RTO_UNANSWERED_S))
        try:
            yield
        finally:
            self._rto = rto_s

    def _update_rto(self, R: float) -> None:
        super()._update_rto(R)
        self._num_repeated = 0
        if self._srtt is not None and self._rttvar is not None:
            self._rto = max(_RTO_MIN_S, min(self._srtt + 4 * self._rttvar, self._rto))
