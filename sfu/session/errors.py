"""Misuse of a session by its caller."""

from __future__ import annotations

from sfu.errors import SfuError


class SessionError(SfuError):
    """Asked for something that this session cannot do now; `code` starts with `session_`."""
