"""A fixed camera in a room: pulled once for everybody, and only while somebody watches."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from sfu.errors import CameraError
from sfu.ids import Codec
from sfu.ingest.rtsp_clock import RtpClock
from sfu.ingest.rtsp_h264 import AccessUnits
from sfu.ingest.rtsp_stream import CameraConfig, CameraStream, RtspStream
from sfu.ingest.rtsp_url import CameraUrl
from sfu.local import LocalSource, SourceFactory

__all__ = ["CameraState", "RtspCamera"]

logger = logging.getLogger(__name__)

CameraState = Literal["idle", "connecting", "live", "failed", "closed"]
OpenStream = Callable[[CameraUrl, CameraConfig], CameraStream]

# Codes after which trying again soon cannot help.
_LASTING_CODES = frozenset(
    {"camera_unauthorized", "camera_unsupported_codec", "camera_forbidden_address"}
)
_MAX_REORDERED = 8
_JOIN_MARGIN_S = 2.0


class RtspCamera:
    """Pulls one camera into one local source.

    States: ``idle`` → (watched) ``connecting`` → ``live`` → ``failed`` (tries again by itself) →
    ``idle`` some seconds after the last watcher left. All callbacks run in the event loop.

    Attributes:
        source: publish this into rooms; watching it starts the pull.
        error: why there is no picture, while ``failed``.
        on_state: called with every new state.
        pulls: connections made so far.
    """

    def __init__(
        self,
        url: str,
        media: SourceFactory,
        *,
        label: str = "camera",
        config: CameraConfig | None = None,
        open_stream: OpenStream = RtspStream,
    ) -> None:
        """Checks the address; connects to nothing. Call inside the event loop.

        Raises:
            CameraError: ``camera_bad_url``.
        """
        self._url = CameraUrl(url)
        self._config = config or CameraConfig()
        self._open_stream = open_stream
        self._loop = asyncio.get_running_loop()
        self._clock = RtpClock()
        self._pull: _Pull | None = None
        self._ending: set[_Pull] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._state: CameraState = "idle"
        self.error: CameraError | None = None
        self.on_state: Callable[[CameraState], None] | None = None
        self.pulls = 0
        self.source: LocalSource = media.create_local_source(is_audio=False, label=label)
        self.source.follow_watched(self._handle_watched)

    def __repr__(self) -> str:
        """Address without secrets, and state."""
        return f"<RtspCamera {self._url.redacted} {self._state}>"

    @property
    def state(self) -> CameraState:
        """Where it is, see the class."""
        return self._state

    @property
    def address(self) -> str:
        """The URL without user, password and query."""
        return self._url.redacted

    async def close(self) -> None:
        """Stop pulling and end the source; idempotent."""
        if self._state == "closed":
            return
        self._cancel_idle()
        self._stop_pull()
        self._set_state("closed", None)
        self.source.close()
        limit_s = self._config.open_timeout_s + self._config.read_timeout_s + _JOIN_MARGIN_S
        for pull in list(self._ending):
            await asyncio.to_thread(pull.join, limit_s)

    def _handle_watched(self, is_watched: bool) -> None:
        self._cancel_idle()
        if self._state == "closed":
            return
        if not is_watched:
            self._idle_timer = self._loop.call_later(self._config.idle_s, self._go_idle)
        elif self._pull is None:
            self._set_state("connecting", None)
            self._pull = _Pull(self, self._url, self._config, self._open_stream, self._clock)
            self._pull.start()

    def _go_idle(self) -> None:
        self._idle_timer = None
        self._stop_pull()
        self._set_state("idle", None)

    def _stop_pull(self) -> None:
        if self._pull is not None:
            self._ending.add(self._pull)
            self._pull.stop()
            self._pull = None

    def _cancel_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def handle_news(self, pull: _Pull, state: CameraState, error: CameraError | None) -> None:
        """Take what the pulling thread reports; called in the event loop."""
        if state == "closed":
            self._ending.discard(pull)
        elif pull is self._pull:
            self.pulls += state == "live"
            self._set_state(state, error)

    def _set_state(self, state: CameraState, error: CameraError | None) -> None:
        self.error = error
        if state == self._state and error is None:
            return
        self._state = state
        if error is not None:
            logger.warning("camera %s: %s", self._url.redacted, error.code)
        else:
            logger.info("camera %s: %s", self._url.redacted, state)
        if self.on_state is not None:
            self.on_state(state)

    def report(self, pull: _Pull, state: CameraState, error: CameraError | None = None) -> None:
        """Hand news from the pulling thread to the event loop."""
        try:
            self._loop.call_soon_threadsafe(self.handle_news, pull, state, error)
        except RuntimeError:  # the loop is closed: nobody is left to hear it
            pass


class _Pull:
    """The thread of one run of pulling, with its retries."""

    def __init__(
        self,
        camera: RtspCamera,
        url: CameraUrl,
        config: CameraConfig,
        open_stream: OpenStream,
        clock: RtpClock,
    ) -> None:
        self._camera = camera
        self._source = camera.source
        self._url = url
        self._config = config
        self._open_stream = open_stream
        self._clock = clock
        self._stopping = threading.Event()
        # FFmpeg may sit in a system call until its time limit; it must not hold up an exit.
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does so with the next packet or time limit."""
        self._stopping.set()

    def join(self, limit_s: float) -> None:
        self._thread.join(limit_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._pull_once()
            except CameraError as error:
                failures = 0 if error.code == "camera_ended" else failures
                self._camera.report(self, "failed", error)
                self._stopping.wait(self._delay_s(error, failures))
                failures += 1
            if not self._stopping.is_set():
                self._camera.report(self, "connecting")
        self._camera.report(self, "closed")

    def _delay_s(self, error: CameraError, failures: int) -> float:
        if error.code in _LASTING_CODES:
            return self._config.refused_retry_s
        delays_s = self._config.retry_delays_s
        return delays_s[min(failures, len(delays_s) - 1)]

    def _pull_once(self) -> None:
        """Pull until told to stop; raises CameraError when the camera stops first."""
        with self._open_stream(self._url, self._config) as stream:
            units = AccessUnits(stream.extradata)
            self._clock.restart()
            is_live = False
            for packet in stream.packets():
                if self._stopping.is_set():
                    return
                unit = units.convert(packet.data)
                if unit is None:
                    continue
                if not is_live:
                    is_live = True
                    self._camera.report(self, "live")
                ts = self._clock.to_rtp(packet.pts_s, time.monotonic())
                if self._clock.reordered > _MAX_REORDERED:
                    raise CameraError(
                        "camera_unsupported_codec",
                        "The camera sends B-frames, which live video cannot use. "
                        "Set its H.264 profile to Baseline, or switch B-frames off.",
                    )
                self._source.push_frame(Codec.H264, ts, unit[0])
