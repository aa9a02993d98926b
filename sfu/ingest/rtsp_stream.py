"""One pull of a camera's stream by FFmpeg (PyAV); blocking, for a thread of its own."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import av
import av.error

from sfu.errors import CameraError
from sfu.ingest.rtsp_url import CameraUrl

__all__ = ["CameraConfig", "CameraPacket", "CameraStream", "RtspStream"]


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """How cameras are pulled.

    Attributes:
        open_timeout_s: from connecting to knowing what the stream holds.
        read_timeout_s: without a packet the camera counts as gone.
        idle_s: how long a pull goes on after the last watcher left.
        retry_delays_s: before each further try; the last one repeats.
        refused_retry_s: after a wrong password or codec, where trying often only locks the account.
        allowed_networks: CIDR blocks cameras may be in; None = everything but loopback, link-local
            and multicast.
    """

    open_timeout_s: float = 8.0
    read_timeout_s: float = 5.0
    idle_s: float = 10.0
    retry_delays_s: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)
    refused_retry_s: float = 60.0
    allowed_networks: tuple[str, ...] | None = None


class CameraPacket(NamedTuple):
    """One packet of the video stream."""

    pts_s: float | None
    data: bytes


class CameraStream(Protocol):
    """An open stream; a context manager that closes it."""

    extradata: bytes | None

    def __enter__(self) -> Self:
        """Returns itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes."""
        ...

    def packets(self) -> Iterator[CameraPacket]:
        """Packets until the camera ends; raises CameraError."""
        ...


_WORDS = {
    "camera_refused": "The camera refuses the connection. Is it on, and is the port right?",
    "camera_timeout": "The camera does not answer. Is it on and connected?",
    "camera_unauthorized": "The camera does not accept the user name or password.",
    "camera_not_found": "The camera has no stream under this path.",
    "camera_unreachable": "There is no network path to the camera.",
    "camera_ended": "The camera ended its stream.",
    "camera_no_video": "The camera sends no video.",
    "camera_failed": "The camera's stream cannot be read.",
}


class RtspStream:
    """The H.264 video of one RTSP session over TCP."""

    def __init__(self, url: CameraUrl, config: CameraConfig) -> None:
        """Connects, logs in and reads the description.

        Raises:
            CameraError: with a code of this module; FFmpeg's own messages hold the URL and with it
                the password, so they are neither chained nor kept.
        """
        address = url.resolve(config.allowed_networks)
        started_s = time.monotonic()
        try:
            self._container = av.open(
                address,
                mode="r",
                format="rtsp",
                timeout=(config.open_timeout_s, config.read_timeout_s),
                options={
                    "rtsp_transport": "tcp",
                    "allowed_media_types": "video",
                    "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls",
                    "timeout": str(int(config.read_timeout_s * 1e6)),
                    # The description names the codec; looking longer only delays the picture.
                    "fpsprobesize": "0",
                    "analyzeduration": "100000",
                },
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # While logging in, FFmpeg calls a reply that never came invalid data.
            has_waited = time.monotonic() - started_s >= config.read_timeout_s
            raise _explain(TimeoutError() if has_waited else error) from None
        try:
            self._stream = _h264_stream(self._container)
        except CameraError:
            self._container.close()
            raise
        self.extradata = self._stream.codec_context.extradata

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the session."""
        self._container.close()

    def packets(self) -> Iterator[CameraPacket]:
        """Packets as they arrive; ends when the camera says so.

        Raises:
            CameraError: the camera fell silent or the connection broke.
        """
        demuxed = self._container.demux(self._stream)
        while True:
            try:
                packet = next(demuxed, None)
            except (av.error.FFmpegError, OSError) as error:
                raise _explain(error) from None
            if packet is None or packet.size == 0:  # the flushing packet
                raise CameraError("camera_ended", _WORDS["camera_ended"])
            pts_s = None
            if packet.pts is not None and packet.time_base is not None:
                pts_s = float(packet.pts * packet.time_base)
            yield CameraPacket(pts_s, bytes(packet))


def _h264_stream(container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise CameraError("camera_no_video", _WORDS["camera_no_video"])
    stream = container.streams.video[0]
    codec = stream.codec_context.name
    if codec != "h264":
        name = {"hevc": "H.265", "mjpeg": "MJPEG", "mpeg4": "MPEG-4"}.get(codec, codec)
        raise CameraError(
            "camera_unsupported_codec",
            f"The camera sends {name}, which browsers do not show. Set its stream to H.264.",
        )
    return stream


def _explain(error: Exception) -> CameraError:
    """Turn FFmpeg's error into a code and plain words, and nothing else of it."""
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            code = "camera_unauthorized"
        case av.error.HTTPNotFoundError():
            code = "camera_not_found"
        case ConnectionRefusedError():
            code = "camera_refused"
        # ExitError: our own time limit interrupted FFmpeg.
        case TimeoutError() | av.error.ExitError():
            code = "camera_timeout"
        case av.error.EOFError() | ConnectionResetError() | BrokenPipeError():
            code = "camera_ended"
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
            code = "camera_unreachable"
        case _:
            code = "camera_failed"
    return CameraError(code, _WORDS[code])
