"""Webhooks: events posted to other systems, signed, in order per room, with retries and bounds."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiohttp
import structlog
from google.protobuf.json_format import MessageToJson
from livekit.protocol.webhook import WebhookEvent

from signaling.tokens import TokenKeys

log = structlog.get_logger("web.webhooks")

CONTENT_TYPE: Final = "application/webhook+json"
TOKEN_LIFETIME_S: Final = 300
RETRY_DELAYS_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
ATTEMPT_TIMEOUT_S: Final = 10.0
MAX_WAITING: Final = 2000
MAX_AT_ONCE: Final = 16

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]
"""Posts a body to an address and returns the HTTP status; raises OSError or TimeoutError."""


class WebhookDelivery:
    """Posts every event to every address.

    One lane per address and room keeps the order within a room; a dead address holds up only
    its own lanes. Beyond `MAX_WAITING` events new ones are dropped and counted.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        keys: TokenKeys,
        api_key: str,
        wall_s: Callable[[], float],
        post: Post,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take where to post, what signs, what posts, and what waits between tries."""
        self._sleep = sleep
        self._urls = tuple(urls)
        self._keys = keys
        self._api_key = api_key
        self._wall_s = wall_s
        self._post = post
        self._lanes: dict[tuple[str, str], deque[WebhookEvent]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._num_waiting = 0
        self.counters: Counter[str] = Counter()

    def enqueue(self, event: WebhookEvent) -> None:
        """Take an event for delivery; never blocks."""
        for url in self._urls:
            if self._num_waiting >= MAX_WAITING:
                self.counters["webhook_dropped"] += 1
                continue
            self._num_waiting += 1
            place = (url, event.room.name)
            if (lane := self._lanes.get(place)) is not None:
                lane.append(event)
                continue
            self._lanes[place] = deque([event])
            task = asyncio.get_running_loop().create_task(self._run_lane(place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is on its way, then give up on the rest."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run_lane(self, place: tuple[str, str]) -> None:
        lane = self._lanes[place]
        try:
            while lane:
                await self._deliver(place[0], lane[0])
                lane.popleft()
                self._num_waiting -= 1
        finally:
            self._num_waiting -= len(lane)
            del self._lanes[place]

    async def _deliver(self, url: str, event: WebhookEvent) -> None:
        body = MessageToJson(event, indent=None).encode()
        status = 0
        for delay_s in (*RETRY_DELAYS_S, 0.0):
            try:
                async with self._slots:
                    status = await self._post(url, body, self._headers(body))
            except (OSError, TimeoutError, aiohttp.ClientError):
                status = 0
            if 200 <= status < 300:
                self.counters["webhook_delivered"] += 1
                return
            if 400 <= status < 500 and status not in (408, 425, 429):
                break  # it will not like the same event better next time
            if delay_s:
                self.counters["webhook_retried"] += 1
                await self._sleep(delay_s)
        self.counters["webhook_failed"] += 1
        log.warning("webhook_failed", event_name=event.event, event_id=event.id, status=status)

    def _headers(self, body: bytes) -> dict[str, str]:
        now_s = int(self._wall_s())
        claims = {
            "iss": self._api_key,
            "nbf": now_s,
            "exp": now_s + TOKEN_LIFETIME_S,
            "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        }
        # The receiver's libraries take the bare token, without a scheme.
        return {
            "Authorization": self._keys.sign_claims(self._api_key, claims),
            "Content-Type": CONTENT_TYPE,
        }


class HttpPost:
    """Posts with aiohttp; follows no redirects, so a signed event goes only where meant."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Post once and return the status."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout)
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
