"""The token bucket."""

from __future__ import annotations

from sfu.bucket import TokenBucket


def test_burst_then_rate() -> None:
    bucket = TokenBucket(rate_per_s=8, burst=4)
    assert [bucket.take(10.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [bucket.take(10.25) for _ in range(3)] == [True, True, False]
    assert sum(bucket.take(99.0) for _ in range(10)) == 4


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate_per_s=8, burst=1)
    assert bucket.take(10.0) and not bucket.take(5.0)
