"""`/api/rooms/{room}/recording` and `/api/recordings`: record, list, replay, share, remove."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from recorder.errors import RecorderError
from recorder.model import Recording, RecordingState
from recorder.service import RecorderService
from web.access.rights import Access
from web.http.bodies import Shape, Whole, read_json
from web.http.callers import origin
from web.http.operations import Operation, list_answer
from web.http.problems import Problem, not_found
from web.recordings.control import RecordingControl, as_problem
from web.recordings.rights import RecordingRights
from web.recordings.shares import DEFAULT_LIFETIME_S, MAX_LIFETIME_S, Share, Shares
from web.rooms.kinds import CAMERA_PREFIX

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
                "properties": {
                    "name": TEXT,
                    "joined_s": {"type": "number"},
                    "is_camera": {"type": "boolean", "description": "of a store, not a person"},
                },
            },
        },
        "error_code": {"type": ["string", "null"]},
        "cut_short": {
            "type": ["string", "null"],
            "description": "why it ended other than by order",
            "enum": ["interrupted", "server_stopped", "disk_full", "disk_error", None],
        },
        "is_shared": {"type": "boolean", "description": "somebody holds a link to it"},
    },
}
SHARE = Shape({"lifetime_s": Whole(60, MAX_LIFETIME_S, is_required=False)})
SHARE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "created_at": {"type": "string", "format": "date-time"},
        "expires_at": {"type": "string", "format": "date-time"},
        "url": {"type": "string", "description": "only when it is made: it is not kept"},
        "qr_svg_url": TEXT,
    },
}


class RecordingRoutes:
    """Recordings over HTTP."""

    def __init__(
        self,
        recorder: RecorderService,
        control: RecordingControl,
        access: Access,
        shares: Shares,
        *,
        public_url: Callable[[web.Request], str] = origin,
    ) -> None:
        """Take the parts; `public_url` gives the address links start with."""
        self._recorder = recorder
        self._control = control
        self._access = access
        self._shares = shares
        self._rights = RecordingRights(recorder, access, shares)
        self._public_url = public_url

    def operations(self) -> list[Operation]:
        """Return the routes."""
        listed = list_answer("recordings", RECORDING_SCHEMA)
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
            *(
                Operation(method, path, handler, summary, "recordings", answers=answers)
                for method, path, handler, summary, answers in table
            ),
            *self._sharing(f"{one}/shares"),
        ]

    def _sharing(self, path: str) -> list[Operation]:
        listed = list_answer("shares", SHARE_SCHEMA)
        return [
            Operation(
                "POST",
                path,
                self.handle_share,
                "Make a link with which anybody may watch this recording",
                "recordings",
                body=SHARE,
                answers={201: SHARE_SCHEMA, 409: "`not_possible`, `too_many_links`"},
            ),
            Operation(
                "GET",
                path,
                self.handle_shares,
                "Its live links",
                "recordings",
                answers={200: listed},
            ),
            Operation(
                "DELETE",
                f"{path}/{{share}}",
                self.handle_unshare,
                "Withdraw a link; whoever watches by it is stopped",
                "recordings",
                answers={204: "It opens nothing any more."},
            ),
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
        shared = await self._shares.shared()
        try:
            found = await self._recorder.list(published_only=False)
        except RecorderError as error:
            raise as_problem(error) from None
        recordings = [show(recording, is_shared=recording.id in shared) for recording in found]
        return web.json_response({"recordings": recordings})

    async def handle_get(self, request: web.Request) -> web.Response:
        """Show one recording."""
        recording, is_manager = await self._rights.require(request, "watch")
        if not is_manager:
            return web.json_response(show_to_guest(recording))
        is_shared = bool(await self._shares.of_recording(recording.id))
        return web.json_response(show(recording, is_shared=is_shared))

    async def handle_file(self, request: web.Request) -> web.StreamResponse:
        """Send the film, or the part that `Range` asks for."""
        is_download = bool(request.query.get("download"))
        recording, _ = await self._rights.require(request, "manage" if is_download else "watch")
        try:
            path, mime = await self._recorder.file_path(recording.id)
        except RecorderError as error:
            raise as_problem(error) from None
        # A browser may keep it but must ask each time: the right to see it may have ended.
        headers = {"Content-Type": mime, "Cache-Control": "private, no-cache"}
        if is_download:
            name = quote(f"{recording.title or recording.room}{path.suffix}", safe="")
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        return web.FileResponse(path, headers=headers)

    async def handle_retry(self, request: web.Request) -> web.Response:
        """Try again to make the film."""
        recording, _ = await self._rights.require(request, "manage")
        try:
            return web.json_response(show(await self._recorder.retry(recording.id)))
        except RecorderError as error:
            raise as_problem(error) from None

    async def handle_remove(self, request: web.Request) -> web.Response:
        """Remove a recording, its files and its links."""
        recording, _ = await self._rights.require(request, "manage")
        try:
            await self._recorder.delete(recording.id)
        except RecorderError as error:
            raise as_problem(error) from None
        await self._shares.withdraw_all(recording.id)
        return web.Response(status=204)

    async def handle_share(self, request: web.Request) -> web.Response:
        """Make a link."""
        recording, _ = await self._rights.require(request, "manage")
        body = await read_json(request, SHARE)
        if recording.state is not RecordingState.READY:
            raise Problem(409, "not_possible", "Only a finished recording can be shared.")
        lifetime_s = body.get("lifetime_s", DEFAULT_LIFETIME_S)
        made = await self._shares.make(recording.id, lifetime_s=lifetime_s)
        if made is None:
            raise Problem(409, "too_many_links", "There are too many links; withdraw some.")
        share, code = made
        link = {
            "url": f"{self._public_url(request)}/r/{code}",
            "qr_svg_url": f"/api/qr?path=/r/{code}",
        }
        return web.json_response(show_share(share) | link, status=201)

    async def handle_shares(self, request: web.Request) -> web.Response:
        """List the live links, without their codes."""
        recording, _ = await self._rights.require(request, "manage")
        shares = await self._shares.of_recording(recording.id)
        return web.json_response({"shares": [show_share(share) for share in shares]})

    async def handle_unshare(self, request: web.Request) -> web.Response:
        """Withdraw a link."""
        recording, _ = await self._rights.require(request, "manage")
        if not await self._shares.withdraw(recording.id, request.match_info["share"]):
            raise not_found("That link")
        return web.Response(status=204)

    def _require_room(self, request: web.Request) -> str:
        room = request.match_info["room"]
        self._access.require(request, "room_record", room=room)
        return room


def show(recording: Recording, *, is_shared: bool = False) -> dict[str, Any]:
    """Return a recording as the API shows it to whoever manages it."""
    return show_to_guest(recording) | {
        "room": recording.room,
        "error_code": recording.reason or None,
        "cut_short": recording.cut_short or None,
        "is_shared": is_shared,
    }


def show_to_guest(recording: Recording) -> dict[str, Any]:
    """Return what the holder of a link may know."""
    joined: dict[tuple[str, bool], float] = {}
    for track in recording.tracks:
        who = track.display_name or track.identity, track.identity.startswith(CAMERA_PREFIX)
        joined[who] = min(joined.get(who, track.started_s), track.started_s)
    if not joined:  # not finished: only identities are known yet
        joined = {(one, one.startswith(CAMERA_PREFIX)): 0.0 for one in recording.participants}
    return {
        "id": recording.id,
        "title": recording.title,
        "state": recording.state.value,
        "progress": recording.progress if recording.state == "finishing" else None,
        "started_at": datetime.fromtimestamp(recording.started_at_s, UTC).isoformat(),
        "duration_s": recording.duration_s,
        "size_bytes": recording.size_bytes,
        "mime": recording.mime,
        "participants": [
            {"name": name, "joined_s": at_s, "is_camera": is_camera}
            for (name, is_camera), at_s in joined.items()
        ],
    }


def show_share(share: Share) -> dict[str, Any]:
    """Return a link as the API shows it, without its code."""
    return {
        "id": share.id,
        "created_at": datetime.fromtimestamp(share.created_at_s, UTC).isoformat(),
        "expires_at": datetime.fromtimestamp(share.expires_at_s, UTC).isoformat(),
    }
