"""Every number of the estimator. Why each is what it is: `README.md` beside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Constants:
    """Tuning of an `Estimator`; times in microseconds, rates in bits per second."""

    # Bounds of every estimate.
    min_bps: float = 30_000.0
    max_bps: float = 50_000_000.0

    # Rows that cannot be: dropped and counted.
    max_row_age_us: int = 60_000_000
    max_ahead_us: int = 1_000_000

    # Groups of packets and the trend of their delay.
    burst_us: int = 5_000
    coarse_burst_us: int = 50_000
    max_burst_us: int = 100_000
    max_delay_jump_us: int = 3_000_000
    smoothing: float = 0.9
    trend_gain: float = 4.0
    max_deltas: int = 60
    threshold_min_ms: float = 6.0
    threshold_max_ms: float = 600.0
    threshold_up: float = 0.0087
    threshold_down: float = 0.039
    threshold_max_step_ms: float = 100.0
    threshold_max_excess_ms: float = 15.0
    overuse_time_us: float = 10_000.0

    # The queue: delay above the lowest seen.
    base_bucket_us: int = 2_500_000
    jitter_weight: float = 0.1
    quiet_queue_us: float = 20_000.0
    hold_queue_us: float = 60_000.0
    brake_queue_us: float = 100_000.0
    brake_rise_us: float = 8_000.0
    burst_bytes: float = 2_400.0
    burst_most_us: float = 100_000.0
    jump_queue_us: float = 50_000.0
    jump_rise_us: float = 30_000.0
    jump_jitters: float = 2.0
    drain_queue_us: float = 150_000.0
    drain_floor: float = 0.2
    standing_us: int = 1_000_000
    standing_shrink: float = 0.85
    standing_growth: float = 1.25
    standing_shrink_us: float = 100_000.0
    standing_tries: int = 1

    # Lost reports.
    hole_beats: float = 3.0
    hole_min_us: float = 35_000.0
    hole_max_beat_us: float = 45_000.0
    beat_down: float = 0.3
    beat_up: float = 0.01
    covered_min: float = 0.3

    # What arrives.
    rate_window_us: float = 150_000.0
    rate_jump: float = 0.6
    rate_uncertainty: float = 10.0
    rate_variance_growth: float = 5.0
    full_window_us: float = 150_000.0
    full_memory_us: float = 600_000.0

    # Additive increase, multiplicative decrease.
    beta: float = 0.85
    short_beta: float = 0.75
    short_queue_us: float = 150_000.0
    eager_share: float = 0.9
    cliff_share: float = 0.8
    eager_usual_share: float = 0.85
    idle_share: float = 0.8
    idle_beta: float = 0.7
    growth_per_s: float = 1.08
    min_growth_bps: float = 1_000.0
    near_growth_bps_per_s: float = 4_000.0
    response_extra_us: float = 100_000.0
    acked_headroom: float = 1.5
    acked_headroom_bps: float = 10_000.0
    yield_us: int = 4_000_000
    yield_share: float = 0.9
    decrease_interval_min_us: float = 100_000.0
    decrease_interval_max_us: float = 300_000.0
    capacity_smoothing: float = 0.05
    capacity_sigmas: float = 3.0

    # Loss.
    observation_us: int = 250_000
    observation_packets: int = 5
    observation_weight: float = 0.9
    min_observations: int = 3
    early_observations: int = 12
    early_share: float = 0.7
    negligible_loss: float = 0.02
    inherent_min: float = 0.001
    inherent_max: float = 0.5
    inherent_offset: float = 0.06
    inherent_balance_bps: float = 200_000.0
    loss_ceiling: float = 1.05
    loss_ramp: float = 1.05
    loss_up: float = 1.02
    loss_down: float = 0.95
    rate_bias: float = 0.06
    rate_bias_packets: float = 150.0
    rate_bias_loss: float = 0.5
    rate_bias_softness: float = 0.002
    loss_hold_us: float = 500_000.0
    loss_hold_max_us: float = 10_000_000.0
    loss_hold_headroom: float = 1.05

    # Probes.
    probe_min_us: int = 15_000
    probe_max_us: int = 150_000
    probe_step_max_us: int = 250_000
    probe_queue_us: float = 70_000.0
    probe_min_bytes: int = 1_500
    probe_wanted_bytes: int = 7_200
    probe_max_bytes: int = 50_000
    probe_min_packets: int = 3
    probe_first: float = 3.0
    probe_further: float = 2.0
    probe_jitters: float = 5.0
    probe_step_jitters: float = 12.0
    probe_jitter_doubt: float = 1.0
    probe_recovery: float = 3.0
    probe_need: float = 1.2
    probe_step: float = 1.08
    probe_beyond: float = 1.05
    probe_full_share: float = 0.95
    probe_sure: float = 1.17
    probe_proof_us: int = 15_000_000
    probe_lost_step: float = 0.75
    probe_lost_step_us: int = 1_500_000
    probe_new_step: float = 1.2
    probe_new_step_us: int = 2_000_000
    probe_passed: float = 0.7
    probe_unsaturated: float = 0.9
    probe_end: float = 1.1
    probe_end_us: float = 30_000.0
    probe_end_jitters: float = 6.0
    probe_saturated_share: float = 0.95
    probe_max_ratio: float = 2.0
    probe_max_loss: float = 0.2
    probe_settle_us: int = 300_000
    probe_timeout_us: float = 1_000_000.0
    probe_interval_us: float = 2_500_000.0
    probe_interval_max_us: float = 15_000_000.0
    probe_backoff: float = 1.5
    recovery_interval_us: float = 1_000_000.0
    recovery_interval_max_us: float = 1_500_000.0
    recovery_backoff: float = 1.25
    recovery_below: float = 0.66
    starved_bps: float = 200_000.0
    starved_interval_us: float = 1_500_000.0
    starved_interval_max_us: float = 4_000_000.0
    broken_share: float = 0.6
    broken_pause_us: float = 5_000_000.0
    promise_us: int = 3_000_000
    good_half_life_s: float = 60.0

    # Silence.
    stall_us: float = 600_000.0
    stall_rtts: float = 3.0
    stall_min_sent_bps: float = 4_000.0
    long_stall_us: float = 1_500_000.0
    return_share: float = 0.8

    # Lines without transport feedback.
    report_interval_us: float = 1_000_000.0
    report_low_loss: float = 0.02
    report_high_loss: float = 0.10
    report_growth: float = 1.08
    report_resting: float = 0.5
    report_resting_growth: float = 1.2
    report_headroom: float = 3.0
    report_step: float = 1.2
    remb_headroom: float = 1.25
    remb_headroom_bps: float = 50_000.0
    report_queue_us: float = 150_000.0
    report_draining: float = 0.9
    report_min_packets: float = 20.0


DEFAULTS = Constants()
