"""Starts the servers a benchmark measures, on free loopback ports, and stops them."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEY = "benchkey"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A running server under test."""

    name: str
    url: str
    key: str
    secret: str
    pid: int


def free_ports(count: int) -> list[int]:
    """Ports nobody holds now, for both UDP and TCP."""
    held: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        held += [tcp, udp]
        try:
            udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        except OSError:
            continue
        ports.append(tcp.getsockname()[1])
    for each in held:
        each.close()
    return ports


@contextmanager
def aislecast(*, program: Path | None = None, address: str = LOOPBACK) -> Iterator[Server]:
    """Our server; `program` replaces the console script with one that composes the same server."""
    port, rtc_port, tcp_port = free_ports(3)
    secret = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="aislecast-bench-") as data:
        command = [sys.executable, str(program)] if program else [str(ROOT / ".venv/bin/aislecast")]
        command += ["serve", "--host", address, "--port", str(port), "--data", data]
        command += ["--rtc-port", str(rtc_port), "--rtc-tcp-port", str(tcp_port)]
        command += ["--node-ip", address]
        environment = {**os.environ, "AISLECAST_KEY": f"{KEY}:{secret}"}
        with _running(command, environment, f"http://{address}:{port}/healthz") as pid:
            yield Server("aislecast", f"http://{address}:{port}", KEY, secret, pid)


@contextmanager
def livekit(binary: str, *, address: str = LOOPBACK, device: str = "lo") -> Iterator[Server]:
    """LiveKit on one device's address with one UDP port, its defaults otherwise."""
    port, udp_port, tcp_port = free_ports(3)
    secret = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="livekit-bench-") as folder:
        config = Path(folder) / "config.yaml"
        config.touch(mode=0o600)
        config.write_text(
            f"port: {port}\nbind_addresses: ['{address}']\n"
            f"keys: {{{KEY}: {secret}}}\nlogging: {{level: error}}\n"
            f"rtc: {{udp_port: {udp_port}, tcp_port: {tcp_port}, node_ip: {address},"
            " use_external_ip: false, enable_loopback_candidate: true,"
            f" interfaces: {{includes: [{device}]}}}}\n"
        )
        command = [binary, "--config", str(config)]
        with _running(command, dict(os.environ), f"http://{address}:{port}/") as pid:
            yield Server("livekit", f"http://{address}:{port}", KEY, secret, pid)


@contextmanager
def _running(command: list[str], environment: dict[str, str], probe_url: str) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline_s = time.monotonic() + 20
            while not _answers(probe_url):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not start: {log.read()[-2000:]!r}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
