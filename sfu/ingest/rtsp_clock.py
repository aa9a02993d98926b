"""One steady RTP timeline out of a camera's own clock, over jumps and reconnects."""

from __future__ import annotations

__all__ = ["RtpClock"]

_CLOCK_HZ = 90_000
_MAX_STEP_S = 5.0  # a larger step forward is a jump of the camera's clock, not a pause
_REORDER_S = 1.0  # a smaller step back is a frame out of display order (B-frames)
_MAX_DRIFT_S = 1.0  # how far the timeline may leave our clock


class RtpClock:
    """Maps presentation times to RTP timestamps that only grow and stay near our own clock."""

    def __init__(self) -> None:
        """Starts at zero with the first frame."""
        self._last_ts = 0
        self._last_now_s: float | None = None
        self._last_pts_s: float | None = None
        self._origin: tuple[float, int] | None = None
        self.reordered = 0  # consecutive frames that came out of display order
        self.jumps = 0

    def to_rtp(self, pts_s: float | None, now_s: float) -> int:
        """Return the timestamp (not wrapped) of a frame.

        Args:
            pts_s: the camera's presentation time, None when it gives none.
            now_s: our monotonic clock at its arrival.
        """
        if self._last_now_s is None:
            ts = 0
        else:
            elapsed_s = max(0.0, now_s - self._last_now_s)
            ts = self._last_ts + self._step(pts_s, elapsed_s)
            ts = self._follow(ts, now_s)
        if self._origin is None:
            self._origin = (now_s, ts)
        self._last_ts, self._last_now_s = ts, now_s
        if pts_s is not None:
            self._last_pts_s = pts_s
        return ts

    def restart(self) -> None:
        """Forget the camera's clock (a new connection); the timeline goes on by ours."""
        self._last_pts_s = None
        self._origin = None
        self.reordered = 0

    def _step(self, pts_s: float | None, elapsed_s: float) -> int:
        arrived = max(1, round(elapsed_s * _CLOCK_HZ))
        if pts_s is None or self._last_pts_s is None:
            return arrived
        step_s = pts_s - self._last_pts_s
        if 0 < step_s <= max(_MAX_STEP_S, elapsed_s + _MAX_STEP_S):
            self.reordered = max(0, self.reordered - 1)
            return max(1, round(step_s * _CLOCK_HZ))
        if -_REORDER_S < step_s < 0:
            self.reordered += 4
        else:
            self.jumps += 1
        return arrived

    def _follow(self, ts: int, now_s: float) -> int:
        """Hold on to our clock when a camera's clock runs away from it slowly."""
        if self._origin is None:
            return ts
        origin_s, origin_ts = self._origin
        expected = origin_ts + round((now_s - origin_s) * _CLOCK_HZ)
        drift = round(_MAX_DRIFT_S * _CLOCK_HZ)
        return max(self._last_ts + 1, min(max(ts, expected - drift), expected + drift))
