"""Two healthy people in a room while somebody else misbehaves: do they notice?

They run in a process of their own, so that what an attack costs the attacker is not taken for
harm done to them. Ann sends a moving picture and a tone, Ben watches and listens; both report the
longest silence and every disconnect. `python -m testkit.hostile_witness URL TOKEN_A TOKEN_B` is
that process: it answers each line on stdin (`mark`, `report`) with a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from livekit import rtc

from testkit.server import AislecastServer

WIDTH, HEIGHT, FPS = 320, 180, 20
SAMPLE_RATE, TONE_HZ = 48_000, 440.0
MAX_GAP_S = 0.5
MAX_OWN_GAP_S = 1.5
ANSWER_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Report:
    """What the healthy pair went through since the last mark."""

    seconds: float
    frames: int
    video_gap_s: float
    audio_gap_s: float
    own_gap_s: float
    disconnects: int
    tone_hz: float


class Witness:
    """The pair, seen from the test."""

    def __init__(self, server: AislecastServer, room: str) -> None:
        """Remember where to go; `with` runs the process."""
        self._server = server
        self._room = room
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Witness:
        tokens = [self._server.token(name, self._room) for name in ("ann", "ben")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testkit.hostile_witness", self._server.ws_url, *tokens],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            text=True,
        )
        self._ask("")  # the pair sees and hears each other
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, line: str) -> dict[str, float]:
        assert self._process is not None
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        if line:
            stdin.write(line + "\n")
            stdin.flush()
        answer = stdout.readline()
        assert answer, f"the healthy pair is gone:\n{self._server.output[-3000:]}"
        found: dict[str, float] = json.loads(answer)
        return found

    def mark(self) -> None:
        """Start a new stretch."""
        self._ask("mark")

    def check(self) -> Report:
        """Return what happened since the mark; fail if the pair noticed anything.

        A machine that is busy with other things stops the pair itself now and then. Its own longest
        stop is measured beside, by a loop that has nothing to do with the server, and allowed for.
        """
        report = Report(**self._ask("report"))  # type: ignore[arg-type]
        allowed_s = MAX_GAP_S + min(report.own_gap_s, MAX_OWN_GAP_S)
        assert report.disconnects == 0, report
        assert report.frames > 0, report
        assert report.video_gap_s <= allowed_s, report
        assert report.audio_gap_s <= allowed_s, report
        assert abs(report.tone_hz - TONE_HZ) < 20, report
        return report


# --- the process


class _Gaps:
    """The longest time between two arrivals, the present silence included."""

    def __init__(self) -> None:
        self.count = 0
        self._longest_s = 0.0
        self._last_s = time.monotonic()

    def mark(self) -> None:
        self.count, self._longest_s, self._last_s = 0, 0.0, time.monotonic()

    def arrived(self) -> None:
        now_s = time.monotonic()
        self._longest_s = max(self._longest_s, now_s - self._last_s)
        self._last_s = now_s
        self.count += 1

    def longest_s(self) -> float:
        return max(self._longest_s, time.monotonic() - self._last_s)


class _Pair:
    def __init__(self) -> None:
        self.ann, self.ben = rtc.Room(), rtc.Room()
        self.video, self.audio, self.own = _Gaps(), _Gaps(), _Gaps()
        self.samples = np.zeros(0, np.int16)
        self.disconnects = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self, url: str, token_a: str, token_b: str) -> None:
        for room in (self.ann, self.ben):
            room.on("disconnected", self._on_trouble)
            room.on("reconnecting", self._on_trouble)
        self.ben.on("track_subscribed", self._on_track)
        await self.ben.connect(url, token_b)
        await self.ann.connect(url, token_a)
        video = rtc.VideoSource(WIDTH, HEIGHT)
        audio = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=200)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False, video_codec=rtc.VideoCodec.VP8
        )
        me = self.ann.local_participant
        await me.publish_track(rtc.LocalVideoTrack.create_video_track("v", video), options)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await me.publish_track(rtc.LocalAudioTrack.create_audio_track("a", audio), options)
        self._spawn(self._film(video))
        self._spawn(self._sing(audio))
        async with asyncio.timeout(30):
            while self.video.count < 10 or self.audio.count < 50 or not self.hears_tone():
                await asyncio.sleep(0.05)
        self.mark()

    def _spawn(self, work: object) -> None:
        self.tasks.append(asyncio.ensure_future(work))  # type: ignore[arg-type]

    def _on_trouble(self, *_: object) -> None:
        self.disconnects += 1

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self._spawn(self._watch(rtc.VideoStream(track)))
        else:
            self._spawn(self._listen(rtc.AudioStream(track)))

    async def _watch(self, stream: rtc.VideoStream) -> None:
        async for _ in stream:
            self.video.arrived()

    async def _listen(self, stream: rtc.AudioStream) -> None:
        async for event in stream:
            samples = np.frombuffer(event.frame.data, np.int16)
            # Silence that the jitter buffer makes up is no arrival.
            if int(np.abs(samples.astype(np.int32)).max(initial=0)) > 500:
                self.audio.arrived()
            self.samples = np.concatenate([self.samples, samples])[-SAMPLE_RATE // 2 :]

    async def _film(self, source: rtc.VideoSource) -> None:
        number = 0
        picture = np.full(WIDTH * HEIGHT * 3 // 2, 128, np.uint8)
        while True:
            luma = picture[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
            luma[:] = 80
            luma[:, (number * 4) % WIDTH :][:, :24] = 220
            frame = rtc.VideoFrame(
                WIDTH, HEIGHT, rtc.VideoBufferType.I420, bytearray(picture.tobytes())
            )
            source.capture_frame(frame)
            number += 1
            await asyncio.sleep(1 / FPS)
            self.own.arrived()

    async def _sing(self, source: rtc.AudioSource) -> None:
        at, step = 0, SAMPLE_RATE // 100
        while True:
            wave = np.sin(2 * np.pi * TONE_HZ * np.arange(at, at + step) / SAMPLE_RATE)
            data = (wave * 8000).astype(np.int16).tobytes()
            await source.capture_frame(rtc.AudioFrame(data, SAMPLE_RATE, 1, step))
            at += step

    def tone_hz(self) -> float:
        if len(self.samples) < SAMPLE_RATE // 4:
            return 0.0
        spectrum = np.abs(np.fft.rfft(self.samples))
        return float(np.argmax(spectrum) * SAMPLE_RATE / len(self.samples))

    def hears_tone(self) -> bool:
        return abs(self.tone_hz() - TONE_HZ) < 20

    def mark(self) -> None:
        self.marked_s = time.monotonic()
        self.disconnects = 0
        self.video.mark()
        self.audio.mark()
        self.own.mark()

    async def see_more(self) -> None:
        """Wait for some frames more, so that harm done at the very end shows too."""
        wanted = self.video.count + 5
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                while self.video.count < wanted:
                    await asyncio.sleep(0.02)

    def report(self) -> dict[str, float]:
        return {
            "seconds": time.monotonic() - self.marked_s,
            "frames": self.video.count,
            "video_gap_s": self.video.longest_s(),
            "audio_gap_s": self.audio.longest_s(),
            "own_gap_s": self.own.longest_s(),
            "disconnects": self.disconnects,
            "tone_hz": self.tone_hz(),
        }

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.ann.disconnect()
        await self.ben.disconnect()


def _say(answer: dict[str, float], to: IO[str] = sys.stdout) -> None:
    print(json.dumps(answer), file=to, flush=True)


async def _main(url: str, token_a: str, token_b: str) -> None:
    pair = _Pair()
    await pair.run(url, token_a, token_b)
    _say({"ready": 1})
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := (await reader.readline()).decode().strip():
        if line == "mark":
            pair.mark()
            _say({"marked": 1})
        else:
            await pair.see_more()
            _say(pair.report())
    await pair.stop()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:4]))
