"""Who comes back is known, for a while and within bounds."""

from __future__ import annotations

import pytest

from sfu.downlink.memory import LineMemory, network_of

MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::9", "2001:db8:1::/48"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("phone.example", ""),
    ],
)
def test_networks(ip: str, network: str) -> None:
    assert network_of(ip) == network


def test_a_line_is_known_for_ten_minutes() -> None:
    memory = LineMemory()
    memory.remember("mia", "192.0.2.0/24", 2_000_000, MINUTE_US)
    known = memory.recall("mia", "192.0.2.0/24", 10 * MINUTE_US)
    assert known is not None and (known.last_bps, known.good_bps) == (2_000_000, 2_000_000)
    assert memory.recall("mia", "192.0.2.0/24", 12 * MINUTE_US) is None
    assert memory.recall("mia", "198.51.100.0/24", MINUTE_US) is None
    assert memory.recall("ben", "192.0.2.0/24", MINUTE_US) is None


def test_nobody_in_particular_is_not_remembered() -> None:
    memory = LineMemory()
    memory.remember("", "192.0.2.0/24", 1, 1)
    memory.remember("mia", "", 1, 1)
    memory.remember("mia", "192.0.2.0/24", 0, 1)
    assert len(memory) == 0


def test_the_oldest_are_forgotten_first() -> None:
    memory = LineMemory(max_lines=3)
    for index in range(5):
        memory.remember(f"p{index}", "n", index + 1, index)
        memory.remember("p0", "n", 1, index)
    assert len(memory) == 3
    known = memory.recall("p0", "n", 5)
    assert known is not None and known.last_bps == 1
    assert memory.recall("p1", "n", 5) is None


def test_the_best_estimate_fades_but_does_not_go_with_the_last() -> None:
    memory = LineMemory()
    known = []
    for step in range(19):
        rate_bps = 3_000_000 if step == 0 else 120_000
        memory.remember("mia", "n", rate_bps, step * MINUTE_US // 3)
        known.append(memory.recall("mia", "n", step * MINUTE_US // 3))
    good = [found.good_bps for found in known if found]
    assert good[:4] == pytest.approx([3e6, 2.38e6, 1.89e6, 1.5e6], rel=0.01)
    assert good[-1] == 120_000, "six minutes on a narrow line: it is one"
    memory.remember("mia", "n", 5_000_000, 7 * MINUTE_US)
    found = memory.recall("mia", "n", 7 * MINUTE_US)
    assert found is not None and found.good_bps == 5_000_000


def test_a_clock_that_goes_back_keeps_the_best() -> None:
    memory = LineMemory()
    memory.remember("mia", "n", 3_000_000, MINUTE_US)
    memory.remember("mia", "n", 120_000, 0)
    found = memory.recall("mia", "n", 0)
    assert found is not None and found.good_bps == 3_000_000
