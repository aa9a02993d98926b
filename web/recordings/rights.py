"""Who may do what with a recording: the one place every address of one asks."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from recorder.errors import RecorderError
from recorder.model import Recording
from recorder.service import RecorderService
from web.access.rights import Access
from web.http.problems import Problem, not_found
from web.recordings.control import as_problem
from web.recordings.shares import Shares

Action = Literal["watch", "manage"]
"""`watch`: see its facts and play it. `manage`: all else (save, share, make again, remove)."""


class RecordingRights:
    """Hosts and tokens with `room_record` may do everything, holders of a link may watch.

    A recording that is absent and one that is not for this caller look the same from outside.
    """

    def __init__(self, recorder: RecorderService, access: Access, shares: Shares) -> None:
        """Take who knows recordings, callers and links."""
        self._recorder = recorder
        self._access = access
        self._shares = shares

    async def require(self, request: web.Request, action: Action) -> tuple[Recording, bool]:
        """Return the recording of the path, and whether the caller manages it.

        Raises:
            Problem: 401 nobody known, 404 not there or not for this caller, 429 too many tries.
        """
        recording_id = request.match_info["id"]
        refusal: Problem
        try:
            caller = self._access.identify(request)
        except Problem as problem:
            refusal = problem
        else:
            recording = await self._get(recording_id)
            if caller.may("room_record", room=recording.room):
                return recording, True
            refusal = not_found("That recording")
        if action == "watch" and await self._shares.may_watch(request, recording_id):
            return await self._get(recording_id), False
        raise refusal

    async def _get(self, recording_id: str) -> Recording:
        try:
            return await self._recorder.get(recording_id)
        except RecorderError as error:
            raise as_problem(error) from None
