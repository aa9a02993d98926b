"""What the history of a participant's line is made of: one sample every few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signaling.up_step import up_step_of

if TYPE_CHECKING:
    from sfu.server import MediaServer
    from sfu.stats import MediaSnapshot
    from signaling.participant import Participant

__all__ = ["LineMeter", "LineSample"]

_MIN_PACKETS = 20


@dataclass(frozen=True, slots=True)
class LineSample:
    """One participant's line over the time since the sample before.

    Attributes:
        up_loss: of the worst of its tracks, 0..1, after retransmission.
        up_bps: all it publishes, in the last second.
        up_fps: of its best video that somebody watches; None = there is none.
        down_loss: as the client reports it, 0..1.
        down_bps: all that was sent to it.
        rtt_ms: of the slower of its connections; 0 = unknown.
        estimate_bps: what its line is believed to carry; 0 = unknown.
        step: where its pictures stand, a name of `bandwidth.ladder.Step` in lower case.
        up_step: where what it sends stands, a name of `signaling.up_step.UpStep` in lower case.
        is_lost: nothing is heard of it now.
        resumes: how often its WebSocket came back so far.
    """

    up_loss: float = 0.0
    up_bps: int = 0
    up_fps: float | None = None
    down_loss: float = 0.0
    down_bps: int = 0
    rtt_ms: float = 0.0
    estimate_bps: int = 0
    step: str = "full"
    up_step: str = "full"
    is_lost: bool = False
    resumes: int = 0


@dataclass(frozen=True, slots=True)
class _Sent:
    """One source between two snapshots."""

    loss: float
    bps: int
    fps: float


class LineMeter:
    """Differences of two snapshots, by source and by transport."""

    def __init__(self) -> None:
        """Knows nothing before the second `observe`."""
        self._before: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._sent_before: dict[int, int] = {}
        self._at_us = 0
        self._sources: dict[int, _Sent] = {}
        self._transports: dict[int, tuple[float, float, int]] = {}

    def observe(self, snapshot: MediaSnapshot) -> None:
        """Takes a snapshot; `sample` then speaks of the time since the one before."""
        elapsed_s = max(1e-3, (snapshot.now_us - self._at_us) / 1e6) if self._at_us else None
        self._at_us = snapshot.now_us
        self._observe_sources(snapshot, elapsed_s)
        self._observe_transports(snapshot, elapsed_s)

    def _observe_sources(self, snapshot: MediaSnapshot, elapsed_s: float | None) -> None:
        rows = snapshot.encodings
        before, self._before = self._before, {}
        found: dict[int, _Sent] = {}
        names = ("source", "encoding", "packets", "lost", "frames", "bitrate_bps")
        for source, encoding, packets, lost, frames, bps in zip(
            *(rows[name].tolist() for name in names), strict=True
        ):
            self._before[source, encoding] = (packets, lost, frames)
            was = before.get((source, encoding))
            if was is None or elapsed_s is None:
                continue
            new_packets, new_lost = packets - was[0], max(0, lost - was[1])
            is_counted = new_packets + new_lost >= _MIN_PACKETS
            loss = new_lost / (new_packets + new_lost) if is_counted else 0.0
            fps = max(0, frames - was[2]) / elapsed_s
            other = found.get(source, _Sent(0.0, 0, 0.0))
            found[source] = _Sent(max(loss, other.loss), bps + other.bps, max(fps, other.fps))
        self._sources = found

    def _observe_transports(self, snapshot: MediaSnapshot, elapsed_s: float | None) -> None:
        rows = snapshot.transports
        before, self._sent_before = self._sent_before, {}
        self._transports = {}
        names = ("transport", "loss_permille", "rtt_us", "sent_bytes")
        for handle, permille, rtt_us, sent in zip(
            *(rows[name].tolist() for name in names), strict=True
        ):
            self._sent_before[handle] = sent
            was = before.get(handle)
            bps = 0 if was is None or elapsed_s is None else round((sent - was) * 8 / elapsed_s)
            self._transports[handle] = (permille / 1000, rtt_us / 1000, max(0, bps))

    def sample(self, participant: Participant, media: MediaServer) -> LineSample | None:
        """The line of one participant; None where there is none to speak of (yet)."""
        link = participant.link
        if link is None or not participant.was_active:
            return None
        sent = [
            (track, found)
            for track in participant.tracks.values()
            if (found := self._sources.get(track.source.handle)) is not None
        ]
        watched = [
            found.fps
            for track, found in sent
            if track.is_video and not track.info.muted and track.source.is_watched
        ]
        lines = [self._transports.get(handle, (0.0, 0.0, 0)) for handle in link.transport_handles]
        downlink = media.downlink
        estimate_bps = downlink.estimate_of(link.primary) if downlink is not None else None
        return LineSample(
            up_loss=max((found.loss for _, found in sent), default=0.0),
            up_bps=sum(found.bps for _, found in sent),
            up_fps=max(watched, default=None),
            down_loss=max(loss for loss, _, _ in lines),
            down_bps=sum(bps for _, _, bps in lines),
            rtt_ms=max(rtt_ms for _, rtt_ms, _ in lines),
            estimate_bps=round(estimate_bps or 0),
            step=participant.step.name.lower(),
            up_step=up_step_of(participant).name.lower(),
            is_lost=link.primary.state in ("disconnected", "failed"),
            resumes=participant.resumes,
        )
