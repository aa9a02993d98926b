"""Prints the figures of this machine: forwarding, delay, joins, memory, recording.

`LIVEKIT=/path/to/livekit-server` measures LiveKit in the same run with the same clients.
`--quick` shortens every part. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from servers import ROOT, Server, aislecast, livekit

Row = dict[str, object]


def load(server: Server, **options: object) -> Row:
    """One run of the load tool against `server`."""
    command = [sys.executable, str(ROOT / "tests/load/load.py"), "--url", server.url]
    command += ["--key", server.key, "--pid", str(server.pid)]
    for name, value in options.items():
        name = name.replace("_", "-")
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    environment = {**os.environ, "AISLECAST_LOAD_SECRET": server.secret}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, timeout=240, check=True, text=True
    )
    return {"server": server.name, **json.loads(done.stdout)}


def fan_out(
    start: Callable[[], AbstractContextManager[Server]],
    sizes: tuple[int, ...],
    duration_s: int,
    **more: object,
) -> list[Row]:
    """A fresh server for every size, so that memory starts from nothing."""
    rows = []
    for size in sizes:
        with start() as server:
            rate = max(10, size / 20)
            rows.append(load(server, subscribers=size, rate=rate, duration=duration_s, **more))
            show(rows[-1])
    return rows


def show(row: Row) -> None:
    """One line a run."""
    print(
        f"{row['server']:>10} {row['subscribers']:>4} subscribers: "
        f"{row['packets_per_s']:>9.0f} packets/s, "
        f"{row['packets_per_cpu_s'] or 0:>7} per CPU-second, "
        f"{row['cpu_s_per_million_packets']} CPU-s per million; "
        f"delay p50 {row['delay_p50_ms']} p99 {row['delay_p99_ms']} max {row['delay_max_ms']} ms; "
        f"join p50 {row['join_p50_ms']} p95 {row['join_p95_ms']} ms, {row['joined']} joined; "
        f"{row['kb_per_subscriber']} kB each; lost {row['lost']} repeated {row['duplicated']} "
        f"reordered {row['reordered']} undecryptable {row['undecryptable']}",
        flush=True,
    )
    if row["failures"]:
        print(f"           failures: {row['failures']}")


def main() -> None:
    """Runs every part and writes build/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    duration_s = 5 if options.quick else 15
    sizes = (40, 100) if options.quick else (40, 100, 200, 400)
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"Linux {platform.release()}, Python {platform.python_version()}")  # fmt: skip
    print(
        "load: 1 publisher (VP8 180p/360p/720p, 1.8 Mb/s in all, and Opus); every client decrypts\n"
        "and checks all it gets; loopback; delay: publisher's send to the subscriber's kernel"
    )
    binary = os.environ.get("LIVEKIT")
    peer = (lambda: livekit(binary)) if binary else None
    print("publisher as libwebrtc sends (a frame at a time, 30 us between its packets):")
    rows = fan_out(aislecast, sizes, duration_s)
    rows += fan_out(peer, sizes[:3], duration_s) if peer else []
    print("the same, picture only:")
    rows += fan_out(aislecast, sizes, duration_s, video_only=True)
    rows += fan_out(peer, sizes[:3], duration_s, video_only=True) if peer else []
    print("picture only, whole frames at once (as LiveKit's own load tester sends):")
    rows += fan_out(aislecast, sizes, duration_s, pacing="none", video_only=True)
    rows += fan_out(peer, sizes[:3], duration_s, pacing="none", video_only=True) if peer else []
    print("frames spread over their interval (bursts of 5 ms), where nothing can be bundled:")
    rows += fan_out(aislecast, (100,), duration_s, pacing="smooth")
    rows += fan_out(peer, (100,), duration_s, pacing="smooth") if peer else []
    if peer is None:
        print("LIVEKIT is not set: no peer measured")
    print("interpreter held for 500 ms in every 2 s:")
    with aislecast(program=ROOT / "tests/bench/stalling_server.py") as server:
        rows.append(load(server, subscribers=110, rate=20, duration=max(10, duration_s)))
        show(rows[-1])
    print("200 joins in 20 s:")
    with aislecast() as server:
        rows.append(load(server, subscribers=200, rate=10, duration=2))
        show(rows[-1])
    recording = ROOT / "tests/bench/record_cpu.py"
    subprocess.run([sys.executable, str(recording)], check=True)
    out = ROOT / "build/bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(rows, indent=1))
    print(f"written: {Path(out).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
