"""What one connected transport costs in Python and OpenSSL."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path

from aiortc.rtcsctptransport import RTCSctpTransport
from dtls_pair import Ours, Pair

from sfu.config import DataLimits
from sfu.datachannel import DataChannels
from sfu.dtls import DtlsIdentity

WARM_UP, MEASURED = 30, 150
LIMIT_BYTES = 200_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def connect(identity: DtlsIdentity) -> tuple[Ours, DataChannels]:
    """Connect with data channels, then let go of the peer's half."""
    pair = Pair(identity, ours_is_client=False)
    await pair.connect()
    data = DataChannels(DataLimits(), Counter())
    data.attach(pair.ours.dtls)
    data.start()
    data.open("_reliable")
    data.open("_lossy", is_ordered=False, max_retransmits=0)
    peer = RTCSctpTransport(pair.peer)
    await peer.start(None, 5000)
    async with asyncio.timeout(10):
        while len(data.labels) < 2:
            await asyncio.sleep(0)
    pair.drop = lambda datagram: True
    pair.path._send_datagram = lambda datagram: None
    await peer.stop()
    await pair.peer.stop()
    pair.peer._ssl = None
    pair.sent.clear()
    return pair.ours, data


async def test_a_transport_costs_less_than_200_kb() -> None:
    identity = DtlsIdentity()
    kept = [await connect(identity) for _ in range(WARM_UP)]
    gc.collect()
    before = resident_bytes()
    kept += [await connect(identity) for _ in range(MEASURED)]
    await asyncio.sleep(0)
    gc.collect()
    each = (resident_bytes() - before) / MEASURED
    print(f"{each / 1000:.0f} kB per transport")
    assert each < LIMIT_BYTES
    for ours, data in kept:
        await data.close()
        await ours.dtls.stop()
