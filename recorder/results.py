"""Between the files of a recording and its row in the list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recorder.manifest import Manifest
from recorder.model import Recording, RecordingState, TrackFile

__all__ = ["RESULT_NAME", "build_recording", "load_result", "result_fields"]

RESULT_NAME = "result.json"


def build_recording(manifest: Manifest) -> Recording:
    """The row of a recording of which only the folder is known."""
    return Recording(
        id=manifest.id,
        room=manifest.room,
        title=manifest.title,
        started_at_s=manifest.started_wall_us / 1e6,
        state=RecordingState.FINISHING,
        cut_short=manifest.reason if manifest.ended_us else "interrupted",
        participants=tuple(sorted({entry.identity for entry in manifest.tracks})),
    )


def load_result(directory: Path) -> dict[str, Any] | None:
    """What an earlier finish job made, None when it was not done."""
    try:
        result: dict[str, Any] = json.loads((directory / RESULT_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return result if (directory / str(result.get("file_name"))).is_file() else None


def result_fields(result: dict[str, Any], started_us: int) -> dict[str, Any]:
    """Fields of ``Recording`` after a finish job.

    Args:
        result: the fields of ``FinishResult``.
        started_us: Unix time of the recording's start.
    """
    tracks = tuple(TrackFile(**track) for track in result["tracks"])
    lasted_s = max((track.started_s + track.duration_s for track in tracks), default=0.0)
    return {
        "state": RecordingState.READY,
        "reason": "",
        "progress": 1.0,
        "ended_at_s": started_us / 1e6 + lasted_s,
        "duration_s": result["duration_s"],
        "size_bytes": result["size_bytes"],
        "file_name": result["file_name"],
        "mime": result["mime"],
        "tracks": tracks,
        "participants": tuple(sorted({track.identity for track in tracks})),
    }
