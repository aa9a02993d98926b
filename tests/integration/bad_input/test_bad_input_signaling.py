"""A client with a valid token that breaks every other rule."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import time

import aiohttp
import pytest
from livekit.protocol import models, rtc
from testkit.hostile import hostile_peer, open_signal
from testkit.server import AislecastServer

FLOOD = 10_000
Offer = rtc.SessionDescription


async def test_broken_messages_are_counted_and_survived(
    server: AislecastServer, counts, room
) -> None:
    rng = random.Random(2)
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        for size in (1, 7, 100, 2000):
            for _ in range(20):
                await signal.ws.send_bytes(b"\xff" + rng.randbytes(size))
        whole = rtc.SignalRequest(
            add_track=rtc.AddTrackRequest(cid="c", name="n" * 50)
        ).SerializeToString()
        for cut in range(1, len(whole), 5):
            await signal.ws.send_bytes(whole[:cut])
        # A field that nobody knows, and an empty message.
        await signal.ws.send_bytes(b"\xfa\x7f\x01x")
        await signal.ws.send_bytes(b"")
        assert await signal.is_served()
        assert counts["message_malformed"] >= 70
        assert counts["message_unknown"] >= 2


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "v=0",
        "hello",
        "v=0\r\n" + "a=x\r\n" * 40_000,
        "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\n" + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 500,
        "v=0\r\na=" + "y" * 300_000,
        "v=0\r\nm=audio 99999 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n",
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=fingerprint:sha-256 zz\r\n",
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/x\r\n",
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\nm=audio 9 X 1\r\na=mid:0\r\n",
        "v=0\r\n\x00\x01\x02",
    ],
    ids=range(11),
)
async def test_broken_offers_end_that_client_alone(
    server: AislecastServer, counts, room, sdp: str
) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        started_s = time.monotonic()
        await signal.send(offer=Offer(type="offer", sdp=sdp, id=3))
        await signal.send(ping=1)
        answer = await signal.receive()
        while answer is not None and answer.WhichOneof("message") not in (
            "leave",
            "answer",
            "pong",
        ):
            answer = await signal.receive()
        assert time.monotonic() - started_s < 2
        # Refused with a reason, or (where the rubbish is harmless) answered.
        assert answer is not None
        if answer.WhichOneof("message") == "leave":
            assert answer.leave.action == rtc.LeaveRequest.DISCONNECT
            await signal.until_closed()
    assert counts["internal_error"] == 0


async def test_answers_nobody_asked_for(server: AislecastServer, counts, room) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        with contextlib.suppress(ConnectionError):  # the first may have been one too many
            for number in range(20):
                await signal.send(answer=Offer(type="answer", sdp="v=0\r\n", id=number))
        await signal.until_closed()
    assert counts["internal_error"] == 0


async def test_requests_about_things_that_are_not_there(
    server: AislecastServer, counts, room
) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        sids = [f"TR_none{number}" for number in range(3000)]
        await signal.send(mute=rtc.MuteTrackRequest(sid="TR_x", muted=True))
        await signal.send(subscription=rtc.UpdateSubscription(track_sids=sids, subscribe=True))
        await signal.send(track_setting=rtc.UpdateTrackSettings(track_sids=sids, width=2**32 - 1))
        await signal.send(
            update_audio_track=rtc.UpdateLocalAudioTrack(track_sid="TR_x", features=[0, 1])
        )
        await signal.send(
            subscription_permission=rtc.SubscriptionPermission(
                track_permissions=[rtc.TrackPermission(participant_identity="ann")]
            )
        )
        await signal.send(simulate=rtc.SimulateScenario(subscriber_bandwidth=2**40))
        for track in (
            rtc.AddTrackRequest(),
            rtc.AddTrackRequest(cid="c" * 5000, type=models.TrackType.VIDEO),
            rtc.AddTrackRequest(cid="d", type=models.TrackType.DATA),
            rtc.AddTrackRequest(cid="e", layers=[models.VideoLayer()] * 500, type=1),
        ):
            await signal.send(add_track=track)
        assert await signal.is_served()
    assert counts["add_track_refused"] == 4
    assert counts["dropped_subscription"] >= 1
    assert counts["internal_error"] == 0


async def test_tracks_are_bounded(server: AislecastServer, counts, room) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        for number in range(100):
            await signal.send(add_track=rtc.AddTrackRequest(cid=f"c{number}", type=0))
        assert await signal.is_served()
    assert counts["add_track_refused"] >= 80


async def test_trickle_that_is_no_json(server: AislecastServer, counts, room) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        deep = "[" * 50_000
        for text in ("", "{", "null", deep, json.dumps({"candidate": 5}), "\ud7ff" * 10):
            await signal.send(trickle=rtc.TrickleRequest(candidateInit=text, target=1))
        assert await signal.is_served()
    assert counts["internal_error"] == 0


async def test_ten_thousand_signaling_messages_a_second(
    server: AislecastServer, counts, room
) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        message = rtc.SignalRequest(ping=1).SerializeToString()
        try:
            for _ in range(FLOOD):
                await signal.ws.send_bytes(message)
        except (ConnectionError, aiohttp.ClientError):
            pass  # cut off while sending
        await signal.until_closed()
    assert counts["closed_flooding"] == 1


async def test_ten_thousand_data_messages_a_second(server: AislecastServer, counts, room) -> None:
    packet = models.DataPacket(user=models.UserPacket(payload=bytes(100))).SerializeToString()
    async with hostile_peer(server, room) as peer:
        for _ in range(50):
            peer.reliable.send(b"\xff" * 300)  # no protobuf
        async with asyncio.timeout(10):
            while counts["data_malformed"] < 50:
                await asyncio.sleep(0.02)
        for number in range(FLOOD):
            peer.lossy.send(packet)
            if number % 100 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while counts["data_over_rate"] < 500:
                await asyncio.sleep(0.05)


async def test_who_never_reads_is_cut_off(server: AislecastServer, counts) -> None:
    """Everybody's news is large; who takes none of it must not make the server keep it."""
    room = "loud"
    async with open_signal(server, server.token("deaf", room, can_publish=False)) as deaf:
        assert await deaf.receive("join") is not None
        transport = deaf.ws._response.connection.transport
        transport.pause_reading()
        before_bytes = server.metrics()["process_resident_memory_bytes"]
        # One person's changes are held to a few a second, so ten of them shout.
        for person in range(10):
            async with open_signal(server, server.token(f"loud-{person}", room)) as loud:
                assert await loud.receive("join") is not None
                for number in range(20):
                    text = f"{person:02}{number:02}" * 15_000
                    metadata = rtc.UpdateParticipantMetadata(metadata=text, request_id=number)
                    await loud.send(update_metadata=metadata)
                    await loud.receive("request_response")
        grown = server.metrics()["process_resident_memory_bytes"] - before_bytes
        transport.abort()
        assert counts["closed_slow_reader"] + counts["held_updates"] > 0
        assert grown < 25e6


