"""The PyPI `livekit` SDK against the real engine: what arrives is looked at and listened to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from livekit import rtc
from sdk_client import SdkClient, connect, hear_hz, sdk_clients, see_bars, until
from signaling_server import RunningServer, run_server

from signaling.config import SignalingConfig

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns about its own internals

Scenario = rtc.room.SimulateScenarioKind


@pytest.fixture(params=["single", "dual"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[RunningServer]:
    """Once as clients prefer it, once answering 404 on /rtc/v1."""
    config = SignalingConfig(keys={}, is_single_pc_enabled=request.param == "single")
    async with run_server(config) as running:
        yield running


async def test_sound_and_picture_arrive_as_they_were_sent(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        await alice.publish_bars()
        assert abs(await hear_hz(await bob.track("audio")) - 440) < 5
        size = await see_bars(await bob.track("video"), is_enough=lambda w, h: w == 1280)
        assert size == (1280, 720)
        publication = await until(
            lambda: [
                p
                for p in bob.other("alice").track_publications.values()  # type: ignore[union-attr]
                if p.kind == rtc.TrackKind.KIND_VIDEO
            ]
        )
        assert publication[0].mime_type.lower() == "video/vp8" and publication[0].simulcasted
        await until(lambda: {"alice"} in bob.speakers and {"alice"} in alice.speakers)


async def test_the_first_check_brings_the_handshake_along(server: RunningServer) -> None:
    """The SDK's libwebrtc offers it; its ClientHello comes before there is a path for it."""
    async with sdk_clients(server, "alice") as (alice,):
        await alice.publish_tone(440)
        await until(lambda: server.signaling.snapshot()["tracks"] == 1)
        assert server.media.counters()["dtls_carried"] >= 1


async def test_who_comes_late_sees_and_hears_at_once(server: RunningServer) -> None:
    async with sdk_clients(server, "alice") as (alice,):
        await alice.publish_tone(600)
        await alice.publish_bars(simulcast=False)
        await until(lambda: server.signaling.snapshot()["tracks"] == 2)
        async with sdk_clients(server, "bob") as (bob,):
            assert bob.other("alice") is not None
            assert abs(await hear_hz(await bob.track("audio")) - 600) < 5
            await see_bars(await bob.track("video"))


async def test_both_directions_and_more_tracks_than_sections(server: RunningServer) -> None:
    shared = rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
    async with sdk_clients(server, "a", "b", "c", "d", "e") as clients:
        for index, client in enumerate(clients):
            await client.publish_tone(400 + 100 * index, shared)
        for index, client in enumerate(clients):
            await client.track("audio", count=4)
            heard = {round(await hear_hz(track), -1) for track in list(client.tracks.values())}
            assert heard == {400 + 100 * i for i in range(5) if i != index}


async def test_of_five_microphones_three_are_heard_and_a_place_is_passed_on(
    server: RunningServer,
) -> None:
    async with sdk_clients(server, "a", "b", "c", "d", "e", "listener") as clients:
        *speakers, listener = clients
        for index, client in enumerate(speakers):
            await client.publish_tone(400 + 100 * index)
        await listener.track("audio", count=5)

        async def heard() -> set[str]:
            """Names of whose tones come within two seconds."""
            found = set()
            for client in speakers:
                other = listener.other(client.me.identity)
                assert other is not None
                (publication,) = other.track_publications.values()
                with contextlib.suppress(TimeoutError):
                    await hear_hz(publication.track, limit_s=2)  # type: ignore[arg-type]
                    found.add(client.me.identity)
            return found

        first = await heard()
        assert len(first) == 3
        quiet = next(client for client in speakers if client.me.identity in first)
        await quiet.room.disconnect()
        speakers.remove(quiet)
        second = await heard()
        assert len(second) == 3 and first - {quiet.me.identity} < second


@pytest.mark.parametrize("codec", ["h264", "vp9"])
async def test_other_codecs(server: RunningServer, codec: str) -> None:
    chosen = rtc.VideoCodec.H264 if codec == "h264" else rtc.VideoCodec.VP9
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_bars(video_codec=chosen, simulcast=codec == "h264")
        await see_bars(await bob.track("video"))
        info = server.signaling.list_participants("room")[0]
        assert info.tracks[0].mime_type.lower() == f"video/{codec}"


async def test_a_lower_layer_when_asked(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        publication = await alice.publish_bars()
        track = await bob.track("video")
        await see_bars(track, is_enough=lambda w, h: w == 1280)
        remote = bob.other("alice").track_publications[publication.sid]  # type: ignore[union-attr]
        remote.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
        assert await see_bars(track, is_enough=lambda w, h: w <= 320) == (320, 180)
        remote.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_HIGH)
        await see_bars(track, is_enough=lambda w, h: w == 1280)


