"""What a subscriber's line makes of its wishes, and what the subscriber is told of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from bandwidth.ladder import Step
from signaling.data import RELIABLE
from signaling.pages import is_page
from signaling.participant import Participant, TrackSubscription
from signaling.room import Room

if TYPE_CHECKING:
    from sfu.ids import Layers

__all__ = ["TOPIC", "handle_granted", "handle_step", "send_states", "update_stills"]

TOPIC = "aislecast.network"

StreamState = rtc.StreamState


def handle_granted(
    room: Room, participant: Participant, subscription: TrackSubscription, layers: Layers
) -> None:
    """The line carries something else of a track than before."""
    track = subscription.track
    wish = subscription.media.wish
    if wish is None or participant.is_gone:
        return
    track.demand.take(participant.sid, wish, layers, encoding_count=track.encoding_count)
    is_paused = layers.paused and not wish.is_paused
    if is_paused != subscription.is_paused:
        subscription.is_paused = is_paused
        send_states(participant, [subscription])
        update_stills(room, participant, subscription)


def handle_step(room: Room, participant: Participant, step: Step, reason: str) -> None:
    """The line has become worse or better, by a step that is worth words."""
    participant.line_step, participant.step_reason = step, reason
    for subscription in participant.subscriptions.values():
        update_stills(room, participant, subscription)
    _tell_step(room, participant)


def _tell_step(room: Room, participant: Participant) -> None:
    """Say what happens: stills are there when some arrive. Until then, and where the line has no
    room left beside the sound for so long that none does, there is sound alone."""
    step = participant.line_step
    if step == Step.STILLS and not room.context.stills.is_through(participant):
        step = Step.AUDIO_ONLY
    if step == participant.step:
        return
    participant.step = step
    link = participant.link
    if link is None or link.is_closed or not is_page(participant):
        return
    content = {"step": step.name.lower(), "reason": participant.step_reason}
    packet = models.DataPacket(
        kind=models.DataPacket.RELIABLE,
        user=models.UserPacket(topic=TOPIC, payload=json.dumps(content).encode()),
    )
    if not link.send_data(RELIABLE, packet.SerializeToString()):
        room.context.counters["step_not_sent"] += 1


def send_states(participant: Participant, subscriptions: list[TrackSubscription]) -> None:
    """Tells a client which tracks its line keeps from flowing."""
    states = [
        rtc.StreamStateInfo(
            participant_sid=subscription.track.publisher_sid,
            track_sid=subscription.track.sid,
            state=StreamState.PAUSED if subscription.is_paused else StreamState.ACTIVE,
        )
        for subscription in subscriptions
    ]
    if states:
        participant.send(stream_state_update=rtc.StreamStateUpdate(stream_states=states))


def update_stills(room: Room, participant: Participant, subscription: TrackSubscription) -> None:
    """Stills go where video does not fit, as long as even they do. Repeatable."""
    stills = room.context.stills
    if subscription.is_paused and participant.line_step != Step.AUDIO_ONLY:
        stills.start(participant, subscription.track, lambda: _tell_step(room, participant))
    else:
        stills.stop(participant, subscription.track)
