"""Rates of layers: smooth, known before they flow, kept when they stop."""

from __future__ import annotations

import numpy as np

from sfu import engine as _engine
from sfu.downlink.layer_rates import LayerRates


class Watched:
    """One source whose encodings are looked at ten times a second."""

    def __init__(self, announced: tuple[int, ...] = (), num_layers: int = 3) -> None:
        self.rates = LayerRates(2)
        self.row = self.rates.acquire(7, num_layers, announced)
        self.now_us = 1_000_000
        self.news = 0
        self.keys = 1

    def see(self, seconds: float, *bps: int, temporal: int = 3, keys: bool = False) -> None:
        self.keys += 1 if keys else 0
        rows = np.zeros(len(bps), _engine.ENCODING_DTYPE)
        rows["source"], rows["encoding"] = 7, np.arange(len(bps))
        rows["bitrate_bps"] = bps
        rows["is_active"] = rows["bitrate_bps"] > 0
        rows["bitrate_t0_bps"] = rows["bitrate_bps"] * 0.4
        rows["bitrate_t1_bps"] = rows["bitrate_bps"] * 0.6
        rows["num_temporal"], rows["keyframes"] = temporal, self.keys
        for _ in range(round(seconds * 10)):
            self.news += int(self.rates.update(self.now_us, rows).any())
            self.now_us += 100_000

    def full(self) -> list[float]:
        return [float(rate) for rate in self.rates.rates_bps[self.row].max(axis=1)]


def test_what_nobody_knows_is_guessed_where_there_is_a_choice() -> None:
    assert Watched().full() == [150_000, 450_000, 1_350_000]
    assert Watched(num_layers=1).full() == [0, 0, 0]


def test_announced_rates_count_until_measured_ones_do() -> None:
    source = Watched((100_000, 300_000, 900_000))
    assert source.full() == [100_000, 300_000, 900_000]
    source.see(1.0, 80_000, 280_000, 800_000)
    assert source.full() == [100_000, 300_000, 900_000]
    source.see(1.0, 80_000, 280_000, 800_000)
    assert source.full() == [100_000, 300_000, 900_000], "a sender that still ramps up"
    source.see(13.2, 80_000, 280_000, 800_000)
    assert source.full() == [80_000, 280_000, 800_000]


def test_no_announcement_is_believed_beyond_what_any_camera_sends() -> None:
    assert Watched((100_000, 4_000_000_000, -5)).full() == [100_000, 20_000_000, 60_000_000]


def test_a_sender_that_ramps_beyond_what_it_announced_costs_what_it_sends() -> None:
    source = Watched((100_000, 300_000, 900_000))
    source.see(4.0, 140_000, 280_000, 1_200_000)
    assert source.full() == [140_000, 300_000, 1_200_000]


def test_temporal_layers_have_their_shares() -> None:
    source = Watched()
    source.see(3.0, 100_000, 300_000, 900_000)
    assert np.allclose(source.rates.rates_bps[source.row, 0], [40_000, 60_000, 100_000])
    source.see(3.0, 100_000, 300_000, 900_000, temporal=1)
    assert source.rates.rates_bps[source.row, 0].tolist() == [100_000, 0, 0]
    source.see(3.0, 100_000, 300_000, 900_000, temporal=2)
    assert source.rates.rates_bps[source.row, 0].tolist() == [40_000, 100_000, 0]


def test_a_layer_that_stops_keeps_its_rate() -> None:
    source = Watched()
    source.see(3.0, 100_000, 300_000, 900_000)
    source.see(60.0, 100_000, 0, 0)
    assert source.full() == [100_000, 300_000, 900_000]


def test_layers_that_never_flowed_are_guessed_from_their_neighbours() -> None:
    source = Watched()
    source.see(3.0, 100_000)
    assert source.full() == [100_000, 300_000, 900_000]
    single = Watched(num_layers=1)
    single.see(3.0, 100_000)
    assert single.full() == [100_000, 0, 0]


def test_one_key_frame_is_no_news() -> None:
    source = Watched()
    source.see(5.0, 100_000, 300_000, 900_000)
    before = source.news
    source.see(1.0, 180_000, 450_000, 1_400_000, keys=True)
    source.see(5.0, 100_000, 300_000, 900_000)
    assert source.news == before


def test_key_frames_all_the_time_are_believed() -> None:
    source = Watched()
    source.see(5.0, 100_000, 300_000, 900_000)
    for _ in range(60):
        source.see(0.5, 180_000, 450_000, 1_400_000, keys=True)
    assert source.full()[2] > 1_000_000


def test_a_second_of_twice_the_rate_is_no_new_price() -> None:
    source = Watched()
    source.see(5.0, 100_000, 450_000, 900_000)
    source.see(1.0, 200_000, 900_000, 1_800_000)
    assert source.full()[1] < 1.45 * 450_000


def test_motion_is_believed_soon_and_stillness_late() -> None:
    source = Watched()
    source.see(5.0, 100_000, 300_000, 300_000)
    source.see(4.5, 100_000, 300_000, 900_000)
    assert source.full()[2] > 800_000
    source.see(2.0, 100_000, 300_000, 300_000)
    assert source.full()[2] > 600_000


def test_rows_are_shared_and_freed() -> None:
    rates = LayerRates(1)
    row = rates.acquire(1, 3, ())
    assert rates.acquire(1, 3, ()) == row
    other = rates.acquire(2, 3, (5, 6, 7))
    assert other != row and rates.rates_bps.shape[0] >= 2
    rates.release(1)
    rates.release(1)
    rates.release(1)
    assert rates.acquire(3, 1, ()) in (row, *range(2, rates.rates_bps.shape[0]))
    assert rates.rates_bps[other].max() == 7


def test_absurd_rows_are_left_out() -> None:
    source = Watched((1, 2, -3))
    rows = np.zeros(2, _engine.ENCODING_DTYPE)
    rows["source"], rows["encoding"] = (7, 99), (200, 0)
    rows["is_active"], rows["bitrate_bps"] = 1, 2**32 - 1
    assert not source.rates.update(5, rows).any()
    assert not source.rates.update(1, rows).any()
