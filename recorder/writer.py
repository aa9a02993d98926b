"""The disk side of one recording: a thread that appends, and forces to the disk once a second.

The event loop hands over batches and never waits. What waits is bounded; over the bound batches are
dropped and counted. A disk error ends the recording, not the room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from recorder.errors import disk_reason
from recorder.manifest import save_manifest
from recorder.segment import (
    ClockReading,
    Note,
    encode_clock,
    encode_frame,
    encode_header,
    encode_note,
)
from sfu.tap import Frame

__all__ = ["SegmentWriter"]

_Job = Callable[[], None]


class SegmentWriter:
    """Appends to the segments of one recording in a thread of its own.

    Every method is for the event loop and returns at once, except ``close``.

    Attributes:
        dropped_frames: frames given up because the disk was too slow.
        written_bytes: appended so far.
    """

    def __init__(
        self,
        directory: Path,
        *,
        sync_s: float,
        max_pending_bytes: int,
        min_free_bytes: int,
        on_failed: Callable[[str], None],
    ) -> None:
        """Starts the thread. ``on_failed(reason)`` is called in it, once."""
        self._directory = directory
        self._sync_s = sync_s
        self._max_pending_bytes = max_pending_bytes
        self._min_free_bytes = min_free_bytes
        self._on_failed = on_failed
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._files: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._has_failed = False
        self.dropped_frames = 0
        self.written_bytes = 0
        # A daemon: a disk that hangs for ever must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name="recorder-writer", daemon=True)
        self._thread.start()

    def open_segment(self, name: str, header: dict[str, object]) -> None:
        """Begin the file of a track."""
        self._jobs.put(lambda: self._open(name, encode_header(header)))

    def write_frames(self, name: str, frames: list[Frame]) -> bool:
        """Append frames; False = dropped, because too much waits or the disk has failed."""
        size = sum(len(frame.data) for frame in frames)
        with self._lock:
            if self._has_failed or self._pending_bytes + size > self._max_pending_bytes:
                self.dropped_frames += len(frames)
                return False
            self._pending_bytes += size
        self._jobs.put(lambda: self._write(name, frames, size))
        return True

    def write_clock(self, name: str, reading: ClockReading) -> None:
        """Append a clock reading."""
        self._jobs.put(lambda: self._append(name, encode_clock(reading)))

    def write_note(self, name: str, note: Note) -> None:
        """Append a note."""
        self._jobs.put(lambda: self._append(name, encode_note(note)))

    def close_segment(self, name: str) -> None:
        """End the file of a track."""
        self._jobs.put(lambda: self._close(name))

    def save_manifest(self, text: str) -> None:
        """Replace the manifest after everything handed over before."""
        self._jobs.put(lambda: save_manifest(self._directory, text))

    def close(self, timeout_s: float) -> bool:
        """Write what waits, force it to the disk and end the thread; False = not done in time.

        Blocks: call it in a thread.
        """
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        due_s = time.monotonic() + self._sync_s
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, due_s - time.monotonic()))
            except queue.Empty:
                self._guard(self._sync)
                due_s = time.monotonic() + self._sync_s
                continue
            if job is None:
                break
            self._guard(job)
            if time.monotonic() >= due_s:
                self._guard(self._sync)
                due_s = time.monotonic() + self._sync_s
        self._guard(self._sync)
        for handle in self._files.values():
            # All was forced to the disk above, or that failed and is known.
            with contextlib.suppress(OSError):
                os.close(handle)

    def _guard(self, job: _Job) -> None:
        """After the first error nothing more is written: files end where they were whole."""
        if self._has_failed:
            return
        try:
            job()
        except OSError as error:
            with self._lock:
                self._has_failed = True
            self._on_failed(disk_reason(error))

    def _open(self, name: str, header: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._files[name] = os.open(self._directory / f"{name}.seg", flags, 0o640)
        self._append(name, [header])

    def _write(self, name: str, frames: list[Frame], size: int) -> None:
        try:
            parts: list[bytes] = []
            for frame in frames:
                parts += encode_frame(*frame)
            self._append(name, parts)
        finally:
            with self._lock:
                self._pending_bytes -= size

    def _append(self, name: str, parts: list[bytes]) -> None:
        handle = self._files.get(name)
        if handle is None:
            return
        data = memoryview(b"".join(parts))
        while data:
            count = os.write(handle, data)
            self.written_bytes += count
            data = data[count:]
        self._dirty.add(name)

    def _sync(self) -> None:
        free = os.statvfs(self._directory)
        if free.f_bavail * free.f_frsize < self._min_free_bytes:
            # Before the disk is really full: the database and the logs share it.
            raise OSError(errno.ENOSPC, "the reserve on the recordings' disk is reached")
        while self._dirty:
            handle = self._files.get(self._dirty.pop())
            if handle is not None:
                os.fdatasync(handle)

    def _close(self, name: str) -> None:
        handle = self._files.pop(name, None)
        if handle is not None:
            self._dirty.discard(name)
            try:
                os.fdatasync(handle)
            finally:
                os.close(handle)
