"""Who needs stills of which source: one feed per source, and only while somebody watches.

After the last watcher has left, the tap stays for some seconds and nothing is decoded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sfu.ids import Codec
from sfu.stills.effort import Effort
from sfu.stills.feed import Still, StillFeed
from sfu.stills.worker import Runner, StillWorker

if TYPE_CHECKING:
    from sfu.source import Source
    from sfu.tap import Tap

__all__ = ["Stills", "Watch", "has_stills"]

logger = logging.getLogger(__name__)

_TICK_S = 0.25
# A camera's still that is older tells a newcomer nothing; a screen's is true until it changes.
_MAX_LAST_AGE_US = 5_000_000
_TAP_BYTES = 8_000_000
# A line between two steps of the ladder comes back soon; a new tap would cost a key frame.
_LINGER_US = 5_000_000
# All stills together may take so much of a core; 1080p without simulcast takes a tenth. Beyond it
# the costliest are made of key frames only, which costs a hundredth, and their publishers one key
# frame every five seconds.
_MAX_CORES = 0.25
_WEIGH_US = 2_000_000
_SPARE_US = 60_000_000


class TapOpener(Protocol):
    """What stills need of the media server."""

    def open_tap(self, source: Source, *, max_bytes: int, is_lowest: bool) -> Tap:
        """Start reading complete frames."""

    def now_us(self) -> int:
        """The engine's clock."""


class Timer(Protocol):
    """A call that has not happened yet."""

    def cancel(self) -> None:
        """Idempotent."""


def has_stills(source: Source) -> bool:
    """Whether stills of a source are possible: VP9 and AV1 never reach a tap, and what its people
    encrypt is not for us to see."""
    is_readable = not source.is_audio and not source.is_encrypted
    return is_readable and source.codec in (None, Codec.VP8, Codec.H264)


class Watch:
    """Somebody's wish for stills, until closed or until the source ends.

    Attributes:
        on_closed: called once, in either case.
    """

    def __init__(
        self, on_still: Callable[[Still], None], on_close: Callable[[Watch], None]
    ) -> None:
        """Made by `Stills.watch`."""
        self._on_still = on_still
        self._on_close = on_close
        self.on_closed: Callable[[], None] | None = None
        self.is_closed = False

    def close(self) -> None:
        """End the wish. Idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._on_close(self)
            if self.on_closed is not None:
                self.on_closed()

    def tell(self, still: Still) -> None:
        """Hand over a still; a bug of the listener is not the next listener's."""
        if self.is_closed:
            return
        try:
            self._on_still(still)
        except Exception:
            logger.exception("a listener for stills failed")


class _Shared:
    """A feed and its watchers.

    Attributes:
        idle_since_us: when the last one left; None while somebody watches.
        spared_until_us: until then only key frames are decoded, 0 = everything is.
    """

    def __init__(self, make_feed: Callable[[Callable[[Still], None]], StillFeed]) -> None:
        self.watches: set[Watch] = set()
        self.spared_until_us = 0
        self.idle_since_us: int | None = None
        self.feed = make_feed(self._tell)

    def _tell(self, still: Still) -> None:
        for watch in list(self.watches):
            watch.tell(still)


class Stills:
    """Stills of the sources of one media server. All calls in its event loop, none blocks.

    Attributes:
        counters: stills made and given up, by reason.
    """

    def __init__(
        self,
        media: TapOpener,
        *,
        counters: Counter[str] | None = None,
        runner: Runner | None = None,
        call_later: Callable[[float, Callable[[], None]], Timer] | None = None,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """Starts nothing: no thread, no timer, no tap before the first `watch`."""
        self._media = media
        self.counters = Counter() if counters is None else counters
        self._runner = runner
        self._call_later = call_later
        self._shared: dict[tuple[int, bool], _Shared] = {}
        self._timer: Timer | None = None
        self._cpu_s = cpu_s
        self._effort: Effort[tuple[int, bool]] = Effort()
        self._weighed_us = 0

    def watch(self, source: Source, on_still: Callable[[Still], None], *, is_screen: bool) -> Watch:
        """Begin to make stills of a source, or join those who get them already.

        Args:
            source: see `has_stills`.
            on_still: called in the event loop; soon, where there is a still that is true.
            is_screen: sharp and only on change, of the best encoding; else small and every few
                seconds, of the lowest.

        Raises:
            MediaClosedError: the source is gone.
        """
        key = (source.handle, is_screen)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = self._start(source, is_screen=is_screen)
        watch = Watch(on_still, lambda ended: self._forget(key, ended))
        shared.watches.add(watch)
        shared.idle_since_us = None
        last = shared.feed.last
        if last is not None and not source.is_muted:
            age_us = self._media.now_us() - last.captured_us
            if is_screen or age_us <= _MAX_LAST_AGE_US:
                self._later(0.0, lambda: watch.tell(last))
        if self._timer is None:
            self._timer = self._later(_TICK_S, self._tick)
        return watch

    def close(self) -> None:
        """End all feeds and the worker. Idempotent."""
        for key, shared in list(self._shared.items()):
            for watch in list(shared.watches):
                watch.close()
            self._drop(key)
        if self._runner is not None:
            self._runner.close()

    def _start(self, source: Source, *, is_screen: bool) -> _Shared:
        tap = self._media.open_tap(source, max_bytes=_TAP_BYTES, is_lowest=not is_screen)
        runner = self._runner = self._runner or StillWorker()
        return _Shared(
            lambda tell: StillFeed(
                tap,
                runner,
                is_screen=is_screen,
                counters=self.counters,
                on_still=tell,
                cpu_s=self._cpu_s,
            )
        )

    def _forget(self, key: tuple[int, bool], watch: Watch) -> None:
        shared = self._shared.get(key)
        if shared is None:
            return
        shared.watches.discard(watch)
        if shared.feed.has_ended:
            self._drop(key)
        elif not shared.watches:
            shared.idle_since_us = self._media.now_us()

    def _drop(self, key: tuple[int, bool]) -> None:
        shared = self._shared.pop(key, None)
        if shared is not None:
            shared.feed.close()
            self._effort.forget(key)
        if not self._shared and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._later(_TICK_S, self._tick)
        now_us = self._media.now_us()
        for key, shared in list(self._shared.items()):
            idle_since_us = shared.idle_since_us
            if shared.feed.has_ended:
                for watch in list(shared.watches):
                    watch.close()
                self._drop(key)
            elif idle_since_us is not None:
                if now_us - idle_since_us >= _LINGER_US:
                    self._drop(key)
            elif now_us >= shared.feed.due_us:
                shared.feed.step(now_us)
        if now_us - self._weighed_us >= _WEIGH_US:
            self._weighed_us = now_us
            self._weigh(now_us)

    def _weigh(self, now_us: int) -> None:
        """One costly feed a turn is made cheap while all together cost too much."""
        feeds = {key: shared.feed for key, shared in self._shared.items()}
        self._effort.weigh(now_us / 1e6, {key: feed.busy_s for key, feed in feeds.items()})
        for shared in self._shared.values():
            if shared.feed.is_sparing and now_us >= shared.spared_until_us:
                shared.feed.spare(False)
        dear = {key: cost for key, cost in self._effort.cores.items() if not feeds[key].is_sparing}
        if self._effort.total > _MAX_CORES and dear:
            shared = self._shared[max(dear, key=lambda key: dear[key])]
            shared.spared_until_us = now_us + _SPARE_US
            shared.feed.spare(True)
            self.counters["stills_spared"] += 1

    def _later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        if self._call_later is not None:
            return self._call_later(delay_s, call)
        return asyncio.get_running_loop().call_later(delay_s, call)