async def test_metadata_beyond_bounds_is_refused(server: AislecastServer, room) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        for request in (
            rtc.UpdateParticipantMetadata(metadata="x" * 70_000, request_id=1),
            rtc.UpdateParticipantMetadata(name="x" * 7000, request_id=2),
            rtc.UpdateParticipantMetadata(attributes={"k": "v" * 70_000}, request_id=3),
            rtc.UpdateParticipantMetadata(
                attributes={f"key{number}": "v" for number in range(12_000)}, request_id=4
            ),
        ):
            await signal.send(update_metadata=request)
            answer = await signal.receive("request_response")
            assert answer is not None
            assert answer.request_response.reason == rtc.RequestResponse.LIMIT_EXCEEDED


async def test_a_message_larger_than_any_bound(server: AislecastServer, room) -> None:
    async with open_signal(server, server.token("mallory", room)) as signal:
        assert await signal.receive("join") is not None
        await signal.ws.send_bytes(bytes(3 << 20))
        assert await signal.until_closed() == 1009


async def test_never_answering_is_told_to_start_anew(server: AislecastServer, counts) -> None:
    """Dual mode: the server's offer stays without answer; nobody waits for that client for ever."""
    async with open_signal(server, server.token("mute", "quiet")) as signal:
        assert await signal.receive("offer") is not None
        leave = await signal.receive("leave", timeout_s=40)
        assert leave is not None
        assert leave.leave.action == rtc.LeaveRequest.RECONNECT
    assert counts["negotiation_timeout"] == 1


async def test_a_wish_list_of_a_megabyte_stops_nobody(server: AislecastServer, room) -> None:
    """A publisher may say who receives its tracks; saying it at length must not cost others."""
    async with hostile_peer(server, room) as peer:
        entries = [
            rtc.TrackPermission(participant_identity=f"nobody{number}", all_tracks=True)
            for number in range(30_000)
        ]
        rule = rtc.SubscriptionPermission(track_permissions=entries)
        for _ in range(10):
            await peer.signal.send(subscription_permission=rule)
        wait = base64.b64encode(b"done").decode()
        await peer.signal.send(ping=len(wait))
        started_s = time.monotonic()
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/healthz") as ok:
            assert ok.status == 200
        assert time.monotonic() - started_s < 1
