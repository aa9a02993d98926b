"""JSON request bodies: one shape checks a body and describes it for OpenAPI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from web.http.problems import Problem

MAX_JSON_BYTES = 64 * 1024
BODY_TIMEOUT_S = 15.0
"""A body of this size takes 10 s at 50 kb/s; who is slower holds a connection on purpose."""


class Field(Protocol):
    """One member of a body."""

    @property
    def is_required(self) -> bool:
        """Whether a body without it is refused."""

    def check(self, name: str, value: Any) -> Any:
        """Return the clean value or raise `Problem`."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""


def _bad(name: str, wants: str) -> Problem:
    return Problem(400, "bad_request", f"{name} {wants}.")


@dataclass(frozen=True, slots=True)
class Text:
    """A text; white space around it is dropped, control characters are refused."""

    max_chars: int
    is_required: bool = True
    min_chars: int = 1
    meaning: str = ""

    def check(self, name: str, value: Any) -> str:
        """Return the text without surrounding white space."""
        if not isinstance(value, str):
            raise _bad(name, "must be a text")
        text = value.strip()
        if len(text) > self.max_chars:
            raise _bad(name, f"is longer than {self.max_chars} characters")
        if len(text) < (self.min_chars if self.is_required or text else 0):
            raise _bad(name, "is missing" if not text else "is too short")
        if any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text):
            raise _bad(name, "holds characters that cannot be shown")
        if any(0xD800 <= ord(char) < 0xE000 for char in text):
            raise _bad(name, "is not valid Unicode")
        return text

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        schema: dict[str, Any] = {"type": "string", "maxLength": self.max_chars}
        if self.is_required:
            schema["minLength"] = self.min_chars
        return schema | ({"description": self.meaning} if self.meaning else {})


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]
    is_required: bool = True
    meaning: str = ""

    def check(self, name: str, value: Any) -> str:
        """Return the word."""
        if not isinstance(value, str) or value not in self.words:
            raise _bad(name, "must be one of " + ", ".join(self.words))
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        schema: dict[str, Any] = {"type": "string", "enum": list(self.words)}
        return schema | ({"description": self.meaning} if self.meaning else {})


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    lowest: int
    highest: int
    is_required: bool = True
    meaning: str = ""

    def check(self, name: str, value: Any) -> int:
        """Return the number."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number or not self.lowest <= value <= self.highest:
            raise _bad(name, f"must be a whole number from {self.lowest} to {self.highest}")
        return int(value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        schema: dict[str, Any] = {
            "type": "integer",
            "minimum": self.lowest,
            "maximum": self.highest,
        }
        return schema | ({"description": self.meaning} if self.meaning else {})


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with known members."""

    members: Mapping[str, Field] = field(default_factory=dict)

    def check(self, value: Any) -> dict[str, Any]:
        """Return the clean members; absent optional ones are left out, unknown ones are refused."""
        if not isinstance(value, dict):
            raise Problem(400, "bad_request", "The body must be a JSON object.")
        for name in value:
            if name not in self.members:
                raise _bad(str(name)[:40], "is not known here")
        clean: dict[str, Any] = {}
        for name, member in self.members.items():
            if value.get(name) is None:
                if member.is_required:
                    raise _bad(name, "is missing")
                continue
            clean[name] = member.check(name, value[name])
        return clean

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {
            "type": "object",
            "properties": {name: member.schema() for name, member in self.members.items()},
            "required": [name for name, member in self.members.items() if member.is_required],
            "additionalProperties": False,
        }


async def read_json(request: web.Request, shape: Shape) -> dict[str, Any]:
    """Read and check a JSON body of at most `MAX_JSON_BYTES`; an empty body counts as `{}`."""
    body = await read_bounded(request, MAX_JSON_BYTES)
    if not body.strip():
        return shape.check({})
    # Browsers send cross-site forms without asking, but never with this content type.
    if request.content_type != "application/json":
        raise Problem(415, "not_json", "The body must be application/json.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "bad_json", "The body is not valid JSON.") from None
    return shape.check(value)


async def read_bounded(request: web.Request, max_bytes: int) -> bytes:
    """Read a body that may not be larger than `max_bytes`; never holds more than that."""
    too_large = Problem(413, "too_large", f"The body is larger than {max_bytes} bytes.")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.content.iter_any():
                size += len(part)
                if size > max_bytes:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise Problem(408, "too_slow", "The body took too long to arrive.") from None
    return b"".join(parts)
