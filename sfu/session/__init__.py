"""Offer/answer over one transport, neutral to the signalling that carries it."""

from sfu.session.errors import SessionError
from sfu.session.session import Session
from sfu.session.tracks import (
    Claim,
    ClaimTrack,
    OfferedTrack,
    Refusal,
    Subscription,
    TrackClaim,
)

__all__ = [
    "Claim",
    "ClaimTrack",
    "OfferedTrack",
    "Refusal",
    "Session",
    "SessionError",
    "Subscription",
    "TrackClaim",
]
