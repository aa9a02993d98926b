from __future__ import annotations

import pytest
from livekit.protocol import models, rtc
from signaling_bench import KEY, SECRET, Bench, Client

from signaling.config import Limits, SignalingConfig

Packet = models.DataPacket


@pytest.fixture
def bench() -> Bench:
    return Bench()


def user(payload: bytes = b"x", **fields: object) -> models.UserPacket:
    return models.UserPacket(payload=payload, **fields)


def payloads(client: Client) -> list[bytes]:
    return [packet.user.payload for _, packet in client.data.sent]


def test_a_packet_goes_to_all_others_on_the_same_channel(bench: Bench) -> None:
    alice, bob, carol = (
        bench.connected("alice"),
        bench.connected("bob"),
        bench.connected("carol", single=False),
    )
    alice.send_data(Packet(user=user(b"one")))
    alice.send_data(Packet(user=user(b"two")), "_lossy")
    for client in (bob, carol):
        assert [label for label, _ in client.data.sent] == ["_reliable", "_lossy"]
        assert [packet.kind for _, packet in client.data.sent] == [Packet.RELIABLE, Packet.LOSSY]
        assert payloads(client) == [b"one", b"two"]
    assert not alice.data.sent


def test_the_sender_is_who_it_is(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    forged = user(participant_sid="PA_boss", participant_identity="boss")
    alice.send_data(
        Packet(participant_identity="boss", participant_sid="PA_boss", sequence=9, user=forged)
    )
    ((_, packet),) = bob.data.sent
    assert (packet.participant_identity, packet.participant_sid) == ("alice", alice.sid)
    assert packet.user.participant_identity == "alice" and packet.sequence == 9


def test_a_hidden_sender_stays_unnamed(bench: Bench) -> None:
    ghost, bob = bench.connected("ghost", hidden=True), bench.connected("bob")
    ghost.send_data(Packet(participant_identity="x", user=user()))
    ((_, packet),) = bob.data.sent
    assert not packet.participant_identity and not packet.user.participant_sid


def test_nobody_speaks_in_the_servers_name(bench: Bench) -> None:
    ghost, bob = bench.connected("ghost", hidden=True), bench.connected("bob")
    for topic in ("aislecast.still", "aislecast.network"):
        ghost.send_data(Packet(user=user(topic=topic)))
    assert not bob.data.sent and bench.service.counters["data_reserved_topic"] == 2


@pytest.mark.parametrize("how", ["packet", "user", "sid"])
def test_destinations_are_respected(bench: Bench, how: str) -> None:
    alice, bob, carol = (bench.connected(name) for name in ("alice", "bob", "carol"))
    packet = Packet(user=user())
    if how == "packet":
        packet.destination_identities.extend(["bob", "bob", "nobody"])
    elif how == "user":
        packet.user.destination_identities.append("bob")
    else:
        packet.user.destination_sids.append(bob.sid)
    alice.send_data(packet)
    assert len(bob.data.sent) == 1 and not carol.data.sent


def test_all_kinds_of_payload_pass(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    packets = [
        Packet(rpc_request=models.RpcRequest(id="1")),
        Packet(chat_message=models.ChatMessage(message="hi")),
        Packet(stream_chunk=models.DataStream.Chunk(stream_id="s")),
        Packet(encrypted_packet=models.EncryptedPacket(iv=b"1")),
    ]
    for packet in packets:
        alice.send_data(packet)
    assert [p.WhichOneof("value") for _, p in bob.data.sent] == [
        "rpc_request",
        "chat_message",
        "stream_chunk",
        "encrypted_packet",
    ]


@pytest.mark.parametrize(
    ("packet", "label", "counter"),
    [
        (Packet(), "_reliable", "data_not_forwarded"),
        (Packet(speaker=models.ActiveSpeakerUpdate()), "_reliable", "data_not_forwarded"),
        (Packet(metrics={}), "_reliable", "data_not_forwarded"),
        (Packet(transcription=models.Transcription()), "_reliable", "data_not_allowed"),
        (Packet(user=user()), "own-channel", "data_unknown_channel"),
        (Packet(user=user(b"x" * 70_000)), "_reliable", "data_too_large"),
    ],
)
def test_what_is_not_for_others_is_counted(
    bench: Bench, packet: models.DataPacket, label: str, counter: str
) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    alice.send_data(packet, label)
    assert not bob.data.sent and bench.service.counters[counter] == 1


def test_malformed_packets_are_counted(bench: Bench) -> None:
    alice = bench.connected("alice")
    on_message = alice.transports[0].data.on_message
    assert on_message is not None
    on_message("_reliable", b"\xff\xff")
    assert bench.service.counters["data_malformed"] == 1


def test_the_right_to_send(bench: Bench) -> None:
    alice, bob = bench.connected("alice", can_publish_data=False), bench.connected("bob")
    alice.send_data(Packet(user=user()))
    assert not bob.data.sent and bench.service.counters["data_not_allowed"] == 1


def test_agents_may_transcribe(bench: Bench) -> None:
    import dataclasses

    agent = Client(bench, dataclasses.replace(bench.grants("agent"), kind="agent"), is_single=True)
    agent.open()
    agent.connect()
    bob = bench.connected("bob")
    agent.send_data(Packet(transcription=models.Transcription()))
    assert len(bob.data.sent) == 1


def test_repeated_reliable_packets_are_dropped(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    for sequence in (1, 2, 2, 1, 3):
        alice.send_data(Packet(sequence=sequence, user=user(bytes([sequence]))))
    alice.send_data(Packet(sequence=1, user=user(b"lossy")), "_lossy")
    assert payloads(bob) == [b"\x01", b"\x02", b"\x03", b"lossy"]
    assert bench.service.counters["data_duplicate"] == 2


def test_what_a_reader_does_not_take_is_counted(bench: Bench) -> None:
    alice, bob = bench.connected("alice"), bench.connected("bob")
    bob.data.takes = False
    alice.send_data(Packet(user=user()))
    assert bench.service.counters["data_not_sent"] == 1


def test_reliable_packets_are_replayed_on_resume(bench: Bench) -> None:
    alice, bob, carol = (bench.connected(name) for name in ("alice", "bob", "carol"))
    for sequence in range(1, 6):
        alice.send_data(Packet(sequence=sequence, user=user(bytes([sequence]))))
    alice.send_data(Packet(sequence=6, destination_identities=["carol"], user=user(b"for carol")))
    bob.data.sent.clear()
    carol.data.sent.clear()
    seen = rtc.DataChannelReceiveState(publisher_sid=alice.sid, last_seq=3)
    bob.resume(sync_state=rtc.SyncState(datachannel_receive_states=[seen]))
    carol.resume(sync_state=rtc.SyncState(datachannel_receive_states=[seen]))
    assert payloads(bob) == [b"\x04", b"\x05"]
    assert payloads(carol) == [b"\x04", b"\x05", b"for carol"]
    alice.resume(sync_state=rtc.SyncState())
    assert not alice.data.sent


def test_replay_is_bounded_by_count_bytes_and_age() -> None:
    limits = Limits(replay_packets=3, replay_bytes=1000, replay_age_s=10)
    bench = Bench(SignalingConfig(keys={KEY: SECRET}, limits=limits))
    alice, bob = bench.connected("alice"), bench.connected("bob")

    def missed() -> list[bytes]:
        bob.data.sent.clear()
        bob.resume(sync_state=rtc.SyncState())
        return payloads(bob)

    for sequence in range(1, 6):
        alice.send_data(Packet(sequence=sequence, user=user(bytes([sequence]))))
    assert missed() == [b"\x03", b"\x04", b"\x05"]
    alice.send_data(Packet(sequence=6, user=user(b"x" * 900)))
    assert missed() == [b"x" * 900]
    bench.clock.advance(11)
    alice.send_data(Packet(sequence=7, user=user(b"7")))
    assert missed() == [b"7"]


def test_reliable_packets_wait_for_a_channel_that_is_still_opening() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    bob.data.labels = frozenset()
    alice.send_data(Packet(user=user(b"early")))
    alice.send_data(Packet(user=user(b"lossy")), "_lossy")
    assert payloads(bob) == [b"lossy"]
    bob.data.labels = frozenset({"_reliable"})
    assert bob.data.on_open is not None
    bob.data.on_open("_reliable")
    alice.send_data(Packet(user=user(b"late")))
    assert payloads(bob) == [b"lossy", b"early", b"late"]


def test_what_waits_for_a_channel_is_bounded() -> None:
    bench = Bench()
    alice, bob = bench.connected("alice"), bench.connected("bob")
    bob.data.labels = frozenset()
    for _ in range(300):
        alice.send_data(Packet(user=user(b"x" * 100)))
    assert bench.service.counters["data_not_sent"] == 300 - 256
