"""One ICE/DTLS association with a remote peer: its media, its data channels, its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from sfu.bucket import TokenBucket
from sfu.datachannel import DataChannels
from sfu.dtls import DatagramInbox, DtlsTransport
from sfu.engine import EngineError
from sfu.errors import MediaClosedError
from sfu.ice import IceParameters
from sfu.ids import (
    BEST_LAYERS,
    EncodingSpec,
    Layers,
    Payload,
    SourceHandle,
    TransportHandle,
)
from sfu.registry import Registry
from sfu.source import Sink, Source

if TYPE_CHECKING:
    from bandwidth.ladder import Step
    from sfu.downlink import Wish

__all__ = ["Path", "Transport", "TransportState"]

logger = logging.getLogger(__name__)

TransportState = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]
_ENGINE_STATES: tuple[TransportState, ...] = ("new", "connected", "disconnected", "failed")


class Path(NamedTuple):
    """Where the peer is, as selected by its checks."""

    protocol: str  # "udp" or "tcp"
    ip: str
    port: int


class Transport:
    """A peer connection's lower half.

    States: ``new`` → ``connecting`` (the peer's parameters are known) → ``connected`` (ICE and
    DTLS) ⇄ ``disconnected`` (nothing authenticated for 5 s) → ``failed`` (30 s, or the handshake
    failed) → ``closed``. A failed one comes back by itself when the peer is heard again, unless
    DTLS failed.

    Attributes:
        handle: the engine's number for it.
        ice: our current credentials.
        fingerprint: of our certificate, ``sha-256 AA:BB:…``.
        data: its data channels.
        path: the peer's selected address, None before the first check.
        on_state: called with every new state.
        on_step: called when the subscriber's line makes its picture worse or better, with why:
            ``downlink``, or ``server`` where this machine is too slow.
        uplink_limit_bps: what the peer was asked to send at most; 0 = no limit.
        on_uplink: called with the rate that the peer's own line carries when that has fallen far
            below what it sent, and with 0 when it is back. The peer has been told to send less by
            then (REMB).
        has_fallen: the last of that was no 0.
        person: whose line it is, so that it is known again; set before the first subscription.
        is_cellular: the client says that it is on a mobile network.
        handshake_s: how long DTLS took, two round trips and what was lost; None before.
        sources: published by this peer, by handle.
        sinks: this peer's subscriptions.
    """

    def __init__(self, registry: Registry, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Makes the transport in the engine."""
        self._registry = registry
        self._clock = clock
        self.ice = IceParameters.generate()
        self.handle = TransportHandle(registry.engine.add_transport(*self.ice))
        self.fingerprint = registry.identity.fingerprint
        self.path: Path | None = None
        self.on_state: Callable[[TransportState], None] | None = None
        self.on_step: Callable[[Step, str], None] | None = None
        self.person = ""
        self.is_cellular = False
        self.handshake_s: float | None = None
        self._handshake_began_s = 0.0
        self.uplink_limit_bps = 0
        self.on_uplink: Callable[[int], None] | None = None
        self.has_fallen = False
        self.sources: dict[SourceHandle, Source] = {}
        self.sinks: set[Sink] = set()
        self.data = DataChannels(registry.config.data, registry.counters, clock=clock)
        self._state: TransportState = "new"
        self._ice_state: TransportState = "new"
        self._remote: tuple[str, str] | None = None
        self._fingerprints: tuple[tuple[str, str], ...] = ()
        self._is_dtls_client = False
        limits = registry.config.data
        self._datagrams = TokenBucket(
            rate_per_s=limits.datagrams_per_s, burst=limits.datagram_burst
        )
        self._inbox = DatagramInbox(
            self._send_dtls, max_queued=registry.config.dtls.max_queued_datagrams
        )
        self._dtls = DtlsTransport(
            self._inbox,
            registry.identity,
            registry.config.dtls,
            registry.counters,
            on_keys=self._install_keys,
            on_state=self._handle_dtls_state,
        )
        self._dtls_task: asyncio.Task[None] | None = None
        registry.transports[self.handle] = self

    def __repr__(self) -> str:
        """The handle and state, for logs."""
        return f"<Transport {self.handle} {self._state}>"

    @property
    def state(self) -> TransportState:
        """Where it is, see the class."""
        return self._state

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._state == "closed"

    def set_remote(
        self,
        *,
        ufrag: str,
        pwd: str,
        fingerprints: Sequence[str],
        dtls_role: Literal["client", "server"],
    ) -> None:
        """Take the peer's parameters; equal ones change nothing, a new ufrag is its ICE restart.

        Args:
            ufrag: ``a=ice-ufrag`` of the peer.
            pwd: ``a=ice-pwd`` of the peer.
            fingerprints: ``a=fingerprint`` values, ``sha-256 AA:…``; fixed by the first call.
            dtls_role: ours.
        """
        self._check_open()
        if (ufrag, pwd) != self._remote:
            self._remote = (ufrag, pwd)
            self._registry.engine.set_remote_ice(self.handle, ufrag, pwd)
        if not self._fingerprints:
            parts = [value.strip().partition(" ") for value in fingerprints]
            self._fingerprints = tuple((name, digest.strip()) for name, _, digest in parts)
            self._is_dtls_client = dtls_role == "client"
        self._advance()

    def restart_ice(self) -> IceParameters:
        """Make new credentials; the old ones work until the peer has used the new ones."""
        self._check_open()
        self.ice = IceParameters.generate()
        self._registry.engine.restart_ice(self.handle, *self.ice)
        return self.ice

    def set_media(self, extensions: dict[str, int], payloads: Sequence[Payload]) -> None:
        """Say what was negotiated for the whole bundle.

        Args:
            extensions: RTP header extension ids by the names of ``sfu.ids.EXTENSION_URIS``.
            payloads: every payload type either side may send.
        """
        self._check_open()
        rows = [(p.pt, int(p.codec), p.rtx_pt) for p in payloads]
        self._registry.engine.set_media(self.handle, extensions, rows)

    def add_source(self, *, mid: str, is_audio: bool, encodings: Sequence[EncodingSpec]) -> Source:
        """Accept a track that the peer publishes in section ``mid``, encodings lowest first."""
        self._check_open()
        rows: list[tuple[str, int, int]] = [*encodings]
        handle = SourceHandle(self._registry.engine.add_source(self.handle, mid, is_audio, rows))
        source = Source(self._registry, handle, is_audio=is_audio, specs=encodings, transport=self)
        self.sources[handle] = source
        return source

    def add_sink(
        self,
        source: Source,
        *,
        ssrc: int,
        rtx_ssrc: int,
        mid: str,
        payloads: Sequence[Payload],
        layers: Layers = BEST_LAYERS,
        wish: Wish | None = None,
    ) -> Sink:
        """Send a source to the peer in section ``mid``.

        With a wish the line decides about the layers, and ``layers`` does not count.
        """
        self._check_open()
        sink = Sink(
            self._registry,
            self,
            source,
            ssrc=ssrc,
            rtx_ssrc=rtx_ssrc,
            mid=mid,
            payloads=payloads,
            layers=layers,
            wish=wish,
        )
        self.sinks.add(sink)
        if self._registry.downlink is not None:
            self._registry.downlink.add(sink)
        return sink

    def set_budget(self, rate_bps: int) -> None:
        """Say what the line carries, for everything sent on it; 0 = no limit."""
        if not self.is_closed:
            self._registry.engine.set_budget(self.handle, rate_bps)

    def limit_uplink(self, rate_bps: int) -> None:
        """Ask the peer to send no more than this, in all; 0 = no limit."""
        if not self.is_closed and rate_bps != self.uplink_limit_bps:
            self.uplink_limit_bps = rate_bps
            self._registry.engine.limit_uplink(self.handle, rate_bps)

    def handle_uplink(self, rate_bps: int) -> None:
        """Take the engine's news of the peer's own line."""
        self.has_fallen = rate_bps > 0
        if not self.is_closed and self.on_uplink is not None:
            self.on_uplink(rate_bps)

    def probe(self, probe: int, rate_bps: int, duration_us: int) -> None:
        """Send at a rate for a moment, to learn whether the line carries it."""
        if not self.is_closed:
            self._registry.engine.probe(self.handle, probe, rate_bps, duration_us)

    async def close(self) -> None:
        """Say goodbye (SCTP abort, close_notify) and end sources and sinks; idempotent."""
        if self.is_closed:
            return
        self._set_state("closed")
        for sink in list(self.sinks):
            sink.close()
        if self._registry.downlink is not None:
            self._registry.downlink.close(self)
        for source in list(self.sources.values()):
            source.close()
        task, self._dtls_task = self._dtls_task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        await self.data.close()
        await self._dtls.stop()
        self._registry.engine.remove_transport(self.handle)
        self._registry.transports.pop(self.handle, None)

    def handle_dtls(self, data: bytes) -> None:
        """Take a DTLS datagram from the peer."""
        if not self._datagrams.take(self._clock()):
            self._registry.counters["dtls_over_rate"] += 1
        elif not self._inbox.push(data):
            self._registry.counters["dtls_queue_full"] += 1

    def handle_ice_state(self, state: int, protocol: str, ip: str, port: int) -> None:
        """Take the engine's view of ICE and of the selected address."""
        if self.is_closed:
            return
        self._ice_state = _ENGINE_STATES[state]
        if protocol:
            self.path = Path(protocol, ip, port)
        self._advance()

    def _handle_dtls_state(self, state: str) -> None:
        if state == "connected":
            self.handshake_s = self._clock() - self._handshake_began_s
            self.data.attach(self._dtls)
        if not self.is_closed:
            self._advance()

    def _advance(self) -> None:
        """Start what can start and report the state that follows from ICE and DTLS."""
        if self._dtls_task is None and self._fingerprints and self._ice_state == "connected":
            self._handshake_began_s = self._clock()
            self._dtls_task = asyncio.create_task(
                self._dtls.run(self._fingerprints, is_client=self._is_dtls_client)
            )
        self._set_state(self._combined_state())

    def _combined_state(self) -> TransportState:
        dtls = self._dtls.state
        if dtls in ("failed", "closed") or self._ice_state == "failed":
            return "failed"
        if dtls == "connected":
            return "disconnected" if self._ice_state == "disconnected" else "connected"
        return "connecting" if self._remote is not None else "new"

    def _set_state(self, state: TransportState) -> None:
        if state == self._state:
            return
        self._state = state
        logger.debug("transport %d: %s", self.handle, state)
        if self.on_state is None:
            return
        try:
            self.on_state(state)
        except Exception:  # a bug of the listener must not stop the handshake under it
            self._registry.counters["callback_errors"] += 1
            logger.exception("transport %d: state listener failed", self.handle)

    def _install_keys(self, profile: str, receive_key: bytes, send_key: bytes) -> None:
        try:
            self._registry.engine.set_srtp(self.handle, profile, receive_key, send_key)
        except EngineError:
            raise ConnectionError("the engine takes no keys") from None

    def _send_dtls(self, data: bytes) -> None:
        try:
            self._registry.engine.send_dtls(self.handle, data)
        except EngineError:  # closing, or far behind: lost, as on any network
            self._registry.counters["dtls_send_refused"] += 1

    def _check_open(self) -> None:
        if self.is_closed:
            raise MediaClosedError("transport")
