"""A real `aislecast serve` in a process of its own, for tests from the outside.

The server must end cleanly: a traceback in its log, an exit status other than 0 or an exit that
takes more than ten seconds fails the test that stops it.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType

from livekit import api

ROOT = Path(__file__).resolve().parents[3]
KEY = "testkitkey"
SECRET = "a-secret-of-the-testkit-that-is-long-enough"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
# Above all that browsers refuse (fetch.spec.whatwg.org, "bad port").
FIRST_PORT, FIRST_EPHEMERAL_PORT = 11_000, 32_768
_SAMPLE = re.compile(r'^(\w+)(?:\{event="([^"]*)"\})? ([-+.\deE]+)$', re.MULTILINE)
_ANY_CERTIFICATE = ssl.create_default_context()
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE
_TROUBLE = re.compile(r"Traceback \(most recent call last\)|panicked at|never (awaited|retrieved)")


_given: set[int] = set()


def free_port() -> int:
    """Return a port that is free for TCP and for UDP, another one each time.

    None of those that Linux gives to whoever asks for any: before a server has taken it, any
    connection on this machine might. At random, as other test processes look for one too.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(FIRST_EPHEMERAL_PORT - FIRST_PORT)
        if port in _given:
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


class AislecastServer:
    """One server with fixed ports and data; may be stopped and started again."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        address: str = "127.0.0.1",
        scheme: str = "http",
        environ: dict[str, str] | None = None,
    ) -> None:
        """Choose ports; `start` runs it, listening on one address.

        Args:
            data: the folder for its data; its output goes beside it.
            arguments: of the command line; they beat those that are chosen here.
            address: to listen on.
            scheme: https where the arguments say so.
            environ: more variables, or others.
        """
        self.data = data
        self.was_ended = False
        self.port, self.rtc_port, self.rtc_tcp_port = free_port(), free_port(), free_port()
        self.url = f"{scheme}://{address}:{self.port}"
        self.ws_url = self.url.replace("http", "ws", 1)
        self._address = address
        self._arguments = arguments
        self._environ = environ or {}
        self._log = data.parent / f"{data.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._checked_chars = 0

    @property
    def output(self) -> str:
        """Everything it has written, stdout and stderr of all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None, "the server runs"
        return self._process.pid

    def start(self) -> None:
        """Run it and wait until it answers."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AISLECAST_")}
        environ |= {"AISLECAST_KEY": f"{KEY}:{SECRET}", "PYTHONFAULTHANDLER": "1"}
        environ |= self._environ
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "web", "serve", "--host", self._address),
                    *("--node-ip", self._address, "--port", str(self.port)),
                    *("--rtc-port", str(self.rtc_port), "--rtc-tcp-port", str(self.rtc_tcp_port)),
                    *("--data", str(self.data), *self._arguments),
                ],
                cwd=ROOT,
                env=environ,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.kill()
                raise AssertionError(f"the server did not start:\n{self.output[-4000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            url = f"{self.url}/healthz"
            with urllib.request.urlopen(url, timeout=2, context=_ANY_CERTIFICATE) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """Drain with SIGTERM and check that it went well."""
        if self._process is None:
            return
        status, _ = self.end()
        assert status == 0, f"the server ended with {status}:\n{self.output[-4000:]}"
        self.check_log()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "the server runs"
        self.was_ended = True
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal and wait; returns the exit status and how many seconds it took."""
        assert self._process is not None, "the server runs"
        sent_s = time.monotonic()
        self.send(number)
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"the server did not end within {STOP_TIMEOUT_S} s:\n{self.output[-4000:]}"
            ) from None
        self._process = None
        return status, time.monotonic() - sent_s

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def check_log(self) -> None:
        """Fail where something went wrong inside since the last check."""
        output = self.output[self._checked_chars :]
        self._checked_chars += len(output)
        trouble = _TROUBLE.search(output)
        if trouble:
            shown = output[max(0, trouble.start() - 1500) : trouble.start() + 3000]
            raise AssertionError(f"the server logged trouble:\n{shown}")

    def token(self, identity: str, room: str = "room", **grants: object) -> str:
        """An access token as the server SDK makes it."""
        grants = {"room_join": True, "can_update_own_metadata": True, **grants}
        video = api.VideoGrants(room=room, **grants)
        return api.AccessToken(KEY, SECRET).with_identity(identity).with_grants(video).to_jwt()

    def admin(self) -> api.LiveKitAPI:
        """The server SDK, pointed here."""
        return api.LiveKitAPI(self.url, KEY, SECRET)

    def metrics(self) -> dict[str, float]:
        """All samples of /metrics: a counter of events by its event's name, others by their own."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {event or name: float(value) for name, event, value in _SAMPLE.findall(text)}

    def __enter__(self) -> AislecastServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # What failed first matters more than how the server ends.
            self.kill()
        else:
            self.stop()


@contextmanager
def run_server(data: Path, *arguments: str) -> Iterator[AislecastServer]:
    """Run a server for the length of a block."""
    with AislecastServer(data, *arguments) as server:
        yield server


@asynccontextmanager
async def run_server_aside(
    data: Path, *arguments: str, scheme: str = "http", environ: dict[str, str] | None = None
) -> AsyncIterator[AislecastServer]:
    """The same without holding up the event loop, with all that can be logged.

    What it leaves behind is for the block to judge: it is killed where it still runs.
    """
    more = ("--log-level", "debug", *arguments)
    server = AislecastServer(data, *more, scheme=scheme, environ=environ)
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        server.kill()
