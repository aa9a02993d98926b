"""Lines whose receiver does not report every packet: REMB, receiver reports and the round trip.

The loss rules of draft-ietf-rmcat-gcc-02 §6, at most once a second and only on news: a report is
about the second or two before it, and what went out then was decided before.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .api import Lines
from .columns import Bools, Columns, Floats, Ints
from .constants import Constants


class Reports(Columns):
    """What of each line's reports was acted on, and its shortest round trip.

    Attributes:
        acted_us: when.
        lowest_rtt_us: of an empty queue.
        queue_us: what the round trip was above it at that time.
        sent_bps: at that time, over the second before.
        packets: reported until then.
        lost: among them.
    """

    acted_us: Ints
    lowest_rtt_us: Floats
    queue_us: Floats
    sent_bps: Floats
    packets: Floats
    lost: Floats
    INITIAL: ClassVar[dict[str, bool | int | float]] = {
        "acted_us": 0,
        "lowest_rtt_us": np.inf,
        "queue_us": 0.0,
        "sent_bps": 0.0,
        "packets": 0.0,
        "lost": 0.0,
    }


class _News(NamedTuple):
    """Of the lines that are due: is the loss low, is it high (and how high), does a queue wait."""

    loss: Floats
    is_clear: Bools
    is_lossy: Bools
    waits: Bools
    is_draining: Bools


def adapt_by_reports(
    reports: Reports,
    target_bps: Floats,
    slots: NDArray[np.intp],
    lines: Lines,
    now_us: int,
    constants: Constants,
) -> None:
    """Change `target_bps` of lines without transport feedback, at most once a second each."""
    is_silent = lines.sent_bps[slots] < constants.stall_min_sent_bps
    has_news = (lines.reported_packets[slots] > reports.packets[slots]) | is_silent
    is_due = has_news & (now_us - reports.acted_us[slots] >= constants.report_interval_us)
    due = slots[is_due]
    if len(due) == 0:
        return
    news = _take_news(reports, due, lines, is_silent[is_due], constants)
    target, sent = target_bps[due], lines.sent_bps[due]
    # Three times the sound alone may be less than any picture: what is next may be tried.
    most = constants.report_headroom * sent + constants.acked_headroom_bps
    limit = np.maximum(target, np.maximum(most, constants.report_step * lines.next_bps[due]))
    # While far less is sent, nothing is put at risk, and a picture waits for the estimate.
    is_resting = sent < constants.report_resting * target
    growth = np.where(is_resting, constants.report_resting_growth, constants.report_growth)
    grown = np.minimum(target * growth + constants.min_growth_bps, limit)
    # Losses and delay of what was sent before the target fell do not lower it again.
    measured_at = np.maximum(sent, reports.sent_bps[due])
    lowered = np.minimum(target, np.maximum(target, measured_at) * (1 - 0.5 * news.loss))
    # Who sends little does not learn from a queue how little the line carries.
    is_idle = measured_at < constants.idle_share * target
    emptied = constants.beta * measured_at
    emptied = np.minimum(target, np.where(is_idle, constants.idle_beta * target, emptied))
    target = np.where(news.is_clear & ~news.waits, grown, target)
    target = np.where(news.is_lossy, lowered, target)
    is_filling = news.waits & ~news.is_draining & ~news.is_lossy
    target_bps[due] = np.where(is_filling, emptied, target)
    reports.acted_us[due] = now_us
    reports.sent_bps[due] = sent


def _take_news(
    reports: Reports, due: NDArray[np.intp], lines: Lines, is_silent: Bools, constants: Constants
) -> _News:
    """What was reported since the last time; losses among few packets wait for more of them."""
    packets = lines.reported_packets[due] - reports.packets[due]
    lost = lines.reported_lost[due] - reports.lost[due]
    loss = np.clip(lost / np.maximum(packets, 1.0), 0.0, 1.0)
    is_enough = packets >= constants.report_min_packets
    is_clear = (loss < constants.report_low_loss) | is_silent
    is_taken = is_clear | is_enough
    taken = due[is_taken]
    reports.packets[taken] = lines.reported_packets[taken]
    reports.lost[taken] = lines.reported_lost[taken]
    rtt = np.where(lines.newest_rtt_us[due] > 0, lines.newest_rtt_us[due], np.inf)
    # A queue that never was empty is not seen; slow forgetting follows a line that got longer.
    lowest = np.minimum(reports.lowest_rtt_us[due] * 1.01, rtt)
    is_known = np.isfinite(rtt)
    queue = np.where(is_known, rtt, 0.0) - np.where(is_known, lowest, 0.0)
    is_draining = queue < constants.report_draining * reports.queue_us[due]
    reports.lowest_rtt_us[due] = lowest
    reports.queue_us[due] = queue
    return _News(
        loss=loss,
        is_clear=is_clear,
        is_lossy=(loss > constants.report_high_loss) & is_enough & ~is_silent,
        waits=(queue > constants.report_queue_us) & ~is_silent,
        is_draining=is_draining,
    )
