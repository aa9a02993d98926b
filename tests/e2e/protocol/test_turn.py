"""A browser that may use nothing but TURN over TLS, and a real coturn with the shipped profile."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from coturn import run_coturn
from testkit.chromium_client import ChromiumClient, run_chromium
from testkit.server import run_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAMERA = {"width": 640, "height": 360, "fps": 12, "simulcast": False, "bitrate": 300_000}
RELAY_ONLY = {"rtcConfig": {"iceTransportPolicy": "relay"}}


def key_hash(certificate: Path) -> str:
    """What `--ignore-certificate-errors-spki-list` takes: trust in this one key, no other."""
    pem = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-pubkey", "-noout"],
        check=True,
        capture_output=True,
    ).stdout
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


async def test_two_browsers_meet_over_turns_alone(page_url, room, tmp_path) -> None:
    async with run_coturn(tmp_path) as turn:
        trust = f"--ignore-certificate-errors-spki-list={key_hash(turn.certificate)}"
        options = ("--turn-url", turn.url("tls"), "--turn-secret-file", str(turn.secret_file))
        with run_server(tmp_path / "data", *options) as server:
            async with run_chromium(trust) as browser:
                alice = await ChromiumClient.open(browser, page_url, "alice")
                bob = await ChromiumClient.open(browser, page_url, "bob")
                for one in (alice, bob):
                    token = server.token(one.identity, room)
                    await one.connect(server.ws_url, token, connectOptions=RELAY_ONLY)
                camera = await alice.call("publishCamera", CAMERA)
                await bob.until("hasFrames", camera, 10)
                assert await bob.call("way", camera) == ["relay", "tls"]
                for one in (alice, bob):
                    await one.close()
