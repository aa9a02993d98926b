"""How long calm turns may be."""

from __future__ import annotations

from sfu.downlink import DownlinkConfig


def test_calm_turns_are_shorter_where_much_is_reported() -> None:
    config = DownlinkConfig(interval_s=0.1, calm_interval_s=1.0, calm_rows=40_000)
    assert config.fit_calm(0.0) == 1.0
    assert config.fit_calm(40_000.0) == 1.0
    assert config.fit_calm(80_000.0) == 0.5
    assert config.fit_calm(1e6) is None, "no longer than any other turn"
