"""Who gets the thin version of which source: one for all, made only while somebody needs it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from sfu.ids import Codec, EncodingSpec
from sfu.local import LocalSource
from sfu.stills.worker import StillWorker
from sfu.tap import Tap
from sfu.thin.version import ThinVersion

if TYPE_CHECKING:
    from sfu.registry import Registry
    from sfu.source import Source

__all__ = ["ThinVersions", "can_thin"]

_TAP_BYTES = 4_000_000
# Lines that are close to the step between come back soon.
_LINGER_S = 5.0
# A 360p camera costs some 4 % of a core, so this leaves most of each core to all else.
_PER_CORE = 4


def can_thin(source: Source) -> bool:
    """VP9 and AV1 never reach a tap, and what its people encrypt is not for us to see."""
    is_readable = not source.is_audio and not source.is_encrypted
    return is_readable and source.codec in (Codec.VP8, Codec.H264)


class _Shared:
    def __init__(self, version: ThinVersion, task: asyncio.Task[None]) -> None:
        self.version = version
        self.task = task
        self.count = 0
        self.timer: asyncio.TimerHandle | None = None


class ThinVersions:
    """Thin versions of the sources of one media server. All calls in its event loop."""

    def __init__(self, registry: Registry, *, max_versions: int | None = None) -> None:
        """Starts nothing; at most `max_versions` are made at a time (four a core)."""
        self._registry = registry
        self._max = _PER_CORE * (os.cpu_count() or 1) if max_versions is None else max_versions
        self._shared: dict[int, _Shared] = {}

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
            if len(self._shared) >= self._max:
                self._registry.counters["thin_refused"] += 1
                return None
            shared = self._shared[source.handle] = self._start(source)
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

    def _start(self, source: Source) -> _Shared:
        registry = self._registry
        tap = Tap(registry, source, max_bytes=_TAP_BYTES, is_lowest=True)
        label = f"thin-{source.handle}"
        local = LocalSource(registry, is_audio=False, label=label, encodings=(EncodingSpec(),))
        version = ThinVersion(tap, local, StillWorker(), registry.counters)
        registry.counters["thin_started"] += 1
        return _Shared(version, asyncio.get_running_loop().create_task(version.run()))

    def _drop(self, handle: int) -> None:
        shared = self._shared.pop(handle, None)
        if shared is not None:
            if shared.timer is not None:
                shared.timer.cancel()
            shared.version.close()
            shared.task.cancel()
