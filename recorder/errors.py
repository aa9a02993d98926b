"""Errors of the recorder.

RecorderError          code: for the wire, stable
├── RecordingNotFoundError   recording_not_found
├── RecordingStateError      recording_not_possible: this state does not allow it
├── DiskFullError            disk_full
├── RecorderClosedError      recorder_closed: the server is about to stop
└── FinishError              why a playable file could not be made (code varies)
"""

from __future__ import annotations

import errno

__all__ = [
    "DiskFullError",
    "FinishError",
    "RecorderClosedError",
    "RecorderError",
    "RecordingNotFoundError",
    "RecordingStateError",
    "disk_reason",
]


class RecorderError(Exception):
    """Base; ``code`` is stable and goes over the wire."""

    code = "recorder_error"


class RecordingNotFoundError(RecorderError):
    """No recording has this id."""

    code = "recording_not_found"


class RecordingStateError(RecorderError):
    """The recording's state does not allow what was asked."""

    code = "recording_not_possible"


class DiskFullError(RecorderError):
    """Less than the configured reserve is free on the recordings' disk."""

    code = "disk_full"


class RecorderClosedError(RecorderError):
    """The recorder has drained; the next start answers."""

    code = "recorder_closed"


class FinishError(RecorderError):
    """The playable file could not be made; what was recorded is still there."""

    def __init__(self, code: str, message: str) -> None:
        """Keeps the code of this failure."""
        super().__init__(message)
        self.code = code


def disk_reason(error: OSError) -> str:
    """A stable code for a failed write."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return "disk_full" if error.errno in full else "disk_error"
