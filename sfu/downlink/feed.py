"""What the engine measured, brought into the arrays of the estimator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandwidth import estimator
from sfu.downlink import budget
from sfu.downlink.lines import LineColumns, Lines
from sfu.stats import Rows

__all__ = [
    "Measured",
    "describe_lines",
    "fit_estimates",
    "follow_audio",
    "read_feedback",
    "read_transports",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The engine says 2 where nothing is heard any more: the estimator finds that out by itself, and a
# line that is silent is not too narrow.
_QUEUE_BRAKE = 1
# Probes show 1.2 times what is asked for; growth needs 1.15, and waits less where there is more.
_ROOM_TO_SHOW = 1.35
# What the engine says it sent covers one second, and is up to 100 ms old.
_SENT_WINDOW_US = 1_200_000


class Measured(NamedTuple):
    """One entry a slot; zeros where the transport is not in the snapshot.

    Attributes:
        rtt_us: round trip, 0 = unknown.
        loss: by receiver reports.
        remb_bps: 0 = none.
        has_twcc: it reports every packet.
        sent_bps: all that was sent in the last second.
        audio_bps: audio among it.
        waiting_us: what waits longest for room to be sent.
        is_braking: the engine has lowered the rate for a growing queue.
        reported_packets: that receiver reports told of so far.
        reported_lost: among them.
        newest_rtt_us: round trip by the newest of them, 0 = unknown.
    """

    rtt_us: Floats
    loss: Floats
    remb_bps: Floats
    has_twcc: Bools
    sent_bps: Floats
    audio_bps: Floats
    waiting_us: Floats
    is_braking: Bools
    reported_packets: Floats
    reported_lost: Floats
    newest_rtt_us: Floats


def read_transports(lines: Lines, transports: Rows) -> Measured:
    """Spread the rows of a snapshot over the slots."""
    slots = lines.slots_of(transports["transport"])
    is_known = slots >= 0
    rows, at = transports[is_known], slots[is_known]

    def spread(name: str) -> Floats:
        values = np.zeros(lines.capacity)
        values[at] = rows[name]
        return values

    return Measured(
        rtt_us=spread("rtt_us"),
        loss=spread("loss_permille") / 1000.0,
        remb_bps=spread("remb_bps"),
        has_twcc=spread("has_twcc") > 0,
        sent_bps=spread("sent_bps"),
        audio_bps=spread("audio_bps"),
        waiting_us=spread("waiting_us"),
        is_braking=spread("is_braking") == _QUEUE_BRAKE,
        reported_packets=spread("reported_packets"),
        reported_lost=spread("reported_lost"),
        newest_rtt_us=spread("newest_rtt_us"),
    )


def describe_lines(
    lines: Lines, measured: Measured, reserve_bps: Floats, cost_factor: Floats
) -> estimator.Lines:
    """All that the estimator is told beside the feedback; audio takes the reserve."""
    columns = lines.columns
    needed_bps = (columns.needed_bps + columns.audio_bps) * _ROOM_TO_SHOW
    # Without video nothing is ever probed for: what is sent shows enough.
    needed_bps = np.where(columns.videos > 0, needed_bps, 0.0)
    return estimator.Lines(
        rtt_us=measured.rtt_us,
        loss=measured.loss,
        remb_bps=measured.remb_bps,
        has_twcc=measured.has_twcc,
        sent_bps=measured.sent_bps,
        needed_bps=needed_bps,
        next_bps=np.where(columns.next_bps > 0, columns.next_bps + reserve_bps, 0.0),
        cost_factor=cost_factor,
        is_braking=measured.is_braking,
        reported_packets=measured.reported_packets,
        reported_lost=measured.reported_lost,
        newest_rtt_us=measured.newest_rtt_us,
    )


def follow_audio(
    columns: LineColumns, now_us: int, elapsed_us: int, sent_bps: Floats, red: npt.NDArray[np.int8]
) -> None:
    """Learn what plain audio takes, `red` being the redundancy that is ordered now."""
    is_past = now_us - columns.red_changed_us > _SENT_WINDOW_US
    columns.red_sent = np.where(is_past, red, np.maximum(red, columns.red_sent))
    columns.audio_bps = budget.reserve_audio(
        elapsed_us, columns.audio_bps, sent_bps, columns.red_sent, columns.audios > 0
    )


def read_feedback(lines: Lines, twcc: Rows) -> estimator.Feedback:
    """Rows of `drain_twcc` by slot; those of transports without one are left out."""
    slots = lines.slots_of(twcc["transport"])
    is_known = slots >= 0
    rows = twcc if is_known.all() else twcc[is_known]
    return estimator.Feedback(
        slot=slots[is_known].astype(np.int32),
        sent_us=rows["sent_us"].astype(np.int64),
        received_us=rows["received_us"].astype(np.int64),
        size_bytes=rows["size_bytes"].astype(np.int32),
        probe=rows["probe"].astype(np.int64),
    )


def fit_estimates(estimates: estimator.Estimates, capacity: int) -> estimator.Estimates:
    """The estimator grows by itself, in steps of its own and only for lines it knows."""
    columns = {}
    for name, values in estimates._asdict().items():
        more = max(0, capacity - values.shape[0])
        columns[name] = np.concatenate([values[:capacity], np.zeros(more, values.dtype)])
    return estimator.Estimates(**columns)
