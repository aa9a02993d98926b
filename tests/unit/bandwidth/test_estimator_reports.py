"""Lines without transport feedback: they follow what receivers report."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from model_link import START_US, feedback_of, lines_of
from probed_line import TICK_US

from bandwidth.estimator import DEFAULTS, Estimator, Lines

PACKET_BYTES = 1_000


class Reported:
    """A line of which ten packets are reported every 100 ms, unless told otherwise."""

    def __init__(self, *, start_bps: int = 500_000, **figures: float) -> None:
        self.estimator = Estimator(1)
        self.estimator.open(0, START_US, start_bps=start_bps)
        self.lines: Lines = lines_of(1, has_twcc=False)
        self.now_us = START_US
        self.say(**{"sent_bps": 500_000, "newest_rtt_us": 80_000} | figures)

    def say(self, **figures: float) -> None:
        for name, value in figures.items():
            getattr(self.lines, name)[:] = value

    def run(self, ticks: int, *, packets: float = 10.0) -> float:
        for _ in range(ticks):
            self.now_us += TICK_US
            self.lines.reported_packets[:] += packets
            self.lines.reported_lost[:] += packets * np.nan_to_num(self.lines.loss)
            estimates, orders = self.estimator.update(self.now_us, feedback_of([]), self.lines)
            assert orders == []
            assert not estimates.is_stalled[0]
        return float(estimates.target_bps[0])


def reported(ticks: int, *, start_bps: int = 500_000, **figures: float) -> float:
    return Reported(start_bps=start_bps, **figures).run(ticks)


def test_lines_without_transport_feedback_follow_receiver_reports() -> None:
    assert reported(50, loss=0.0) > 650_000
    assert reported(300, loss=0.0) <= 3 * 500_000 + 10_000
    assert reported(50, loss=0.05) == 500_000
    assert reported(50, loss=0.2, sent_bps=300_000) < 350_000
    assert reported(20, loss=0.03, remb_bps=260_000) == 260_000
    # Who sees little sent estimates little: without losses that is not the last word.
    assert 260_000 < reported(20, loss=0.0, remb_bps=260_000) < 700_000
    assert reported(3000, loss=1.0, sent_bps=10_000) == DEFAULTS.min_bps


def test_without_a_report_nothing_changes_while_something_is_sent() -> None:
    line = Reported(loss=0.0)
    assert line.run(50, packets=0) == 500_000
    line.say(sent_bps=0, next_bps=900_000)
    assert line.run(50, packets=0) > 650_000, "nothing is sent, and so nothing will be reported"


def test_who_sends_little_comes_back_to_the_next_step_soon() -> None:
    line = {"loss": 0.0, "next_bps": 170_000}
    assert reported(30, start_bps=120_000, sent_bps=45_000, **line) > 170_000
    assert reported(30, start_bps=120_000, sent_bps=100_000, **line) < 160_000


def test_a_report_counts_once() -> None:
    line = Reported(loss=0.5, sent_bps=300_000)
    assert line.run(1, packets=60) == pytest.approx(375_000)
    assert line.run(40, packets=0) == pytest.approx(375_000)


def test_losses_among_a_few_packets_wait_for_more() -> None:
    line = Reported(loss=0.5, sent_bps=300_000)
    assert line.run(11, packets=1) == 500_000
    assert line.run(20, packets=1) == pytest.approx(375_000)


def test_losses_of_what_was_sent_before_the_fall_do_not_lower_it_again() -> None:
    line = Reported(loss=0.5, sent_bps=500_000)
    line.run(1)
    line.say(remb_bps=160_000)
    assert line.run(11) == 160_000, "what was sent a second ago was sent at 500 kb/s"
    line.say(sent_bps=160_000)
    assert line.run(10) == 160_000
    assert line.run(10) == pytest.approx(120_000), "these were lost at 160"


@pytest.mark.parametrize("remb_bps", [0, 55_000])
def test_without_transport_feedback_sound_alone_does_not_keep_the_picture_away(
    remb_bps: int,
) -> None:
    sound = {"sent_bps": 30_000, "remb_bps": remb_bps, "next_bps": 170_000}
    assert reported(100, start_bps=100_000, loss=0.0, **sound) == pytest.approx(204_000)
    assert reported(100, start_bps=100_000, loss=0.03, **sound) <= 100_000


def test_a_round_trip_that_grows_lowers_a_line_without_feedback() -> None:
    line = Reported(loss=0.0, newest_rtt_us=60_000)
    line.run(20)
    line.say(newest_rtt_us=400_000)
    lowered = line.run(10)
    assert lowered <= 0.85 * 500_000
    line.say(sent_bps=lowered)
    line.say(newest_rtt_us=300_000)
    assert line.run(10) == lowered, "the queue gets shorter: it needs time"
    line.say(newest_rtt_us=310_000)
    assert line.run(10) < lowered, "and it does not"


class NarrowLine:
    """A sender that sends what it may, up to a most, over a queue that drops at its end.

    Reports about a second of packets come each second, a round trip late.
    """

    def __init__(self, *, queue_bytes: int, most_bps: int, has_remb: bool) -> None:
        self.reported = Reported(start_bps=most_bps, loss=np.nan, sent_bps=0)
        self.rate_bps = 10e6
        self.estimates: list[float] = []
        self._queue_bytes, self._most_bps, self._has_remb = queue_bytes, most_bps, has_remb
        self._target_bps = float(most_bps)
        self._held_bytes = self._owed_bytes = 0.0
        self._sent: deque[int] = deque(maxlen=10)
        self._counts: list[tuple[int, int, float]] = []
        self._due: list[tuple[int, int, int, float]] = []

    def _send(self) -> tuple[int, int]:
        self._owed_bytes += min(self._target_bps, self._most_bps) / 80
        num, lost = int(self._owed_bytes // PACKET_BYTES), 0
        self._owed_bytes -= num * PACKET_BYTES
        for _ in range(num):
            self._held_bytes = max(0.0, self._held_bytes - self.rate_bps / 80 / num)
            is_lost = self._held_bytes + PACKET_BYTES > self._queue_bytes
            lost += is_lost
            self._held_bytes += 0 if is_lost else PACKET_BYTES
        self._sent.append(num * PACKET_BYTES * 8)
        return num, lost

    def run(self, ticks: int) -> None:
        line = self.reported
        for _ in range(ticks):
            queue_us = self._held_bytes * 8e6 / self.rate_bps
            self._counts.append((*self._send(), queue_us))
            if len(self._counts) == 10:
                packets, lost, _ = map(sum, zip(*self._counts, strict=True))
                at_us = line.now_us + int(queue_us) + 80_000
                self._due.append((at_us, int(packets), int(lost), queue_us + 80_000))
                self._counts.clear()
            if self._due and self._due[0][0] <= line.now_us:
                _, packets, lost, rtt_us = self._due.pop(0)
                line.lines.reported_packets[:] += packets
                line.lines.reported_lost[:] += lost
                remb_bps = 0.85 * (packets - lost) * PACKET_BYTES * 8
                line.say(newest_rtt_us=rtt_us, loss=lost / max(packets, 1))
                line.say(remb_bps=remb_bps if self._has_remb and lost else 0)
            line.say(sent_bps=sum(self._sent), next_bps=170_000)
            self._target_bps = line.run(1, packets=0)
            self.estimates.append(self._target_bps)


@pytest.mark.parametrize("has_remb", [False, True])
@pytest.mark.parametrize("queue_bytes", [6_000, 25_000])
def test_a_line_that_gets_narrow_is_found_and_not_undershot(
    queue_bytes: int, has_remb: bool
) -> None:
    line = NarrowLine(queue_bytes=queue_bytes, most_bps=800_000, has_remb=has_remb)
    line.run(50)
    assert min(line.estimates) >= 800_000
    line.rate_bps = 250_000
    line.estimates.clear()
    line.run(100)
    assert line.estimates[-1] < 1.3 * 250_000
    line.run(200)
    assert min(line.estimates) > 0.5 * 250_000
    assert np.mean(line.estimates[100:]) > 0.7 * 250_000
    assert max(line.estimates[100:]) < 1.5 * 250_000
