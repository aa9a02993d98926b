"""People at the pages of a running server: HQ at a desk, guests and reps with phones.

Each person is a browser context of its own. Taps are counted, so that tests can hold the budgets.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import unquote

from livekit import api
from livekit.protocol import models
from playwright.async_api import Browser, BrowserContext, Page, Response

from testkit.server import AislecastServer

DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
WAIT_MS = 20_000
# What livekit-client says when somebody leaves whose picture was just coming.
_CAME_TOO_LATE = "Tried to add a track for a participant, that's not present"
# Remembers what the page asked of the phone; runs before any script of the page.
_SPY = """
globalThis.asked = { media: [], wakeLock: 0 };
if (navigator.mediaDevices) {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (constraints) => {
    asked.media.push(JSON.parse(JSON.stringify(constraints)));
    return globalThis.refuse
      ? Promise.reject(new DOMException("refused", globalThis.refuse))
      : open(constraints);
  };
}
if (navigator.wakeLock) {
  const lock = navigator.wakeLock.request.bind(navigator.wakeLock);
  navigator.wakeLock.request = (kind) => { asked.wakeLock += 1; return lock(kind); };
}
"""
_DECODED = """
async ([selector, count]) => {
  const video = document.querySelector(selector);
  if (!video || video.hidden || !video.videoWidth) return false;
  for (let i = 0; i < count; i += 1) {
    const isFrame = await Promise.race([
      new Promise((done) => video.requestVideoFrameCallback(() => done(true))),
      new Promise((done) => setTimeout(() => done(false), 3000)),
    ]);
    if (!isFrame) return false;
  }
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 16;
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0, 16, 16);
  const pixels = pen.getImageData(0, 0, 16, 16).data;
  let green = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    if (pixels[i + 1] > 60 && pixels[i + 1] > pixels[i] + 30) green += 1;
  }
  return green > 100;
}
"""
_MOVES = """
async (selector) => {
  const video = document.querySelector(selector);
  if (!video || video.hidden || !video.videoWidth) return false;
  const pen = new OffscreenCanvas(96, 96).getContext("2d", { willReadFrequently: true });
  let first = null;
  for (let i = 0; i < 40; i += 1) {
    const isFrame = await Promise.race([
      new Promise((done) => video.requestVideoFrameCallback(() => done(true))),
      new Promise((done) => setTimeout(() => done(false), 3000)),
    ]);
    if (!isFrame) return false;
    pen.drawImage(video, 0, 0, 96, 96);
    const pixels = pen.getImageData(0, 0, 96, 96).data;
    first ??= pixels;
    let changed = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      if (Math.abs(pixels[at + 1] - first[at + 1]) > 40) changed += 1;
    }
    if (changed > 8) return true;
  }
  return false;
}
"""


class Person:
    """Somebody with a browser."""

    def __init__(self, server: AislecastServer, context: BrowserContext, page: Page) -> None:
        """See `open`."""
        self.server = server
        self.page = page
        self.taps = 0
        self.trouble: list[str] = []
        self.is_over = False
        self._context = context
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.trouble.append(f"uncaught: {error}"))
        page.on("console", self._on_console)
        page.on("response", self._on_response)

    @classmethod
    async def open(
        cls,
        server: AislecastServer,
        browser: Browser,
        *,
        device: dict[str, Any] = DESKTOP,
        language: str = "zh-CN",
    ) -> Self:
        """Give somebody a fresh browser."""
        context = await browser.new_context(**device, locale=language)
        await context.add_init_script(_SPY)
        return cls(server, context, await context.new_page())

    def _on_console(self, message: Any) -> None:
        # A refused fetch is also in the console; `_on_response` judges those by their status.
        if message.type != "error" or "Failed to load resource" in message.text:
            return
        if not (self.is_over and _CAME_TOO_LATE in message.text):
            self.trouble.append(f"console: {message.text[:300]}")

    def _on_response(self, response: Response) -> None:
        # A server that the test ends says so (503, when to come again): the page's to bear.
        is_restarting = response.status == 503 and self.server.was_ended
        if response.status >= 500 and not is_restarting:
            self.trouble.append(f"{response.status} from {response.url.split('?')[0]}")

    async def goto(self, path: str) -> None:
        """Open a page of the server, or a link."""
        await self.page.goto(path if "://" in path else self.server.url + path)

    async def tap(self, selector: str) -> None:
        """Tap or click, counted."""
        self.taps += 1
        await self.page.click(selector)

    async def enter(self, link: str) -> None:
        """Open a link (one tap) and enter by the main button (another)."""
        self.taps += 1
        await self.goto(link)
        await self.tap("#enter")
        await self.until_in()

    async def until_in(self) -> None:
        """Wait until the stage is there; fails at once with what the page says instead."""
        found = await self.until(
            """() => !document.querySelector("#stage").hidden ? "in" :
              (document.querySelector("#trouble")?.innerText ?? "")"""
        )
        assert found == "in", found

    async def until(self, expression: str, argument: Any = None) -> Any:
        """Wait until a function of the page returns something true; return that."""
        found = await self.page.wait_for_function(expression, arg=argument, polling=50)
        return await found.json_value()

    async def until_seen(self, selector: str, *, num_frames: int = 5) -> None:
        """Wait until a video shows the fake camera's green picture in decoded frames."""
        await self._until_pictures(_DECODED, selector, [selector, num_frames])

    async def until_moving(self, selector: str) -> None:
        """Wait until a video shows decoded frames that differ, whatever is in them."""
        await self._until_pictures(_MOVES, selector, selector)

    async def _until_pictures(self, expression: str, selector: str, argument: Any) -> None:
        # Not wait_for_function: to it a promise is true, whatever comes of it.
        deadline_s = time.monotonic() + WAIT_MS / 1000
        while not await self.page.evaluate(expression, argument):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"no pictures in {selector}: {await self._videos()}")
            await self.page.wait_for_timeout(100)

    async def _videos(self) -> Any:
        return await self.page.evaluate(
            """() => [...document.querySelectorAll("video")].map((v) => [
              v.closest("[aria-label]")?.ariaLabel, v.id, v.hidden, v.videoWidth, v.currentTime,
            ])"""
        )

    async def until_tile(self, name: str, *, num_frames: int = 5) -> None:
        """Wait until somebody's picture is seen on the stage."""
        await self.until_seen(f'.tile[aria-label^="{name}"] video', num_frames=num_frames)

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the JSON API as the page does."""
        return await self.page.evaluate(
            """async ([method, path, body]) => {
              const answer = await fetch(path, {
                method,
                headers: { "X-Requested-With": "aislecast", "Content-Type": "application/json" },
                body: body && JSON.stringify(body),
              });
              if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
              return answer.status === 204 ? null : answer.json();
            }""",
            [method, path, body],
        )

    async def show_tools(self) -> None:
        """Bring the bars back that leave the picture after a while."""
        await self.page.mouse.move(300, 300)
        await self.page.mouse.move(320, 320)

    async def close(self) -> None:
        """Close the browser; fails where the page was in trouble."""
        await self._context.close()
        assert not self.trouble, self.trouble


class Host(Person):
    """HQ: signed in with the host key."""

    room = ""

    async def sign_in(self) -> None:
        """Open the home page with the key, as from the printed address."""
        key = (self.server.data / "host-key").read_text().strip()
        await self.goto(f"/#key={key}")
        await self.page.wait_for_selector("#start-meeting:enabled")

    async def start_meeting(self, name: str = "李经理") -> None:
        """Start a meeting from the home page and enter it."""
        await self.sign_in()
        await self.tap("#start-meeting")
        await self.page.wait_for_selector("#enter")
        if await self.page.is_visible("#name"):
            await self.page.fill("#name", name)
        await self.tap("#enter")
        await self.until_in()
        self.room = unquote(self.page.url.rsplit("/", 1)[1])

    async def invite(self, role: str, name: str = "") -> str:
        """Return a link into the room."""
        made = await self.call(
            "POST", "/api/invites", {"room": self.room, "role": role, "name": name}
        )
        return str(made["url"])

    async def ask_why(self, name: str) -> str:
        """Ask by somebody's menu how the line is; returns what the page says."""
        if not await self.page.is_visible("#people"):
            await self.page.keyboard.press("p")
        await self.page.click(f'#people button[aria-label="管理 {name}"]')
        await self.page.click("text=网络情况")
        told = self.page.locator(f".toast:has-text('{name}：')")
        await told.wait_for()
        return await told.inner_text()

    async def members(self) -> dict[str, models.ParticipantInfo]:
        """Who is in the room, by name, whatever the pages show: asked of the server."""
        async with self.server.admin() as admin:
            found = await admin.room.list_participants(api.ListParticipantsRequest(room=self.room))
        return {one.name: one for one in found.participants}

    async def tracks_of(self, name: str) -> dict[str, bool]:
        """What somebody publishes, and whether it is muted; asked of the server."""
        one = (await self.members())[name]
        return {models.TrackSource.Name(track.source): track.muted for track in one.tracks}


OpenPerson = Callable[..., Awaitable[Any]]
"""Opens a `Person` or a kind of one; `phone` and `language` choose the device."""


@asynccontextmanager
async def open_people(server: AislecastServer, browser: Browser) -> AsyncIterator[OpenPerson]:
    """Make people; at the end all leave, and none may have seen trouble."""
    opened: list[Person] = []

    async def make(
        kind: type[Person] = Person,
        *,
        phone: bool = False,
        language: str = "zh-CN",
        on: AislecastServer = server,
    ) -> Person:
        device = PHONE if phone else DESKTOP
        opened.append(await kind.open(on, browser, device=device, language=language))
        return opened[-1]

    yield make
    # A short test ends while some are still on their way in.
    for one in opened:
        one.is_over = True
    for one in reversed(opened):
        await one.close()
