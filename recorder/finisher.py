"""Runs finish jobs in processes of their own, a bounded number at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from recorder.errors import FinishError

__all__ = ["Finisher"]

OnTracks = Callable[[Sequence[dict[str, Any]]], Awaitable[None]]

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent
# A result names every track and key frame on one line.
_MAX_LINE_BYTES = 64 * 1024 * 1024
_KILL_AFTER_S = 1.0


class Finisher:
    """Turns folders of segments into playable files."""

    def __init__(self, *, max_jobs: int, timeout_s: float) -> None:
        """Starts nothing yet."""
        self._slots = asyncio.Semaphore(max_jobs)
        self._timeout_s = timeout_s

    async def finish(
        self, directory: Path, on_progress: Callable[[float], None], on_tracks: OnTracks
    ) -> dict[str, Any]:
        """The result of the job, as ``FinishResult`` fields.

        ``on_tracks`` gets the fields of ``TrackFile`` of every track as soon as it can be played.
        Cancelling ends the process; the job can be repeated.

        Raises:
            FinishError: with a stable code.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._run(directory, on_progress, on_tracks)
            except TimeoutError:
                raise FinishError("finish_timeout", "making the file took too long") from None

    async def _run(
        self, directory: Path, on_progress: Callable[[float], None], on_tracks: OnTracks
    ) -> dict[str, Any]:
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "recorder.finish",
            str(directory),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert process.stdout is not None and process.stderr is not None, "both are pipes"
        errors = asyncio.create_task(process.stderr.read())
        try:
            outcome: dict[str, Any] = {}
            async for line in process.stdout:
                message = json.loads(line)
                if "progress" in message:
                    on_progress(message["progress"])
                elif "tracks" in message:
                    await on_tracks(message["tracks"])
                else:
                    outcome = message
            await process.wait()
        finally:
            await _end(process)
            stderr = (await errors).decode(errors="replace")
        if "result" in outcome:
            result: dict[str, Any] = outcome["result"]
            return result
        if "error" in outcome:
            raise FinishError(outcome["error"]["code"], outcome["error"]["message"])
        # A bug of ours, or out of memory: the log tells, the recording stays repairable.
        logger.error("finish job for %s ended with %s: %s", directory.name, process.returncode,
                     stderr[-4000:])  # fmt: skip
        raise FinishError("finish_crashed", f"the job ended with {process.returncode}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _KILL_AFTER_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
