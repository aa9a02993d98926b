"""Webhooks: signed as their receivers check, in order per room, retried, bounded."""

from __future__ import annotations

import asyncio

from livekit import api
from livekit.protocol import models
from livekit.protocol.webhook import WebhookEvent

from signaling.tokens import TokenKeys
from web.webhooks import delivery
from web.webhooks.delivery import CONTENT_TYPE, RETRY_DELAYS_S, WebhookDelivery

KEY, SECRET = "hookkey", "hook-secret-of-at-least-32-characters"
NOW_S = 2_000_000_000.0
URL = "https://crm.example/hook"


def event(name: str = "room_started", room: str = "r", number: int = 0) -> WebhookEvent:
    return WebhookEvent(
        event=name, id=f"EV_{number}", created_at=int(NOW_S), room=models.Room(name=room)
    )


class Endpoint:
    """Receives posts and answers as told."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.posts: list[tuple[str, bytes, dict[str, str]]] = []
        self.waits_s: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        await self.gate.wait()
        self.posts.append((url, body, headers))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, delay_s: float) -> None:
        self.waits_s.append(delay_s)


def make(endpoint: Endpoint, *urls: str) -> WebhookDelivery:
    return WebhookDelivery(
        urls or (URL,),
        keys=TokenKeys({KEY: SECRET}),
        api_key=KEY,
        wall_s=lambda: NOW_S,
        post=endpoint.post,
        sleep=endpoint.sleep,
    )


async def test_the_receiver_of_livekit_api_accepts_what_is_sent() -> None:
    endpoint = Endpoint()
    hooks = make(endpoint)
    hooks.enqueue(event())
    await hooks.drain(1)
    (url, body, headers) = endpoint.posts[0]
    assert url == URL
    assert headers["Content-Type"] == CONTENT_TYPE
    import datetime

    verifier = api.TokenVerifier(KEY, SECRET, leeway=datetime.timedelta(days=40_000))
    received = api.WebhookReceiver(verifier).receive(body.decode(), headers["Authorization"])
    assert (received.event, received.room.name) == ("room_started", "r")


async def test_order_holds_within_a_room_even_with_retries() -> None:
    endpoint = Endpoint(500, OSError(), TimeoutError(), 200)
    hooks = make(endpoint)
    for number in range(5):
        hooks.enqueue(event(number=number))
    await hooks.drain(1)
    sent = [WebhookEvent() for _ in endpoint.posts]
    from google.protobuf.json_format import Parse

    ids = [Parse(post[1], message).id for post, message in zip(endpoint.posts, sent, strict=True)]
    assert ids == ["EV_0"] * 4 + ["EV_1", "EV_2", "EV_3", "EV_4"]
    assert endpoint.waits_s == list(RETRY_DELAYS_S[:3])
    assert hooks.counters == {"webhook_retried": 3, "webhook_delivered": 5}


async def test_a_refusal_is_not_repeated_and_a_dead_address_is_given_up() -> None:
    refusing = Endpoint(400)
    hooks = make(refusing)
    hooks.enqueue(event())
    await hooks.drain(1)
    assert len(refusing.posts) == 1
    assert hooks.counters["webhook_failed"] == 1

    dead = Endpoint(*[OSError()] * 20)
    hooks = make(dead)
    hooks.enqueue(event())
    await hooks.drain(1)
    assert len(dead.posts) == len(RETRY_DELAYS_S) + 1
    assert hooks.counters["webhook_failed"] == 1


async def test_a_stuck_address_does_not_hold_up_another_and_memory_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(delivery, "MAX_WAITING", 10)
    endpoint = Endpoint()
    endpoint.gate.clear()
    hooks = make(endpoint)
    for number in range(25):
        hooks.enqueue(event(room=f"r{number % 3}", number=number))
    assert hooks.counters["webhook_dropped"] == 15
    await hooks.drain(0)
    assert hooks._num_waiting == 0
    assert hooks._lanes == {}


async def test_every_address_gets_every_event() -> None:
    endpoint = Endpoint()
    hooks = make(endpoint, "http://a.example", "http://b.example")
    hooks.enqueue(event())
    await hooks.drain(1)
    assert {post[0] for post in endpoint.posts} == {"http://a.example", "http://b.example"}
