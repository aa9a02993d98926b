"""livekit-client in headless Chromium: a page of our own, driven by Playwright."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from testkit.browser_check import SORRY, find_chromium

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "tests/e2e/protocol/page"
CLIENT = ROOT / "web/static/vendor/livekit-client/livekit-client.umd.js"
ARGUMENTS = (
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--mute-audio",
)

# The fake camera makes 20 pictures a second (Chromium's media/capture/video/fake_video_capture_*);
# every second one of them costs a third of all that a meeting of two costs the machine.
CALM_CAMERA = "--use-fake-device-for-media-stream=fps=10"


@asynccontextmanager
async def run_chromium(*arguments: str) -> AsyncIterator[Browser]:
    """A browser with fake devices."""
    path = find_chromium()
    assert path is not None, SORRY
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield browser
        finally:
            await browser.close()


class _Files(http.server.SimpleHTTPRequestHandler):
    """The page's three files, and nothing else."""

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].strip("/") or "index.html"
        return str({"index.html": PAGE / name, "kit.js": PAGE / name}.get(name, CLIENT))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve_page() -> Iterator[str]:
    """Serve the page on loopback, which browsers count as secure; yields its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.05), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ChromiumClient:
    """One participant: a browser context with the page in it."""

    def __init__(self, context: BrowserContext, page: Page, identity: str) -> None:
        """See `open`."""
        self.identity = identity
        self.said: list[str] = []
        self.sid = ""
        self.is_single = False
        self._context = context
        self._page = page
        page.on("console", lambda message: self.said.append(message.text[:400]))
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))

    @classmethod
    async def open(cls, browser: Browser, page_url: str, identity: str) -> ChromiumClient:
        """Open the page in a context of its own."""
        context = await browser.new_context()
        client = cls(context, await context.new_page(), identity)
        await client._page.goto(page_url)
        return client

    async def connect(self, url: str, token: str, **options: Any) -> None:
        """Join; returns once livekit-client says that it is connected."""
        found = await self.call("connect", url, token, options)
        self.sid, self.is_single = found["sid"], found["is_single"]

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the page's kit and return what it returns."""
        try:
            return await self._page.evaluate(
                "([name, args]) => kit[name](...args)", [name, list(arguments)]
            )
        except Exception as error:
            raise AssertionError(await self._explain(f"{name} failed: {error}")) from error

    async def until(self, name: str, *arguments: Any, timeout_s: float = 15.0) -> Any:
        """Wait until a function of the kit returns something true, and return it."""
        try:
            found = await self._page.wait_for_function(
                "([name, args]) => kit[name](...args)",
                arg=[name, list(arguments)],
                polling=30,
                timeout=timeout_s * 1000,
            )
        except PlaywrightTimeoutError:
            what = f"{name}{arguments} did not come true within {timeout_s} s"
            raise AssertionError(await self._explain(what)) from None
        return await found.json_value()

    async def until_sent(self, sid: str, condition: Any, *, timeout_s: float = 15.0) -> Any:
        """Wait until the sender's streams (by rid) satisfy `condition`, and return them."""
        deadline_ms = timeout_s * 1000
        found: Any = None
        while deadline_ms > 0:
            found = await self.call("sent", sid)
            if condition(found):
                return found
            await self._page.wait_for_timeout(150)
            deadline_ms -= 150
        raise AssertionError(await self._explain(f"streams never as wanted, last: {found}"))

    async def close(self) -> None:
        """Close the context without saying good-bye: as a closed tab."""
        await self._context.close()

    async def _explain(self, what: str) -> str:
        try:
            events = await self._page.evaluate(
                "() => [...kit.events.slice(-25), ...Object.keys(kit.tracks).map(kit.seen)]"
                ".map((e) => JSON.stringify(e))"
            )
        except Exception as error:
            events = [f"(the page is gone: {error})"]
        told = "\n  ".join([*events, *self.said[-25:]])
        return f"{self.identity}: {what}\n  {told}"


def shown(value: Any) -> str:
    """A value for an assertion's message."""
    return json.dumps(value, indent=1, sort_keys=True)
