"""Decoding and compressing: real encoders, rubbish, bombs."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from drawn_video import draw, encode

from sfu.ids import Codec
from sfu.stills.picture import (
    CAMERA_SIZE,
    SCREEN_SIZE,
    Decoder,
    PictureSize,
    compress,
    find_change,
    look_at,
)
from sfu.tap import Frame


def middle(picture: VideoFrame) -> float:
    gray = picture.reformat(format="gray8").to_ndarray()
    height, width = gray.shape
    return float(gray[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4].mean())


def read_webp(data: bytes) -> VideoFrame:
    with av.open(io.BytesIO(data), format="webp_pipe") as file:
        return next(file.decode(video=0))


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_the_last_picture_is_decoded(codec: Codec) -> None:
    decoder = Decoder()
    frames = encode([20, 20, 20, 230, 230, 230], codec=codec)
    first = decoder.decode(frames[:2])
    assert first is not None and middle(first) < 60
    last = decoder.decode(frames[2:])
    assert last is not None and middle(last) > 200
    assert (last.width, last.height) == (320, 180)


def test_a_publisher_may_change_size_and_codec() -> None:
    decoder = Decoder()
    decoder.decode(encode([100]))
    picture = decoder.decode(encode([100], codec=Codec.H264, width=640, height=360))
    assert picture is not None and picture.width == 640
    picture = decoder.decode(encode([100], width=180, height=320))
    assert picture is not None and (picture.width, picture.height) == (180, 320)


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_rubbish_is_an_error_or_nothing_and_a_key_frame_goes_on(codec: Codec) -> None:
    decoder = Decoder()
    rubbish = [Frame(0, 0, 0, True, 0, codec, 0, bytes([n]) * 50) for n in (0, 1, 0x9D, 255)]
    for frame in rubbish:
        try:
            assert decoder.decode([frame]) is None
        except av.error.FFmpegError:
            decoder.reset()
    assert decoder.decode(encode([100], codec=codec)) is not None


def test_a_picture_that_claims_to_be_huge_is_refused() -> None:
    # RFC 6386 §9.1: key frame tag, start code, 14 bits of width and height.
    bomb = bytes([0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0xFF, 0x3F, 0xFF, 0x3F]) + bytes(200)
    with pytest.raises(av.error.FFmpegError):
        Decoder().decode([Frame(0, 0, 0, True, 0, Codec.VP8, 0, bomb)])


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1280, 720, (320, 180)),
        (720, 1280, (180, 320)),
        (160, 90, (160, 90)),
        (641, 361, (320, 180)),
    ],
)
def test_a_camera_is_small(width: int, height: int, expected: tuple[int, int]) -> None:
    made = compress(draw(width, height, 128), CAMERA_SIZE)
    assert made is not None and made[:2] == expected
    assert len(made.data) <= 8_000
    shown = read_webp(made.data)
    assert (shown.width, shown.height) == expected and abs(middle(shown) - 128) < 12


def test_a_screen_is_sharp_and_fits() -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 2, (1080, 1920), dtype=np.uint8)
    text = np.where(pixels.repeat(1, axis=0) & (random.random((1080, 1920)) < 0.06), 0, 255)
    picture = VideoFrame.from_ndarray(text.astype(np.uint8), format="gray8")
    made = compress(picture, SCREEN_SIZE)
    assert made is not None and len(made.data) <= 60_000
    plain = compress(draw(1920, 1080, 10), SCREEN_SIZE)
    assert plain is not None and plain[:2] == (1280, 720)


def test_what_does_not_fit_is_nothing() -> None:
    assert compress(draw(320, 180, 9), PictureSize((320,), 10, (50,))) is None


def test_change_is_that_of_the_block_that_changed_most() -> None:
    before = look_at(draw(640, 360, 100))
    assert find_change(before, before) == 0.0
    assert find_change(before, look_at(draw(640, 360, 130))) > 20
    corner = draw(640, 360, 100).to_ndarray(format="gray8")
    corner[:14, :60] = 255  # a word appears
    after = look_at(VideoFrame.from_ndarray(corner, format="gray8"))
    assert find_change(before, after) > 2.0
