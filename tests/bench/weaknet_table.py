"""Prints the table of weak networks: real clients behind simulated links, against a server.

Without `--url` our own server is started, or with `--livekit` (LIVEKIT=/path/to/livekit-server)
that one, in a network namespace of its own; the machine's network is not touched. With `--url` any
server of the LiveKit protocol is measured that runs on this machine, on an address other than
loopback which it also announces for its media; its API secret is taken from WEAKNET_SECRET.
Needs root. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from servers import ROOT, aislecast, livekit

sys.path.insert(0, str(ROOT / "tests/support"))

from weaknet import table
from weaknet.namespaces import WeaknetUnavailableError
from weaknet.network import HUB_DEVICE, SERVER_ADDRESS, Network
from weaknet.people import ClientFailedError
from weaknet.runs import Stage, Target


@contextmanager
def target_of(options: argparse.Namespace, network: Network) -> Iterator[Target]:
    """The server to measure; ours or LiveKit's is started in the hub."""
    if options.url:
        yield Target(options.url, options.key, os.environ["WEAKNET_SECRET"])
        return
    if options.livekit:
        starting = livekit(os.environ["LIVEKIT"], address=SERVER_ADDRESS, device=HUB_DEVICE)
    else:
        starting = aislecast(address=SERVER_ADDRESS)
    with network.hub.entered():
        server = starting.__enter__()
    with ExitStack() as stack:
        stack.push(starting)
        yield Target(server.url, server.key, server.secret)


def run_row(row: table.Row, network: Network, target: Target, seconds: float, runs: int) -> Any:
    """All runs of a row and the median of each figure."""
    done: list[dict[str, Any]] = []
    for seed in range(1, runs + 1):
        try:
            with Stage(network, target, seed) as stage:
                done.append(row.measure(stage, seconds))
        except ClientFailedError as error:
            print(f"  {row.name}, run {seed}: {error}", flush=True)
            done.append({"failure": str(error)})
        time.sleep(1)
    return {"row": row.name, "runs": done, "medians": table.medians(done)}


def parse_options() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", default="", help=f"of: {', '.join(row.name for row in table.ROWS)}"
    )
    parser.add_argument("--seconds", type=float, default=table.TABLE_SECONDS)
    parser.add_argument("--runs", type=int, default=3, help="the medians are shown")
    parser.add_argument("--url", help="a running server instead of our own")
    parser.add_argument("--key", default="devkey")
    parser.add_argument("--livekit", action="store_true", help="start $LIVEKIT instead of ours")
    parser.add_argument("--json", type=Path, default=ROOT / "build/weaknet.json")
    options = parser.parse_args()
    if options.seconds < table.MIN_SECONDS:
        parser.error(f"--seconds: at least {table.MIN_SECONDS}, or an outage of 10 s does not fit")
    if options.url and "WEAKNET_SECRET" not in os.environ:
        parser.error("--url needs the API secret in WEAKNET_SECRET")
    if options.livekit and "LIVEKIT" not in os.environ:
        parser.error("--livekit needs LIVEKIT=/path/to/livekit-server")
    return options


def main() -> int:
    """Measures the rows and writes them to build/."""
    options = parse_options()
    # An end from outside must end the server and the clients, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        rows = table.chosen(options.rows)
    except ValueError as error:
        print(error)
        return 2
    print(
        f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}; {options.seconds:g} s a run, median of {options.runs}"
    )
    if options.seconds != table.TABLE_SECONDS:
        print(f"bounds on freezes are scaled from {table.TABLE_SECONDS} s; take figures as rough")
    results = []
    try:
        with Network(max(row.links for row in rows), is_host=bool(options.url)) as network:
            with target_of(options, network) as target:
                for row in rows:
                    results.append(run_row(row, network, target, options.seconds, options.runs))
                    print(table.to_text(row, results[-1], options.seconds), flush=True)
    except WeaknetUnavailableError as error:
        print(f"cannot run: {error}")
        return 2
    options.json.parent.mkdir(exist_ok=True)
    written = {"seconds": options.seconds, "server": options.url or "", "rows": results}
    options.json.write_text(json.dumps(written, indent=1))
    print(f"written: {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
