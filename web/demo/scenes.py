"""Everything that is drawn and spoken for the demonstration, as loops of one length."""

from __future__ import annotations

import asyncio
from pathlib import Path

from web.demo import aisle, people, shelf
from web.demo.loops import (
    Loop,
    VideoSize,
    encode_h264,
    encode_opus,
    encode_vp8,
    load_loops,
    save_loops,
)
from web.demo.people import Person
from web.demo.voice import Voice, loudness_at, speak

__all__ = ["DURATION_S", "PEOPLE_SIZE", "WALK_SIZES", "load_scenes"]

DURATION_S = 12
_RATE_HZ = 20
_CAMERA_RATE_HZ = 15
_VERSION = 1  # part of the file name; raise it when a scene changes

WALK_SIZES = (
    VideoSize(160, 90, 90_000),
    VideoSize(320, 180, 250_000),
    VideoSize(shelf.WIDTH, shelf.HEIGHT, 800_000),
)
PEOPLE_SIZE = VideoSize(people.WIDTH, people.HEIGHT, 300_000)
_CAMERA_SIZE = VideoSize(aisle.WIDTH, aisle.HEIGHT, 600_000)

_HOST_VOICE = Voice(pitch_hz=196.0, from_s=0.4, to_s=5.4, seed=5)
_DEALER_VOICE = Voice(pitch_hz=112.0, from_s=6.2, to_s=11.2, seed=11)


async def load_scenes(folder: Path) -> dict[str, Loop]:
    """Return the loops by name, from ``folder`` or freshly made (a few seconds, once).

    Names: walk-0 … walk-2 (lowest first), host, host-voice, dealer, dealer-voice, camera.
    """
    path = folder / f"demo-media-{_VERSION}.npz"
    loops = await asyncio.to_thread(load_loops, path)
    if loops is None:
        made = await asyncio.gather(
            asyncio.to_thread(_make_walk),
            asyncio.to_thread(_make_person, "host", people.HOST, _HOST_VOICE),
            asyncio.to_thread(_make_person, "dealer", people.DEALER, _DEALER_VOICE),
            asyncio.to_thread(_make_camera),
        )
        loops = {name: loop for part in made for name, loop in part.items()}
        await asyncio.to_thread(save_loops, path, loops)
    return loops


def _make_walk() -> dict[str, Loop]:
    pictures = shelf.shelf_walk(DURATION_S * _RATE_HZ, _RATE_HZ)
    layers = encode_vp8(pictures, _RATE_HZ, WALK_SIZES)
    return {f"walk-{index}": layer for index, layer in enumerate(layers)}


def _make_person(name: str, person: Person, voice: Voice) -> dict[str, Loop]:
    samples, envelope = speak(voice, DURATION_S)
    pictures = people.talking(person, loudness_at(envelope, DURATION_S * _RATE_HZ, DURATION_S))
    [video] = encode_vp8(pictures, _RATE_HZ, [PEOPLE_SIZE])
    return {name: video, f"{name}-voice": encode_opus(samples)}


def _make_camera() -> dict[str, Loop]:
    pictures = aisle.aisle_view(DURATION_S * _CAMERA_RATE_HZ, _CAMERA_RATE_HZ)
    return {"camera": encode_h264(pictures, _CAMERA_RATE_HZ, _CAMERA_SIZE)}
