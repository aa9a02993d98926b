"""Data channels of one transport: labelled messages both ways, bounded both ways."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiortc.exceptions import InvalidStateError
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from sfu.config import DataLimits
from sfu.sctp import BoundedSctp
from sfu.stats import Counters

__all__ = ["DataChannels"]

logger = logging.getLogger(__name__)


class DataChannels:
    """Channels by label, made by either side.

    Nothing exists before :meth:`start`, which the SDP side calls once an ``m=application`` section
    is agreed; the association is made when DTLS is up. All callbacks are synchronous and must not
    block.

    Attributes:
        on_message: called with label and payload of every binary message.
        on_open: called with the label when a channel can be sent on, whoever made it.
        on_close: called with the label.
        received: messages handed over.
        dropped: messages not sent because the peer reads too slowly.
    """

    def __init__(
        self, limits: DataLimits, counters: Counters, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Makes an idle one."""
        self._limits = limits
        self._counters = counters
        self._clock = clock
        self._dtls: RTCDtlsTransport | None = None
        self._sctp: BoundedSctp | None = None
        self._remote: tuple[int, int] | None = None  # port, max message size
        self._wanted: list[RTCDataChannelParameters] = []
        self._channels: dict[str, RTCDataChannel] = {}
        self._start_task: asyncio.Task[None] | None = None
        self.on_message: Callable[[str, bytes], None] | None = None
        self.on_open: Callable[[str], None] | None = None
        self.on_close: Callable[[str], None] | None = None
        self.received = 0
        self.dropped = 0

    @property
    def is_started(self) -> bool:
        """Whether an ``m=application`` section was agreed."""
        return self._remote is not None

    @property
    def labels(self) -> frozenset[str]:
        """Labels that can be sent on now."""
        return frozenset(
            label for label, channel in self._channels.items() if channel.readyState == "open"
        )

    @property
    def buffered_bytes(self) -> int:
        """Waiting for the peer to take it, over all channels."""
        if self._sctp is None:
            return 0
        waiting = sum(channel.bufferedAmount for channel in self._channels.values())
        return waiting + self._sctp.outbound_bytes

    @property
    def unacked_bytes(self) -> int:
        """What the peer does not have yet, over all channels: waiting or on its way."""
        if self._sctp is None:
            return 0
        waiting = sum(channel.bufferedAmount for channel in self._channels.values())
        return waiting + self._sctp.unacked_bytes

    def start(self, *, remote_port: int = 5000, max_message_bytes: int = 65_536) -> None:
        """Agree on an association; later calls change nothing.

        Args:
            remote_port: ``a=sctp-port`` of the peer.
            max_message_bytes: ``a=max-message-size`` of the peer; 0 = any.
        """
        if self._remote is None:
            self._remote = (remote_port, max_message_bytes)
            self._associate()

    def open(
        self, label: str, *, is_ordered: bool = True, max_retransmits: int | None = None
    ) -> None:
        """Make a channel towards the peer (DCEP, RFC 8832); may be called before :meth:`start`."""
        parameters = RTCDataChannelParameters(
            label=label, ordered=is_ordered, maxRetransmits=max_retransmits
        )
        if self._sctp is None:
            self._wanted.append(parameters)
        else:
            self._open(parameters)

    def send(self, label: str, data: bytes) -> bool:
        """Send one message; False when it was not taken.

        Without an open channel of that label, or beyond the bounds, the message is dropped and
        counted; a caller of a reliable channel must tell its user or come again.
        """
        channel = self._channels.get(label)
        if channel is None or channel.readyState != "open":
            return self._refuse("data_no_channel")
        if len(data) > self._limits.max_message_bytes:
            return self._refuse("data_send_too_large")
        is_lossy = channel.maxRetransmits is not None or channel.maxPacketLifeTime is not None
        if is_lossy and channel.bufferedAmount + len(data) > self._limits.max_lossy_bytes:
            return self._refuse("data_lossy_dropped")
        total_limit = self._limits.max_reliable_bytes + self._limits.max_lossy_bytes
        limit = total_limit if is_lossy else self._limits.max_reliable_bytes
        if self.buffered_bytes + len(data) > limit:
            return self._refuse("data_lossy_dropped" if is_lossy else "data_reliable_refused")
        try:
            channel.send(data)
        except (InvalidStateError, ValueError):  # closing; larger than the peer takes
            return self._refuse("data_send_refused")
        return True

    def attach(self, dtls: RTCDtlsTransport) -> None:
        """Take the connected DTLS transport; the association starts if one was agreed."""
        self._dtls = dtls
        self._associate()

    async def close(self) -> None:
        """Abort the association."""
        if self._start_task is not None:
            self._start_task.cancel()
            self._start_task = None
        if self._sctp is not None:
            await self._sctp.stop()
            self._sctp = None
        self._dtls = None
        self._channels.clear()

    def _associate(self) -> None:
        if self._dtls is None or self._remote is None or self._sctp is not None:
            return
        self._sctp = BoundedSctp(
            self._dtls, self._limits, self._counters, clock=self._clock, on_binary=self._on_binary
        )
        self._sctp.on("datachannel", self._add)
        for parameters in self._wanted:
            self._open(parameters)
        self._wanted.clear()
        self._start_task = asyncio.create_task(self._run_start(self._sctp, *self._remote))

    async def _run_start(self, sctp: BoundedSctp, port: int, max_message_bytes: int) -> None:
        try:
            await sctp.start(RTCSctpCapabilities(maxMessageSize=max_message_bytes), port)
        except ConnectionError:
            self._counters["sctp_start_failed"] += 1

    def _open(self, parameters: RTCDataChannelParameters) -> None:
        assert self._sctp is not None, "opened only with an association"
        self._add(RTCDataChannel(self._sctp, parameters))

    def _add(self, channel: RTCDataChannel) -> None:
        label = channel.label
        self._channels[label] = channel
        channel.on("close", lambda: self._remove(channel))
        if channel.readyState == "open":
            self._notify_open(label)
        else:
            channel.on("open", lambda: self._notify_open(label))

    def _notify_open(self, label: str) -> None:
        if self.on_open is not None:
            self._call(self.on_open, label)

    def _remove(self, channel: RTCDataChannel) -> None:
        if self._channels.get(channel.label) is channel:
            del self._channels[channel.label]
            if self.on_close is not None:
                self._call(self.on_close, channel.label)

    def _on_binary(self, channel: RTCDataChannel, data: bytes) -> None:
        self.received += 1
        if self.on_message is not None:
            self._call(self.on_message, channel.label, data)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        """Call a listener; its bug is logged here, not taken for the peer's bad input."""
        try:
            callback(*arguments)
        except Exception:
            self._counters["callback_errors"] += 1
            logger.exception("data channel listener failed")

    def _refuse(self, reason: str) -> bool:
        self.dropped += 1
        self._counters[reason] += 1
        return False
