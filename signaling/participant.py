"""One participant: what others see of it, what it publishes, what it receives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livekit.protocol import models, rtc

from bandwidth.ladder import Step
from signaling.layers import TrackSettings
from signaling.ratelimit import TokenBucket
from signaling.track import PendingTrack, PublishedTrack
from signaling.up_step import UpStep

if TYPE_CHECKING:
    from sfu.session import Subscription
    from signaling.link import MediaLink
    from signaling.outbox import Outbox
    from signaling.tokens import Grants

__all__ = ["Participant", "TrackSubscription"]

State = models.ParticipantInfo.State


@dataclass
class TrackSubscription:
    """One track on its way to one participant.

    Attributes:
        is_paused: the player shows it, and the line does not carry it.
    """

    track: PublishedTrack
    media: Subscription
    is_paused: bool = False


class Participant:
    """State of one participant. It changes only through the modules that own each subject:
    `membership`, `publishing`, `subscriptions`, `metadata`.

    Attributes:
        link: its peer connections; None for a participant of this process.
        outbox: its WebSocket; None while it has none.
        wanted: what it explicitly asked to (not) receive, by track sid, known or not.
        permission_rule: whom it lets receive its tracks; None = everybody.
        lost_s: when its WebSocket went away; None while it has one.
        graded: sids whose connection quality it was told.
        on_removed: called once, after it has left (local participants).
        failed_s: when its transport failed; None while it is well.
        quiet_until_s: news of small changes waits for the next batch until then.
        resumes: how often its WebSocket came back.
        step: how much of what it shows its line carries.
        announced_step: how much of its picture it sends, as our page says.
        seen_step: the same, as what arrives of its layers shows.
    """

    def __init__(
        self, sid: str, grants: Grants, permission: models.ParticipantPermission, *, wall_ms: int
    ) -> None:
        """Starts JOINING, without a connection."""
        self.sid = sid
        self.grants = grants
        self.identity = grants.identity
        self.info = models.ParticipantInfo(
            sid=sid,
            identity=grants.identity,
            name=grants.name,
            metadata=grants.metadata,
            attributes=dict(grants.attributes),
            permission=permission,
            joined_at=wall_ms // 1000,
            joined_at_ms=wall_ms,
            state=models.ParticipantInfo.JOINING,
        )
        self.link: MediaLink | None = None
        self.outbox: Outbox | None = None
        self.pending: dict[str, PendingTrack] = {}
        self.tracks: dict[str, PublishedTrack] = {}
        self.auto_subscribe = True
        self.subscriptions: dict[str, TrackSubscription] = {}
        self.wanted: dict[str, bool] = {}
        self.settings: dict[str, TrackSettings] = {}
        self.permission_rule: rtc.SubscriptionPermission | None = None
        self.denied: set[str] = set()
        self.last_reliable_seq = 0
        self.quality: models.ConnectionQuality | None = None
        self.joined_s = 0.0
        # The first token comes once media flows: the first answer waits for no packet of it.
        self.refreshed_s = -math.inf
        self.lost_s: float | None = None
        self.failed_s: float | None = None
        self.quiet_until_s = 0.0
        self.own_changes: TokenBucket | None = None
        self.resumes = 0
        # What the line leaves of the picture, and what is said of it: stills, only if any arrive.
        self.line_step = self.step = Step.FULL
        self.step_reason = ""
        self.announced_step = UpStep.FULL
        self.seen_step = UpStep.FULL
        self.was_active = False
        self.drops_next_resume = False
        self.graded: set[str] = set()
        self.on_removed: Callable[[], None] | None = None

    def __repr__(self) -> str:
        """Sid and identity, for logs."""
        return f"<Participant {self.sid} {self.identity!r}>"

    @property
    def permission(self) -> models.ParticipantPermission:
        """What it may do in the room."""
        return self.info.permission

    @property
    def is_hidden(self) -> bool:
        """Others are never told of a hidden participant."""
        return self.info.permission.hidden

    @property
    def is_local(self) -> bool:
        """It lives in this process and has no connection."""
        return self.link is None

    @property
    def is_gone(self) -> bool:
        """It has left."""
        return self.info.state == models.ParticipantInfo.DISCONNECTED

    def touch(self) -> None:
        """Something that others see has changed. Clients drop versions lower than they know."""
        self.info.version += 1
        del self.info.tracks[:]
        self.info.tracks.extend(track.info for track in self.tracks.values())
        self.info.is_publisher = bool(self.tracks)

    def send(self, **response: Any) -> None:
        """Sends one SignalResponse, given as its single field; lost without a WebSocket."""
        if self.outbox is not None:
            self.outbox.send(rtc.SignalResponse(**response))
