"""Why it was bad: rules on samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_samples import GOOD, SAMPLES

from web.network.causes import MAX_STRETCHES, SENTENCES, Cause, cause_of, find_verdict, is_weak
from web.network.lines import SAMPLE_S, Sample


def session(*samples: Sample, start_s: int = 1000) -> list[Sample]:
    return [
        sample._replace(at_s=start_s + SAMPLE_S * (index + 1))
        for index, sample in enumerate(samples)
    ]


@pytest.mark.parametrize(
    ("changes", "cause", "detail"),
    [
        ({}, "none", ""),
        ({"step": "reduced"}, "none", ""),
        ({"up_loss_permille": 80}, "uplink", "loss"),
        ({"up_loss_permille": 79}, "none", ""),
        ({"down_loss_permille": 80}, "downlink", "loss"),
        ({"up_loss_permille": 200, "down_loss_permille": 100}, "uplink", "loss"),
        ({"up_loss_permille": 100, "down_loss_permille": 200}, "downlink", "loss"),
        ({"rtt_ms": 700}, "uplink", "delay"),
        ({"rtt_ms": 700, "step": "stills"}, "downlink", "delay"),
        ({"rtt_ms": 700, "up_fps": None}, "downlink", "delay"),
        ({"step": "half_rate"}, "downlink", "rate"),
        ({"step": "audio_only"}, "downlink", "rate"),
        ({"is_lost": True}, "phone", "lost"),
        ({"is_lost": True, "up_loss_permille": 900}, "phone", "lost"),
        ({"up_fps": 1}, "phone", "frozen"),
        ({"up_fps": 0, "up_loss_permille": 100}, "uplink", "loss"),
        ({"up_fps": 0, "up_loss_permille": 50}, "none", ""),
        ({"up_fps": None}, "none", ""),
        ({"up_step": "reduced"}, "none", ""),
        ({"up_step": "slow", "up_fps": 4}, "uplink", "rate"),
        ({"up_step": "sound", "up_fps": 0}, "uplink", "rate"),
        ({"up_step": "sound", "up_fps": 0, "up_loss_permille": 50}, "uplink", "rate"),
        ({"up_step": "sound", "up_fps": 0, "up_loss_permille": 90}, "uplink", "loss"),
        ({"up_step": "sound", "up_fps": 0, "step": "stills"}, "uplink", "rate"),
        ({"up_step": "sound", "is_lost": True}, "phone", "lost"),
        ({"up_step": "slow", "up_fps": 0}, "phone", "frozen"),
        ({"up_step": "slow", "up_fps": 4, "rtt_ms": 900}, "uplink", "delay"),
        ({"load_percent": 90, "is_lost": True}, "server", "load"),
    ],
)
def test_one_sample_has_one_cause(changes: dict[str, int], cause: Cause, detail: str) -> None:
    assert cause_of(GOOD._replace(**changes)) == (cause, detail)  # type: ignore[arg-type]


def test_a_good_session_was_not_bad() -> None:
    verdict = find_verdict(session(*[GOOD] * 30))
    assert (verdict.cause, verdict.sentence) == ("none", "why.none")
    assert (verdict.bad_s, verdict.total_s, verdict.stretches) == (0, 300, ())
    assert find_verdict([]).sentence == "why.none"


def test_one_bad_moment_does_not_make_a_bad_session_but_is_shown() -> None:
    verdict = find_verdict(session(GOOD, GOOD._replace(up_loss_permille=220), GOOD))
    assert verdict.cause == "none" and verdict.bad_s == 10
    (stretch,) = verdict.stretches
    assert (stretch.start_s, stretch.end_s) == (1010, 1020)
    assert stretch.worst_loss_percent == 22.0


def test_the_cause_that_took_most_time_is_the_answer_with_its_times() -> None:
    lossy = GOOD._replace(down_loss_permille=100)
    worse = lossy._replace(down_loss_permille=300, rtt_ms=900)
    lost = GOOD._replace(is_lost=True)
    verdict = find_verdict(session(GOOD, lossy, worse, lossy, lost, lost, GOOD, lossy))
    assert verdict.sentence == "why.downlink.loss" and verdict.bad_s == 60
    spans = [(s.start_s, s.end_s, s.detail) for s in verdict.stretches]
    assert spans == [(1010, 1040, "loss"), (1040, 1060, "lost"), (1070, 1080, "loss")]
    assert verdict.stretches[0].worst_loss_percent == 30.0
    assert verdict.stretches[0].worst_rtt_ms == 900


def test_a_break_in_the_samples_ends_a_stretch() -> None:
    lossy = GOOD._replace(up_loss_permille=100)
    early, late = session(lossy), session(lossy, start_s=2000)
    assert len(find_verdict(early + late).stretches) == 2


def test_weak_is_the_network_not_the_phone_nor_us() -> None:
    assert is_weak(GOOD._replace(step="stills")) and is_weak(GOOD._replace(is_lost=True))
    assert is_weak(GOOD._replace(up_step="sound", up_fps=0)), "its picture did not fit"
    assert not is_weak(GOOD._replace(load_percent=100)) and not is_weak(GOOD._replace(up_fps=0))


@given(st.lists(SAMPLES, max_size=200))
def test_any_samples_make_a_verdict_that_has_words(found: list[Sample]) -> None:
    verdict = find_verdict(sorted(found, key=lambda sample: sample.at_s))
    assert verdict.sentence in SENTENCES and len(verdict.stretches) <= MAX_STRETCHES
    ends = [(stretch.start_s, stretch.end_s) for stretch in verdict.stretches]
    assert ends == sorted(ends) and all(start <= end for start, end in ends)
    assert all(
        f"why.{stretch.cause}.{stretch.detail}" in SENTENCES for stretch in verdict.stretches
    )


def test_every_sentence_can_be_reached() -> None:
    reached = {"why.none"}
    for changes in (
        {"up_loss_permille": 99},
        {"down_loss_permille": 99},
        {"rtt_ms": 999},
        {"up_step": "slow"},
        {"rtt_ms": 999, "step": "stills"},
        {"step": "stills"},
        {"is_lost": True},
        {"up_fps": 0},
        {"load_percent": 99},
    ):
        reached.add("why.{}.{}".format(*cause_of(GOOD._replace(**changes))))  # type: ignore[arg-type]
    assert reached == set(SENTENCES)


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_every_sentence_has_words(language: str) -> None:
    root = Path(__file__).resolve().parents[4]
    words = json.loads((root / f"web/pages/catalogue/{language}.json").read_text())
    assert [key for key in SENTENCES if not words.get(f"network.{key}")] == []
