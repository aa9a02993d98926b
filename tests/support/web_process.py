"""A real `aislecast serve` in its own process, for tests from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
KEY = "processkey"
SECRET = "process-secret-of-at-least-32-characters"


def free_port() -> int:
    """Return a port that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(("127.0.0.1", tcp.getsockname()[1]))
            except OSError:
                continue
            return int(tcp.getsockname()[1])


class ServerProcess:
    """The process, where it listens and what it wrote."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, data: Path, log: Path):
        self.process = process
        self.port = port
        self.data = data
        self._log = log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def output(self) -> str:
        """Everything written so far, stdout and stderr."""
        return self._log.read_text(errors="replace")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit status and the seconds it took."""
        sent_s = time.monotonic()
        self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), 20)
        return status, time.monotonic() - sent_s


@asynccontextmanager
async def run_server(
    data: Path, *arguments: str, environ: dict[str, str] | None = None, scheme: str = "http"
) -> AsyncIterator[ServerProcess]:
    """Start a server on loopback with its own data, wait until it answers, stop it."""
    port, rtc_port, rtc_tcp_port = free_port(), free_port(), free_port()
    log = data.parent / f"{data.name}.log"
    ports = ["--port", str(port), "--rtc-port", str(rtc_port), "--rtc-tcp-port", str(rtc_tcp_port)]
    base = {k: v for k, v in os.environ.items() if not k.startswith("AISLECAST_")}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "web", "serve", "--host", "127.0.0.1", "--node-ip", "127.0.0.1"),
            *("--data", str(data), "--log-level", "debug", *ports, *arguments),
            cwd=ROOT,
            env={**base, "AISLECAST_KEY": f"{KEY}:{SECRET}", **(environ or {})},
            stdout=output,
            stderr=output,
        )
    server = ServerProcess(process, port, data, log)
    server.url = f"{scheme}://127.0.0.1:{port}"
    try:
        await _until_answers(server)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until_answers(server: ServerProcess) -> None:
    deadline_s = time.monotonic() + 60
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{server.url}/healthz", ssl=False) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if server.process.returncode is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"the server did not start:\n{server.output[-3000:]}")
            await asyncio.sleep(0.1)
