"""Tracks from announcement to end: add_track, sections that claim it, mute, unpublish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from sfu.ids import Codec
from sfu.session import OfferedTrack, Refusal, TrackClaim
from signaling import subscriptions
from signaling.dynacast import LayerDemand
from signaling.hooks import call_hooks
from signaling.participant import Participant
from signaling.rights import may_publish
from signaling.room import Room
from signaling.sending import (
    WEAK_START_BPS,
    count_first_layers,
    has_losses,
    is_weak,
    limit_sound_bps,
)
from signaling.track import (
    PendingTrack,
    PublishedTrack,
    build_track_info,
    describe_codec,
    describe_media,
    sid_hint,
)

if TYPE_CHECKING:
    from sfu.session import Claim
    from sfu.source import Source

__all__ = [
    "SectionClaims",
    "enforce_permission",
    "handle_add_track",
    "handle_mute",
    "handle_update_audio",
    "handle_update_video",
    "publish",
    "set_muted",
    "unpublish",
]

Reason = rtc.RequestResponse.Reason


def handle_add_track(room: Room, participant: Participant, request: rtc.AddTrackRequest) -> bool:
    """Announces a track. Returns whether a section may now be waiting for this claim."""
    context = room.context
    refusal = _refuse_add_track(room, participant, request)
    if refusal is not None:
        context.counters["add_track_refused"] += 1
        participant.send(request_response=rtc.RequestResponse(reason=refusal, add_track=request))
        return False
    pending = participant.pending.get(request.cid)
    if pending is None:
        sid = context.sids.make("TR", sid_hint(request.type, request.source))
        pending = PendingTrack(request, build_track_info(request, sid))
        participant.pending[request.cid] = pending
    participant.send(
        track_published=rtc.TrackPublishedResponse(cid=request.cid, track=pending.info)
    )
    return True


def _refuse_add_track(
    room: Room, participant: Participant, request: rtc.AddTrackRequest
) -> rtc.RequestResponse.Reason | None:
    limits = room.context.config.limits
    if not may_publish(participant.permission, request.source):
        return Reason.NOT_ALLOWED
    if not request.cid or request.type not in (models.TrackType.AUDIO, models.TrackType.VIDEO):
        return Reason.INVALID_REQUEST
    if request.sid:
        # A second codec of a published track. We never ask for one (see DECISIONS.md).
        return Reason.UNSUPPORTED_TYPE
    is_long = len(request.name.encode()) > limits.name_bytes or len(request.cid) > 256
    count = len(participant.tracks) + len(participant.pending)
    if is_long or len(request.layers) > 8 or count >= limits.tracks_per_participant:
        return Reason.LIMIT_EXCEEDED
    return None


class SectionClaims:
    """Matches the sections of one offer with announced tracks.

    A section is matched by the client's track id; where a stack makes up new ids, the oldest
    announcement of the same kind is taken whose own id is not in this offer.
    """

    def __init__(self, participant: Participant, sdp: str) -> None:
        """Takes the publisher and the text of its offer."""
        self._participant = participant
        self._sdp = sdp
        self._claimed: list[tuple[PendingTrack, OfferedTrack]] = []

    def claim(self, offered: OfferedTrack) -> Claim:
        """The callback of `Session.handle_offer`."""
        pending = self._find(offered)
        if pending is None:
            return None
        if not may_publish(self._participant.permission, pending.info.source):
            return Refusal("not allowed")
        if not offered.codecs:
            return Refusal("no common codec")
        del self._participant.pending[pending.request.cid]
        self._claimed.append((pending, offered))
        if offered.kind == "audio":
            return _claim_sound(pending, starts_red=self._starts_red())
        is_slow = is_weak(self._participant)
        # The rest comes with a later answer: only for whom we can ask for an offer.
        link = self._participant.link
        can_ask = link is not None and link.is_single
        if is_slow and can_ask and pending.info.simulcast:
            pending.first_layers = count_first_layers(pending.info)
        return TrackClaim(
            codecs=pending.wanted_codecs,
            layers=pending.first_layers,
            start_bps=WEAK_START_BPS if is_slow else 0,
        )

    def _starts_red(self) -> bool:
        # Later it takes an offer, which only some can be asked for.
        link = self._participant.link
        return has_losses(self._participant) or link is None or not link.is_single

    def _find(self, offered: OfferedTrack) -> PendingTrack | None:
        is_video = offered.kind == "video"
        same_kind = [
            pending
            for pending in self._participant.pending.values()
            if (pending.info.type == models.TrackType.VIDEO) == is_video
        ]
        for pending in same_kind:
            if offered.msid_track and offered.msid_track in pending.cids:
                return pending
        for pending in same_kind:
            if not any(cid and cid in self._sdp for cid in pending.cids):
                return pending
        return None

    def publish(self, room: Room) -> None:
        """Publishes what was claimed, once the answer has made the sources."""
        link = self._participant.link
        assert link is not None, "an offer came in"
        for pending, offered in self._claimed:
            source = link.publisher.session.published.get(offered.mid)
            if source is None:
                continue
            codecs = _likely_codecs(pending, offered)
            describe_media(pending.info, offered, codecs[0], has_rids=len(source.specs) > 1)
            track = publish(
                room, self._participant, pending.info, source, codecs=codecs, mid=offered.mid
            )
            track.first_layers = pending.first_layers


def _claim_sound(pending: PendingTrack, *, starts_red: bool) -> TrackClaim:
    features = pending.request.audio_features
    # Said in the old field alone by the Rust SDK and all that are built on it.
    no_dtx = pending.request.disable_dtx or models.AudioTrackFeature.TF_NO_DTX in features
    is_stereo = pending.request.stereo or models.AudioTrackFeature.TF_STEREO in features
    return TrackClaim(
        codecs=pending.wanted_codecs,
        uses_dtx=not no_dtx,
        is_stereo=is_stereo,
        # Encrypted end to end, RED's headers are not readable either.
        allows_red=not pending.request.disable_red and not pending.info.encryption,
        starts_red=starts_red,
        sound_bps=limit_sound_bps(pending.info, is_stereo=is_stereo),
    )


def _likely_codecs(pending: PendingTrack, offered: OfferedTrack) -> tuple[Codec, ...]:
    """What the packets may carry: the client sends the first codec of our answer, and may fall
    back to another that we accepted."""
    plain = [codec for codec in offered.codecs if codec is not Codec.RED]
    wanted = [codec for codec in pending.wanted_codecs if codec in plain]
    return tuple(wanted or plain)[:1] or (plain[0],)


def publish(
    room: Room,
    participant: Participant,
    info: models.TrackInfo,
    source: Source,
    *,
    codecs: tuple[Codec, ...],
    mid: str = "",
) -> PublishedTrack:
    """Makes a track known and delivers it."""
    context = room.context
    track = PublishedTrack(
        info,
        source,
        participant.sid,
        LayerDemand(context.config.timeouts.dynacast_off_s),
        codecs=codecs,
        mid=mid,
    )
    info.version.unix_micro = context.clock.wall_ms() * 1000
    participant.tracks[track.sid] = track
    room.tracks[track.sid] = track
    source.mute(info.muted)
    source.is_encrypted = info.encryption != models.Encryption.NONE
    source.on_started = lambda _encoding, _ssrc, codec: _handle_codec(
        room, participant, track, codec
    )
    if not participant.is_local:
        source.on_watched = lambda _is_watched: subscriptions.poll_demand(room, track)
        _join_speakers(room, track)
    room.announce(participant, is_urgent=True)
    call_hooks(context.hooks.on_track_published, room.info, participant.info, info, source)
    room.emit("track_published", participant=participant.info, track=info)
    subscriptions.reconcile_track(room, track)
    return track


def _join_speakers(room: Room, track: PublishedTrack) -> None:
    """Of the microphones of a room three are forwarded, the loudest ones.

    Not so the sound of a shared screen or of a camera in a store: it is to be heard beside who
    speaks about it.
    """
    if track.is_video or track.info.source != models.TrackSource.MICROPHONE:
        return
    if room.microphones is None:
        room.microphones = room.context.media.create_speaker_group()
    room.microphones.add(track.source)


def _handle_codec(
    room: Room, participant: Participant, track: PublishedTrack, codec: Codec
) -> None:
    """The first packet shows what the publisher really sends."""
    if codec is Codec.RED or track.sid not in participant.tracks:
        return
    if codec not in track.codecs:
        room.context.counters["codec_changed"] += 1
        track.codecs = (codec,)
        # A subscription is negotiated for its codec: make them anew.
        subscriptions.resubscribe(room, track)
    if describe_codec(track.info, codec):
        room.announce(participant, is_urgent=True)


def unpublish(
    room: Room, participant: Participant, track: PublishedTrack, *, by_server: bool
) -> None:
    """Ends a track. A remote source is closed; a local one stays its maker's."""
    if participant.tracks.pop(track.sid, None) is None:
        return
    context = room.context
    subscriptions.drop_track(room, track)
    room.tracks.pop(track.sid, None)
    track.source.on_started = track.source.on_watched = None
    if not participant.is_local:
        track.source.close()
    if by_server:
        participant.send(track_unpublished=rtc.TrackUnpublishedResponse(track_sid=track.sid))
    room.announce(participant, is_urgent=True)
    call_hooks(context.hooks.on_track_unpublished, room.info, participant.info, track.info)
    room.emit("track_unpublished", participant=participant.info, track=track.info)


