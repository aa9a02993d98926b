from __future__ import annotations

from signaling_bench import Bench


def test_subscriber_only_changes_are_batched() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    for index in range(50):
        bench.join(f"p{index}").connect()
    assert alice.named("update") == []
    bench.clock.advance(0.2)
    (update,) = alice.named("update")
    assert len(update.participants) == 50


def test_five_hundred_joins_cost_a_few_updates_each() -> None:
    bench = Bench()
    clients = []
    for index in range(500):
        client = bench.join(f"p{index}", offers=False)
        client.connect()
        clients.append(client)
        bench.clock.advance(0.02)
    bench.clock.advance(1)
    updates = sum(len(client.named("update")) for client in clients)
    assert updates <= 500 * 55  # 250 000 without batching
    seen = {p.identity for u in clients[0].named("update") for p in u.participants}
    assert len(seen) == 500


def test_everybody_gets_the_same_bytes() -> None:
    bench = Bench()
    clients = [bench.connected(f"p{index}") for index in range(4)]
    for client in clients:
        client.clear()
    clients[0].publish("c")
    frames = [client.connection.frames[0] for client in clients[1:]]
    assert frames[0] is frames[1] is frames[2]


def test_changes_of_the_moment_are_one_update() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.publish("c")
    bob.clear()
    sid = alice.named("track_published")[0].track.sid
    from livekit.protocol import rtc

    for muted in (True, False, True):
        alice.send(mute=rtc.MuteTrackRequest(sid=sid, muted=muted))
    bench.clock.advance()
    (update,) = bob.named("update")
    assert update.participants[0].tracks[0].muted


def test_versions_only_rise() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.publish("a")
    alice.publish("b")
    bench.clock.advance(1)
    versions = [p.version for u in bob.named("update") for p in u.participants]
    assert versions == sorted(versions) and len(set(versions)) == len(versions)


def test_large_news_comes_in_pieces() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    for index in range(40):
        client = bench.connected(f"p{index}", can_update_own_metadata=True)
        client.connection.frames.clear()
    room = bench.service._registry.rooms["room"]
    alice.clear()
    for participant in list(room.participants.values()):
        participant.info.metadata = "m" * 5000
        room.announce(participant, is_urgent=False)
    bench.clock.advance(0.3)
    sizes = [len(frame) for frame in alice.connection.frames]
    assert len(sizes) >= 4 and max(sizes) < 60_000


def test_counts_follow_and_are_told() -> None:
    bench = Bench()
    alice = bench.connected("alice")
    bench.connected("bob").publish("c")
    bench.clock.advance(6)
    room = alice.last("room_update").room
    assert (room.num_participants, room.num_publishers) == (2, 1)
    count = len(alice.named("room_update"))
    bench.clock.advance(20)
    assert len(alice.named("room_update")) == count
