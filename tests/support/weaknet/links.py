"""The links of the project's table, as plans for a run of any length."""

from __future__ import annotations

from dataclasses import replace

from weaknet.pipe import SECOND_US, Change, Conditions

TABLE_SECONDS = 55  # of a run the bounds are for
_MS = 1000
GOOD = Conditions(rate_bps=3_000_000, delay_us=10 * _MS)

HOTSPOT = Conditions(
    rate_bps=800_000, delay_us=60 * _MS, jitter_us=30 * _MS, loss=0.03, burst=2
)  # fmt: skip
TOWNSHIP = Conditions(
    rate_bps=300_000, delay_us=100 * _MS, jitter_us=40 * _MS, loss=0.1, burst=2
)  # fmt: skip
LOSS30 = Conditions(rate_bps=600_000, delay_us=100 * _MS, loss=0.3)
CAP = replace(GOOD, rate_bps=1_000_000)
DEAD_S = 10


def trouble_us(link: str, seconds: float) -> tuple[int, int] | None:
    """From when to when a link that changes is bad; shorter runs are scaled down."""
    start_us = round(15 / TABLE_SECONDS * seconds * SECOND_US)
    if link == "cliff":
        return start_us, round(35 / TABLE_SECONDS * seconds * SECOND_US)
    if link == "dead10":
        return start_us, start_us + DEAD_S * SECOND_US
    return None


def address_change_us(link: str, seconds: float) -> int | None:
    """When the client's address changes."""
    return round(0.4 * seconds * SECOND_US) if link == "address" else None


def plan(link: str, seconds: float) -> list[Change]:
    """One direction; both are alike."""
    steady = {
        "hotspot": HOTSPOT,
        "township": TOWNSHIP,
        "loss30": LOSS30,
        "cap": CAP,
        "address": GOOD,
        "office": GOOD,
    }
    if link in steady:
        return [Change(0, steady[link])]
    trouble = trouble_us(link, seconds)
    if trouble is None:
        raise ValueError(f"no link {link!r}")
    bad = replace(GOOD, rate_bps=120_000) if link == "cliff" else replace(GOOD, is_down=True)
    return [Change(0, GOOD), Change(trouble[0], bad), Change(trouble[1], GOOD)]
