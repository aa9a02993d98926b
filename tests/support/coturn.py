"""A real coturn on loopback, started as `deploy/coturn` starts it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from testkit.server import free_port

PROFILE = Path(__file__).resolve().parents[2] / "deploy/coturn"
SECRET = "a-secret-shared-with-coturn-in-the-tests"
# Below the ports that systems give to clients: one of those would look like a relay.
RELAY_PORTS = range(27_000, 27_400)
_START_LIMIT_S = 10.0


@dataclass
class RunningTurn:
    """Where it listens, and the certificate it shows."""

    port: int
    tls_port: int
    certificate: Path
    log: Path
    secret_file: Path

    def url(self, transport: str) -> str:
        """For `udp`, `tcp` or `tls`."""
        if transport == "tls":
            return f"turns:127.0.0.1:{self.tls_port}?transport=tcp"
        return f"turn:127.0.0.1:{self.port}?transport={transport}"


@asynccontextmanager
async def run_coturn(folder: Path) -> AsyncIterator[RunningTurn]:
    """Start it with its files in `folder`, wait until it listens, stop it."""
    key, secret_file = folder / "turn-key.pem", folder / "turn-secret"
    turn = RunningTurn(
        free_port(), free_port(), folder / "turn.pem", folder / "turn.log", secret_file
    )
    secret_file.write_text(f"{SECRET}\n")
    _make_certificate(turn.certificate, key)
    run_dir = folder / "turn-run"
    run_dir.mkdir()
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "TURN_NODE_IP": "127.0.0.1",
        "TURN_LISTEN_IP": "127.0.0.1",
        "TURN_LOOPBACK": "yes",
        "TURN_REALM": "turn.test",
        "TURN_SECRET_FILE": str(secret_file),
        "TURN_RUN_DIR": str(run_dir),
        "TURN_PORT": str(turn.port),
        "TURN_TLS_PORT": str(turn.tls_port),
        "TURN_MIN_PORT": str(RELAY_PORTS.start),
        "TURN_MAX_PORT": str(RELAY_PORTS.stop - 1),
        "TURN_CERT": str(turn.certificate),
        "TURN_KEY": str(key),
    }
    with turn.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(PROFILE / "run.sh"), env=environ, stdout=log, stderr=log
        )
    try:
        await _until_listening(process, turn)
        yield turn
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until_listening(process: asyncio.subprocess.Process, turn: RunningTurn) -> None:
    async with asyncio.timeout(_START_LIMIT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", turn.tls_port)
            except OSError:
                assert process.returncode is None, turn.log.read_text()[-2000:]
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def _make_certificate(certificate: Path, key: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=turn.test"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
