"""Connection quality of each participant, in the clients' four grades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livekit.protocol import models, rtc

from bandwidth.ladder import Step
from signaling.up_step import UpStep

if TYPE_CHECKING:
    from sfu.stats import MediaSnapshot

__all__ = ["LineStats", "QualityMeter", "grade"]

# (worst loss, worst round trip in ms, worst step down and up, grade, score); what users feel, not
# what codecs bear
_GRADES = (
    (0.02, 300.0, Step.FULL, UpStep.STARTING, models.ConnectionQuality.EXCELLENT, 4.5),
    (0.08, 700.0, Step.REDUCED, UpStep.REDUCED, models.ConnectionQuality.GOOD, 3.5),
)
_POOR = (models.ConnectionQuality.POOR, 2.0)
_LOST = (models.ConnectionQuality.LOST, 0.0)
_MIN_PACKETS = 20


@dataclass(frozen=True)
class LineStats:
    """One participant's line over the last window."""

    loss_fraction: float = 0.0  # the worse of both directions
    rtt_ms: float = 0.0
    is_lost: bool = False
    step: Step = Step.FULL  # what the downlink leaves of the picture
    up_step: UpStep = UpStep.FULL  # what the uplink leaves of the own one


def grade(stats: LineStats) -> tuple[models.ConnectionQuality, float]:
    """The grade and score of a line. Browsers start over after 10 s of LOST, so `is_lost` must be
    sure: the transport has not been heard for seconds."""
    if stats.is_lost:
        return _LOST
    for loss_fraction, rtt_ms, worst_step, worst_up_step, quality, score in _GRADES:
        is_good_line = stats.loss_fraction <= loss_fraction and stats.rtt_ms <= rtt_ms
        if is_good_line and stats.step <= worst_step and stats.up_step <= worst_up_step:
            return quality, score
    return _POOR


class QualityMeter:
    """Loss per source and transport between two snapshots."""

    def __init__(self) -> None:
        """Knows nothing before the second `observe`."""
        self._previous: dict[tuple[int, int], tuple[int, int]] = {}
        self._uplink: dict[int, float] = {}
        self._downlink: dict[int, tuple[float, float]] = {}

    def observe(self, snapshot: MediaSnapshot) -> None:
        """Takes a snapshot; later calls of `line` speak of the time since the one before."""
        rows = snapshot.encodings
        keys = zip(rows["source"].tolist(), rows["encoding"].tolist(), strict=True)
        totals = zip(rows["packets"].tolist(), rows["lost"].tolist(), strict=True)
        current = dict(zip(keys, totals, strict=True))
        self._uplink = {}
        for key, (packets, lost) in current.items():
            packets_before, lost_before = self._previous.get(key, (0, 0))
            new_packets, new_lost = packets - packets_before, max(0, lost - lost_before)
            if new_packets + new_lost >= _MIN_PACKETS:
                loss = new_lost / (new_packets + new_lost)
                self._uplink[key[0]] = max(loss, self._uplink.get(key[0], 0.0))
        self._previous = current
        transports = snapshot.transports
        self._downlink = {
            handle: (loss_permille / 1000.0, rtt_us / 1000.0)
            for handle, loss_permille, rtt_us in zip(
                transports["transport"].tolist(),
                transports["loss_permille"].tolist(),
                transports["rtt_us"].tolist(),
                strict=True,
            )
        }

    def line(
        self,
        sources: list[int],
        transports: list[int],
        *,
        is_lost: bool,
        step: Step = Step.FULL,
        up_step: UpStep = UpStep.FULL,
    ) -> LineStats:
        """The line of one participant, given by the handles of what it has."""
        losses = [self._uplink.get(handle, 0.0) for handle in sources]
        lines = [self._downlink.get(handle, (0.0, 0.0)) for handle in transports]
        return LineStats(
            loss_fraction=max(losses + [loss for loss, _ in lines], default=0.0),
            rtt_ms=max((rtt for _, rtt in lines), default=0.0),
            is_lost=is_lost,
            step=step,
            up_step=up_step,
        )


def build_quality_update(
    grades: Mapping[str, tuple[models.ConnectionQuality, float]],
) -> rtc.SignalResponse:
    """The message for a set of participants."""
    return rtc.SignalResponse(
        connection_quality=rtc.ConnectionQualityUpdate(
            updates=[
                rtc.ConnectionQualityInfo(participant_sid=sid, quality=quality, score=score)
                for sid, (quality, score) in grades.items()
            ]
        )
    )
