"""Roles and what each may do: the one place where people's roles become rights."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from signaling.tokens import VideoGrant

ROLE_ATTRIBUTE: Final = "role"
PAGE_ATTRIBUTE: Final = "aislecast.page"
"""Marks our own pages, which understand what the server tells beside the protocol."""


class Role(StrEnum):
    """What somebody is in a room."""

    HOST = "host"
    """Leads: sees everything, records, removes, lets in."""
    GUEST = "guest"
    """Takes part: talks, shows himself, shares his screen."""
    WALKER = "walker"
    """Films a store with a phone."""
    VIEWER = "viewer"
    """Watches and writes; is not seen or heard."""


ROLES: Final = tuple(role.value for role in Role)

_SOURCES: Final[dict[Role, tuple[str, ...]]] = {
    Role.HOST: ("camera", "microphone", "screen_share", "screen_share_audio"),
    Role.GUEST: ("camera", "microphone", "screen_share", "screen_share_audio"),
    Role.WALKER: ("camera", "microphone"),
    Role.VIEWER: (),
}


def rights_of(role: Role, room: str) -> VideoGrant:
    """Return the rights of a role in one room."""
    sources = _SOURCES[role]
    is_host = role is Role.HOST
    return VideoGrant(
        room_join=True,
        room=room,
        room_admin=is_host,
        room_record=is_host,
        can_publish=bool(sources),
        can_subscribe=True,
        can_publish_data=True,
        can_publish_sources=sources,
        # Names come from the link or the host; only a host may change how he is shown.
        can_update_own_metadata=is_host,
    )
