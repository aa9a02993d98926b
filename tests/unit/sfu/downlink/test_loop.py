"""Subscribers over modelled lines: what they get, how soon, and what others notice."""

from __future__ import annotations

import pytest
from downlink_bench import LAYERS_BPS, DownlinkBench, Line, Viewer

from bandwidth.ladder import Step
from sfu.downlink import DownlinkConfig, Kind, Wish
from sfu.ids import Layers
from sfu.source import Source

FULL = Layers(2, 7, False)


def steps(viewer: Viewer) -> list[Step]:
    return [step for _, step in viewer.steps]


async def test_beside_the_server_the_full_layer_comes_within_a_second() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    assert viewer.layers == [Layers(0, 7, False)]
    bench.run(1.0)
    assert viewer.layers == [FULL]
    bench.run(20.0)
    assert viewer.layers == [FULL] and not viewer.steps
    assert len(viewer.granted[viewer.sinks[0]]) <= 3


async def test_a_strong_line_is_paced_far_above_its_need() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    bench.run(10.0)
    assert viewer.budget_bps >= 3 * LAYERS_BPS[2]


async def test_a_line_of_one_megabit_gets_what_fits() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(1e6, delay_us=30_000))
    bench.run(10.0)
    viewer.worst_queue_us = 0
    bench.run(10.0)
    assert viewer.layers[0].spatial >= 1 and not viewer.layers[0].paused
    assert viewer.worst_queue_us <= 200_000


async def test_a_cliff_costs_the_picture_first_and_it_comes_back() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(3e6, delay_us=30_000))
    bench.run(10.0)
    viewer.line.rate_bps = 120e3
    bench.run(0.5)
    assert viewer.layers[0] != FULL
    bench.run(19.5)
    assert steps(viewer)[-1] in (Step.QUARTER_RATE, Step.STILLS, Step.AUDIO_ONLY)
    assert viewer.line.queue_us <= 150_000
    viewer.line.rate_bps = 3e6
    bench.run(4.0)
    assert viewer.layers == [FULL] and steps(viewer)[-1] is Step.FULL


async def test_a_brake_for_nothing_is_released_within_two_reports() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(3e6, delay_us=30_000, jitter_us=15_000))
    bench.run(10.2)
    released = 0
    for _ in range(10):
        viewer.is_braking = True
        bench.run(0.2)
        released += not viewer.is_braking
        bench.run(0.9)
    assert released >= 9


async def test_on_a_cliff_nothing_goes_beside_the_media_until_nothing_waits() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(3e6, delay_us=30_000))
    assert bench.downlink.room_of(viewer.transport) is None
    bench.run(10.0)
    room = bench.downlink.room_of(viewer.transport)
    assert room is not None and room.is_clear
    viewer.line.rate_bps = 120e3
    bench.run(0.5)
    room = bench.downlink.room_of(viewer.transport)
    assert room is not None and not room.is_clear and viewer.line.queue_us > 100_000
    for _ in range(100):
        bench.run(0.1)
        room = bench.downlink.room_of(viewer.transport)
        if room is not None and room.is_clear:
            break
    assert viewer.line.queue_us < 150_000


async def test_ten_seconds_of_silence_are_forgotten_soon() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(3e6, delay_us=30_000))
    bench.run(10.0)
    viewer.line.is_dead = True
    bench.run(10.0)
    viewer.line.is_dead = False
    bench.run(3.0)
    assert viewer.layers == [FULL]


async def test_random_loss_is_answered_with_copies_not_with_less() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(600e3, delay_us=100_000, loss=0.3))
    bench.run(30.0)
    sink = viewer.sinks[0]
    assert not viewer.layers[0].paused and viewer.layers[0].spatial == 0
    assert sink._copies == 2
    assert 0.1 < viewer.line.loss


async def test_a_weak_line_costs_nobody_else() -> None:
    bench = DownlinkBench()
    source = bench.source()
    strong = bench.viewer(source)
    weak = [bench.viewer(source, line=Line(100e3)) for _ in range(10)]
    bench.run(20.0)
    assert strong.layers == [FULL] and not strong.steps
    assert all(viewer.layers[0] != FULL for viewer in weak)


