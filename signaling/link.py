"""A participant's peer connections: two in dual mode (v0), one in single mode (v1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from livekit.protocol import rtc

from sfu.session import Session, Subscription
from signaling.clock import Clock
from signaling.config import Timeouts
from signaling.data import LOSSY, RELIABLE
from signaling.negotiate import ClientOffers, ServerOffers

if TYPE_CHECKING:
    from sfu.server import MediaServer
    from sfu.transport import Transport

__all__ = ["LinkEvents", "MediaLink"]

# Reliable packets for a client whose channel is still opening: a few hundred ms of chat and RPC.
_MAX_EARLY_PACKETS = 256
_MAX_EARLY_BYTES = 256 * 1024


class LinkEvents:
    """What a link tells its owner. Set once, before anything is negotiated."""

    def __init__(
        self,
        *,
        send: Callable[..., None],
        on_state: Callable[[str], None],
        on_uplink: Callable[[int], None],
        on_message: Callable[[str, bytes], None],
        on_unpublished: Callable[[str], None],
        on_subscribed: Callable[[Subscription], None],
        on_unsupported: Callable[[Subscription], None],
        on_stuck: Callable[[], None],
    ) -> None:
        """Takes the callbacks.

        Args:
            send: sends one SignalResponse, given as its single field.
            on_state: of the primary transport.
            on_uplink: what is left of the client's own line, see `sfu.transport.Transport`.
            on_message: label and payload of a data channel message.
            on_unpublished: mid of a section in which the client sends no longer.
            on_subscribed: a subscription that begins to flow.
            on_unsupported: a subscription whose codecs the client lacks.
            on_stuck: the client does not answer.
        """
        self.send = send
        self.on_state = on_state
        self.on_uplink = on_uplink
        self.on_message = on_message
        self.on_unpublished = on_unpublished
        self.on_subscribed = on_subscribed
        self.on_unsupported = on_unsupported
        self.on_stuck = on_stuck


class MediaLink:
    """Transports, sessions and negotiators of one participant.

    Attributes:
        publisher: takes the client's offers.
        subscriber: brings tracks to the client; the same object in single mode.
        primary: the transport whose connection makes the participant ACTIVE.
        last_offer_sdp: what the client offered last.
    """

    publisher: ClientOffers
    subscriber: ClientOffers | ServerOffers

    def __init__(
        self,
        media: MediaServer,
        events: LinkEvents,
        *,
        is_single: bool,
        clock: Clock,
        timeouts: Timeouts,
        counters: Counter[str],
    ) -> None:
        """Makes the transports; nothing is negotiated yet."""
        self.is_single = is_single
        self.is_closed = False
        self.last_offer_sdp = ""
        self._early: list[bytes] | None = []
        self._early_bytes = 0
        self._clock = clock
        publisher = media.create_transport()
        self.transports: list[Transport] = [publisher]
        publisher.data.on_message = events.on_message
        publisher.on_uplink = events.on_uplink
        session = self._make_session(media, publisher, events, role="answerer")
        self.publisher = ClientOffers(
            session,
            clock=clock,
            timeouts=timeouts,
            send_requirement=_requirement_sender(events) if is_single else None,
            on_stuck=events.on_stuck,
        )
        if is_single:
            self.subscriber = self.publisher
        else:
            self.subscriber = self._make_subscriber(media, events, timeouts, counters)
        self.primary = self.transports[-1]
        self.primary.on_state = events.on_state
        self.primary.data.on_open = self._handle_open

    def _make_subscriber(
        self, media: MediaServer, events: LinkEvents, timeouts: Timeouts, counters: Counter[str]
    ) -> ServerOffers:
        transport = media.create_transport()
        self.transports.append(transport)
        # In dual mode the client never opens channels here; clients wait for these labels.
        transport.data.open(RELIABLE)
        transport.data.open(LOSSY, is_ordered=False, max_retransmits=0)
        return ServerOffers(
            self._make_session(media, transport, events, role="offerer"),
            clock=self._clock,
            timeouts=timeouts,
            counters=counters,
            send_offer=lambda description: events.send(offer=description),
            on_stuck=events.on_stuck,
        )

    def _make_session(
        self,
        media: MediaServer,
        transport: Transport,
        events: LinkEvents,
        *,
        role: Literal["answerer", "offerer"],
    ) -> Session:
        session = Session(transport, media.candidates, role=role, is_lean=True)
        session.set_callbacks(
            on_unpublished=events.on_unpublished,
            on_subscribed=events.on_subscribed,
            on_unsupported=events.on_unsupported,
        )
        return session

    @property
    def is_connected(self) -> bool:
        """Media can reach the client."""
        return self.primary.state == "connected"

    @property
    def was_heard_lately(self) -> bool:
        """Some transport is alive, or may still come to life."""
        return any(t.state in ("connecting", "connected", "disconnected") for t in self.transports)

    @property
    def transport_handles(self) -> list[int]:
        """For statistics."""
        return [transport.handle for transport in self.transports]

    def send_data(self, label: str, data: bytes) -> bool:
        """Sends on a data channel towards the client; False when it was not taken.

        Until the channel first opens reliable packets are kept, within bounds.
        """
        if label == RELIABLE and self._early is not None:
            if RELIABLE not in self.primary.data.labels:
                return self._keep(data)
            self._handle_open(RELIABLE)
        return self.primary.data.send(label, data)

    def _keep(self, data: bytes) -> bool:
        assert self._early is not None, "checked by the caller"
        is_full = len(self._early) >= _MAX_EARLY_PACKETS
        if is_full or self._early_bytes + len(data) > _MAX_EARLY_BYTES:
            return False
        self._early.append(data)
        self._early_bytes += len(data)
        return True

    def _handle_open(self, label: str) -> None:
        if label == RELIABLE and self._early is not None:
            early, self._early = self._early, None
            for data in early:
                self.primary.data.send(RELIABLE, data)

    def start(self) -> None:
        """Makes the first offer where the offers are ours (dual mode)."""
        if isinstance(self.subscriber, ServerOffers):
            self.subscriber.start()

    def pause(self) -> None:
        """The WebSocket is gone: nobody can negotiate."""
        self.publisher.pause()
        self.subscriber.pause()

    def resume(self) -> None:
        """The WebSocket is back."""
        self.subscriber.handle_resumed()

    def close(self) -> None:
        """Ends everything. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        for negotiator in {self.publisher, self.subscriber}:
            negotiator.close()
            negotiator.session.close()
        for transport in self.transports:
            transport.on_state = transport.on_uplink = None
            transport.data.on_message = transport.data.on_open = None
            self._clock.spawn(transport.close())


def _requirement_sender(
    events: LinkEvents,
) -> Callable[[rtc.MediaSectionsRequirement], None]:
    return lambda requirement: events.send(media_sections_requirement=requirement)
