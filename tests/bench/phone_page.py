"""The phone page behind weak links: a rep with an empty browser opens an invitation and films.

Chromium behind the link opens the page, reads for some seconds once it could enter, and enters;
HQ's page, beside the server, notes every frame it shows. Prints for each link how long the entrance
took to work, how long after the tap the first picture was at HQ, how many there were a second from
then on, and the longest pause between two: on a weak line the page sends few sharp pictures. Two
browsers encode and decode: with two cores a third of a second is theirs. Needs root and Chromium.

    python tests/bench/phone_page.py --links township,loss30 --runs 3
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from servers import ROOT

sys.path.insert(0, str(ROOT / "tests/support"))

from playwright.async_api import Browser, async_playwright
from testkit.browser_check import find_chromium
from testkit.chromium_client import ARGUMENTS
from testkit.people import DESKTOP, PHONE, Host, Person
from testkit.server import AislecastServer
from weaknet.links import plan
from weaknet.namespaces import Namespace
from weaknet.network import SERVER_ADDRESS, Network

_PAGE_MS = 120_000
# Every frame that a walk's tile shows, in milliseconds of the machine's clock.
_WATCH = """
() => {
  globalThis.shown = [];
  const known = new WeakSet();
  setInterval(() => {
    for (const video of document.querySelectorAll('.tile[data-kind="walk"] video')) {
      if (known.has(video)) continue;
      known.add(video);
      const note = () => { shown.push(Date.now()); video.requestVideoFrameCallback(note); };
      video.requestVideoFrameCallback(note);
    }
  }, 20);
}
"""


class Visit(NamedTuple):
    """One rep's visit, in seconds; `picture_s` is None where none came."""

    entrance_s: float
    picture_s: float | None
    pictures_per_s: float
    pause_s: float


@asynccontextmanager
async def chromium(place: Namespace, url: str) -> AsyncIterator[Browser]:
    """A browser in a namespace, which takes the server's address for a secure one."""
    path = find_chromium()
    if path is None:
        raise SystemExit("Chromium is not installed")
    with place.entered():
        driver = await async_playwright().start()
        arguments = [*ARGUMENTS, f"--unsafely-treat-insecure-origin-as-secure={url}"]
        browser = await driver.chromium.launch(executable_path=path, args=arguments)
    try:
        yield browser
    finally:
        await browser.close()
        await driver.stop()


async def visit(network: Network, link: str, reads_s: float, seconds: float, seed: int) -> Visit:
    """Let a rep open, enter and film."""
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        server = AislecastServer(data, address=SERVER_ADDRESS)
        with network.hub.entered():
            server.start()
        stack.callback(server.stop)
        desk = await stack.enter_async_context(chromium(network.hub, server.url))
        phone = await stack.enter_async_context(chromium(network.clients[0], server.url))
        host = await Host.open(server, desk, device=DESKTOP)
        await host.start_meeting()
        invitation = await host.invite("walker", "rep")
        await host.page.evaluate(_WATCH)
        rep = await Person.open(server, phone, device=PHONE)
        rep.page.set_default_timeout(_PAGE_MS)
        conditions = plan(link, seconds + _PAGE_MS / 1000)
        network.start(0, conditions, conditions, seed=seed)
        opened_s = time.time()
        await rep.page.goto(invitation, wait_until="commit")
        await rep.page.wait_for_selector("#enter:enabled")
        entrance_s = time.time() - opened_s
        await asyncio.sleep(reads_s)
        tapped_s = time.time()
        await rep.tap("#enter")
        await asyncio.sleep(seconds)
        shown_s = [at_ms / 1000 for at_ms in await host.page.evaluate("shown")]
    end_s = tapped_s + seconds
    if not shown_s:
        return Visit(entrance_s, None, 0.0, seconds)
    pauses_s = [b - a for a, b in pairwise([*shown_s, end_s])]
    rate = len(shown_s) / (end_s - shown_s[0])
    return Visit(entrance_s, shown_s[0] - tapped_s, rate, max(pauses_s))


def main() -> None:
    """Print each link's medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--links", default="hotspot,township,loss30")
    parser.add_argument("--reads", type=float, default=3.0, help="seconds at the entrance")
    parser.add_argument("--seconds", type=float, default=30.0, help="from the tap on")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for link in options.links.split(","):
        visits = []
        for seed in range(1, options.runs + 1):
            with Network(1) as network:
                visits.append(
                    asyncio.run(visit(network, link, options.reads, options.seconds, seed))
                )
            print(f"    run {seed}: {visits[-1]}", flush=True)
        pictures = [one.picture_s or options.seconds for one in visits]
        print(
            f"{link}: entrance {statistics.median(one.entrance_s for one in visits):.1f} s,"
            f" first picture {statistics.median(pictures):.1f} s after the tap,"
            f" then {statistics.median(one.pictures_per_s for one in visits):.1f} a second,"
            f" longest pause {statistics.median(one.pause_s for one in visits):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
