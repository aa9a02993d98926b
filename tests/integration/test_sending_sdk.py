"""What our answers let a publisher send, with real libwebrtc: which layers, and how much sound."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc
from sdk_client import sdk_clients, see_bars, until
from signaling_server import RunningServer, run_server

from bandwidth.uplink import Carried
from signaling import publishing
from signaling.sending import SPEECH_BPS

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns about its own internals


def flowing(server: RunningServer) -> set[int]:
    """Layers of the one camera that come in."""
    rows = server.media.snapshot().encodings
    return {int(row["encoding"]) for row in rows if row["width"] and row["is_active"]}


def allow_all(server: RunningServer) -> None:
    """As if a long time had shown that the line carries everything."""
    uplinks = server.signaling._monitor._uplinks
    uplinks._carried = Carried.start(len(uplinks._sids), uplinks._at_s)


async def test_a_weak_line_begins_with_low_layers_and_gets_the_rest_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "is_weak", lambda _: True)
    async with run_server() as server, sdk_clients(server, "alice", "bob") as (alice, bob):
        await alice.publish_bars()
        track = await bob.track("video")
        await until(lambda: flowing(server) == {0, 1})
        size = await see_bars(track, is_enough=lambda width, _: width == 640)
        assert size == (640, 360) and flowing(server) == {0, 1}
        allow_all(server)
        await until(lambda: flowing(server) == {0, 1, 2})
        assert await see_bars(track, is_enough=lambda width, _: width == 1280) == (1280, 720)


async def test_speech_is_bounded_once_the_camera_has_come_too() -> None:
    async with run_server() as server, sdk_clients(server, "alice") as (alice,):
        microphone = await alice.publish_tone(440)
        await alice.publish_bars(simulcast=False)
        await until(lambda: server.signaling.snapshot()["tracks"] == 2)
        assert microphone.track is not None

        async def target_bps() -> float:
            assert isinstance(microphone.track, rtc.LocalAudioTrack)
            for stats in await microphone.track.get_stats():
                if stats.WhichOneof("stats") == "outbound_rtp":
                    return float(stats.outbound_rtp.outbound.target_bitrate)
            return 0.0

        for _ in range(100):
            if await target_bps() == SPEECH_BPS:
                return
            await asyncio.sleep(0.1)
        pytest.fail(f"the encoder still aims at {await target_bps()}")
