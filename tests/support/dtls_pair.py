"""Our DTLS transport and aiortc's, joined in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)

from sfu.config import DtlsConfig
from sfu.dtls import DatagramInbox, DtlsIdentity, DtlsTransport

PATIENT = DtlsConfig(handshake_timeout_s=10.0)


class Ours:
    """Our transport with what it told its owner."""

    def __init__(
        self, identity: DtlsIdentity, send: Callable[[bytes], None], config: DtlsConfig = PATIENT
    ) -> None:
        self.keys: list[tuple[str, bytes, bytes]] = []
        self.states: list[str] = []
        self.counters: Counter[str] = Counter()
        self.inbox = DatagramInbox(send, max_queued=config.max_queued_datagrams)
        self.dtls = DtlsTransport(
            self.inbox,
            identity,
            config,
            self.counters,
            on_keys=lambda *keys: self.keys.append(keys),
            on_state=self.states.append,
        )


class PeerPath:
    """An aiortc peer's path, with the role aiortc reads from it."""

    def __init__(self, role: str, send: Callable[[bytes], object]) -> None:
        self.role = role
        self._send_datagram = send
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def _recv(self) -> bytes:
        return await self.queue.get()

    async def _send(self, data: bytes) -> None:
        self._send_datagram(data)


def fingerprints_of(certificate: RTCCertificate) -> list[tuple[str, str]]:
    return [(f.algorithm, f.value) for f in certificate.getFingerprints()]


class Pair:
    """Our side and an aiortc side, joined."""

    def __init__(
        self, identity: DtlsIdentity, *, ours_is_client: bool, config: DtlsConfig = PATIENT
    ) -> None:
        self.sent: list[bytes] = []
        self.certificate = RTCCertificate.generateCertificate()
        self.drop: Callable[[bytes], bool] = lambda data: False
        self.ours = Ours(identity, self._to_peer, config)
        # aiortc: controlling = DTLS server.
        self.path = PeerPath(
            "controlling" if ours_is_client else "controlled", self.ours.inbox.push
        )
        self.peer = RTCDtlsTransport(self.path, [self.certificate])
        self.ours_is_client = ours_is_client
        self.identity = identity

    def _to_peer(self, data: bytes) -> None:
        self.sent.append(data)
        if not self.drop(data):
            self.path.queue.put_nowait(data)

    async def connect(self, fingerprints: list[tuple[str, str]] | None = None) -> None:
        algorithm, value = self.identity.fingerprint.split(" ")
        parameters = RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint(algorithm, value)])
        await asyncio.gather(
            self.ours.dtls.run(
                fingerprints or fingerprints_of(self.certificate), is_client=self.ours_is_client
            ),
            self.peer.start(parameters),
        )

    async def close(self) -> None:
        await self.ours.dtls.stop()
        await self.peer.stop()
