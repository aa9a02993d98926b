"""Samples of lines: a good one, and any."""

from __future__ import annotations

from hypothesis import strategies as st

from web.network.lines import Sample

GOOD = Sample(
    at_s=0,
    up_kbps=800,
    up_loss_permille=5,
    up_fps=20,
    down_kbps=900,
    down_loss_permille=5,
    rtt_ms=60,
    estimate_kbps=2000,
    step="full",
    is_lost=False,
    resumes=0,
    load_percent=20,
    up_step="full",
)

SAMPLES = st.builds(
    GOOD._replace,
    at_s=st.integers(0, 5000),
    up_loss_permille=st.integers(0, 1000),
    down_loss_permille=st.integers(0, 1000),
    rtt_ms=st.integers(0, 60_000),
    up_fps=st.none() | st.integers(0, 60),
    step=st.sampled_from(["", "full", "reduced", "stills", "something new"]),
    up_step=st.sampled_from(["", "full", "reduced", "slow", "sound", "something new"]),
    is_lost=st.booleans(),
    load_percent=st.integers(0, 100),
)