def handle_unpublished_section(room: Room, participant: Participant, mid: str) -> None:
    """The client's offer no longer sends in a section."""
    for track in list(participant.tracks.values()):
        if track.mid == mid:
            unpublish(room, participant, track, by_server=False)


def enforce_permission(room: Room, participant: Participant) -> None:
    """Ends what a changed permission no longer allows."""
    for track in list(participant.tracks.values()):
        if not may_publish(participant.permission, track.info.source):
            unpublish(room, participant, track, by_server=True)
    for cid, pending in list(participant.pending.items()):
        if not may_publish(participant.permission, pending.info.source):
            del participant.pending[cid]


def set_muted(room: Room, participant: Participant, track: PublishedTrack, muted: bool) -> None:
    """Mutes or unmutes, and tells everybody."""
    if track.info.muted == muted:
        return
    track.info.muted = muted
    track.info.version.unix_micro = room.context.clock.wall_ms() * 1000
    track.source.mute(muted)
    if not muted and track.is_video:
        track.source.request_keyframe()
    room.announce_change(participant)
    hooks = room.context.hooks.on_track_muted
    call_hooks(hooks, room.info, participant.info, track.info)


def handle_mute(room: Room, participant: Participant, request: rtc.MuteTrackRequest) -> None:
    """The publisher mutes or unmutes one of its tracks, published or still pending."""
    track = participant.tracks.get(request.sid)
    if track is not None:
        set_muted(room, participant, track, request.muted)
        return
    for pending in participant.pending.values():
        if pending.info.sid == request.sid:
            pending.info.muted = request.muted
            return
    participant.send(request_response=rtc.RequestResponse(reason=Reason.NOT_FOUND, mute=request))


def handle_update_audio(
    room: Room, participant: Participant, request: rtc.UpdateLocalAudioTrack
) -> None:
    """The publisher's audio processing changed."""
    track = participant.tracks.get(request.track_sid)
    if track is None or track.is_video:
        participant.send(
            request_response=rtc.RequestResponse(
                reason=Reason.NOT_FOUND, update_audio_track=request
            )
        )
        return
    del track.info.audio_features[:]
    track.info.audio_features.extend(request.features)
    track.info.stereo = models.AudioTrackFeature.TF_STEREO in request.features
    room.announce(participant, is_urgent=True)


def handle_update_video(
    room: Room, participant: Participant, request: rtc.UpdateLocalVideoTrack
) -> None:
    """The publisher's picture has another size (a phone was turned)."""
    track = participant.tracks.get(request.track_sid)
    if track is None or not track.is_video:
        participant.send(
            request_response=rtc.RequestResponse(
                reason=Reason.NOT_FOUND, update_video_track=request
            )
        )
        return
    track.info.width = request.width
    track.info.height = request.height
    room.announce(participant, is_urgent=True)