async def test_late_feedback_of_a_busy_machine_takes_nothing_away() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    bench.run(5.0)
    for _ in range(20):
        # The receiver reads its socket late for a moment, and then all at once.
        viewer.line.delay_us = 70_000
        bench.run(0.1)
        viewer.line.delay_us = 10_000
        bench.run(0.4)
        assert viewer.layers == [FULL]
    assert not viewer.steps


async def test_a_person_who_comes_back_starts_where_the_line_was() -> None:
    bench = DownlinkBench()
    source = bench.source()
    first = bench.viewer(source, person="mia")
    bench.run(10.0)
    await first.transport.close()
    again = bench.viewer(source, person="mia", ip="192.0.2.99")
    other = bench.viewer(source, person="mia", ip="198.51.100.1")
    bench.run(0.1)
    assert again.layers == [FULL] and other.layers != [FULL]


@pytest.mark.parametrize("cliff_bps", [120e3, 40e3])
async def test_who_left_on_a_cliff_and_comes_back_to_a_good_line_has_the_picture_soon(
    cliff_bps: float,
) -> None:
    bench = DownlinkBench()
    source = bench.source()
    again = await leave_on_a_cliff(bench, source, cliff_bps, back_bps=3e6)
    bench.run(0.8)
    assert again.layers == [FULL]
    assert again.worst_queue_us < 20_000


@pytest.mark.parametrize("cliff_bps", [120e3, 40e3])
async def test_who_left_on_a_cliff_and_comes_back_to_it_is_not_flooded(cliff_bps: float) -> None:
    bench = DownlinkBench()
    source = bench.source()
    again = await leave_on_a_cliff(bench, source, cliff_bps, back_bps=120e3)
    bench.run(20.0)
    # A stranger on this line has a queue of 0.4 to 0.9 s.
    assert again.worst_queue_us < 350_000


async def leave_on_a_cliff(
    bench: DownlinkBench, source: Source, cliff_bps: float, *, back_bps: float
) -> Viewer:
    first = bench.viewer(source, line=Line(3e6), person="mia")
    bench.run(15.0)
    first.line.rate_bps = cliff_bps
    bench.run(15.0)
    assert (bench.downlink.estimate_of(first.transport) or 0.0) < 160e3
    await first.transport.close()
    bench.run(2.0)
    return bench.viewer(source, line=Line(back_bps), person="mia")


async def test_a_phone_starts_lower() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer()
    viewer.transport.is_cellular = True
    assert bench.downlink._start_bps(viewer.transport) == DownlinkConfig().cellular_start_bps


async def test_wishes_are_answered_at_the_next_turn() -> None:
    bench = DownlinkBench()
    stage, tile = bench.source(), bench.source()
    small = Wish(0, kind=Kind.THUMBNAIL)
    viewer = bench.viewer(stage, tile, wishes=(Wish(), small))
    bench.run(3.0)
    assert viewer.layers == [FULL, Layers(0, 7, False)]
    viewer.sinks[0].set_wish(small)
    viewer.sinks[1].set_wish(Wish())
    bench.run(0.1)
    assert viewer.layers == [Layers(0, 7, False), FULL]
    viewer.sinks[1].set_wish(Wish(is_paused=True))
    assert viewer.layers[1].paused


async def test_a_tile_that_nobody_sees_costs_nothing() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), wishes=(Wish(is_paused=True),))
    bench.run(2.0)
    assert viewer.layers[0].paused and not viewer.steps
    assert not viewer.sinks[0].source.is_watched


async def test_whom_only_the_line_keeps_from_watching_still_counts() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source(), line=Line(40e3))
    bench.run(10.0)
    assert viewer.layers[0].paused
    assert viewer.sinks[0].source.is_watched


async def test_sound_alone_is_neither_paced_nor_probed() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer()
    bench.run(5.0)
    assert not bench.engine.named("set_budget") and not bench.engine.named("probe")
    assert bench.downlink.estimate_of(viewer.transport) is not None


