"""What the downlink loop costs: estimator, allocator and orders for many subscribers at 10 Hz.

The engine is replaced by ready rows: every line reports 20 packets a turn, as a picture with sound
does, and the lines change all the time. Prints CPU time per turn and as a share of one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / "support"),
    str(Path(__file__).parents[2]),
]

from fake_engine import FakeEngine, make_registry  # noqa: E402

from sfu import engine as _engine  # noqa: E402
from sfu.downlink import Downlink, Kind, Wish  # noqa: E402
from sfu.ids import Codec, EncodingSpec, Payload  # noqa: E402
from sfu.transport import Path as MediaPath  # noqa: E402
from sfu.transport import Transport  # noqa: E402

LAYERS_BPS = (150_000, 450_000, 1_200_000)
VP8, OPUS = Payload(96, Codec.VP8, 97), Payload(111, Codec.OPUS)
TICK_US = 100_000
PACKETS, SIZE_BYTES = 20, 700


class ReadyEngine(FakeEngine):
    """Hands out rows made beforehand."""

    twcc = transports = encodings = b""

    def drain_twcc(self) -> bytes:
        return self.twcc

    def snapshot_transports(self) -> bytes:
        return self.transports

    def snapshot_encodings(self) -> bytes:
        return self.encodings


class Crowd:
    """Subscribers of one room, each with several tracks."""

    def __init__(self, subscribers: int, tracks: int) -> None:
        self.engine = ReadyEngine()
        registry = make_registry(self.engine)
        self.downlink = registry.downlink = Downlink(registry)
        self.rng = np.random.default_rng(1)
        specs = [EncodingSpec(str(index)) for index in range(3)]
        publishers = [Transport(registry) for _ in range(tracks)]
        sources = [p.add_source(mid="1", is_audio=False, encodings=specs) for p in publishers]
        voice = publishers[0].add_source(mid="0", is_audio=True, encodings=[EncodingSpec()])
        self.handles = []
        for _ in range(subscribers):
            transport = Transport(registry)
            transport.add_sink(voice, ssrc=1, rtx_ssrc=0, mid="0", payloads=[OPUS])
            for index, source in enumerate(sources):
                wish = Wish() if index == 0 else Wish(0, kind=Kind.THUMBNAIL, area_px=index)
                transport.add_sink(source, ssrc=2, rtx_ssrc=3, mid="1", payloads=[VP8], wish=wish)
            transport._state = "connected"
            transport.path = MediaPath("udp", "192.0.2.1", 5000)
            self.handles.append(transport.handle)
        self.engine.encodings = self._encoding_rows([source.handle for source in sources])
        # Lines that differ, and that come and go.
        self.rates_bps = self.rng.uniform(100e3, 4e6, subscribers)

    def _encoding_rows(self, sources: list[int]) -> bytes:
        rows = np.zeros(3 * len(sources), _engine.ENCODING_DTYPE)
        rows["source"] = np.repeat(sources, 3)
        rows["encoding"] = np.tile(np.arange(3), len(sources))
        rows["is_active"], rows["num_temporal"] = 1, 3
        rows["bitrate_bps"] = np.tile(LAYERS_BPS, len(sources))
        rows["bitrate_t0_bps"] = rows["bitrate_bps"] * 0.4
        rows["bitrate_t1_bps"] = rows["bitrate_bps"] * 0.6
        return rows.tobytes()

    def prepare(self, now_us: int) -> None:
        """Rows for the next turn; not part of what is measured."""
        count = len(self.handles)
        moved = self.rng.random(count) < 0.02
        self.rates_bps[moved] = self.rng.uniform(100e3, 4e6, moved.sum())
        rows = np.zeros(count * PACKETS, _engine.TWCC_DTYPE)
        gaps_us = np.arange(PACKETS) * (TICK_US // PACKETS)
        needs_us = np.maximum(TICK_US / PACKETS, SIZE_BYTES * 8e6 / self.rates_bps)
        waits_us = np.arange(PACKETS) * (needs_us[:, None] - TICK_US / PACKETS)
        sent_us = np.broadcast_to(now_us - TICK_US + gaps_us, (count, PACKETS))
        rows["transport"] = np.repeat(self.handles, PACKETS)
        rows["size_bytes"] = SIZE_BYTES
        rows["sent_us"] = sent_us.reshape(-1)
        noise_us = self.rng.integers(0, 3_000, (count, PACKETS))
        arrived_us = np.sort(sent_us + 30_000 + waits_us + noise_us, axis=1).reshape(-1)
        is_lost = self.rng.random(rows.size) < 0.01
        rows["received_us"] = np.where(is_lost, 0, arrived_us)
        self.engine.twcc = rows[np.argsort(rows["sent_us"], kind="stable")].tobytes()
        transports = np.zeros(count, _engine.TRANSPORT_DTYPE)
        transports["transport"] = self.handles
        transports["rtt_us"], transports["has_twcc"] = 60_000, 1
        transports["sent_bps"] = PACKETS * 10 * SIZE_BYTES * 8
        transports["audio_bps"] = 40_000
        self.engine.transports = transports.tobytes()
        self.engine.calls.clear()


def main() -> None:
    """Measures and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--tracks", type=int, default=9)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--profile", action="store_true", help="show where it goes")
    options = parser.parse_args()
    crowd = Crowd(options.subscribers, options.tracks)
    now_us, turns_ms = 1_000_000, []
    profiler = None
    if options.profile:
        import cProfile

        profiler = cProfile.Profile()
    for turn in range(options.turns + 20):
        now_us += TICK_US
        crowd.prepare(now_us)
        started_s = time.process_time()
        if profiler is not None and turn >= 20:
            profiler.runcall(crowd.downlink.tick, now_us)
        else:
            crowd.downlink.tick(now_us)
        if turn >= 20:
            turns_ms.append((time.process_time() - started_s) * 1e3)
    mean_ms = float(np.mean(turns_ms))
    print(
        f"{options.subscribers} subscribers × {options.tracks} tracks, estimator + allocator + "
        f"orders: {mean_ms:.1f} ms CPU a turn (p95 {np.percentile(turns_ms, 95):.1f}, max "
        f"{max(turns_ms):.1f}) = {mean_ms / TICK_US * 1e5:.1f} % of one core at 10 Hz"
    )
    if profiler is not None:
        profiler.print_stats("tottime")


if __name__ == "__main__":
    main()
