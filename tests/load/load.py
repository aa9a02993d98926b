"""Loads a LiveKit-protocol server with publishers and subscribers and checks what comes out.

Every client does real signalling, ICE, DTLS and SRTP and sends or receives real VP8 and Opus. All
received packets are decrypted and checked for loss, order and repetition; delay is measured by
recognising each payload, so the server under test needs no help. Example:

    AISLECAST_LOAD_SECRET=... python tests/load/load.py --url http://127.0.0.1:7880 --key mykey
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import aislecast_load
import numpy as np
import psutil
from client import LoadClient, mint_token, on_event
from dtls import DtlsIdentity
from media import load_media

CACHE_DIR = Path(__file__).resolve().parents[2] / "build"


@dataclass
class Result:
    """Figures of one run; times in the unit that ends the name."""

    subscribers: int
    publishers: int
    joined: int
    failures: list[str]
    join_p50_ms: float
    join_p95_ms: float
    duration_s: float
    received_packets: int
    packets_per_s: float
    received_mbps: float
    lost: int
    duplicated: int
    reordered: int
    undecryptable: int
    delay_p50_ms: float
    delay_p99_ms: float
    delay_max_ms: float
    server_cpu_s: float | None = None
    server_cpu_share: float | None = None
    cpu_s_per_million_packets: float | None = None
    packets_per_cpu_s: float | None = None
    server_rss_mb: float | None = None
    kb_per_subscriber: float | None = None
    load_cpu_share: float = 0.0


class ServerWatch:
    """CPU and memory of the server's process tree, where it runs on this machine."""

    def __init__(self, pid: int | None) -> None:
        self._processes: list[psutil.Process] = []
        if pid is not None:
            root = psutil.Process(pid)
            self._processes = [root, *root.children(recursive=True)]

    def read(self) -> tuple[float, int] | None:
        """CPU seconds and resident bytes so far, or None without a process."""
        if not self._processes:
            return None
        cpu_s = sum(sum(process.cpu_times()[:2]) for process in self._processes)
        return cpu_s, sum(process.memory_info().rss for process in self._processes)


