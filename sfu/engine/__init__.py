"""The packet engine: the compiled module, and numpy types for the rows it snapshots."""

from __future__ import annotations

import numpy as np

from sfu.engine._native import Engine, EngineError, Simulator

__all__ = [
    "ENCODING_DTYPE",
    "SINK_DTYPE",
    "TRANSPORT_DTYPE",
    "TWCC_DTYPE",
    "Engine",
    "EngineError",
    "Simulator",
]

# Little-endian, packed; written by `rows.rs` in this order.
TRANSPORT_DTYPE = np.dtype(
    [
        ("transport", "<u4"),
        ("state", "u1"),  # api::TransportState
        ("is_tcp", "u1"),
        ("loss_permille", "<u2"),  # of what we sent, from the last TWCC or RR second
        ("rtt_us", "<u4"),  # 0 = unknown
        ("remb_bps", "<u4"),  # 0 = none
        ("received_packets", "<u8"),
        ("received_bytes", "<u8"),
        ("sent_packets", "<u8"),
        ("sent_bytes", "<u8"),
        ("dropped_auth", "<u4"),  # SRTP authentication failed
        ("dropped_replay", "<u4"),
        ("dropped_unknown", "<u4"),  # SSRC or payload type nobody negotiated
        ("dropped_malformed", "<u4"),
        ("last_received_us", "<u8"),
        ("has_twcc", "u1"),  # transport-wide feedback came at least once
        ("is_braking", "u1"),  # 0 no, 1 the link's queue grew, 2 nothing is heard any more
        ("budget_bps", "<u4"),  # in force: as ordered, or less while braking; 0 = none
        ("waiting_us", "<u4"),  # age of the oldest packet that waits to be sent
        ("last_feedback_us", "<u8"),  # TWCC, 0 = never
        ("audio_bps", "<u4"),  # sent over the last second
        ("sent_bps", "<u4"),  # over the last second, all of RTP, RTCP and DTLS
        ("reported_packets", "<u8"),  # that receiver reports told of, lost ones included
        ("reported_lost", "<u8"),  # among them
        ("newest_rtt_us", "<u4"),  # by the newest report alone, 0 = unknown
    ]
)
ENCODING_DTYPE = np.dtype(
    [
        ("source", "<u4"),
        ("encoding", "u1"),
        ("codec", "u1"),  # 0 = nothing received yet
        ("is_active", "u1"),  # media within the last second
        ("audio_level", "u1"),  # last RFC 6464 level, 0 loud..127 silent
        ("ssrc", "<u4"),
        ("bitrate_bps", "<u4"),  # over the last second
        ("packets", "<u8"),
        ("bytes", "<u8"),
        ("lost", "<u8"),  # after recovery
        ("loud_packets", "<u4"),  # cumulative, level <= 35
        ("leveled_packets", "<u4"),  # cumulative, packets that carried a level
        ("level_sum", "<u8"),  # cumulative over the loud ones
        ("nacks_sent", "<u4"),
        ("plis_sent", "<u4"),
        ("keyframes", "<u4"),
        ("frames", "<u4"),
        ("jitter_ts", "<u4"),  # RFC 3550, codec clock
        ("width", "<u2"),
        ("height", "<u2"),
        ("last_received_us", "<u8"),
        ("bitrate_t0_bps", "<u4"),  # of the lowest temporal layer, over the last second
        ("bitrate_t1_bps", "<u4"),  # of the two lowest together
        ("num_temporal", "u1"),  # temporal layers seen lately, at least 1
    ]
)
SINK_DTYPE = np.dtype(
    [
        ("sink", "<u4"),
        ("source", "<u4"),
        ("transport", "<u4"),
        ("spatial", "i1"),  # being forwarded, -1 = nothing yet
        ("wanted_spatial", "i1"),
        ("is_paused", "u1"),
        ("loss_fraction", "u1"),  # last receiver report, /256
        ("packets", "<u8"),
        ("bytes", "<u8"),
        ("nacks_received", "<u4"),  # packets asked for
        ("rtx_sent", "<u4"),
        ("rtx_missed", "<u4"),  # asked for, not had or over budget
        ("plis_received", "<u4"),
        ("jitter_ts", "<u4"),
        ("temporal", "i1"),  # highest temporal layer being forwarded, -1 = nothing yet
        ("copies_sent", "<u4"),  # unrequested ones of set_protection
        ("left_out", "<u4"),  # packets left out because the budget was too small
    ]
)
TWCC_DTYPE = np.dtype(
    [
        ("transport", "<u4"),
        ("size_bytes", "<u2"),
        ("seq", "<u2"),
        ("sent_us", "<u8"),
        ("received_us", "<u8"),  # the receiver's clock, unwrapped; 0 = reported lost
        ("probe", "<u4"),  # of Engine.probe; 0 = none
        ("flags", "u1"),  # 1 = retransmission, copy or padding, 2 = audio
    ]
)
