"""Which clients are pages of ours, and understand what we say beside the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.participant import Participant

__all__ = ["PAGE_ATTRIBUTE", "is_page"]

PAGE_ATTRIBUTE = "aislecast.page"


def is_page(participant: Participant) -> bool:
    """Whether this client is a page of ours. Its token says so: nobody can claim it."""
    return participant.grants.attributes.get(PAGE_ATTRIBUTE) == "1"
