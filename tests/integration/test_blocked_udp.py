"""An office whose firewall lets nothing out but TCP to the pages and to 443: real clients meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from weaknet.runs import Stage, sender_run, viewer_run
from weaknet_stage import open_stage

SECONDS = 12.0


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "data", 1, only_443=True) as stage:
        yield stage


def test_a_viewer_sees_and_hears_over_tcp_alone(office: Stage) -> None:
    row = viewer_run(office, "office", SECONDS)
    print(row)
    # It tried UDP first, and none got through.
    assert row["blocked_udp"] > 0
    assert row["first_picture_s"] <= 5
    assert row["freeze_s"] <= 1 and row["concealed_percent"] <= 3
    assert row["strong"]["freeze_s"] <= 0.5


def test_a_sender_is_seen_and_heard_over_tcp_alone(office: Stage) -> None:
    row = sender_run(office, "office", SECONDS)
    print(row)
    assert row["blocked_udp"] > 0
    assert row["first_picture_s"] <= 5
    assert row["freeze_s"] <= 1 and row["concealed_percent"] <= 3
