"""Who may run a check, and how much it may move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from web.http.problems import Problem
from web.network.checks import (
    LIFETIME_S,
    MAX_CALLER_STREAMS,
    MAX_CHECKS,
    MAX_PINGS,
    MAX_STREAMS,
    STARTS,
    NetworkChecks,
)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def checks(clock: Clock) -> NetworkChecks:
    return NetworkChecks(now_s=clock)


def refused(call: Callable[..., object], *arguments: str) -> int:
    with pytest.raises(Problem) as problem:
        call(*arguments)
    return problem.value.status


def test_each_part_is_done_once(checks: NetworkChecks) -> None:
    check_id = checks.begin(room="hongqiao", name="张敏")
    assert checks.take(check_id, "down").room == "hongqiao"
    assert refused(checks.take, check_id, "down") == 409
    for _ in range(MAX_PINGS):
        checks.take(check_id, "ping")
    assert refused(checks.take, check_id, "ping") == 409
    checks.take(check_id, "up")
    checks.take(check_id, "result")
    assert checks.refused == 2


def test_a_check_ends_by_itself(checks: NetworkChecks, clock: Clock) -> None:
    check_id = checks.begin()
    clock.now_s += LIFETIME_S
    assert refused(checks.take, check_id, "up") == 404
    assert refused(checks.take, "", "up") == refused(checks.take, "x" * 5000, "up") == 404


def test_one_caller_may_not_begin_many(checks: NetworkChecks, clock: Clock) -> None:
    for _ in range(int(STARTS["burst"])):
        checks.admit("192.0.2.1")
    assert refused(checks.admit, "192.0.2.1") == 429
    checks.admit("192.0.2.2")
    # An IPv6 household counts as one.
    for number in range(int(STARTS["burst"])):
        checks.admit(f"2001:db8::{number}")
    assert refused(checks.admit, "2001:db8::ffff") == 429
    clock.now_s += 1 / STARTS["per_s"]
    checks.admit("192.0.2.1")


def test_all_checks_together_are_bounded(checks: NetworkChecks, clock: Clock) -> None:
    for _ in range(MAX_CHECKS):
        checks.begin()
    assert refused(checks.begin) == 503
    clock.now_s += LIFETIME_S
    checks.begin()


def test_streams_are_bounded_and_given_back(checks: NetworkChecks) -> None:
    held = [checks.stream(f"192.0.2.{number}") for number in range(MAX_STREAMS)]
    for one in held:
        one.__enter__()
    assert refused(checks.stream("192.0.2.99").__enter__) == 503
    held[0].__exit__(None, None, None)
    with checks.stream("192.0.2.99"):
        assert checks.num_streams == MAX_STREAMS
    with pytest.raises(ValueError), checks.stream("192.0.2.99"):
        raise ValueError
    with checks.stream("192.0.2.99"):
        pass
    assert checks.refused == 1


def test_one_address_has_a_few_streams_at_once(checks: NetworkChecks) -> None:
    # An IPv6 household counts as one.
    held = [checks.stream(f"2001:db8::{number}") for number in range(MAX_CALLER_STREAMS)]
    for one in held:
        one.__enter__()
    with pytest.raises(Problem) as problem:
        checks.stream("2001:db8::ffff").__enter__()
    assert problem.value.status == 429 and int(problem.value.headers["Retry-After"]) > 0
    with checks.stream("2001:db8:0:1::1"):
        pass
    held[0].__exit__(None, None, None)
    with checks.stream("2001:db8::ffff"):
        pass
    for one in held[1:]:
        one.__exit__(None, None, None)
    assert checks.num_streams == 0 and not checks._streams, "nobody is remembered"
