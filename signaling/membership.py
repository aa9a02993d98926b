"""Coming and going: join, resume, removal, and what happens to media meanwhile."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from signaling import data, network, publishing, subscriptions, uplinks
from signaling.config import IceServer
from signaling.hooks import call_hooks
from signaling.join import JoinParams
from signaling.link import LinkEvents, MediaLink
from signaling.messages import build_ice_servers, build_join, build_leave, build_server_info
from signaling.metadata import find_excess, send_refresh_token
from signaling.outbox import Outbox
from signaling.participant import Participant
from signaling.rights import may_update_own_metadata, permission_from_grant
from signaling.room import Room
from signaling.tokens import Grants
from signaling.turn import list_ice_servers

if TYPE_CHECKING:
    from sfu.session import Subscription

__all__ = [
    "activate",
    "find_resumable",
    "handle_lost",
    "join",
    "leave_all",
    "remove",
    "resume",
    "sync",
]

log = logging.getLogger(__name__)

State = models.ParticipantInfo
Reason = models.DisconnectReason
Action = rtc.LeaveRequest

# What browsers and native clients call a mobile network.
_CELLULAR = ("cellular", "2g", "3g", "4g", "5g", "lte")
_KINDS = {
    "ingress": State.INGRESS,
    "egress": State.EGRESS,
    "sip": State.SIP,
    "agent": State.AGENT,
}


def join(room: Room, grants: Grants, params: JoinParams, outbox: Outbox) -> Participant:
    """Takes a client into the room. The caller has checked rights and space.

    The order matters to clients: `join` is the first message, then everything that is known about
    tracks. The token, which nobody waits for, goes behind the first description.
    """
    context = room.context
    previous = room.participants.get(grants.identity)
    if previous is not None:
        # The same person from another tab or after a crash: one seat, the newest one sits on it.
        remove(room, previous, Reason.DUPLICATE_IDENTITY)
    participant = _make_participant(room, grants, params)
    participant.link = MediaLink(
        context.media,
        _link_events(room, participant),
        is_single=params.is_single_pc,
        clock=context.clock,
        timeouts=context.config.timeouts,
        counters=context.counters,
    )
    _describe_line(room, participant, params)
    outbox.send(
        build_join(
            context.config,
            room=room.info,
            participant=participant.info,
            others=room.visible_infos(participant),
            ice_servers=_ice_servers(room, participant),
            is_single_pc=params.is_single_pc,
        )
    )
    participant.outbox = outbox
    participant.info.state = State.JOINED
    room.add(participant, keeps_room=not participant.is_hidden)
    room.announce(participant, is_urgent=False)
    subscriptions.reconcile_participant(room, participant)
    return participant


def _ice_servers(room: Room, participant: Participant) -> list[IceServer]:
    context = room.context
    # Known by its sid: the TURN server has no business with names.
    return list_ice_servers(context.config, participant.sid, context.clock.wall_ms() / 1000)


def _make_participant(room: Room, grants: Grants, params: JoinParams) -> Participant:
    context = room.context
    permission = permission_from_grant(grants.video)
    limits = context.config.limits
    if params.attributes or params.metadata:
        merged = {**grants.attributes, **params.attributes}
        metadata = params.metadata or grants.metadata
        is_small = not find_excess(limits, metadata=metadata, attributes=merged)
        if may_update_own_metadata(permission) and is_small:
            grants = replace(grants, attributes=merged, metadata=metadata)
    participant = Participant(
        context.sids.make("PA"), grants, permission, wall_ms=context.clock.wall_ms()
    )
    participant.auto_subscribe = params.auto_subscribe
    participant.joined_s = context.clock.now_s()
    info = participant.info
    info.kind = _KINDS.get(grants.kind, State.STANDARD)
    # Read by other clients, which pick formats by them.
    info.client_protocol = params.client.client_protocol
    info.capabilities.extend(params.client.capabilities)
    return participant


def _link_events(room: Room, participant: Participant) -> LinkEvents:
    def handle_stuck() -> None:
        room.context.counters["negotiation_timeout"] += 1
        remove(room, participant, Reason.STATE_MISMATCH, action=Action.RECONNECT)

    def handle_unsupported(media: Subscription) -> None:
        subscriptions.handle_unsupported(participant, media.track_id)

    def handle_subscribed(media: Subscription) -> None:
        subscriptions.handle_subscribed(room, media.track_id)

    return LinkEvents(
        send=participant.send,
        on_state=lambda state: _handle_state(room, participant, state),
        on_uplink=lambda rate_bps: uplinks.handle_fall(room, participant, rate_bps),
        on_message=lambda label, packet: data.handle_packet(room, participant, label, packet),
        on_unpublished=lambda mid: publishing.handle_unpublished_section(room, participant, mid),
        on_subscribed=handle_subscribed,
        on_unsupported=handle_unsupported,
        on_stuck=handle_stuck,
    )


def _describe_line(room: Room, participant: Participant, params: JoinParams) -> None:
    """Whose line it is that tracks go to, and who is to hear what becomes of it."""
    assert participant.link is not None, "made before"
    line = participant.link.primary
    line.person = participant.identity
    line.is_cellular = params.client.network.lower() in _CELLULAR
    line.on_step = lambda step, reason: network.handle_step(room, participant, step, reason)


def _handle_state(room: Room, participant: Participant, state: str) -> None:
    if state == "connected":
        participant.failed_s = None
        if not participant.was_active:
            activate(room, participant)
    elif state == "failed" and participant.failed_s is None:
        participant.failed_s = room.context.clock.now_s()


def activate(room: Room, participant: Participant) -> None:
    """Media can flow for the first time (at once for participants of this process)."""
    participant.was_active = True
    participant.info.state = State.ACTIVE
    room.announce(participant, is_urgent=bool(participant.tracks))
    speakers = room.speakers.active()
    if speakers:
        participant.send(speakers_changed=rtc.SpeakersChanged(speakers=speakers))
    call_hooks(room.context.hooks.on_participant_joined, room.info, participant.info)
    room.emit("participant_joined", participant=participant.info)


def find_resumable(room: Room | None, grants: Grants, params: JoinParams) -> Participant | None:
    """The participant that a reconnecting client may go on with."""
    participant = room.by_sid.get(params.participant_sid) if room is not None else None
    if participant is None or participant.link is None:
        return None
    if participant.drops_next_resume:
        participant.drops_next_resume = False
        return None
    is_same = participant.identity == grants.identity
    is_same_mode = participant.link.is_single == params.is_single_pc
    # A connection that never came up has nothing to go on with.
    is_usable = participant.was_active or participant.failed_s is None
    return participant if is_same and is_same_mode and is_usable else None


def resume(room: Room, participant: Participant, params: JoinParams, outbox: Outbox) -> None:
    """Gives a participant a new WebSocket; its media never stopped.

    `reconnect` comes first: clients drop everything before it.
    """
    config = room.context.config
    absent_since_s = participant.lost_s
    if participant.outbox is not None and participant.outbox is not outbox:
        participant.outbox.close()
    room.flush_urgent()
    participant.outbox = outbox
    participant.lost_s = None
    participant.resumes += 1
    participant.send(
        reconnect=rtc.ReconnectResponse(
            ice_servers=build_ice_servers(_ice_servers(room, participant)),
            server_info=build_server_info(config),
            last_message_seq=participant.last_reliable_seq,
        )
    )
    # Departures first, see Room.flush_urgent.
    infos = room.departed_since(absent_since_s)
    infos += [*room.visible_infos(participant), participant.info]
    participant.send(update=rtc.ParticipantUpdate(participants=infos))
    participant.send(room_update=rtc.RoomUpdate(room=room.info))
    send_refresh_token(room, participant)
    paused = [one for one in participant.subscriptions.values() if one.is_paused]
    network.send_states(participant, paused)
    room.context.counters["resumed"] += 1
    assert participant.link is not None, "only participants with a link resume"
    participant.link.resume()
    if params.sync_state is not None:
        sync(room, participant, params.sync_state)


def sync(room: Room, participant: Participant, state: rtc.SyncState) -> None:
    """What a resumed client believes. Where it has a track that we have not, only a new start
    helps."""
    known = set(participant.tracks) | {p.info.sid for p in participant.pending.values()}
    if any(published.track.sid not in known for published in state.publish_tracks):
        room.context.counters["sync_mismatch"] += 1
        remove(room, participant, Reason.STATE_MISMATCH, action=Action.RECONNECT)
        return
    if state.HasField("subscription"):
        subscriptions.handle_subscription(room, participant, state.subscription)
    if state.track_sids_disabled:
        settings = rtc.UpdateTrackSettings(track_sids=state.track_sids_disabled, disabled=True)
        subscriptions.handle_track_setting(room, participant, settings)
    last_seqs = {r.publisher_sid: r.last_seq for r in state.datachannel_receive_states}
    data.replay(room, participant, last_seqs)


def handle_lost(room: Room, participant: Participant, outbox: Outbox) -> None:
    """A WebSocket ended without `leave`. Who has media keeps the seat and may resume."""
    outbox.detach()
    if participant.outbox is not outbox:
        return
    participant.outbox = None
    if participant.is_gone:
        return
    participant.lost_s = room.context.clock.now_s()
    if not participant.was_active:
        remove(room, participant, Reason.SIGNAL_CLOSE)
        return
    assert participant.link is not None, "it had a WebSocket"
    participant.link.pause()


def remove(
    room: Room,
    participant: Participant,
    reason: models.DisconnectReason,
    *,
    action: rtc.LeaveRequest.Action = Action.DISCONNECT,
    is_silent: bool = False,
) -> None:
    """Ends a participation: tracks, subscriptions, connection. Idempotent.

    Args:
        action: what the client shall do next.
        is_silent: close the WebSocket without a `leave`.
    """
    if participant.is_gone:
        return
    info = participant.info
    info.state = State.DISCONNECTED
    info.disconnect_reason = reason
    for track in list(participant.tracks.values()):
        publishing.unpublish(room, participant, track, by_server=False)
    outbox, participant.outbox = participant.outbox, None
    if outbox is not None:
        if not is_silent:
            outbox.send(build_leave(reason, action))
        outbox.close()
    subscriptions.drop_participant(room, participant)
    if participant.link is not None:
        participant.link.close()
    room.announce(participant, is_urgent=False)
    room.discard(participant)
    room.context.counters["left"] += 1
    call_hooks(room.context.hooks.on_participant_left, room.info, info)
    event = "participant_left" if participant.was_active else "participant_connection_aborted"
    room.emit(event, participant=info)
    if participant.on_removed is not None:
        call_hooks([participant.on_removed])


def leave_all(room: Room, reason: models.DisconnectReason, action: rtc.LeaveRequest.Action) -> None:
    """Removes everybody."""
    for participant in list(room.participants.values()):
        remove(room, participant, reason, action=action)
    room.flush_urgent()
