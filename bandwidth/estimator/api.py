"""What goes into the estimator and what comes out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import Bools, Floats


class Feedback(NamedTuple):
    """What subscribers reported of packets since the last update: one row a packet, oldest first.

    Attributes:
        slot: (n,) whose line.
        sent_us: (n,) when it left, on the clock of `now_us`.
        received_us: (n,) when it came, on the receiver's clock; 0 = lost.
        size_bytes: (n,) on the wire.
        probe: (n,) number of the `ProbeOrder` it belonged to, 0 = none.
    """

    slot: NDArray[np.int32]
    sent_us: NDArray[np.int64]
    received_us: NDArray[np.int64]
    size_bytes: NDArray[np.int32]
    probe: NDArray[np.int64]


class Lines(NamedTuple):
    """What else is known of each line; an entry a slot, garbage where the slot is not open.

    Attributes:
        rtt_us: round trip, 0 or NaN = unknown.
        loss: share of packets lost by receiver reports, NaN = unknown.
        remb_bps: what the receiver said it can take, 0 = nothing said.
        has_twcc: whether the receiver reports every packet.
        sent_bps: all that was sent in the last second.
        needed_bps: what all wishes of this subscriber would cost; probes go no further.
        next_bps: what the next step up would cost, 0 = not known.
        cost_factor: what a bit of video costs with its copies; it is in both.
        is_braking: the engine has lowered the rate by itself.
        reported_packets: that receiver reports told of since the line began, lost ones included.
        reported_lost: among them.
        newest_rtt_us: round trip by the newest receiver report alone, 0 = unknown.
    """

    rtt_us: NDArray[np.float64]
    loss: NDArray[np.float64]
    remb_bps: NDArray[np.float64]
    has_twcc: NDArray[np.bool_]
    sent_bps: NDArray[np.float64]
    needed_bps: NDArray[np.float64]
    next_bps: NDArray[np.float64]
    cost_factor: NDArray[np.float64]
    is_braking: NDArray[np.bool_]
    reported_packets: NDArray[np.float64]
    reported_lost: NDArray[np.float64]
    newest_rtt_us: NDArray[np.float64]


class Estimates(NamedTuple):
    """What each line carries; an entry a slot, those of closed slots mean nothing.

    Attributes:
        target_bps: what may be sent.
        proven_bps: what the last probe showed, 0 = long ago, or the line was too full since.
        is_full: the last probe found where the line ends.
        acked_bps: what arrives; 0 = not known yet.
        loss: share of packets lost of late, not counting silence.
        queue_us: delay above the lowest of the last seconds, NaN = not known.
        jitter_us: by how much delays usually differ; that much queue is none.
        is_heard: packets were reported that came since the last update.
        is_losing: losses tell of more sent than the line carries, not of its nature alone.
        is_stalled: packets were sent and nothing was reported for long; `target_bps` holds.
    """

    target_bps: Floats
    proven_bps: Floats
    is_full: Bools
    acked_bps: Floats
    loss: Floats
    queue_us: Floats
    jitter_us: Floats
    is_heard: Bools
    is_losing: Bools
    is_stalled: Bools


class ProbeOrder(NamedTuple):
    """Send this much for a moment, and mark the packets with `probe`."""

    slot: int
    probe: int
    rate_bps: int
    duration_us: int
