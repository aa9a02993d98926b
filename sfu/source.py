"""Published tracks and subscriptions to them, as Python sees them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sfu.engine import EngineError
from sfu.errors import MediaClosedError
from sfu.ids import Codec, EncodingInfo, EncodingSpec, Layers, Payload, SinkHandle, SourceHandle
from sfu.registry import Registry

if TYPE_CHECKING:
    from sfu.downlink import Wish
    from sfu.transport import Transport

__all__ = ["Sink", "Source"]

logger = logging.getLogger(__name__)

_ALL_ENCODINGS = 255


class Source:
    """One published track with all its encodings.

    Attributes:
        handle: the engine's number for it.
        is_audio: audio or video.
        transport: where it comes from; None for a local source.
        specs: the encodings as announced, lowest first.
        encodings: those that have started, by index into ``specs``.
        announced_bps: what the publisher says its encodings take, lowest first; may be empty.
        on_started: called once for every encoding (and again when its SSRC changes) with index,
            SSRC and codec.
        on_watched: called with True when the first unpaused sink or tap appears, with False when
            the last is gone or paused.
        on_closed: called once.
        is_encrypted: its people hold the keys (end to end): no stills, no thin version.
    """

    def __init__(
        self,
        registry: Registry,
        handle: SourceHandle,
        *,
        is_audio: bool,
        specs: Sequence[EncodingSpec],
        transport: Transport | None,
    ) -> None:
        """Wraps a source that the engine already has."""
        self._registry = registry
        self.handle = handle
        self.is_audio = is_audio
        self.transport = transport
        self.specs = tuple(specs)
        self.encodings: dict[int, EncodingInfo] = {}
        self.announced_bps: tuple[int, ...] = ()
        self.on_started: Callable[[int, int, Codec], None] | None = None
        self.on_watched: Callable[[bool], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.is_muted = False
        self.is_encrypted = False
        self.is_closed = False
        self._watchers: set[object] = set()
        self._followers: list[Callable[[bool], None]] = []
        registry.sources[handle] = self

    def __repr__(self) -> str:
        """The handle, for logs."""
        return f"<{type(self).__name__} {self.handle} {'audio' if self.is_audio else 'video'}>"

    @property
    def is_watched(self) -> bool:
        """Whether an unpaused sink or a tap is there."""
        return bool(self._watchers)

    @property
    def has_tap(self) -> bool:
        """Whether somebody reads complete frames of the best encoding (a recorder)."""
        taps = self._registry.taps.values()
        return any(tap.source is self and not tap.is_lowest for tap in taps)

    @property
    def codec(self) -> Codec | None:
        """What arrives, None before the first packet."""
        return next((info.codec for info in self.encodings.values()), None)

    def mute(self, is_muted: bool) -> None:
        """Stop or resume forwarding; arriving media is dropped meanwhile."""
        if not self.is_closed and is_muted != self.is_muted:
            self.is_muted = is_muted
            self._registry.engine.mute_source(self.handle, is_muted)
            if self._registry.thin is not None:
                self._registry.thin.mute(self, is_muted)

    def request_keyframe(self, encoding: int = _ALL_ENCODINGS) -> None:
        """Ask the publisher for a key frame, within the engine's budget."""
        if not self.is_closed:
            self._registry.engine.request_keyframe(self.handle, encoding)

    def close(self) -> None:
        """End the track. Its sinks stay, silent, until closed; its taps end."""
        if self.is_closed:
            return
        self.is_closed = True
        self._registry.sources.pop(self.handle, None)
        self._registry.engine.remove_source(self.handle)
        for tap in [tap for tap in self._registry.taps.values() if tap.source is self]:
            tap.handle_source_closed()
        self._watchers.clear()
        if self.on_closed is not None:
            self.on_closed()

    def handle_started(self, encoding: int, ssrc: int, codec: Codec) -> None:
        """Take the engine's news that an encoding flows."""
        rid = self.specs[encoding].rid if encoding < len(self.specs) else ""
        self.encodings[encoding] = EncodingInfo(rid, ssrc, codec)
        if self.on_started is not None:
            self.on_started(encoding, ssrc, codec)

    def add_watcher(self, watcher: object) -> None:
        """Count somebody who sees this source now (a sink or a tap)."""
        was_watched = self.is_watched
        self._watchers.add(watcher)
        if not was_watched:
            self._tell_watched(True)

    def remove_watcher(self, watcher: object) -> None:
        """Stop counting; harmless when not counted."""
        if watcher not in self._watchers:
            return
        self._watchers.discard(watcher)
        if not self._watchers:
            self._tell_watched(False)

    def follow_watched(self, callback: Callable[[bool], None]) -> None:
        """Call back like ``on_watched``, for whoever makes the media, as long as the source lives.

        ``on_watched`` belongs to whoever publishes the source, and changes with the room.
        """
        self._followers.append(callback)

    def _tell_watched(self, is_watched: bool) -> None:
        for callback in self._followers:
            callback(is_watched)
        if self.on_watched is not None:
            self.on_watched(is_watched)


