"""aiortc publishes by WHIP and plays by WHEP; what comes out is what went in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame
from livekit.protocol import models
from whip_rig import (
    BITS,
    TONE_HZ,
    NumberedPicture,
    Rig,
    Tone,
    loudest_hz,
    negotiate,
    new_peer,
    publish,
    read_number,
    room_token,
    running_server,
    until,
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_server() as rig:
        yield rig


async def read_frames(track: MediaStreamTrack, count: int, limit_s: float = 20.0) -> list:
    async with asyncio.timeout(limit_s):
        return [await track.recv() for _ in range(count)]


def check_pictures(frames: list[VideoFrame]) -> None:
    """The numbers go up as they were drawn; a start may skip, but nothing is made up."""
    numbers = [read_number(frame) for frame in frames]
    steps = [(b - a) % 2**BITS for a, b in zip(numbers, numbers[1:], strict=False)]
    assert sum(1 <= step <= 3 for step in steps) >= 0.9 * len(steps), numbers


def check_sound(frames: list[AudioFrame]) -> None:
    assert abs(loudest_hz(frames) - TONE_HZ) < 5


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_what_is_published_is_played(rig: Rig, codec: str) -> None:
    encoder, headers = await publish(rig, NumberedPicture(), Tone(), codec=codec)
    await until(lambda: len(rig.signaling.list_participants("shop")[0].tracks) == 2)
    person = rig.signaling.list_participants("shop")[0]
    assert person.kind == models.ParticipantInfo.INGRESS
    assert {track.mime_type for track in person.tracks} == {f"video/{codec}", "audio/opus"}

    player = new_peer()
    video = player.addTransceiver("video", direction="recvonly").receiver
    audio = player.addTransceiver("audio", direction="recvonly").receiver
    played = await negotiate(rig, player, "/whep/shop", room_token("player"))
    pictures, sounds = await asyncio.gather(
        read_frames(video.track, 40), read_frames(audio.track, 100)
    )
    check_pictures(pictures)
    check_sound(sounds[50:])

    # The encoder leaves: its player has nothing left and is ended too.
    assert (await rig.call("DELETE", headers["Location"], token=room_token("encoder")))[0] == 200
    await until(lambda: rig.routes.resources.snapshot()["whep_sessions"] == 0)
    assert (await rig.call("DELETE", played["Location"], token=room_token("player")))[0] == 404
    await asyncio.gather(encoder.close(), player.close())


async def test_one_participant_or_track_can_be_chosen(rig: Rig) -> None:
    peers = [
        (await publish(rig, NumberedPicture(), identity=identity))[0] for identity in ("ann", "bob")
    ]
    await until(lambda: all(person.tracks for person in rig.signaling.list_participants("shop")))
    people = {person.identity: person for person in rig.signaling.list_participants("shop")}
    for target in ("bob", people["bob"].tracks[0].sid):
        player = new_peer()
        player.addTransceiver("video", direction="recvonly")
        await negotiate(rig, player, f"/whep/shop/{target}", room_token("player"))
        assert f"a=msid:{people['bob'].sid} " in player.remoteDescription.sdp
        peers.append(player)
    await asyncio.gather(*(peer.close() for peer in peers))


async def test_an_encoder_that_vanishes_leaves_the_room(rig: Rig) -> None:
    encoder, _ = await publish(rig, Tone())
    await until(lambda: len(rig.signaling.list_participants("shop")[0].tracks) == 1)
    await encoder.close()  # its close_notify
    await until(lambda: rig.signaling.list_participants("shop") == [])
    assert rig.routes.resources.snapshot()["whip_sessions"] == 0
