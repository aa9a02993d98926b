"""Refusals: what an API call answers when it does not do what was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web


class Problem(Exception):
    """A request is refused: a stable code for programs, plain words for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Name the refusal; `message` is one sentence without internals."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def problem_response(problem: Problem) -> web.Response:
    """Answer with a problem document (RFC 9457; `code` and `message` are members of ours)."""
    document = {
        "status": problem.status,
        "title": problem.message,
        "code": problem.code,
        "message": problem.message,
    }
    return web.Response(
        body=json.dumps(document, ensure_ascii=False).encode(),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )


def not_found(what: str = "That") -> Problem:
    """Refuse because it is not there, or not for this caller: both look the same from outside."""
    return Problem(404, "not_found", f"{what} is not here (any more).")


def stopping() -> Problem:
    """Refuse because the server is about to stop; the next one is there in moments."""
    return Problem(
        503,
        "stopping",
        "The server is restarting. Please try again in a moment.",
        headers={"Retry-After": "3"},
    )


def too_many(retry_after_s: float) -> Problem:
    """Refuse because this caller asks too often."""
    wait_s = max(1, round(retry_after_s))
    return Problem(
        429,
        "too_many_requests",
        f"Too many tries. Please wait {wait_s} s and try again.",
        headers={"Retry-After": str(wait_s)},
    )