class Sink:
    """One subscription of one transport to one source.

    Attributes:
        handle: the engine's number for it.
        layers: the last orders.
        wish: what its player shows, where the line decides about the layers; else None.
        on_started: called once, when its first packet has left.
        on_granted: called with the layers that a wish is granted, as often as they change.
        is_thin: the thin version of the source is sent in its place.
    """

    def __init__(
        self,
        registry: Registry,
        transport: Transport,
        source: Source,
        *,
        ssrc: int,
        rtx_ssrc: int,
        mid: str,
        payloads: Sequence[Payload],
        layers: Layers,
        wish: Wish | None = None,
    ) -> None:
        """Makes the subscription in the engine."""
        if source.is_closed:
            raise MediaClosedError("source")
        if wish is not None:
            layers = wish.layers
            if registry.downlink is not None:
                layers = registry.downlink.first_layers(transport, source, wish)
        self._registry = registry
        self.transport = transport
        self.source = source
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.mid = mid
        self.layers = layers
        self.wish = wish
        self.on_started: Callable[[], None] | None = None
        self.on_granted: Callable[[Layers], None] | None = None
        self.is_started = False
        self.is_closed = False
        self.is_thin = False
        self._copies = 0
        self._red = 0
        self._payloads = tuple(payloads)
        self._can_red = any(payload.codec is Codec.RED for payload in payloads)
        self.handle = self._attach(source, layers)
        self._watch()

    def _attach(self, source: Source, layers: Layers) -> SinkHandle:
        handle = SinkHandle(
            self._registry.engine.add_sink(
                self.transport.handle,
                source.handle,
                self.ssrc,
                self.rtx_ssrc,
                self.mid,
                [(p.pt, int(p.codec), p.rtx_pt) for p in self._payloads],
                *layers,
            )
        )
        self._registry.sinks[handle] = self
        return handle

    def set_layers(self, spatial: int, temporal: int, paused: bool) -> None:
        """Order which layers this subscriber gets; equal orders cost nothing."""
        layers = Layers(spatial, temporal, paused)
        if self.is_closed or layers == self.layers:
            return
        self.layers = layers
        self._registry.engine.set_layers(self.handle, spatial, temporal, paused)
        self._watch()

    def set_wish(self, wish: Wish) -> None:
        """Say what the player shows; the line decides what of it is sent."""
        if self.is_closed or wish == self.wish:
            return
        self.wish = wish
        downlink = self._registry.downlink
        if downlink is None or self.source.is_audio:
            self.grant(wish.layers)
        elif wish.is_paused:
            downlink.set_wish(self, wish)
            self.grant(wish.layers)
        else:
            downlink.set_wish(self, wish)
        self._watch()

    def grant(self, layers: Layers, *, is_thin: bool = False) -> bool:
        """Take what the line carries of the wish: layers, or the thin version of the source.

        Returns whether that could be had: of thin versions only so many are made.
        """
        if self.is_closed:
            return True
        if is_thin != self.is_thin and not self._divert(layers, is_thin=is_thin):
            layers = Layers(0, 0, True)  # too many are made already: a still has to do
        if self.is_thin:
            self.layers = layers
        else:
            self.set_layers(*layers)
        if self.on_granted is not None:
            try:
                self.on_granted(layers)
            except Exception:  # a bug of one listener must not stop the other lines
                self._registry.counters["callback_errors"] += 1
                logger.exception("sink %d: grant listener failed", self.handle)
        return is_thin == self.is_thin

    def lose_thin(self) -> None:
        """The thin version ends for what it costs: nothing, until the line is fitted anew."""
        if self.is_closed or not self.is_thin:
            return
        self.grant(Layers(0, 0, True))
        if self._registry.downlink is not None and self.wish is not None:
            self._registry.downlink.set_wish(self, self.wish)

    def _divert(self, layers: Layers, *, is_thin: bool) -> bool:
        """Go on with the thin version, or with the source again; False if there is none.

        In the engine it is a new sink with the old SSRC, which goes on with the old one's numbers.
        """
        thin = self._registry.thin
        if thin is None:
            return False
        carrier = thin.acquire(self.source) if is_thin else self.source
        if carrier is None or carrier.is_closed:
            return False
        self._registry.sinks.pop(self.handle, None)
        self._registry.engine.remove_sink(self.handle)
        try:
            self.handle = self._attach(carrier, layers)
        except EngineError:
            if is_thin:
                thin.release(self.source)
            raise
        self.layers, self.is_thin = layers, is_thin
        self._registry.engine.set_protection(self.handle, self._copies)
        if not is_thin:
            thin.release(self.source)
        return True

    def set_protection(self, copies: int) -> None:
        """Send so many unrequested copies of each video packet."""
        if not self.is_closed and copies != self._copies:
            self._copies = copies
            self._registry.engine.set_protection(self.handle, copies)

    def set_red(self, num_earlier: int) -> None:
        """Send so many earlier frames in each audio packet, where the peer takes RED."""
        if not self.is_closed and self._can_red and num_earlier != self._red:
            self._red = num_earlier
            self._registry.engine.set_red(self.handle, num_earlier)

    def _watch(self) -> None:
        """Whom only the line keeps from watching still counts: it may carry more any moment."""
        is_paused = self.layers.paused if self.wish is None else self.wish.is_paused
        if is_paused:
            self.source.remove_watcher(self)
        else:
            self.source.add_watcher(self)

    def close(self) -> None:
        """End the subscription."""
        if self.is_closed:
            return
        self.is_closed = True
        self._registry.sinks.pop(self.handle, None)
        self._registry.engine.remove_sink(self.handle)
        self.transport.sinks.discard(self)
        if self.is_thin and self._registry.thin is not None:
            self._registry.thin.release(self.source)
        if self._registry.downlink is not None:
            self._registry.downlink.remove(self)
        self.source.remove_watcher(self)

    def handle_started(self) -> None:
        """Take the engine's news that the first packet left."""
        was_started, self.is_started = self.is_started, True
        if self.on_started is not None and not was_started:
            self.on_started()
