"""Who gets the thin version of which source: one for all, made only while somebody needs it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sfu.ids import Codec, EncodingSpec
from sfu.local import LocalSource
from sfu.stills.effort import Effort
from sfu.stills.worker import StillWorker
from sfu.tap import Tap
from sfu.thin.cost import LEAST_CORES, expect_cores
from sfu.thin.version import ThinVersion

if TYPE_CHECKING:
    from sfu.registry import Registry
    from sfu.source import Source

__all__ = ["ThinVersions", "can_thin"]

_TAP_BYTES = 4_000_000
# Lines that are close to the step between come back soon.
_LINGER_S = 5.0
# All of them together may take so much of each core: a dozen cameras of 360p, two of 1080p. Whoever
# watches over a weak line, or says so, can have no more of the machine than that.
_SHARE = 0.25
# Each has a thread.
_PER_CORE = 16
_WEIGH_S = 2.0
# People watch it live: behind media and the event loop, but on a machine with other work to do not
# left with a tenth of a share, as a still may be. What all take together is bounded above.
_NICENESS = 3
# One that was refused or ended for its cost is not looked at again before: its answer is the same.
_PAUSE_S = 5.0
_LONG_PAUSE_S = 60.0


def can_thin(source: Source) -> bool:
    """VP9 and AV1 never reach a tap, and what its people encrypt is not for us to see."""
    is_readable = not source.is_audio and not source.is_encrypted
    return is_readable and source.codec in (Codec.VP8, Codec.H264)


class _Shared:
    """A version and how many lines get it.

    Attributes:
        expected: cores, until they are measured.
    """

    def __init__(self, version: ThinVersion, task: asyncio.Task[None], expected: float) -> None:
        self.version = version
        self.task = task
        self.expected = expected
        self.count = 0
        self.timer: asyncio.TimerHandle | None = None


class ThinVersions:
    """Thin versions of the sources of one media server. All calls in its event loop.

    Bounded by what they cost: what runs is measured, what is to begin is guessed from its size, and
    if a source grows while it runs the costliest version ends.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        max_cores: float | None = None,
        now_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """Starts nothing.

        Args:
            registry: of the media server.
            max_cores: that all together may take; None: a quarter of this machine's.
            now_s: a steady clock.
            cpu_s: the clock of a thread's processor time.
        """
        self._registry = registry
        num_cores = os.cpu_count() or 1
        self._max_cores = _SHARE * num_cores if max_cores is None else max_cores
        self._max_versions = _PER_CORE * num_cores
        self._now_s = now_s
        self._cpu_s = cpu_s
        self._shared: dict[int, _Shared] = {}
        self._paused_until_s: dict[int, float] = {}
        self._effort: Effort[int] = Effort()
        self._was_over = False
        self._weighing: asyncio.TimerHandle | None = None

    @property
    def cores(self) -> float:
        """What all together take, measured or expected."""
        measured = self._effort.cores
        return sum(measured.get(key, one.expected) for key, one in self._shared.items())

    def acquire(self, source: Source) -> LocalSource | None:
        """The thin version of a source for one more line; None where there cannot be one.

        Every acquired one has to be released.
        """
        shared = self._shared.get(source.handle)
        if shared is not None and shared.version.local.is_closed:
            self._drop(source.handle)
            shared = None
        if shared is None:
            if source.is_closed or not can_thin(source):
                return None
            shared = self._begin(source)
            if shared is None:
                self._registry.counters["thin_refused"] += 1
                return None
        shared.count += 1
        if shared.timer is not None:
            shared.timer.cancel()
            shared.timer = None
        return shared.version.local

    def release(self, source: Source) -> None:
        """One line less; the version stays for some seconds after the last."""
        shared = self._shared.get(source.handle)
        if shared is None or shared.count == 0:
            return
        shared.count -= 1
        if shared.count == 0:
            loop = asyncio.get_running_loop()
            shared.timer = loop.call_later(_LINGER_S, self._drop, source.handle)

    def mute(self, source: Source, is_muted: bool) -> None:
        """Follow what the source's publisher does: nothing that was on its way is shown."""
        shared = self._shared.get(source.handle)
        if shared is not None:
            shared.version.mute(is_muted)

    def close(self) -> None:
        """End all. Idempotent."""
        for handle in list(self._shared):
            self._drop(handle)

    def weigh(self) -> None:
        """Look at what all cost; called every two seconds while there are any."""
        busy_s = {handle: shared.version.busy_s for handle, shared in self._shared.items()}
        self._effort.weigh(self._now_s(), busy_s)
        was_over, self._was_over = self._was_over, self._effort.total > self._max_cores
        # One bad turn may be a key frame, or several.
        if was_over and self._was_over:
            cores = self._effort.cores
            self._give_up(max(cores, key=lambda handle: cores[handle]))

    def _begin(self, source: Source) -> _Shared | None:
        """Start the version of a source; None if it is too much beside those there are."""
        now_s = self._now_s()
        if now_s < self._paused_until_s.get(source.handle, now_s):
            return None
        expected, left = LEAST_CORES, self._max_cores - self.cores
        if left >= LEAST_CORES and len(self._shared) < self._max_versions:
            expected = expect_cores(self._registry, source)
            if expected <= left:
                shared = self._shared[source.handle] = self._start(source, expected)
                if self._weighing is None:
                    self._weighing = self._later()
                return shared
        self._pause(source.handle, _PAUSE_S)
        return None

    def _start(self, source: Source, expected: float) -> _Shared:
        registry = self._registry
        tap = Tap(registry, source, max_bytes=_TAP_BYTES, is_lowest=True)
        label = f"thin-{source.handle}"
        local = LocalSource(registry, is_audio=False, label=label, encodings=(EncodingSpec(),))
        worker = StillWorker(niceness=_NICENESS)
        version = ThinVersion(tap, local, worker, registry.counters, cpu_s=self._cpu_s)
        registry.counters["thin_started"] += 1
        task = asyncio.get_running_loop().create_task(version.run())
        return _Shared(version, task, expected)

    def _give_up(self, handle: int) -> None:
        """End a version that costs too much: its lines get stills."""
        self._registry.counters["thin_too_costly"] += 1
        self._pause(handle, _LONG_PAUSE_S)
        for sink in list(self._registry.sinks.values()):
            if sink.is_thin and sink.source.handle == handle:
                sink.lose_thin()
        self._drop(handle)

    def _pause(self, handle: int, duration_s: float) -> None:
        now_s = self._now_s()
        paused = self._paused_until_s
        self._paused_until_s = {one: until_s for one, until_s in paused.items() if until_s > now_s}
        self._paused_until_s[handle] = now_s + duration_s

    def _drop(self, handle: int) -> None:
        shared = self._shared.pop(handle, None)
        if shared is None:
            return
        if shared.timer is not None:
            shared.timer.cancel()
        shared.version.close()
        shared.task.cancel()
        self._effort.forget(handle)
        if not self._shared and self._weighing is not None:
            self._weighing.cancel()
            self._weighing = None

    def _later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(_WEIGH_S, self._weigh_again)

    def _weigh_again(self) -> None:
        self._weighing = self._later()
        self.weigh()
