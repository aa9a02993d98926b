"""Clients that do what no SDK would: raw signaling, and a peer that sends any packet it likes."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from livekit.protocol import rtc

from testkit.server import AislecastServer

PROTOCOL = "16"


class RawSignal:
    """An open signaling WebSocket."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Take the open socket."""
        self.ws = ws

    async def send(self, **message: Any) -> None:
        """Send one SignalRequest, given as its single field."""
        await self.ws.send_bytes(rtc.SignalRequest(**message).SerializeToString())

    async def receive(self, kind: str = "", *, timeout_s: float = 10) -> rtc.SignalResponse | None:
        """Return the next message (of a kind); None once the socket is closed."""
        async with asyncio.timeout(timeout_s):
            while True:
                frame = await self.ws.receive()
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    return None
                message = rtc.SignalResponse.FromString(frame.data)
                if not kind or message.WhichOneof("message") == kind:
                    return message

    async def until_closed(self, *, timeout_s: float = 10) -> int | None:
        """Read until the server closes; returns the close code."""
        while await self.receive(timeout_s=timeout_s) is not None:
            pass
        return self.ws.close_code

    async def is_served(self) -> bool:
        """Whether a ping is still answered."""
        with contextlib.suppress(ConnectionError):
            await self.send(ping=1)
        return await self.receive("pong") is not None


@asynccontextmanager
async def open_signal(
    server: AislecastServer, token: str, path: str = "/rtc", **query: str
) -> AsyncIterator[RawSignal]:
    """Open a WebSocket; the `join` is not read yet."""
    params = {"access_token": token, "protocol": PROTOCOL, **query}
    async with aiohttp.ClientSession() as session:
        # Nothing is negotiated by the WebSocket layer that could hide what is sent.
        async with session.ws_connect(f"{server.url}{path}", params=params, max_msg_size=0) as ws:
            yield RawSignal(ws)


class HostilePeer:
    """A participant that is let in properly, and then sends whatever a test wants."""

    def __init__(self, signal: RawSignal) -> None:
        """See `connect`."""
        self.signal = signal
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.reliable = self.pc.createDataChannel("_reliable")
        self.lossy = self.pc.createDataChannel("_lossy", ordered=False, maxRetransmits=0)
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Negotiate the publishing connection and wait until it is up."""
        self.pc.addTrack(AudioStreamTrack())
        channels = (self.reliable, self.lossy)
        opened = [asyncio.Event() for _ in channels]
        for channel, event in zip(channels, opened, strict=True):
            channel.on("open", event.set)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        description = self.pc.localDescription
        offer = rtc.SessionDescription(type="offer", sdp=description.sdp, id=1)
        await self.signal.send(offer=offer)
        answer = await self.signal.receive("answer")
        assert answer is not None, "the offer was refused"
        remote = RTCSessionDescription(sdp=answer.answer.sdp, type="answer")
        await self.pc.setRemoteDescription(remote)
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(10):
            for event in opened:
                await event.wait()

    async def _read(self) -> None:
        while await self.signal.receive(timeout_s=600) is not None:
            pass

    async def send_rtp(self, ssrc: int, seq: int, payload: bytes, *, pt: int = 111) -> None:
        """Seal and send one RTP packet with a header of our choice."""
        header = struct.pack("!BBHII", 0x80, pt, seq & 0xFFFF, seq * 960 & 0xFFFFFFFF, ssrc)
        await self._transport._send_rtp(header + payload)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, over the path that ICE found."""
        await self._transport.transport._send(data)

    async def sealed_rtp(self, ssrc: int, seq: int) -> bytes:
        """Return one sealed packet instead of sending it."""
        header = struct.pack("!BBHII", 0x80, 111, seq, seq * 960, ssrc)
        return bytes(self._transport._tx_srtp.protect(header + bytes(40)))

    @property
    def _transport(self) -> Any:
        return self.pc.getTransceivers()[0].sender.transport

    async def close(self) -> None:
        """End everything."""
        if self._reading is not None:
            self._reading.cancel()
        await self.pc.close()


@asynccontextmanager
async def hostile_peer(server: AislecastServer, room: str, identity: str = "mallory"):
    """A connected hostile participant of a room."""
    async with open_signal(server, server.token(identity, room), auto_subscribe="0") as signal:
        assert await signal.receive("join") is not None
        peer = HostilePeer(signal)
        try:
            await peer.connect()
            yield peer
        finally:
            await peer.close()
