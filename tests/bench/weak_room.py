"""The demonstration store behind a simulated link, to watch in a browser what a weak line does.

Our server runs at the far end of the link; a browser on this machine opens it as any other page.
Type the name of a line and press Enter, as often as you like: the picture gets small, slow or
still, the words beside it say so, and it comes back by itself. Ctrl-C ends it. Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from servers import ROOT

sys.path.insert(0, str(ROOT / "tests/support"))

from weaknet.links import CAP, GOOD, HOTSPOT, LOSS30, TOWNSHIP
from weaknet.namespaces import WeaknetUnavailableError
from weaknet.network import Network
from weaknet.pipe import Conditions

ADDRESS: Final = "198.18.1.2"  # of the first place behind a link
LINES: Final[dict[str, tuple[Conditions, str]]] = {
    "good": (GOOD, "3 Mb/s"),
    "cap": (CAP, "1 Mb/s"),
    "hotspot": (HOTSPOT, "800 kb/s, 3 % loss"),
    "township": (TOWNSHIP, "300 kb/s, 10 % loss"),
    "loss30": (LOSS30, "600 kb/s, 30 % loss"),
    "narrow": (replace(GOOD, rate_bps=120_000), "120 kb/s"),
    "sound": (replace(GOOD, rate_bps=60_000), "60 kb/s: little more than sound"),
    "dead": (replace(GOOD, is_down=True), "nothing gets through"),
}
_STOP_S = 12.0


def choose(network: Network, name: str) -> bool:
    """Let a line begin, both ways; False where there is none of that name."""
    if name not in LINES:
        return False
    conditions, words = LINES[name]
    network.start(0, conditions, conditions)
    print(f"  line: {name} ({words})", flush=True)
    return True


def follow(network: Network) -> None:
    """Change the line as typed, until the input ends."""
    for typed in sys.stdin:
        name = typed.strip()
        if name and not choose(network, name):
            print(f"  no line {name!r}; there are: {', '.join(LINES)}", flush=True)


def serve(network: Network, line: str, data: str, more: Sequence[str]) -> int:
    """Run the server behind the link until Ctrl-C or the end of the input."""
    command = [str(ROOT / ".venv/bin/aislecast"), "serve", "--demo", "--data", data, *more]
    command += ["--host", ADDRESS, "--node-ip", ADDRESS]
    # A group of its own: Ctrl-C is for us, and we end it in good order.
    with network.clients[0].entered():
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    try:
        choose(network, line)
        print(f"  other lines, each by its name and Enter: {', '.join(LINES)}\n", flush=True)
        follow(network)
    except KeyboardInterrupt:
        pass
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
    return server.returncode or 0


def main() -> int:
    """Make the link, then serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--line", default="good", choices=LINES, help="to begin with")
    parser.add_argument("--data", help="the server's folder; a new one each time without it")
    parser.add_argument("server", nargs="*", help="more options of `aislecast serve`, after --")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="aislecast-weak-") as folder:
        try:
            with Network(1, is_host=True) as network:
                return serve(network, options.line, options.data or folder, options.server)
        except WeaknetUnavailableError as error:
            print(f"cannot run: {error}")
            return 2


if __name__ == "__main__":
    sys.exit(main())
