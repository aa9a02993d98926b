"""A controlling ICE client on one socket, UDP or ICE-TCP, that aiortc's DTLS can run over."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from aioice import stun
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from aiortc.rtcsctptransport import RTCSctpTransport

from sfu.ice import IceCandidate, IceParameters
from sfu.transport import Transport

CHECK_INTERVAL_S = 0.1


class IceClient:
    """Sends checks with USE-CANDIDATE until stopped; STUN apart, hands over what arrives.

    Its surface is that of an RTCIceTransport as far as RTCDtlsTransport reads it.
    """

    def __init__(self, candidate: IceCandidate, remote: IceParameters) -> None:
        self.role = "controlling"
        self.local = IceParameters.generate()
        self.remote = remote
        self.candidate = candidate
        self.datagrams: asyncio.Queue[bytes] = asyncio.Queue()
        self.media: asyncio.Queue[bytes] = asyncio.Queue()
        self.answered = asyncio.Event()
        self.refused: list[int] = []
        self._checking: asyncio.Task[None] | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        address = (self.candidate.ip, self.candidate.port)
        if self.candidate.protocol == "udp":
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), remote_addr=address
            )
        else:
            reader, self._writer = await asyncio.open_connection(*address)
            self._reading = asyncio.create_task(self._read_frames(reader))
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())

    async def move(self) -> None:
        """Go on from another socket, as after Wi-Fi → 4G."""
        assert self._udp is not None
        self._udp.close()
        await self.start()

    async def stop(self) -> None:
        for task in (self._checking, self._reading):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        if self._udp is not None:
            self._udp.close()
        if self._writer is not None:
            self._writer.close()

    async def pause(self) -> None:
        """Stop checking, as if the network were gone."""
        assert self._checking is not None
        self._checking.cancel()
        self._checking = None

    def go_on(self) -> None:
        """Check again, from the same socket: the network is back."""
        assert self._checking is None
        self._checking = asyncio.create_task(self._check())

    def handle(self, data: bytes) -> None:
        if self._checking is None:
            return
        if data[0] < 4:
            message = stun.parse_message(data)
            if message.message_class == stun.Class.RESPONSE:
                self.answered.set()
            elif message.message_class == stun.Class.ERROR:
                self.refused.append(message.attributes["ERROR-CODE"][0])
        elif data[0] < 64:
            self.datagrams.put_nowait(data)
        else:
            self.media.put_nowait(data)

    def send(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(struct.pack("!H", len(data)) + data)
        elif self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(data)

    def check_message(self) -> bytes:
        message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        attributes: dict[str, Any] = message.attributes
        attributes["USERNAME"] = f"{self.remote.ufrag}:{self.local.ufrag}"
        attributes["PRIORITY"] = 1_845_501_695
        attributes["ICE-CONTROLLING"] = 7
        attributes["USE-CANDIDATE"] = None
        message.add_message_integrity(self.remote.pwd.encode())
        message.add_fingerprint()
        return bytes(message)

    async def _check(self) -> None:
        while True:
            self.send(self.check_message())
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def _read_frames(self, reader: asyncio.StreamReader) -> None:
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            self.handle(await reader.readexactly(length))

    async def _recv(self) -> bytes:
        return await self.datagrams.get()

    async def _send(self, data: bytes) -> None:
        self.send(data)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, client: IceClient) -> None:
        self._client = client

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._client.handle(data)


class PeerClient:
    """ICE, DTLS and SCTP of a remote peer against one of our transports."""

    def __init__(
        self, transport: Transport, candidate: IceCandidate, *, is_dtls_client: bool = True
    ) -> None:
        self.transport = transport
        self.ice = IceClient(candidate, transport.ice)
        self.certificate = RTCCertificate.generateCertificate()
        self.dtls = RTCDtlsTransport(self.ice, [self.certificate])
        self.dtls._set_role("client" if is_dtls_client else "server")
        self.is_dtls_client = is_dtls_client
        self.sctp: RTCSctpTransport | None = None

    async def connect(self) -> None:
        """Exchange parameters and finish DTLS."""
        self.announce()
        await self.ice.start()
        await asyncio.wait_for(self.ice.answered.wait(), 5)
        await self.dtls.start(self.remote_parameters())

    def announce(self) -> None:
        first = self.certificate.getFingerprints()[0]
        self.transport.set_remote(
            ufrag=self.ice.local.ufrag,
            pwd=self.ice.local.pwd,
            fingerprints=[f"{first.algorithm} {first.value}"],
            dtls_role="server" if self.is_dtls_client else "client",
        )

    def remote_parameters(self) -> RTCDtlsParameters:
        algorithm, _, value = self.transport.fingerprint.partition(" ")
        return RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint(algorithm, value)])

    async def start_data(self) -> RTCSctpTransport:
        self.sctp = RTCSctpTransport(self.dtls)
        await self.sctp.start(None, 5000)
        return self.sctp

    async def close(self) -> None:
        if self.sctp is not None:
            await self.sctp.stop()
        await self.dtls.stop()
        await self.ice.stop()
