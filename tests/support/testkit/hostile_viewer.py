"""A participant that is let in properly, watches everybody, and lies about all that it gets."""

from __future__ import annotations

import asyncio
import random
import re
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from livekit.protocol import rtc

from testkit.hostile import RawSignal, open_signal
from testkit.server import AislecastServer

_SENDER_REPORT, _RECEIVER_REPORT, _TRANSPORT_FEEDBACK, _PAYLOAD_FEEDBACK = 200, 201, 205, 206
_NACK, _TRANSPORT_CC = 1, 15
_PLI, _FIR, _APPLICATION = 1, 4, 15
_OWN_SSRC = 1
_ALL_SEQS = 65_536
_SEQS_PER_NACK = 17 * 250
_TWCC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


def pli(ssrc: int) -> bytes:
    """RFC 4585 §6.3.1."""
    return _feedback(_PAYLOAD_FEEDBACK, _PLI, ssrc)


def fir(ssrc: int, number: int) -> bytes:
    """RFC 5104 §4.3.1."""
    entry = struct.pack("!IB3x", ssrc, number & 0xFF)
    return _feedback(_PAYLOAD_FEEDBACK, _FIR, 0, entry)


def nack_everything(ssrc: int) -> Iterator[bytes]:
    """Every number that there is, in as few packets as fit (RFC 4585 §6.2.1)."""
    for start in range(0, _ALL_SEQS, _SEQS_PER_NACK):
        firsts = range(start, min(start + _SEQS_PER_NACK, _ALL_SEQS), 17)
        items = b"".join(struct.pack("!HH", first, 0xFFFF) for first in firsts)
        yield _feedback(_TRANSPORT_FEEDBACK, _NACK, ssrc, items)


def remb(ssrc: int, exponent: int, mantissa: int) -> bytes:
    """draft-alvestrand-rmcat-remb-03; the largest is 2^18 * 2^63 bits a second."""
    body = b"REMB" + struct.pack("!II", 1 << 24 | exponent << 18 | mantissa, ssrc)
    return _feedback(_PAYLOAD_FEEDBACK, _APPLICATION, 0, body)


def transport_cc(rng: random.Random) -> bytes:
    """Arrivals of packets that were never sent, long ago, all at once or backwards in time."""
    count = rng.randrange(1, 800)
    head = struct.pack("!HH", rng.randrange(65_536), count)
    head += rng.randrange(1 << 24).to_bytes(3, "big") + bytes([rng.randrange(256)])
    chunks = b"".join(
        struct.pack("!H", rng.randrange(65_536)) for _ in range(rng.randrange(1, 120))
    )
    return _feedback(_TRANSPORT_FEEDBACK, _TRANSPORT_CC, 0, head + chunks + rng.randbytes(200))


def receiver_report(ssrc: int, rng: random.Random) -> bytes:
    """All lost, or more than all; round trips of minus an hour and of a day."""
    lost = rng.choice((0, 128, 255)) << 24 | rng.randrange(1 << 24)
    body = struct.pack("!III", ssrc, lost, rng.randrange(1 << 32))
    body += struct.pack(
        "!III", rng.randrange(1 << 32), rng.randrange(1 << 32), rng.choice((0, 1 << 31))
    )
    return _pack(_RECEIVER_REPORT, 1, struct.pack("!I", _OWN_SSRC) + body)


def _feedback(packet_type: int, fmt: int, ssrc: int, body: bytes = b"") -> bytes:
    return _pack(packet_type, fmt, struct.pack("!II", _OWN_SSRC, ssrc) + body)


def _pack(packet_type: int, count: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body


class HostileViewer:
    """Subscribed to whatever there is; RTCP of our choice leaves under its keys."""

    def __init__(self, signal: RawSignal) -> None:
        """See `hostile_viewer`."""
        self._signal = signal
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Answer the offer for the first picture and wait until its connection is up."""
        while True:
            message = await self._signal.receive("offer")
            assert message is not None, "no offer came"
            await self._answer(message.offer)
            if "m=video" in message.offer.sdp:
                break
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(10):
            while self.pc.connectionState != "connected":
                await asyncio.sleep(0.02)

    async def _answer(self, offer: rtc.SessionDescription) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        sdp = _with_transport_cc(self.pc.localDescription.sdp, offer.sdp)
        await self._signal.send(answer=rtc.SessionDescription(type="answer", sdp=sdp, id=offer.id))

    async def _read(self) -> None:
        """Whatever else is offered stays unanswered."""
        while await self._signal.receive(timeout_s=600) is not None:
            pass

    @property
    def video_ssrc(self) -> int:
        """Of the picture that it is sent."""
        section = self.pc.remoteDescription.sdp.split("m=video", 1)[1]
        found = re.search(r"a=ssrc:(\d+)", section)
        assert found is not None, section
        return int(found[1])

    async def send_rtcp(self, packet: bytes) -> None:
        """Seal and send one RTCP packet."""
        transceiver = self.pc.getTransceivers()[0]
        await transceiver.receiver.transport._send_rtp(packet)

    async def close(self) -> None:
        """End everything."""
        if self._reading is not None:
            self._reading.cancel()
        await self.pc.close()


def _with_transport_cc(answer: str, offer: str) -> str:
    """The answer with transport-wide feedback, which aiortc does not know."""
    found = re.search(rf"a=extmap:(\d+) {re.escape(_TWCC_URI)}", offer)
    assert found is not None, offer
    line = f"a=extmap:{found[1]} {_TWCC_URI}\r\n"
    head, *sections = re.split(r"(?=^m=)", answer, flags=re.MULTILINE)
    media = [
        section + line if section.startswith(("m=audio", "m=video")) else section
        for section in sections
    ]
    return head + "".join(media)


@asynccontextmanager
async def hostile_viewer(
    server: AislecastServer, room: str, identity: str = "mallory"
) -> AsyncIterator[HostileViewer]:
    """A connected participant of a room where somebody shows a picture."""
    async with open_signal(server, server.token(identity, room), auto_subscribe="1") as signal:
        assert await signal.receive("join") is not None
        viewer = HostileViewer(signal)
        try:
            await viewer.connect()
            yield viewer
        finally:
            await viewer.close()
