"""Groups of microphones of which only the loudest are forwarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.registry import Registry

if TYPE_CHECKING:
    from sfu.source import Source

__all__ = ["SpeakerGroup"]

_NO_GROUP = 0


class SpeakerGroup:
    """Sources of sound, of which the engine forwards so many.

    It decides with every packet, so nobody's first syllable is lost, and while there are no more
    members than places everybody is heard. Sources of one transport are one person's, who has one
    place while others want theirs. Taps and levels are of all members. A source leaves by being
    closed, too; a source is in one group at most.
    """

    def __init__(self, registry: Registry, *, size: int) -> None:
        """Has no members yet; made by `MediaServer.create_speaker_group`."""
        self._registry = registry
        self._number = next(registry.group_numbers)
        self._size = size

    def add(self, source: Source) -> None:
        """Takes a source in; from then on it has to be loud to be heard.

        Raises:
            ValueError: it is no sound.
        """
        if not source.is_audio:
            raise ValueError("a speaker group takes sound only")
        if source.is_closed:
            return
        engine = self._registry.engine
        engine.set_speaker_group(source.handle, self._number)
        # The engine forgets a group with its last member.
        engine.set_group_size(self._number, self._size)

    def discard(self, source: Source) -> None:
        """Lets a source go; it is always heard again. For members only."""
        if not source.is_closed:
            self._registry.engine.set_speaker_group(source.handle, _NO_GROUP)
