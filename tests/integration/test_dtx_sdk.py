"""Discontinuous transmission with real libwebrtc: silence costs next to nothing up to the listener,
and who speaks after it is heard from the first moment on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from sdk_client import RATE_HZ, TONE_AMPLITUDE, SdkClient, sdk_clients, until
from signaling_server import run_server

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns about its own internals

BLOCK = RATE_HZ // 100
HZ = 600
SETTLE_S = 1.5
FIRST_S = 10.0
SILENCE_S = 3.0
WORD_S, PAUSE_S, NUM_WORDS = 0.4, 1.6, 4
# Fading at the ends, and a jitter buffer that squeezes while it shrinks.
TOLERANCE_S = 0.06
# Three windows of 0.4 s, and what is left of the last word's.
NOT_SEEN_S = 3.0
VOICE_HZ = 50.0  # a packet every 20 ms; Opus sends one in 400 ms of silence


class Microphone:
    """Says words when told to, and is silent in between: frames of zeros, as browsers give."""

    def __init__(self) -> None:
        self.source = rtc.AudioSource(RATE_HZ, 1)
        self._at = self._left = 0

    async def run(self) -> None:
        while True:
            phase = 2 * np.pi * HZ * (np.arange(BLOCK) + self._at) / RATE_HZ
            self._at += BLOCK
            wave = np.sin(phase) * TONE_AMPLITUDE * (self._left > 0)
            self._left = max(0, self._left - 1)
            data = wave.astype(np.int16).tobytes()
            await self.source.capture_frame(rtc.AudioFrame(data, RATE_HZ, 1, BLOCK))

    def hush(self) -> None:
        self._left = 0

    async def say(self, seconds: float) -> None:
        self._left = round(seconds * 100)
        while self._left:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def microphone(client: SdkClient, *, dtx: bool) -> AsyncIterator[Microphone]:
    """A published one."""
    made = Microphone()
    playing = asyncio.create_task(made.run())
    track = rtc.LocalAudioTrack.create_audio_track("mic", made.source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=dtx)
    try:
        await client.me.publish_track(track, options)
        yield made
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


async def heard_of(listener: SdkClient, speaker: str) -> rtc.RemoteTrack:
    def find() -> rtc.RemoteTrack | None:
        person = listener.other(speaker)
        sids = list(person.track_publications) if person else []
        return listener.tracks.get(sids[0]) if sids else None

    found: rtc.RemoteTrack = await until(find)
    return found


async def received(track: rtc.RemoteTrack) -> Any:
    for stats in await track.get_stats():
        if stats.WhichOneof("stats") == "inbound_rtp":
            return stats.inbound_rtp
    raise AssertionError("no stream")


async def count(track: rtc.RemoteTrack) -> int:
    """Packets that came; of a track that nothing came of yet nothing is told."""
    streams = [s for s in await track.get_stats() if s.WhichOneof("stats") == "inbound_rtp"]
    return streams[0].inbound_rtp.received.packets_received if streams else 0


async def flows(tracks: list[rtc.RemoteTrack]) -> None:
    """All of them have come for a second."""
    async with asyncio.timeout(FIRST_S):
        for track in tracks:
            while await count(track) < VOICE_HZ:
                await asyncio.sleep(0.05)


async def packet_rates(tracks: list[rtc.RemoteTrack], seconds: float) -> list[float]:
    """Packets a second of several tracks over the same time, at the listener."""
    before = [await count(track) for track in tracks]
    await asyncio.sleep(seconds)
    after = [await count(track) for track in tracks]
    return [(now - then) / seconds for then, now in zip(before, after, strict=True)]


async def record(track: rtc.RemoteTrack, heard: list[np.ndarray]) -> None:
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
    try:
        async for event in stream:
            heard.append(np.frombuffer(event.frame.data, np.int16).astype(np.float64))
    finally:
        await stream.aclose()


def words_s(heard: list[np.ndarray]) -> list[float]:
    """How long each stretch of sound is."""
    wave = np.concatenate(heard)
    step = RATE_HZ // 200
    blocks = wave[: len(wave) // step * step].reshape(-1, step)
    is_loud = np.abs(blocks).max(axis=1) > TONE_AMPLITUDE / 4
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_loud, [False]])))
    return [float(end - start) / 200 for start, end in edges.reshape(-1, 2)]


async def test_silence_costs_little_up_to_the_listener_unless_the_sender_says_no() -> None:
    async with (
        run_server() as server,
        sdk_clients(server, "alice", "carol", "bob") as (alice, carol, bob),
        microphone(alice, dtx=True) as saving,
        microphone(carol, dtx=False) as lavish,
    ):
        tracks = [await heard_of(bob, "alice"), await heard_of(bob, "carol")]
        talking = [asyncio.create_task(one.say(60)) for one in (saving, lavish)]
        await flows(tracks)
        spoken = await packet_rates(tracks, SILENCE_S)
        for one in talking:
            one.cancel()
        saving.hush()
        lavish.hush()
        assert min(spoken) > 0.8 * VOICE_HZ, spoken
        await asyncio.sleep(SETTLE_S)
        saved, full = await packet_rates(tracks, SILENCE_S)
        assert full > 0.9 * VOICE_HZ, "who does not want it sends all frames"
        assert full > 3 * saved, (saved, full)


async def test_words_after_silence_are_whole_and_seen() -> None:
    async with (
        run_server() as server,
        sdk_clients(server, "alice", "bob") as (alice, bob),
        microphone(alice, dtx=True) as speaker,
    ):
        track = await heard_of(bob, "alice")
        heard: list[np.ndarray] = []
        recording = asyncio.create_task(record(track, heard))
        try:
            await speaker.say(1.0)
            await until(lambda: heard and words_s(heard))
            await asyncio.sleep(SETTLE_S)
            heard.clear()
            before = (await received(track)).inbound
            for _ in range(NUM_WORDS):
                await speaker.say(WORD_S)
                await until(lambda: bob.speakers and "alice" in bob.speakers[-1])
                await asyncio.sleep(PAUSE_S)
                await until(lambda: "alice" not in bob.speakers[-1], NOT_SEEN_S)
            after = (await received(track)).inbound
        finally:
            recording.cancel()
        found = words_s(heard)
        assert len(found) == NUM_WORDS, found
        assert all(abs(length - WORD_S) < TOLERANCE_S for length in found), found
        made_up = after.concealed_samples - before.concealed_samples
        made_up -= after.silent_concealed_samples - before.silent_concealed_samples
        assert made_up < NUM_WORDS * RATE_HZ // 50, "less than a frame a word"
