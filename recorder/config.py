"""Settings of the recorder; built by the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RecorderConfig"]


@dataclass(frozen=True, kw_only=True)
class RecorderConfig:
    """Where recordings live and what they may cost.

    Attributes:
        directory: one folder per recording is made here.
        database: SQLite file with the list of recordings.
        min_free_bytes: recording stops, and does not start, with less free space than this.
        batch_s: how often frames are taken from the engine; a crash loses about this much.
        sync_s: how often written data is forced to the disk; a power cut loses about this much.
        keyframe_interval_s: a key frame is asked for when none came for so long, so that replay
            can seek. 0 = never.
        max_pending_bytes: frames that may wait for a slow disk, per recording; then whole batches
            are dropped and counted.
        finish_jobs: playable files made at the same time.
        finish_timeout_s: a job that takes longer has failed and can be repeated.
    """

    directory: Path
    database: Path
    min_free_bytes: int = 500_000_000
    batch_s: float = 0.25
    sync_s: float = 1.0
    keyframe_interval_s: float = 10.0
    max_pending_bytes: int = 32_000_000
    finish_jobs: int = 1
    finish_timeout_s: float = 4 * 3600.0