async def test_budgets_are_repeated_so_that_the_engine_trusts_them() -> None:
    bench = DownlinkBench()
    bench.viewer(bench.source())
    bench.run(5.0)
    before = len(bench.engine.named("set_budget"))
    bench.run(5.0)
    assert 5 <= len(bench.engine.named("set_budget")) - before <= 25


async def test_the_engine_watches_while_all_lines_are_strong() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    bench.run(0.5)
    assert not bench.engine.named("watch_lines"), "nothing is known of the line yet"
    bench.run(9.5)
    calm = len(bench.engine.named("watch_lines"))
    assert calm > 0
    viewer.line.rate_bps = 120e3
    bench.run(1.0)
    fallen = len(bench.engine.named("watch_lines"))
    bench.run(5.0)
    assert len(bench.engine.named("watch_lines")) == fallen, "a weak line is looked at ten times"


async def test_a_line_that_was_woken_is_looked_at_closely_for_a_second() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    bench.run(10.0)
    ticker = bench.downlink._ticker
    assert ticker.calm_interval_s is not None
    bench.downlink.wake(viewer.transport.handle)
    for _ in range(9):
        bench.run(0.1)
        assert ticker.calm_interval_s is None, "the next turn must not be two seconds away"
    bench.run(0.5)
    assert ticker.calm_interval_s is not None


async def test_the_last_picture_ends_pacing() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    bench.run(3.0)
    viewer.sinks.pop().close()
    bench.run(0.2)
    assert viewer.budget_bps == 0


async def test_who_leaves_is_forgotten() -> None:
    bench = DownlinkBench()
    source = bench.source()
    viewers = [bench.viewer(source) for _ in range(100)]
    bench.run(1.0)
    assert bench.downlink.snapshot()["downlink_lines"] == 100
    for viewer in viewers:
        await viewer.transport.close()
    bench.run(0.2)
    counts = bench.downlink.snapshot()
    assert counts["downlink_lines"] == 0 and counts["downlink_full"] == 0
    assert bench.downlink.estimate_of(viewers[0].transport) is None
    assert len(bench.downlink._table) == 0 and not bench.downlink._rates._uses


async def test_a_source_that_ends_leaves_the_others_alone() -> None:
    bench = DownlinkBench()
    one, other = bench.source(), bench.source()
    viewer = bench.viewer(one, other)
    bench.run(2.0)
    bench.rates_bps[one.handle] = (0, 0, 0)
    one.close()
    bench.run(2.0)
    assert viewer.layers[1] == FULL


async def test_a_listener_that_fails_stops_nobody() -> None:
    bench = DownlinkBench()
    source = bench.source()
    broken, fine = (bench.viewer(source, line=Line(90e3)) for _ in range(2))

    def fail(_step: Step, _why: str) -> None:
        raise RuntimeError("listener")

    broken.transport.on_step = fail
    bench.run(10.0)
    assert fine.steps
    assert bench.registry.counters["callback_errors"] >= 1


async def test_rows_of_strangers_and_of_the_future_change_nothing() -> None:
    bench = DownlinkBench()
    viewer = bench.viewer(bench.source())
    bench.run(2.0)
    for row in ((999_999, 1200), (viewer.transport.handle, 0)):
        handle, size = row
        future_us = bench.now_us + 10**9
        viewer.waiting.append((bench.now_us, (handle, size, 0, future_us, 2**62, 7, 0)))
        viewer.waiting.append((bench.now_us, (handle, 65_535, 0, 0, 1, 0, 0)))
    bench.run(2.0)
    assert viewer.layers == [FULL]


async def test_lines_that_are_not_connected_yet_hold_up_nobody() -> None:
    bench = DownlinkBench()
    source = bench.source()
    viewer = bench.viewer(source)
    bench.run(0.5)
    for _ in range(150):
        bench.viewer(source).transport._state = "connecting"
    bench.run(1.0)
    assert viewer.layers == [FULL]


async def test_far_more_lines_than_one_turn_takes_are_all_served() -> None:
    bench = DownlinkBench()
    object.__setattr__(bench.downlink._config, "max_lines_per_tick", 5)
    source = bench.source()
    viewers = [bench.viewer(source) for _ in range(20)]
    bench.run(3.0)
    assert all(viewer.layers == [FULL] for viewer in viewers)
