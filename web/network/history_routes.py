"""`/api/rooms/{room}/sessions` and `/api/places/{place}/network`: how lines were."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from web.access.rights import Access
from web.http.operations import Operation
from web.http.problems import Problem, not_found
from web.network.advice import ADVICE, GRADES, LIMITS, Advice
from web.network.causes import SENTENCES, Stretch, find_verdict
from web.network.lines import SAMPLE_S, Sample
from web.network.passport import PERCENTILES, Passport
from web.network.passports import Passports
from web.network.store import LineStore, Person, Session

MAX_POINTS: Final = 120
"""Points of a person's curve; of each stretch of time the worst is shown."""
MAX_OFFSET_MINUTES: Final = 14 * 60
MAX_NAME_CHARS: Final = 120

TEXT: Final = {"type": "string"}
NUMBER: Final = {"type": "number"}
TIME: Final = {"type": "string", "format": "date-time"}
SPREAD: Final = {
    "type": ["object", "null"],
    "properties": {f"p{percent}": NUMBER for percent in PERCENTILES},
}
ADVICE_MEMBERS: Final[dict[str, Any]] = {
    "grade": {"type": "string", "enum": list(GRADES)},
    "advice": {"type": "string", "enum": list(ADVICE), "description": "key of the words"},
    "limit": {"type": "string", "enum": list(LIMITS), "description": "what keeps it from better"},
}
SESSION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "room": TEXT,
        "started_at": TIME,
        "ended_at": {**TIME, "type": ["string", "null"]},
        "num_people": {"type": "integer"},
    },
}
STRETCH_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "from": TIME,
        "to": TIME,
        "cause": {"type": "string", "enum": ["phone", "uplink", "downlink", "server"]},
        "sentence": {"type": "string", "enum": list(SENTENCES[1:])},
        "worst_loss_percent": NUMBER,
        "worst_rtt_ms": NUMBER,
    },
}
POINT_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "at": TIME,
        **{
            name: NUMBER
            for name in (
                "up_kbps",
                "up_loss_percent",
                "down_kbps",
                "down_loss_percent",
                "rtt_ms",
                "estimate_kbps",
            )
        },
        "step": {**TEXT, "description": "what the line left of what was shown"},
        "up_step": {**TEXT, "description": "what it left of the own picture"},
        "is_lost": {"type": "boolean"},
    },
}
QUALITY_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **SESSION_SCHEMA["properties"],
        "people": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "identity": TEXT,
                    "name": TEXT,
                    "role": TEXT,
                    "cause": {
                        "type": "string",
                        "enum": ["phone", "uplink", "downlink", "server", "none"],
                    },
                    "sentence": {"type": "string", "enum": list(SENTENCES)},
                    "bad_s": {"type": "integer"},
                    "total_s": {"type": "integer"},
                    "resumes": {"type": "integer"},
                    "stretches": {"type": "array", "items": STRETCH_SCHEMA},
                    "points": {"type": "array", "items": POINT_SCHEMA},
                },
            },
        },
    },
}
PASSPORT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "place": TEXT,
        "minutes": {"type": "integer", "description": "how much was measured"},
        "days": {"type": "integer"},
        "down_kbps": SPREAD,
        "up_kbps": SPREAD,
        "loss_percent": SPREAD,
        "rtt_ms": SPREAD,
        "weak_share": NUMBER,
        "weak_by_hour": {"type": "array", "items": {"type": ["number", "null"]}},
        **ADVICE_MEMBERS,
    },
}


class LineRoutes:
    """History of lines over HTTP. Whoever administers a room may see it, and nobody else."""

    def __init__(self, store: LineStore, access: Access, *, passports: Passports) -> None:
        """Take the store, who may ask, and the passports."""
        self._store = store
        self._access = access
        self._passports = passports
        self._one_at_a_time = asyncio.Lock()

    def operations(self) -> list[Operation]:
        """Return the routes."""
        listed = {
            "type": "object",
            "properties": {"sessions": {"type": "array", "items": SESSION_SCHEMA}},
        }
        return [
            Operation(
                "GET",
                "/api/rooms/{room}/sessions",
                self.handle_sessions,
                "Sessions of a room that are remembered, newest first",
                "network",
                answers={200: listed},
            ),
            Operation(
                "GET",
                "/api/rooms/{room}/sessions/{id}/quality",
                self.handle_quality,
                "Why it was bad: one cause per person, with the times",
                "network",
                answers={200: QUALITY_SCHEMA, 404: "Not of this room, or forgotten."},
            ),
            Operation(
                "GET",
                "/api/places/{place}/network",
                self.handle_place,
                "A network passport: of who walks in a room, or in any room of its store",
                "network",
                query={
                    "name": "of one person, as in an invitation, instead of all walkers",
                    "utc_offset_minutes": "of the reader's clock, for the hours of the day",
                },
                answers={200: PASSPORT_SCHEMA},
            ),
        ]

    async def handle_sessions(self, request: web.Request) -> web.Response:
        """List sessions."""
        room = self._require(request, request.match_info["room"])
        sessions = [show_session(session) for session in await self._store.sessions(room)]
        return web.json_response({"sessions": sessions})

    async def handle_quality(self, request: web.Request) -> web.Response:
        """Tell how a session was for everybody in it."""
        room = self._require(request, request.match_info["room"])
        # Some 60 000 samples: a second of work and megabytes of JSON, so beside the event loop, and
        # not several at once.
        async with self._one_at_a_time:
            found = await self._store.quality(room, request.match_info["id"])
            if found is None:
                raise not_found("That session")
            body = await asyncio.to_thread(_write_quality, *found)
        return web.Response(body=body, content_type="application/json")

    async def handle_place(self, request: web.Request) -> web.Response:
        """Tell how a place's line usually is."""
        place = self._require(request, request.match_info["place"])
        name = request.query.get("name", "").strip()
        if len(name) > MAX_NAME_CHARS:
            raise Problem(400, "bad_request", f"name is longer than {MAX_NAME_CHARS} characters.")
        offset_s = _offset_s(request)
        passport = await self._passports.of(place, name=name, utc_offset_s=offset_s)
        return web.json_response({"place": place, **show_passport(passport)})

    def _require(self, request: web.Request, room: str) -> str:
        """Rights on the history of lines: the one place every route asks."""
        self._access.require(request, "room_admin", room=room)
        return room


