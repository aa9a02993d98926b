"""Session descriptions and announcements as they come in from a client."""

from __future__ import annotations

from livekit.protocol import models, rtc

from sfu.sdp import SdpError
from signaling.membership import remove
from signaling.negotiate import ServerOffers
from signaling.participant import Participant
from signaling.publishing import SectionClaims, handle_add_track
from signaling.room import Room

__all__ = ["take_add_track", "take_answer", "take_offer"]


def take_offer(room: Room, participant: Participant, offer: rtc.SessionDescription) -> None:
    """Answers an offer and publishes the tracks in it."""
    link = participant.link
    assert link is not None, "it has a WebSocket"
    if len(offer.sdp) > room.context.config.limits.sdp_bytes:
        _refuse(room, participant, "offer_too_large")
        return
    claims = SectionClaims(participant, offer.sdp)
    # An answer may carry tracks that the client must have been told of.
    room.flush_urgent()
    try:
        answer = link.publisher.handle_offer(offer.sdp, claims.claim)
    except SdpError as error:
        _refuse(room, participant, error.code)
        return
    link.last_offer_sdp = offer.sdp
    participant.send(
        answer=rtc.SessionDescription(
            type="answer",
            sdp=answer,
            # Browsers drop an answer whose id is not their offer's.
            id=offer.id,
            mid_to_track_id=link.publisher.session.mid_to_track_id,
        )
    )
    claims.publish(room)


def take_answer(room: Room, participant: Participant, answer: rtc.SessionDescription) -> None:
    """Takes the answer to our offer (dual mode only)."""
    link = participant.link
    assert link is not None, "it has a WebSocket"
    if not isinstance(link.subscriber, ServerOffers):
        room.context.counters["answer_unexpected"] += 1
        return
    if len(answer.sdp) > room.context.config.limits.sdp_bytes:
        _refuse(room, participant, "answer_too_large")
        return
    try:
        link.subscriber.handle_answer(answer)
    except SdpError as error:
        _refuse(room, participant, error.code)


def take_add_track(room: Room, participant: Participant, request: rtc.AddTrackRequest) -> None:
    """Announces a track; its section may have come before the announcement."""
    link = participant.link
    assert link is not None, "it has a WebSocket"
    if handle_add_track(room, participant, request):
        claims = SectionClaims(participant, link.last_offer_sdp)
        link.publisher.session.claim_held(claims.claim)
        claims.publish(room)


def _refuse(room: Room, participant: Participant, code: str) -> None:
    """There is no error response to a description. A client that sends one that we cannot read
    would send it again after a reconnect, so it is told to stay away."""
    room.context.counters[f"refused_{code}"] += 1
    remove(room, participant, models.DisconnectReason.MEDIA_FAILURE)
