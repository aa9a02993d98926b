"""The manifest: what a recording is, beside the segments, in one JSON file.

Written whole and renamed into place, so that a reader finds either the old or the new one. It alone
is enough to list and finish a recording when the database is lost.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST_NAME", "Manifest", "TrackEntry", "load_manifest", "save_manifest"]

MANIFEST_NAME = "manifest.json"
_VERSION = 1


@dataclass
class TrackEntry:
    """One recorded track.

    Attributes:
        name: of its segment, without the suffix; unique in the recording.
        track_id: as the room knows it.
        source: camera, microphone, screen_share or screen_share_audio.
        started_us: engine clock.
        ended_us: engine clock; 0 = not ended in an orderly way.
    """

    name: str
    track_id: str
    is_audio: bool
    source: str
    identity: str
    display_name: str
    started_us: int
    ended_us: int = 0


@dataclass
class Manifest:
    """One recording.

    Attributes:
        started_us: engine clock, the zero of its timeline.
        started_wall_us: Unix time of that moment.
        ended_us: engine clock; 0 = not ended in an orderly way.
        reason: why it ended other than by order; empty otherwise.
    """

    id: str
    room: str
    title: str
    started_us: int
    started_wall_us: int
    ended_us: int = 0
    reason: str = ""
    tracks: list[TrackEntry] = field(default_factory=list)

    def to_json(self) -> str:
        """Readable by people too."""
        return json.dumps({"version": _VERSION, **asdict(self)}, ensure_ascii=False, indent=1)


def load_manifest(directory: Path) -> Manifest | None:
    """The manifest of a recording's folder, or None when there is none that makes sense."""
    try:
        fields: dict[str, Any] = json.loads((directory / MANIFEST_NAME).read_text("utf-8"))
        if fields.pop("version") != _VERSION:
            return None
        tracks = [TrackEntry(**track) for track in fields.pop("tracks")]
        return Manifest(**fields, tracks=tracks)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_manifest(directory: Path, text: str) -> None:
    """Replace the manifest in one step that survives a power cut. Raises OSError."""
    path = directory / MANIFEST_NAME
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
