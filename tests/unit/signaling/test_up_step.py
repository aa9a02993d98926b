from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol import models
from signaling_bench import Bench, Client

from signaling.up_step import UpStep, up_step_of

Quality = models.ConnectionQuality


@pytest.fixture
def bench() -> Bench:
    return Bench()


def announce(client: Client, payload: bytes, **fields: Any) -> None:
    user = models.UserPacket(topic="aislecast.uplink", payload=payload)
    client.send_data(models.DataPacket(user=user, **fields))


def walker(bench: Bench, name: str = "walker") -> tuple[Client, Any]:
    client = bench.connected(name, page=True)
    client.publish(f"{name}-camera", "video")
    return client, client.peer._participant  # type: ignore[union-attr]


def test_what_a_page_says_of_itself_counts_and_goes_to_nobody(bench: Bench) -> None:
    client, person = walker(bench)
    other = bench.connected("hq", page=True)
    for step in UpStep:
        announce(client, b'{"step": "%s"}' % step.name.lower().encode())
        assert up_step_of(person) is step
    assert not other.data.sent
    assert not [key for key in bench.service.counters if key.startswith("data_")]


def test_it_is_said_of_the_sender_whomever_the_packet_names(bench: Bench) -> None:
    client, person = walker(bench)
    other, neighbour = walker(bench, "neighbour")
    announce(
        client,
        b'{"step": "sound"}',
        participant_identity="neighbour",
        participant_sid=other.sid,
        destination_identities=["neighbour"],
    )
    assert up_step_of(neighbour) is UpStep.FULL and up_step_of(person) is UpStep.SOUND
    assert not other.data.sent


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"sound",
        b"null",
        b"[]",
        b'{"step": 3}',
        b'{"step": ["sound"]}',
        b'{"step": "SOUND"}',
        b'{"step": "none"}',
        b"\xff\xfe",
        b"[" * 64,
        b'{"step": "sound", "more": "' + b"x" * 64 + b'"}',
    ],
)
def test_what_is_not_understood_changes_nothing(bench: Bench, payload: bytes) -> None:
    client, person = walker(bench)
    announce(client, b'{"step": "slow"}')
    announce(client, payload)
    assert up_step_of(person) is UpStep.SLOW
    assert bench.service.counters["data_malformed"] == 1


def test_only_pages_of_ours_are_heard(bench: Bench) -> None:
    client = bench.connected("sdk")
    client.publish("camera", "video")
    announce(client, b'{"step": "sound"}')
    assert bench.service.counters["data_not_a_page"] == 1
    assert up_step_of(client.peer._participant) is UpStep.FULL  # type: ignore[union-attr]


def test_an_older_word_does_not_come_after_a_newer_one(bench: Bench) -> None:
    client, person = walker(bench)
    announce(client, b'{"step": "sound"}', sequence=1)
    announce(client, b'{"step": "full"}', sequence=2)
    announce(client, b'{"step": "sound"}', sequence=1)
    assert up_step_of(person) is UpStep.FULL


def test_the_worse_witness_counts(bench: Bench) -> None:
    client, person = walker(bench)
    announce(client, b'{"step": "full"}')
    person.seen_step = UpStep.REDUCED
    assert up_step_of(person) is UpStep.REDUCED, "nobody makes its own line look better"
    announce(client, b'{"step": "sound"}')
    assert up_step_of(person) is UpStep.SOUND


def test_those_who_receive_it_see_weak_bars(bench: Bench) -> None:
    client, _ = walker(bench)
    hq = bench.connected("hq")
    bench.clock.advance(5)
    announce(client, b'{"step": "sound"}')
    bench.clock.advance(5)
    (update,) = hq.last("connection_quality").updates
    assert (update.participant_sid, update.quality) == (client.sid, Quality.POOR)
