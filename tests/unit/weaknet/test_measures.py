"""The figures of a run, from made-up notes."""

from __future__ import annotations

import pytest
from weaknet.measures import (
    Level,
    Notes,
    Shown,
    after_return,
    figures,
    new_frames,
    picture_or_still_gap_s,
    since,
    standing_queue_ms,
    until,
    used_percent,
)

MS, S = 1_000, 1_000_000


def shown(*at_ms: int, height: int = 360) -> list[Shown]:
    return [Shown(ms * MS, number, height) for number, ms in enumerate(at_ms)]


def notes(frames: list[Shown], end_ms: int = 10_000, **more: object) -> Notes:
    return Notes(go_us=0, end_us=end_ms * MS, shown=frames, **more)  # type: ignore[arg-type]


def test_freeze_counts_long_gaps_and_the_tail() -> None:
    run = notes(shown(1000, 1500, 2001, 2400, 9000))
    found = figures(run, {})
    # 1000→1500 is no freeze, 1500→2001, 2400→9000 and 9000→end are.
    assert found["freeze_s"] == pytest.approx(0.501 + 6.6 + 1.0)
    assert found["longest_gap_s"] == 6.6
    assert found["first_picture_s"] == 1.0


def test_no_picture_at_all_is_all_freeze() -> None:
    found = figures(notes([]), {})
    assert (found["freeze_s"], found["longest_gap_s"]) == (10.0, 10.0)
    assert found["first_picture_s"] is found["delay_p50_ms"] is found["kbps"] is None


def test_repeated_and_older_frames_are_not_new() -> None:
    frames = [Shown(ms, number, 180) for ms, number in ((1, 5), (2, 5), (3, 4), (4, 6))]
    assert [frame.number for frame in new_frames(frames)] == [5, 6]
    wrapping = [Shown(ms, number, 180) for ms, number in ((1, 65_535), (2, 0), (3, 65_534))]
    assert [frame.number for frame in new_frames(wrapping)] == [65_535, 0]


def test_delay_is_from_capture_to_shown() -> None:
    captured_us = {number: number * 50 * MS for number in range(100)}
    frames = [Shown(at_us + (80 + n) * MS, n, 360) for n, at_us in captured_us.items()]
    found = figures(notes(frames), captured_us)
    assert (found["delay_p50_ms"], found["delay_p95_ms"]) == (130.0, 175.0)


def test_sound_and_bytes_come_from_the_counters() -> None:
    levels = [Level(1 * S, 0, 0, 0, 0, 480), Level(9 * S, 800_000, 1, 96, 48, 4800)]
    found = figures(notes([], joined_us=S, levels=levels), {})
    assert found["concealed_percent"] == 2.0 and found["silent_percent"] == 1.0
    assert found["kbps"] == 800.0 and found["join_s"] == 1.0


def test_a_still_ends_a_gap() -> None:
    assert picture_or_still_gap_s(notes(shown(0, 100), stills_us=[4 * S, 8 * S])) == 4.0
    assert picture_or_still_gap_s(notes([])) is None


def test_what_comes_back_and_how_soon() -> None:
    low, high = shown(1000, 20_600, height=180), Shown(23 * S, 9, 360)
    run = notes([*low, high], 30_000, heard=[(S, True), (10 * S, False), (20_300 * MS, True)])
    back = {"picture_back_s": 0.6, "full_picture_back_s": 3.0, "audio_back_s": 0.3}
    assert after_return(run, 20 * S) == back
    gone = after_return(notes(shown(1000)), 5 * S)
    assert gone == dict.fromkeys(back)
    assert after_return(notes([], heard=[(S, True)]), 5 * S)["audio_back_s"] == 0


def test_a_part_of_a_run() -> None:
    whole = notes(shown(1000, 2000, 3000), joined_us=S, stills_us=[S, 3 * S])
    assert [frame.number for frame in since(whole, 2 * S).shown] == [1, 2]
    assert figures(since(whole, 2 * S), {})["first_picture_s"] == 0
    early = until(whole, 2 * S)
    assert [frame.number for frame in early.shown] == [0]
    assert early.stills_us == [S] and early.end_us == 2 * S


def test_the_standing_queue_is_told_by_seconds() -> None:
    burst = [(start, 10, 1000, 10 * 5_000, 9_000) for start in range(0, 20 * S, S // 10)]
    burst[155] = (155 * S // 10, 10, 1000, 10 * 200_000, 300_000)
    found = standing_queue_ms(burst, 10 * S)
    assert found == {"queue_p50_ms": 5.0, "queue_p95_ms": 24.5, "queue_max_ms": 300.0}
    assert standing_queue_ms([], 0)["queue_p95_ms"] is None
    assert used_percent(burst, 10 * S, 20 * S, 160_000) == 50.0
