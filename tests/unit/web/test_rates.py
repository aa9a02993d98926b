"""Rate limits: burst, refill, one household, bounded memory."""

from __future__ import annotations

from web.http import rates
from web.http.rates import RateLimit, caller_key


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_burst_then_wait_then_refill() -> None:
    clock = Clock()
    limit = RateLimit(burst=2, per_s=0.5, clock=clock)
    assert [limit.take("192.0.2.1") for _ in range(2)] == [0, 0]
    assert limit.take("192.0.2.1") == 2
    assert limit.wait_s("192.0.2.1") == 2
    assert limit.take("192.0.2.2") == 0
    clock.now_s += 2
    assert limit.wait_s("192.0.2.1") == 0
    assert limit.take("192.0.2.1") == 0
    assert limit.refused == 1


def test_asking_takes_nothing() -> None:
    limit = RateLimit(burst=1, per_s=1, clock=Clock())
    assert [limit.wait_s("x") for _ in range(5)] == [0] * 5


def test_one_ipv6_household_is_one_caller() -> None:
    assert caller_key("2001:db8:1:2::1") == caller_key("2001:db8:1:2:ffff::9")
    assert caller_key("2001:db8:1:2::1") != caller_key("2001:db8:1:3::1")
    assert caller_key("::ffff:192.0.2.1") == caller_key("192.0.2.1")
    assert len(caller_key("x" * 500)) == 64


def test_memory_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(rates, "MAX_CALLERS", 10)
    limit = RateLimit(burst=1, per_s=1, clock=Clock())
    for number in range(1000):
        limit.take(f"10.0.{number // 250}.{number % 250}")
    assert len(limit._buckets) == 10
