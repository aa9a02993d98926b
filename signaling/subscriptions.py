"""Who receives which track.

One rule decides (`_should_receive`, `_may_receive`); every change of an input calls a
`reconcile_…`, which makes the media side agree with the rule. Calling it again changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from bandwidth.demand import ALL_TEMPORAL
from signaling import network
from signaling.dynacast import build_quality_update
from signaling.layers import TrackSettings, build_wish
from signaling.pages import is_page
from signaling.participant import Participant, TrackSubscription
from signaling.rights import is_allowed_subscriber, may_subscribe
from signaling.room import Room
from signaling.track import PublishedTrack

if TYPE_CHECKING:
    from sfu.ids import Layers

__all__ = [
    "drop_participant",
    "drop_track",
    "handle_permission_rule",
    "handle_subscribed",
    "handle_subscription",
    "handle_track_setting",
    "handle_unsupported",
    "poll_demand",
    "reconcile_participant",
    "reconcile_track",
    "resubscribe",
    "tell_layers",
]

_DEFAULT_SETTINGS = TrackSettings()


def reconcile_participant(room: Room, participant: Participant) -> None:
    """Makes one participant's subscriptions right, all tracks."""
    for track in room.tracks.values():
        _reconcile(room, participant, track)


def reconcile_track(room: Room, track: PublishedTrack) -> None:
    """Makes one track's subscriptions right, all participants."""
    for participant in list(room.participants.values()):
        _reconcile(room, participant, track)


def drop_track(room: Room, track: PublishedTrack) -> None:
    """Ends all subscriptions of a track that is going away."""
    for sid in list(track.subscribers):
        participant = room.by_sid.get(sid)
        if participant is not None:
            _unsubscribe(room, participant, track)
    for participant in room.participants.values():
        participant.settings.pop(track.sid, None)
        participant.wanted.pop(track.sid, None)
        participant.denied.discard(track.sid)


def resubscribe(room: Room, track: PublishedTrack) -> None:
    """Makes all subscriptions of a track anew: they were negotiated for another codec."""
    for sid in list(track.subscribers):
        participant = room.by_sid[sid]
        _unsubscribe(room, participant, track)
        _reconcile(room, participant, track)


def drop_participant(room: Room, participant: Participant) -> None:
    """Ends all subscriptions of a participant that is going away."""
    for subscription in list(participant.subscriptions.values()):
        _unsubscribe(room, participant, subscription.track)
        poll_demand(room, subscription.track)


def handle_subscription(
    room: Room, participant: Participant, request: rtc.UpdateSubscription
) -> None:
    """A client (or the server API on its behalf) asks to receive tracks or not."""
    sids = list(request.track_sids)
    for entry in request.participant_tracks:
        sids.extend(entry.track_sids)
    limit = room.context.config.limits.remembered_subscriptions
    for sid in sids:
        track = room.tracks.get(sid)
        # Remembered even if unknown: the wish may overtake the news of the track.
        if sid in participant.wanted or len(participant.wanted) < limit:
            participant.wanted[sid] = request.subscribe
        else:
            room.context.counters["dropped_subscription"] += 1
        if track is not None:
            _reconcile(room, participant, track)
        elif request.subscribe:
            _send_error(participant, sid, models.SubscriptionError.SE_TRACK_NOTFOUND)


def handle_track_setting(
    room: Room, participant: Participant, request: rtc.UpdateTrackSettings
) -> None:
    """A client says how it shows tracks. Also kept for tracks it does not receive yet."""
    settings = TrackSettings.from_message(request)
    limit = room.context.config.limits.remembered_subscriptions
    for sid in request.track_sids:
        if sid not in participant.settings and len(participant.settings) >= limit:
            room.context.counters["dropped_track_setting"] += 1
            continue
        participant.settings[sid] = settings
        subscription = participant.subscriptions.get(sid)
        if subscription is not None:
            _apply_settings(room, participant, subscription)


def handle_permission_rule(
    room: Room, publisher: Participant, rule: rtc.SubscriptionPermission
) -> None:
    """A publisher says who may receive its tracks; those affected are told."""
    limit = room.context.config.limits.remembered_subscriptions
    if len(rule.track_permissions) > limit:
        # The list is walked for every subscriber and track. Who is beyond its end may not receive.
        room.context.counters["dropped_track_permission"] += len(rule.track_permissions) - limit
        del rule.track_permissions[limit:]
    publisher.permission_rule = None if rule.all_participants else rule
    for track in publisher.tracks.values():
        reconcile_track(room, track)


def poll_demand(room: Room, track: PublishedTrack) -> None:
    """Tells the publisher of a video track which layers are wanted, if that has changed."""
    publisher = room.by_sid.get(track.publisher_sid)
    if not track.is_video or publisher is None or publisher.is_local:
        return
    track.demand.pin(track.source.has_tap)
    if track.demand.poll(room.context.clock.now_s()):
        tell_layers(publisher, track)


