"""Lines whose receiver does not report every packet: REMB, receiver reports and the round trip.

The loss rules of draft-ietf-rmcat-gcc-02 §6, once per report.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .api import Lines
from .columns import Columns, Floats, Ints
from .constants import Constants


class Reports(Columns):
    """When each line's reports were last acted on, and its shortest round trip."""

    acted_us: Ints
    lowest_rtt_us: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {"acted_us": 0, "lowest_rtt_us": np.inf}


def adapt_by_reports(
    reports: Reports,
    target_bps: Floats,
    slots: NDArray[np.intp],
    lines: Lines,
    now_us: int,
    constants: Constants,
) -> None:
    """Change `target_bps` of lines without transport feedback, at most once a second each."""
    due = slots[now_us - reports.acted_us[slots] >= constants.report_interval_us]
    reports.acted_us[due] = now_us
    target = target_bps[due]
    sent, loss = lines.sent_bps[due], lines.loss[due]
    rtt = lines.rtt_us[due]
    is_known = rtt > 0
    # A queue that never was empty is not seen; slow forgetting follows a line that got longer.
    lowest = np.minimum(reports.lowest_rtt_us[due] * 1.01, np.where(is_known, rtt, np.inf))
    reports.lowest_rtt_us[due] = lowest
    waits = is_known & (rtt > lowest + constants.report_queue_us)
    has_room = (loss < constants.report_low_loss) & ~waits
    # Three times the sound alone may be less than any picture: what is next may be tried.
    most = constants.report_headroom * sent + constants.acked_headroom_bps
    limit = np.maximum(target, np.maximum(most, constants.report_step * lines.next_bps[due]))
    grown = np.minimum(target * constants.report_growth + constants.min_growth_bps, limit)
    target = np.where(has_room, grown, target)
    lossy = loss > constants.report_high_loss
    target = np.where(lossy, target * (1 - 0.5 * np.nan_to_num(loss)), target)
    target = np.where(waits & ~lossy, constants.beta * np.minimum(target, sent), target)
    target_bps[due] = target
