"""`/api/rooms/{room}/recording` and `/api/recordings`: record, list, replay, remove."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from recorder.errors import RecorderError
from recorder.model import Recording
from recorder.service import RecorderService
from web.access.rights import Access
from web.http.operations import Operation
from web.http.problems import not_found
from web.recordings.control import RecordingControl, as_problem

TEXT = {"type": "string"}
STATE_SCHEMA = {
    "type": "object",
    "properties": {"is_recording": {"type": "boolean"}, "id": TEXT},
}
RECORDING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "title": TEXT,
        "room": TEXT,
        "state": {"type": "string", "enum": ["recording", "finishing", "ready", "failed"]},
        "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "started_at": {"type": "string", "format": "date-time"},
        "duration_s": {"type": "number"},
        "size_bytes": {"type": "integer"},
        "mime": TEXT,
        "participants": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": TEXT, "joined_s": {"type": "number"}},
            },
        },
        "error_code": {"type": ["string", "null"]},
    },
}


class RecordingRoutes:
    """Recordings over HTTP."""

    def __init__(
        self, recorder: RecorderService, control: RecordingControl, access: Access
    ) -> None:
        """Take the parts."""
        self._recorder = recorder
        self._control = control
        self._access = access

    def operations(self) -> list[Operation]:
        """Return the routes."""
        listed = {
            "type": "object",
            "properties": {"recordings": {"type": "array", "items": RECORDING_SCHEMA}},
        }
        one = "/api/recordings/{id}"
        table: list[tuple[str, str, Any, str, dict[int, str | dict[str, Any]]]] = [
            (
                "POST",
                "/api/rooms/{room}/recording",
                self.handle_start,
                "Record a live room; everybody in it sees that",
                {200: STATE_SCHEMA, 409: "`room_not_live`", 507: "`disk_full`"},
            ),
            (
                "DELETE",
                "/api/rooms/{room}/recording",
                self.handle_stop,
                "Stop recording",
                {200: STATE_SCHEMA},
            ),
            ("GET", "/api/recordings", self.handle_list, "Recordings, newest first", {200: listed}),
            ("GET", one, self.handle_get, "One recording", {200: RECORDING_SCHEMA}),
            (
                "GET",
                f"{one}/file",
                self.handle_file,
                "The film, with Range; `?download=1` names it for saving",
                {200: "The file.", 206: "A part of it.", 404: "Not there (yet)."},
            ),
            (
                "POST",
                f"{one}/retry",
                self.handle_retry,
                "Make the film again, after a failure",
                {200: RECORDING_SCHEMA, 409: "`not_possible`"},
            ),
            ("DELETE", one, self.handle_remove, "Remove a recording", {204: "It is gone."}),
        ]
        return [
            Operation(method, path, handler, summary, "recordings", answers=answers)
            for method, path, handler, summary, answers in table
        ]

    async def handle_start(self, request: web.Request) -> web.Response:
        """Start recording a room."""
        room = self._require_room(request)
        recording_id = await self._control.start_recording(room)
        return web.json_response({"is_recording": True, "id": recording_id})

    async def handle_stop(self, request: web.Request) -> web.Response:
        """Stop recording a room; nothing happens where none runs."""
        recording_id = await self._control.stop_recording(self._require_room(request))
        return web.json_response({"is_recording": False, "id": recording_id or ""})

    async def handle_list(self, request: web.Request) -> web.Response:
        """List recordings."""
        self._access.require(request, "room_record")
        recordings = [
            show(recording) for recording in await self._recorder.list(published_only=False)
        ]
        return web.json_response({"recordings": recordings})

    async def handle_get(self, request: web.Request) -> web.Response:
        """Show one recording."""
        return web.json_response(show(await self._find(request)))

    async def handle_file(self, request: web.Request) -> web.StreamResponse:
        """Send the film."""
        recording = await self._find(request)
        try:
            path, mime = await self._recorder.file_path(recording.id)
        except RecorderError as error:
            raise as_problem(error) from None
        headers = {"Content-Type": mime, "Cache-Control": "private, max-age=3600"}
        if request.query.get("download"):
            name = quote(f"{recording.title or recording.room}{path.suffix}", safe="")
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        return web.FileResponse(path, headers=headers)

    async def handle_retry(self, request: web.Request) -> web.Response:
        """Try again to make the film."""
        recording = await self._find(request)
        try:
            return web.json_response(show(await self._recorder.retry(recording.id)))
        except RecorderError as error:
            raise as_problem(error) from None

    async def handle_remove(self, request: web.Request) -> web.Response:
        """Remove a recording and its files."""
        recording = await self._find(request)
        try:
            await self._recorder.delete(recording.id)
        except RecorderError as error:
            raise as_problem(error) from None
        return web.Response(status=204)

    def _require_room(self, request: web.Request) -> str:
        room = request.match_info["room"]
        self._access.require(request, "room_record", room=room)
        return room

    async def _find(self, request: web.Request) -> Recording:
        """Return the recording of the path; absent and not allowed look the same."""
        caller = self._access.identify(request)
        try:
            recording = await self._recorder.get(request.match_info["id"])
        except RecorderError as error:
            raise as_problem(error) from None
        if not caller.may("room_record", room=recording.room):
            raise not_found("That recording")
        return recording


def show(recording: Recording) -> dict[str, Any]:
    """Return a recording as the API shows it."""
    joined: dict[str, float] = {}
    for track in recording.tracks:
        name = track.display_name or track.identity
        joined[name] = min(joined.get(name, track.started_s), track.started_s)
    if not joined:  # not finished: only identities are known yet
        joined = dict.fromkeys(recording.participants, 0.0)
    return {
        "id": recording.id,
        "title": recording.title,
        "room": recording.room,
        "state": recording.state.value,
        "progress": recording.progress if recording.state == "finishing" else None,
        "started_at": datetime.fromtimestamp(recording.started_at_s, UTC).isoformat(),
        "duration_s": recording.duration_s,
        "size_bytes": recording.size_bytes,
        "mime": recording.mime,
        "participants": [{"name": name, "joined_s": at_s} for name, at_s in joined.items()],
        "error_code": recording.reason or None,
    }
