from __future__ import annotations

from signaling.ratelimit import TokenBucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(10.0, 5, 0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(0.09)
    assert bucket.take(0.11) and not bucket.take(0.11)


def test_rest_refills_no_further_than_the_burst() -> None:
    bucket = TokenBucket(10.0, 5, 0.0)
    assert sum(bucket.take(1000.0) for _ in range(10)) == 5