class LoadRun:
    """One run against one room."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.native = aislecast_load.Load(options.pacing)
        self.identity = DtlsIdentity()
        self.clients: list[LoadClient] = []
        self.failures: list[str] = []

    async def run(self) -> Result:
        """Publishers, then subscribers at the given rate, then the measured time."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.native.event_fd, self._drain)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            try:
                return await self._run(http)
            finally:
                await asyncio.gather(*(c.leave() for c in self.clients), return_exceptions=True)
                loop.remove_reader(self.native.event_fd)
                self.native.close()

    async def _run(self, http: aiohttp.ClientSession) -> Result:
        layers, audio = load_media(CACHE_DIR)
        for index in range(self.options.publishers):
            publisher = LoadClient(self.native, self.identity, http)
            self.clients.append(publisher)
            await publisher.join(self.options.url, self._token(f"pub-{index}"), audios=0, videos=0)
            await publisher.publish(layers, [] if self.options.video_only else audio)
        await asyncio.sleep(2.0)
        watch = ServerWatch(self.options.pid)
        before_join = watch.read()
        subscribers = await self._join_subscribers(http)
        await asyncio.sleep(2.0)
        after_join = watch.read()
        self.native.reset_stats()
        started_s, own_s = time.monotonic(), time.process_time()
        before = watch.read()
        await asyncio.sleep(self.options.duration)
        stats = self.native.stats()
        took_s, own_s = time.monotonic() - started_s, time.process_time() - own_s
        result = self._result(subscribers, stats, took_s)
        result.load_cpu_share = own_s / took_s
        self._add_server(result, before_join, after_join, before, watch.read())
        return result

    async def _join_subscribers(self, http: aiohttp.ClientSession) -> list[LoadClient]:
        options = self.options
        subscribers = [
            LoadClient(self.native, self.identity, http) for _ in range(options.subscribers)
        ]
        started_s = time.monotonic()
        joins = []
        for index, subscriber in enumerate(subscribers):
            wait_s = started_s + index / options.rate - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            joins.append(asyncio.create_task(self._join_one(subscriber, index)))
        self.clients += subscribers
        await asyncio.gather(*joins)
        return subscribers

    async def _join_one(self, subscriber: LoadClient, index: int) -> None:
        publishers = self.options.publishers
        token = self._token(f"sub-{index}")
        try:
            await subscriber.join(self.options.url, token, audios=publishers, videos=publishers)
            await asyncio.wait_for(subscriber.has_picture.wait(), 20)
        except Exception as error:
            self.failures.append(f"sub-{index}: {type(error).__name__} {error}")

    def _token(self, identity: str) -> str:
        return mint_token(self.options.key, self.options.secret, self.options.room, identity)

    def _drain(self) -> None:
        for event in self.native.drain_events():
            listener = on_event.get(event[1])
            if listener is not None:
                listener(event)

    def _result(
        self, subscribers: list[LoadClient], stats: dict[str, object], took_s: float
    ) -> Result:
        joins_ms = [c.picture_after_s * 1000 for c in subscribers if c.picture_after_s is not None]
        delays_ms = np.frombuffer(stats["delays_us"], np.uint32) / 1000
        packets = int(stats["packets"])
        self.failures += [f"{c.failure}" for c in subscribers if c.failure]

        def at(values: object, percentile: float) -> float:
            return round(float(np.percentile(values, percentile)), 3) if len(values) else -1.0

        return Result(
            subscribers=self.options.subscribers, publishers=self.options.publishers,
            joined=len(joins_ms), failures=self.failures[:10],
            join_p50_ms=at(joins_ms, 50), join_p95_ms=at(joins_ms, 95),
            duration_s=round(took_s, 2), received_packets=packets,
            packets_per_s=round(packets / took_s, 1),
            received_mbps=round(int(stats["bytes"]) * 8 / took_s / 1e6, 2),
            lost=int(stats["lost"]), duplicated=int(stats["duplicated"]),
            reordered=int(stats["reordered"]), undecryptable=int(stats["undecryptable"]),
            delay_p50_ms=at(delays_ms, 50), delay_p99_ms=at(delays_ms, 99),
            delay_max_ms=at(delays_ms, 100),
        )  # fmt: skip

    def _add_server(self, result: Result, *reads: tuple[float, int] | None) -> None:
        before_join, after_join, before, after = reads
        if before_join is None or after_join is None or before is None or after is None:
            return
        cpu_s = after[0] - before[0]
        result.server_cpu_s = round(cpu_s, 3)
        result.server_cpu_share = round(cpu_s / result.duration_s, 3)
        if result.received_packets and cpu_s:
            result.cpu_s_per_million_packets = round(cpu_s / result.received_packets * 1e6, 3)
            result.packets_per_cpu_s = round(result.received_packets / cpu_s)
        result.server_rss_mb = round(after[1] / 1e6, 1)
        if result.joined:
            grown = after_join[1] - before_join[1]
            result.kb_per_subscriber = round(grown / result.joined / 1000, 1)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:7880")
    parser.add_argument("--key", required=True)
    parser.add_argument("--secret", default=os.environ.get("AISLECAST_LOAD_SECRET"))
    parser.add_argument("--room", default="load")
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--publishers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=10.0, help="joins per second")
    parser.add_argument("--duration", type=float, default=15.0, help="measured seconds")
    parser.add_argument(
        "--pacing",
        choices=("libwebrtc", "smooth", "none"),
        default="libwebrtc",
        help="how publishers let packets out: whole frames with 30 us between packets, as Chromium"
        "\nand the SDKs do; bursts of 5 ms; or whole frames at once",
    )
    parser.add_argument("--video-only", action="store_true", help="no microphones")
    parser.add_argument("--pid", type=int, help="server process, for CPU and memory")
    return parser.parse_args()


def main() -> None:
    """Runs once and prints the result as JSON."""
    result = asyncio.run(LoadRun(parse_options()).run())
    print(json.dumps(asdict(result), indent=2))


if __name__ == "__main__":
    main()