def tell_layers(publisher: Participant, track: PublishedTrack) -> None:
    """Tells a publisher which layers to send: those wanted, as far as its line carries them.

    Clients with dynacast obey at once, all others not at all.
    """
    top = track.demand.top
    if track.lowered_to is not None:
        top = min(top, track.lowered_to)
    codec = track.info.mime_type.rpartition("/")[2].lower()
    update = build_quality_update(track.sid, codec, track.info.layers, top)
    publisher.send(subscribed_quality_update=update)


def _should_receive(room: Room, participant: Participant, track: PublishedTrack) -> bool:
    if participant.is_local or participant.sid == track.publisher_sid:
        return False
    return participant.wanted.get(track.sid, participant.auto_subscribe)


def _may_receive(room: Room, participant: Participant, track: PublishedTrack) -> bool:
    publisher = room.publisher_of(track)
    return may_subscribe(participant.permission) and is_allowed_subscriber(
        publisher.permission_rule,
        sid=participant.sid,
        identity=participant.identity,
        track_sid=track.sid,
    )


def _reconcile(room: Room, participant: Participant, track: PublishedTrack) -> None:
    is_wanted = _should_receive(room, participant, track)
    is_allowed = is_wanted and _may_receive(room, participant, track)
    if is_wanted:
        _tell_permission(participant, track, is_allowed)
    is_subscribed = track.sid in participant.subscriptions
    if is_allowed and not is_subscribed:
        _subscribe(room, participant, track)
    elif not is_allowed and is_subscribed:
        _unsubscribe(room, participant, track)
        poll_demand(room, track)


def _tell_permission(participant: Participant, track: PublishedTrack, is_allowed: bool) -> None:
    """Clients assume that they may; only the exception and its end are news."""
    was_denied = track.sid in participant.denied
    if was_denied == (not is_allowed):
        return
    (participant.denied.discard if is_allowed else participant.denied.add)(track.sid)
    participant.send(
        subscription_permission_update=rtc.SubscriptionPermissionUpdate(
            participant_sid=track.publisher_sid, track_sid=track.sid, allowed=is_allowed
        )
    )


def _subscribe(room: Room, participant: Participant, track: PublishedTrack) -> None:
    link = participant.link
    assert link is not None, "local participants receive nothing"
    session = link.subscriber.session
    media = session.subscribe(
        track.source,
        stream_id=f"{track.publisher_sid}|{track.sid}",
        track_id=track.sid,
        codecs=track.codecs,
        allows_red=not track.info.encryption,
    )
    if track.is_video:
        track.source.announced_bps = tuple(layer.bitrate for layer in track.info.layers)
    subscription = TrackSubscription(track, media)
    media.on_granted = lambda layers: _handle_granted(room, participant, subscription, layers)
    participant.subscriptions[track.sid] = subscription
    track.subscribers.add(participant.sid)
    _apply_settings(room, participant, subscription)
    link.subscriber.request()


def handle_subscribed(room: Room, track_sid: str) -> None:
    """Media begins to flow to a subscriber. The publisher hears of the first one."""
    track = room.tracks.get(track_sid)
    if track is not None and not track.was_subscribed:
        track.was_subscribed = True
        room.publisher_of(track).send(track_subscribed=rtc.TrackSubscribed(track_sid=track_sid))


def handle_unsupported(participant: Participant, track_sid: str) -> None:
    """The client can take none of a track's codecs. The subscription stays, unplaced, so that it
    is not tried again with every change."""
    _send_error(participant, track_sid, models.SubscriptionError.SE_CODEC_UNSUPPORTED)


def _unsubscribe(room: Room, participant: Participant, track: PublishedTrack) -> None:
    subscription = participant.subscriptions.pop(track.sid, None)
    track.subscribers.discard(participant.sid)
    if subscription is not None:
        subscription.media.on_granted = None
        room.context.stills.stop(participant, track)
    track.demand.set(participant.sid, None)
    link = participant.link
    if subscription is not None and link is not None and not link.is_closed:
        link.subscriber.session.unsubscribe(subscription.media)
        link.subscriber.request()


def _apply_settings(room: Room, participant: Participant, subscription: TrackSubscription) -> None:
    track = subscription.track
    settings = participant.settings.get(track.sid, _DEFAULT_SETTINGS)
    if not track.is_video:
        subscription.media.set_layers(0, ALL_TEMPORAL, settings.is_disabled)
        return
    subscription.media.set_wish(
        build_wish(
            track.info,
            settings,
            encoding_count=track.encoding_count,
            has_stills=is_page(participant),
        )
    )


def _handle_granted(
    room: Room, participant: Participant, subscription: TrackSubscription, layers: Layers
) -> None:
    network.handle_granted(room, participant, subscription, layers)
    poll_demand(room, subscription.track)


def _send_error(participant: Participant, track_sid: str, error: models.SubscriptionError) -> None:
    participant.send(subscription_response=rtc.SubscriptionResponse(track_sid=track_sid, err=error))
