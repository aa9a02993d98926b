"""Real clients behind simulated links: the short form of `make weaknet`.

The bounds here are wide, as machines that test are busy; the table's own are in `weaknet.table`.
They tell a server that adapts from one that does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from weaknet.runs import Stage, sender_run, ten_run
from weaknet_stage import open_stage

KINDS = ("hotspot", "township", "loss30", "cliff", "dead10", "address")
FAST = ("hotspot", "cliff", "dead10", "address")
SECONDS = 22.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A room of our own server, with as many links as kinds."""
    with open_stage(tmp_path / "data", len(KINDS)) as opened:
        yield opened


def test_weak_viewers_go_on_and_a_strong_one_does_not_notice(stage: Stage) -> None:
    row = ten_run(stage, SECONDS, KINDS, alone_s=5)
    print(row)
    assert row["strong"]["freeze_s"] <= 1
    assert 80 <= row["kbps_percent"] <= 120
    seen: dict[str, dict[str, Any]] = dict(zip(KINDS, row["viewers"], strict=True))
    for kind, viewer in seen.items():
        assert viewer["frames"] > (60 if kind in FAST else 10), kind
        assert viewer["concealed_percent"] - viewer["silent_percent"] <= 15, kind
        # Nobody was thrown out, whatever the line did.
        assert not [name for name in viewer["events"] if name.startswith("disconnected")], kind
    assert seen["dead10"]["picture_back_s"] <= 3
    assert seen["cliff"]["full_picture_back_s"] <= 10
    assert seen["address"]["longest_gap_s"] <= 3


def test_a_weak_sender_is_seen(stage: Stage) -> None:
    row = sender_run(stage, "hotspot", 15)
    print(row)
    assert row["first_picture_s"] <= 6 and row["freeze_s"] <= 6
    assert row["concealed_percent"] <= 8
