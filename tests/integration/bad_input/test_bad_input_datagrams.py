"""What anybody can send to the media port: rubbish, pieces, copies, wrong keys."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

from aioice import stun
from testkit.hostile import hostile_peer
from testkit.server import AislecastServer

GARBAGE_COUNT = 5000


async def reach(counts, at_least: float, *names: str) -> None:
    """Wait until these drops make so many together: the healthy pair's datagrams come in as well,
    so nothing can be told from how many did."""
    for _ in range(200):
        if sum(counts[name] for name in names) >= at_least:
            return
        await asyncio.sleep(0.05)
    raise AssertionError({"wanted": at_least} | {name: counts[name] for name in names})


async def test_garbage_of_every_kind(server: AislecastServer, counts) -> None:
    rng = random.Random(1)
    datagrams = [rng.randbytes(rng.randrange(1, 1400)) for _ in range(GARBAGE_COUNT)]
    datagrams += [b"", b"\0", b"\x80", bytes(20), b"\x16\xfe\xfd" + bytes(60)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number, data in enumerate(datagrams):
            sock.sendto(data, ("127.0.0.1", server.rtc_port))
            if number % 20 == 0:
                await asyncio.sleep(0.001)
    kinds = ("dropped_unknown_kind", "dropped_unknown_path", "dropped_stun_malformed")
    await reach(counts, GARBAGE_COUNT * 0.9, *kinds)
    assert counts["received_packets"] < GARBAGE_COUNT * 0.5


def binding(username: str, password: bytes, **attributes: object) -> bytes:
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 7
    message.attributes["USE-CANDIDATE"] = None
    message.attributes.update(attributes)
    message.add_message_integrity(password)
    message.add_fingerprint()
    return bytes(message)


async def test_stun_with_wrong_names_and_passwords(server: AislecastServer, counts, room) -> None:
    async with hostile_peer(server, room) as peer:
        ice = peer._transport.transport._connection
        good = f"{ice.remote_username}:{ice.local_username}"
        wrong = [
            binding("nobody:here", b"x" * 22),
            binding(good, b"wrong password of anybody"),
            binding(f"{ice.remote_username}:other", ice.remote_password.encode()),
            binding(good, ice.remote_password.encode())[:-8],
            binding("", b"x" * 22),
        ]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.3)
            for _ in range(40):
                for data in wrong:
                    sock.sendto(data, ("127.0.0.1", server.rtc_port))
                await asyncio.sleep(0)
            await reach(counts, 40, "dropped_stun_unknown_ufrag")
            await reach(counts, 80, "dropped_stun_auth")
            answered = []
            try:
                while True:
                    answered.append(stun.parse_message(sock.recv(2000)))
            except TimeoutError:
                pass
        assert all(m.message_class == stun.Class.ERROR for m in answered), answered
        # The peer that was impersonated is still there.
        assert peer.pc.connectionState == "connected"


async def test_replayed_changed_and_wrongly_sealed_media(
    server: AislecastServer, counts, room
) -> None:
    async with hostile_peer(server, room) as peer:
        sealed = await peer.sealed_rtp(0x1234, 1)
        datagrams = [sealed] * 300  # its first copy may pass, no other
        datagrams += [sealed[:2] + struct.pack("!H", 2 + n) + sealed[4:] for n in range(300)]
        datagrams += [struct.pack("!BBHII", 0x80, 111, n, 0, 7) + bytes(50) for n in range(300)]
        datagrams += [sealed[:size] for size in range(12)]
        for number, data in enumerate(datagrams):
            await peer.send_raw(data)
            if number % 50 == 0:
                await asyncio.sleep(0.001)
        await reach(counts, 600, "dropped_auth")
        # Nothing is remembered of a payload type nobody agreed on, not even that it came before.
        refused = ("dropped_replay", "dropped_unknown_payload", "dropped_malformed")
        await reach(counts, 890, "dropped_auth", *refused)


async def test_a_stranger_sends_what_a_peer_sealed(server: AislecastServer, counts, room) -> None:
    async with hostile_peer(server, room) as peer:
        sealed = await peer.sealed_rtp(0x99, 5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(200):
                sock.sendto(sealed, ("127.0.0.1", server.rtc_port))
        async with asyncio.timeout(5):
            while counts["dropped_unknown_path"] < 200:
                await asyncio.sleep(0.05)


async def test_thousands_of_unknown_ssrcs(server: AislecastServer, counts, room) -> None:
    before_bytes = server.metrics()["process_resident_memory_bytes"]
    async with hostile_peer(server, room) as peer:
        for number in range(4000):
            await peer.send_rtp(0x10_0000 + number, 1, bytes(60))
            if number % 50 == 0:
                await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            while counts["dropped_unknown_ssrc"] + counts["dropped_unknown_payload"] < 3000:
                await asyncio.sleep(0.05)
        grown_bytes = server.metrics()["process_resident_memory_bytes"] - before_bytes
        assert grown_bytes < 20e6
        assert peer.pc.connectionState == "connected"