def _offset_s(request: web.Request) -> int:
    text = request.query.get("utc_offset_minutes", "0")
    digits = text.removeprefix("-")
    is_whole = digits.isascii() and digits.isdigit() and len(digits) <= 4
    if not is_whole or abs(int(text)) > MAX_OFFSET_MINUTES:
        raise Problem(
            400, "bad_request", f"utc_offset_minutes must be within ±{MAX_OFFSET_MINUTES}."
        )
    return int(text) * 60


def _write_quality(session: Session, people: Sequence[tuple[Person, Sequence[Sample]]]) -> bytes:
    shown = [show_person(*one) for one in people]
    return json.dumps({**show_session(session), "people": shown}).encode()


def show_session(session: Session) -> dict[str, Any]:
    """Return a session as the API shows it."""
    ended_at_s = session.ended_at_s
    return {
        "id": session.id,
        "room": session.room,
        "started_at": iso(session.started_at_s),
        "ended_at": None if ended_at_s is None else iso(ended_at_s),
        "num_people": session.num_people,
    }


def show_person(person: Person, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return how a session was for one person."""
    verdict = find_verdict(samples)
    return {
        **person._asdict(),
        "cause": verdict.cause,
        "sentence": verdict.sentence,
        "bad_s": verdict.bad_s,
        "total_s": verdict.total_s,
        "resumes": max((sample.resumes for sample in samples), default=0),
        "stretches": [_show_stretch(stretch) for stretch in verdict.stretches],
        "points": [_show_point(group) for group in _groups(samples)],
    }


def _show_stretch(stretch: Stretch) -> dict[str, Any]:
    return {
        "from": iso(stretch.start_s),
        "to": iso(stretch.end_s),
        "cause": stretch.cause,
        "sentence": f"why.{stretch.cause}.{stretch.detail}",
        "worst_loss_percent": stretch.worst_loss_percent,
        "worst_rtt_ms": stretch.worst_rtt_ms,
    }


def _groups(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    size = max(1, -(-len(samples) // MAX_POINTS))
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _show_point(group: Sequence[Sample]) -> dict[str, Any]:
    return {
        "at": iso(group[0].at_s - SAMPLE_S),
        "up_kbps": min(sample.up_kbps for sample in group),
        "up_loss_percent": max(sample.up_loss_permille for sample in group) / 10,
        "down_kbps": min(sample.down_kbps for sample in group),
        "down_loss_percent": max(sample.down_loss_permille for sample in group) / 10,
        "rtt_ms": max(sample.rtt_ms for sample in group),
        "estimate_kbps": min(sample.estimate_kbps for sample in group),
        "step": group[-1].step,
        "up_step": group[-1].up_step,
        "is_lost": any(sample.is_lost for sample in group),
    }


def show_advice(advice: Advice) -> dict[str, str]:
    """Return advice as the API shows it."""
    return {"grade": advice.grade, "advice": advice.advice, "limit": advice.limit}


def show_passport(passport: Passport) -> dict[str, Any]:
    """Return a passport as the API shows it."""
    return {
        "minutes": passport.minutes,
        "days": passport.days,
        "down_kbps": _show_spread(passport.down_kbps),
        "up_kbps": _show_spread(passport.up_kbps),
        "loss_percent": _show_spread(passport.loss_percent),
        "rtt_ms": _show_spread(passport.rtt_ms),
        "weak_share": passport.weak_share,
        "weak_by_hour": list(passport.weak_by_hour),
        **show_advice(passport.advice),
    }


def _show_spread(values: tuple[float, ...] | None) -> dict[str, float] | None:
    if values is None:
        return None
    return {f"p{percent}": value for percent, value in zip(PERCENTILES, values, strict=True)}


def iso(at_s: float) -> str:
    """Return a Unix time as the API shows it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat()
