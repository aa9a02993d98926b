"""Two of our DTLS ends, joined by a path that loses and delays datagrams by a seed."""

from __future__ import annotations

import asyncio
import random

from dtls_pair import Ours, fingerprints_of

from sfu.dtls import DtlsIdentity


class LossyPath:
    """Both ways; every datagram meets its fate alone."""

    def __init__(self, *, seed: int, loss: float, delay_s: float) -> None:
        self._random = random.Random(seed)
        self.loss = loss
        self.delay_s = delay_s
        self.lost = self.carried = 0

    def carry(self, far_end: Ours, data: bytes) -> None:
        """Deliver after the delay, or never."""
        if self._random.random() < self.loss:
            self.lost += 1
            return
        self.carried += 1
        loop = asyncio.get_running_loop()
        loop.call_later(self.delay_s, far_end.inbox.push, data)


class LossyPair:
    """A client and a server end of ours."""

    def __init__(self, identities: tuple[DtlsIdentity, DtlsIdentity], path: LossyPath) -> None:
        self.identities = identities
        self.path = path
        self.client = Ours(identities[0], lambda data: path.carry(self.server, data))
        self.server = Ours(identities[1], lambda data: path.carry(self.client, data))

    async def connect(self) -> None:
        """Both handshakes, to their ends."""
        client, server = map(fingerprints_of, self.identities)
        await asyncio.gather(
            self.client.dtls.run(server, is_client=True),
            self.server.dtls.run(client, is_client=False),
        )

    async def close(self) -> None:
        await self.client.dtls.stop()
        await self.server.dtls.stop()