async def test_data_arrives_with_its_sender(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob", "carol") as (alice, bob, carol):
        await alice.me.publish_data(b"to all", topic="t", reliable=True)
        await alice.me.publish_data(b"to bob", destination_identities=["bob"])
        await until(lambda: len(bob.data) == 2 and len(carol.data) == 1)
        while not all(client.data[-1].data == b"lossy" for client in (bob, carol)):
            await alice.me.publish_data(b"lossy", reliable=False)
            await asyncio.sleep(0.1)
        assert {packet.data for packet in bob.data} == {b"to all", b"to bob", b"lossy"}
        assert {packet.data for packet in carol.data} == {b"to all", b"lossy"}
        assert all(p.participant and p.participant.identity == "alice" for p in bob.data)
        assert not alice.data


async def test_rpc_and_text_streams(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):

        async def echo(call: rtc.RpcInvocationData) -> str:
            return f"{call.caller_identity}: {call.payload}"

        bob.me.register_rpc_method("echo", echo)
        answer = await alice.me.perform_rpc(
            destination_identity="bob", method="echo", payload="hello"
        )
        assert answer == "alice: hello"
        texts: list[str] = []

        async def read(reader: rtc.TextStreamReader) -> None:
            texts.append(await reader.read_all())

        tasks: list[asyncio.Task[None]] = []
        bob.room.register_text_stream_handler(
            "chat", lambda reader, _: tasks.append(asyncio.create_task(read(reader)))
        )
        await alice.me.send_text("货架" * 20_000, topic="chat")
        await until(lambda: texts == ["货架" * 20_000])


async def test_mute_names_and_attributes(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        publication = await alice.publish_tone(500)
        track = await bob.track("audio")
        await hear_hz(track)
        assert publication.track is not None
        publication.track.mute()  # type: ignore[union-attr]
        remote = bob.other("alice").track_publications[publication.sid]  # type: ignore[union-attr]
        await until(lambda: remote.muted)
        publication.track.unmute()  # type: ignore[union-attr]
        await until(lambda: not remote.muted)
        assert abs(await hear_hz(track) - 500) < 5
        await alice.me.set_metadata("m")
        await alice.me.set_name("Alice")
        await alice.me.set_attributes({"role": "host"})
        other = bob.other("alice")
        assert other is not None
        await until(
            lambda: (
                (other.metadata, other.name, other.attributes) == ("m", "Alice", {"role": "host"})
            )
        )


async def test_unpublish_and_unsubscribe(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        first = await alice.publish_tone(450)
        await bob.track("audio")
        remote = bob.other("alice").track_publications[first.sid]  # type: ignore[union-attr]
        remote.set_subscribed(False)
        await until(lambda: not bob.tracks)
        remote.set_subscribed(True)
        assert abs(await hear_hz(await bob.track("audio")) - 450) < 5
        await alice.me.unpublish_track(first.sid)
        await until(lambda: not bob.tracks)
        await until(lambda: server.signaling.snapshot()["tracks"] == 0)
        await alice.publish_tone(550)
        assert abs(await hear_hz(await bob.track("audio")) - 550) < 5


async def test_leaving_is_seen(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        await bob.track("audio")
        await alice.room.disconnect()
        await until(lambda: bob.other("alice") is None and not bob.tracks)


async def test_the_newest_of_the_same_identity_stays(server: RunningServer) -> None:
    async with sdk_clients(server, "watcher", "alice") as (watcher, old):
        new = SdkClient("alice")
        await connect(new, server)
        await until(lambda: "disconnected" in old.heard)
        assert len(server.signaling.list_participants("room")) == 2
        await new.publish_tone(440)
        assert abs(await hear_hz(await watcher.track("audio")) - 440) < 5
        await new.close()


async def test_a_lost_socket_is_resumed_without_a_gap_in_the_room(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        await alice.publish_bars()
        await see_bars(await bob.track("video"))
        left: list[str] = []
        bob.room.on("participant_disconnected", lambda p: left.append(p.identity))
        sid = alice.me.sid
        await alice.room.simulate_scenario(Scenario.SIMULATE_SIGNAL_RECONNECT)
        await until(lambda: "reconnected" in alice.heard)
        assert alice.me.sid == sid and not left
        assert server.signaling.counters["resumed"] == 1
        assert abs(await hear_hz(await bob.track("audio")) - 440) < 5
        await see_bars(await bob.track("video"))
        # The other direction works as well, with tracks that are new since.
        await bob.publish_tone(700)
        assert abs(await hear_hz(await alice.track("audio")) - 700) < 5


async def test_a_subscriber_that_resumes_keeps_its_media(server: RunningServer) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        track = await bob.track("audio")
        await hear_hz(track)
        await bob.room.simulate_scenario(Scenario.SIMULATE_SIGNAL_RECONNECT)
        await until(lambda: "reconnected" in bob.heard)
        assert abs(await hear_hz(track) - 440) < 5
        await alice.me.publish_data(b"after")
        await until(lambda: bob.data)


@pytest.mark.parametrize("scenario", ["FULL_RECONNECT", "NODE_FAILURE"])
async def test_a_full_reconnect_brings_everything_back(
    server: RunningServer, scenario: str
) -> None:
    async with sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_tone(440)
        await hear_hz(await bob.track("audio"))
        before = alice.me.sid
        await alice.room.simulate_scenario(getattr(Scenario, f"SIMULATE_{scenario}"))
        await until(lambda: "reconnected" in alice.heard)
        # The sid tells that it is another session.
        infos = server.signaling.list_participants("room")
        assert {info.identity for info in infos} == {"alice", "bob"}
        assert before not in {info.sid for info in infos}
        await until(lambda: len(bob.tracks) == 1 and server.signaling.snapshot()["tracks"] == 1)
        assert abs(await hear_hz(await bob.track("audio")) - 440) < 5


async def test_tokens_are_refreshed_at_once(server: RunningServer) -> None:
    async with sdk_clients(server, "alice") as (alice,):
        await until(lambda: "token_refreshed" in alice.heard)
