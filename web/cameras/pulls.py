"""A stored camera as something to pull: the RTSP camera of `sfu.ingest` with short error codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sfu.errors import CameraError
from sfu.ingest.rtsp import RtspCamera
from sfu.ingest.rtsp_stream import CameraConfig
from sfu.ingest.rtsp_url import CameraUrl
from sfu.server import MediaServer
from sfu.source import Source
from web.http.problems import Problem

MAX_URL_CHARS = 1000


class Pull(Protocol):
    """A camera, pulled when somebody watches; `state` is idle, connecting, live or failed."""

    on_state: Callable[[], None] | None

    @property
    def source(self) -> Source:
        """What to publish."""

    @property
    def state(self) -> str:
        """How it is."""

    @property
    def error_code(self) -> str:
        """Why it failed, else empty."""

    async def close(self) -> None:
        """Stop, for good."""


class CameraOpener:
    """Checks addresses and opens cameras."""

    def __init__(self, media: MediaServer, config: CameraConfig) -> None:
        """Take where the pictures go, and the bounds of pulling."""
        self._media = media
        self._config = config

    async def check(self, url: str) -> None:
        """Refuse what is not the address of a camera that may be opened.

        The name is looked up again, and checked again, before every connection.

        Raises:
            Problem: `bad_url`, in words that repeat nothing of the address.
        """
        try:
            networks = self._config.allowed_networks
            await asyncio.to_thread(CameraUrl(url).resolve, networks)
        except CameraError as error:
            raise Problem(400, "bad_url", str(error)) from None

    def open(self, label: str, url: str) -> Pull:
        """Make a camera; nothing is connected until somebody watches."""
        return RtspPull(RtspCamera(url, self._media, label=label, config=self._config))


class RtspPull:
    """An `RtspCamera` as a `Pull`."""

    def __init__(self, camera: RtspCamera) -> None:
        """Take the camera."""
        self._camera = camera
        self.on_state: Callable[[], None] | None = None
        camera.on_state = lambda _state: self.on_state() if self.on_state else None

    @property
    def source(self) -> Source:
        """What to publish."""
        return self._camera.source

    @property
    def state(self) -> str:
        """How it is; a camera that was closed is idle to those who list it."""
        return "idle" if self._camera.state == "closed" else self._camera.state

    @property
    def error_code(self) -> str:
        """Why it failed, without the prefix all camera codes share."""
        error = self._camera.error
        return error.code.removeprefix("camera_") if error is not None else ""

    async def close(self) -> None:
        """Stop, for good."""
        await self._camera.close()


def camera_config(networks: tuple[str, ...]) -> CameraConfig:
    """Return the bounds of pulling; `networks` is empty for the usual ones."""
    return replace(CameraConfig(), allowed_networks=networks or None)
