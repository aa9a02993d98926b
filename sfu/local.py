"""Tracks made on this machine: cameras, demonstrations, announcements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sfu.engine import EngineError
from sfu.ids import Codec, EncodingSpec, SourceHandle
from sfu.registry import Registry
from sfu.source import Source

__all__ = ["LocalSource", "SourceFactory"]


class LocalSource(Source):
    """A source fed with encoded frames by this process.

    Joiners start from the cached group of pictures where its key frame is young. Who cannot tell an
    encoder of their wish has to feed a key frame at least every few seconds.

    Attributes:
        on_key_wanted: called with the encoding that somebody needs a key frame of; again and again
            until there is one, a few times a second at most.
    """

    def __init__(
        self, registry: Registry, *, is_audio: bool, label: str, encodings: tuple[EncodingSpec, ...]
    ) -> None:
        """Makes the source in the engine."""
        rows: list[tuple[str, int, int]] = [*encodings]
        handle = SourceHandle(registry.engine.add_source(None, "", is_audio, rows))
        super().__init__(registry, handle, is_audio=is_audio, specs=encodings, transport=None)
        self.label = label
        self.on_key_wanted: Callable[[int], None] | None = None

    def handle_key_wanted(self, encoding: int) -> None:
        """Take the engine's news that somebody cannot go on without a key frame."""
        if self.on_key_wanted is not None:
            self.on_key_wanted(encoding)

    def push_frame(self, codec: Codec, ts_rtp: int, data: bytes, *, encoding: int = 0) -> None:
        """Send one frame now; may be called from any thread.

        A frame the engine cannot take (it is closing, or far behind) is dropped and counted.

        Args:
            codec: VP8, H264 or OPUS; the same for the whole life of the source.
            ts_rtp: codec clock, taken modulo 2^32.
            data: VP8 frame, H.264 access unit in Annex B, or Opus packet.
            encoding: index of the simulcast layer.
        """
        if self.is_closed:
            return
        try:
            self._registry.engine.push_frame(
                self.handle, encoding, int(codec), ts_rtp & 0xFFFF_FFFF, data
            )
        except EngineError:
            self._registry.counters["local_frames_refused"] += 1


class SourceFactory(Protocol):
    """What makers of media need of the media server."""

    def create_local_source(
        self, *, is_audio: bool, label: str, encodings: Sequence[EncodingSpec] = ...
    ) -> LocalSource:
        """Make a source that this process feeds."""
        ...
