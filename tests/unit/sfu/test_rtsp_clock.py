"""A camera's timestamps to one steady RTP timeline."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.ingest.rtsp_clock import RtpClock


def test_follows_presentation_times() -> None:
    clock = RtpClock()
    assert [clock.to_rtp(7.0 + i / 25, 100.0 + i / 25) for i in range(3)] == [0, 3600, 7200]


def test_jitter_of_arrival_does_not_show() -> None:
    clock = RtpClock()
    arrivals = [100.0, 100.09, 100.09, 100.12]
    assert [clock.to_rtp(i / 25, now) for i, now in enumerate(arrivals)] == [0, 3600, 7200, 10800]


def test_jump_back_goes_on_by_arrival() -> None:
    clock = RtpClock()
    clock.to_rtp(5000.0, 100.0)
    assert clock.to_rtp(0.0, 100.04) == 3600
    assert clock.to_rtp(0.04, 100.08) == 7200
    assert clock.jumps == 1


def test_jump_forward_goes_on_by_arrival() -> None:
    clock = RtpClock()
    clock.to_rtp(0.0, 100.0)
    assert clock.to_rtp(86_400.0, 100.04) == 3600
    assert clock.jumps == 1


def test_real_pause_is_kept() -> None:
    clock = RtpClock()
    clock.to_rtp(0.0, 100.0)
    assert clock.to_rtp(20.0, 120.0) == 20 * 90_000


def test_missing_times_go_by_arrival() -> None:
    clock = RtpClock()
    assert [clock.to_rtp(None, 100.0 + i / 10) for i in range(3)] == [0, 9000, 18000]


def test_reconnect_continues() -> None:
    clock = RtpClock()
    clock.to_rtp(500.0, 100.0)
    clock.restart()
    assert clock.to_rtp(0.0, 103.0) == 3 * 90_000
    assert clock.to_rtp(0.04, 103.04) == 3 * 90_000 + 3600


def test_a_clock_that_runs_fast_is_brought_back() -> None:
    clock = RtpClock()
    last = 0
    for index in range(3000):  # 10 % fast
        last = clock.to_rtp(index * 0.044, 100.0 + index * 0.04)
    assert abs(last - 2999 * 3600) <= 90_000


def test_frames_out_of_display_order_are_noticed() -> None:
    clock = RtpClock()
    pattern = [0.2, 0.0667, 0.1333]
    for index in range(12):
        clock.to_rtp(pattern[index % 3] + (index // 3) * 0.2, 100.0 + index / 15)
    assert clock.reordered > 8


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.floats(0, 100),
        ),
        max_size=50,
    )
)
def test_only_grows_whatever_the_camera_says(frames: list[tuple[float | None, float]]) -> None:
    clock, now_s, last = RtpClock(), 0.0, -1
    for pts_s, step_s in frames:
        now_s += step_s
        ts = clock.to_rtp(pts_s, now_s)
        assert ts > last
        last = ts
