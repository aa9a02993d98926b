"""From RTP timestamps and capture times to positions on the recording's timeline.

RTP time is smooth but drifts against ours, and starts anew with every encoding; capture time,
mapped by sender reports, is ours but jitters, and is a mere arrival time before the first report.
So within each run of RTP time the difference of the two is taken in windows, robustly, and
interpolated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["find_runs", "monotonic_dts", "spread", "to_engine_us"]

_Times = npt.NDArray[np.int64]

_WINDOW_US = 10_000_000
# RTP time and our time that disagree by more than this between two frames: the sender began anew.
_JUMP_US = 500_000
_TICK_US = 1_000
# Without sender reports the least delayed frames come closest to the truth.
_ARRIVAL_QUANTILE = 0.1


def find_runs(
    ts_rtp: _Times, engine_us: _Times, encoding: npt.NDArray[np.int64], clock_hz: int
) -> list[slice]:
    """Split where RTP time does not go on: another encoding, or a sender that began anew.

    Args:
        ts_rtp: shape (n,), unwrapped, codec clock.
        engine_us: shape (n,), when the frames were captured or arrived.
        encoding: shape (n,).
        clock_hz: of ``ts_rtp``.
    """
    if len(ts_rtp) == 0:
        return []
    rtp_us = ts_rtp * (1e6 / clock_hz)
    disagrees = np.abs(np.diff(rtp_us) - np.diff(engine_us)) > _JUMP_US
    cuts = np.flatnonzero(disagrees | (np.diff(encoding) != 0)) + 1
    edges = [0, *cuts.tolist(), len(ts_rtp)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]


def to_engine_us(
    ts_rtp: _Times,
    captured_us: _Times,
    arrived_us: _Times,
    encoding: npt.NDArray[np.int64],
    clock_hz: int,
) -> _Times:
    """When each frame was captured, on the engine's clock, without jitter.

    Args:
        ts_rtp: shape (n,), unwrapped, codec clock.
        captured_us: shape (n,), engine clock; equal to ``arrived_us`` before the first report.
        arrived_us: shape (n,), engine clock.
        encoding: shape (n,), index of the simulcast layer.
        clock_hz: of ``ts_rtp``.

    Returns:
        Shape (n,), engine clock, in µs.
    """
    result = np.zeros(len(ts_rtp), np.int64)
    for run in find_runs(ts_rtp, arrived_us, encoding, clock_hz):
        rtp_us = (ts_rtp[run] - ts_rtp[run.start]) * (1e6 / clock_hz)
        has_report = captured_us[run] != arrived_us[run]
        if has_report.any():
            at, offset = _windows(rtp_us[has_report], captured_us[run][has_report], 0.5)
        else:
            at, offset = _windows(rtp_us, arrived_us[run], _ARRIVAL_QUANTILE)
        result[run] = np.rint(rtp_us + np.interp(rtp_us, at, offset)).astype(np.int64)
    return result


def _windows(
    rtp_us: npt.NDArray[np.float64], engine_us: _Times, quantile: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres of windows of RTP time, and the quantile of the difference in each."""
    window = (rtp_us // _WINDOW_US).astype(np.int64)
    difference = engine_us - rtp_us
    # A short last window would hang on few frames: it joins the one before.
    last = window.max()
    if last > 0 and (window == last).sum() < (window == last - 1).sum() / 2:
        window[window == last] = last - 1
    numbers = np.unique(window)
    centres = np.array([np.median(rtp_us[window == n]) for n in numbers])
    offsets = np.array([np.quantile(difference[window == n], quantile) for n in numbers])
    return centres, offsets


def monotonic_dts(pts: _Times) -> _Times:
    """Decoding times for frames in decoding order whose presentation times may go back (B-frames).

    Strictly increasing, and no later than the presentation time unless times repeat.
    """
    if len(pts) == 0:
        return pts
    ordered = np.sort(pts)
    dts: _Times = ordered - max(0, int((ordered - pts).max()))
    return spread(dts)


def spread(times_us: _Times) -> _Times:
    """Make times strictly increasing, by the coarsest tick of our containers (WebM: 1 ms).

    Muxers refuse times that are equal once rounded to the ticks of their file.
    """
    steps = np.arange(len(times_us)) * _TICK_US
    return np.maximum.accumulate(times_us - steps) + steps
