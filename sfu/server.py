"""The media server: owns the engine, hands its news to the objects, and says where it listens."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence

from sfu import engine as _engine
from sfu.config import MediaConfig
from sfu.downlink import Downlink
from sfu.dtls import DtlsIdentity
from sfu.errors import ConfigError, MediaClosedError
from sfu.ice import IceCandidate, build_candidates, local_addresses
from sfu.ids import Codec, EncodingSpec
from sfu.local import LocalSource
from sfu.registry import Registry
from sfu.source import Source
from sfu.speakers import SpeakerGroup
from sfu.stats import MediaSnapshot, Rows, parse_rows
from sfu.tap import DEFAULT_MAX_BYTES, Tap
from sfu.thin import ThinVersions
from sfu.transport import Transport

__all__ = ["MediaServer"]

logger = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 3.0


class MediaServer:
    """One per process. Make it, ``start`` it in the event loop that uses it, ``close`` it.

    Attributes:
        candidates: where peers reach us, known after start.
        on_dead: called once if the media thread died of a bug of its own. Nothing is forwarded
            from then on; the process has to be started again.
        is_dead: whether that happened.
    """

    def __init__(self, config: MediaConfig) -> None:
        """Binds nothing yet."""
        self._config = config
        self._registry_or_none: Registry | None = None
        self.candidates: tuple[IceCandidate, ...] = ()
        self.on_dead: Callable[[], None] | None = None
        self.is_dead = False

    async def start(self) -> None:
        """Bind the ports and start the media thread.

        Raises:
            ConfigError: a port or address cannot be had.
        """
        config = self._config
        hosts = _usable_hosts(config.hosts)
        try:
            engine = await asyncio.to_thread(
                _engine.Engine,
                [(host, config.udp_port) for host in hosts],
                [] if config.tcp_port is None else [(host, config.tcp_port) for host in hosts],
            )
        except OSError as error:
            raise ConfigError(
                "config_media_port",
                f"cannot listen for media on UDP {config.udp_port} or TCP {config.tcp_port}: "
                f"{error.strerror or error}",
            ) from error
        registry = Registry(engine, config, DtlsIdentity())
        registry.downlink = Downlink(registry)
        registry.thin = ThinVersions(registry)
        self._registry_or_none = registry
        addresses = local_addresses(
            hosts, node_ip=config.node_ip, announce_loopback=config.announce_loopback
        )
        self.candidates = build_candidates(
            addresses, udp_ports=engine.udp_ports, tcp_ports=engine.tcp_ports
        )
        asyncio.get_running_loop().add_reader(engine.event_fd, self._handle_events)
        registry.downlink.start()

    async def close(self) -> None:
        """Close every transport, then the engine; idempotent."""
        registry = self._registry_or_none
        if registry is None:
            return
        if registry.downlink is not None:
            registry.downlink.stop()
        if registry.thin is not None:
            registry.thin.close()
        closing = [asyncio.create_task(t.close()) for t in list(registry.transports.values())]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)
        for tap in list(registry.taps.values()):
            tap.close()
        for source in list(registry.sources.values()):
            source.close()
        self._registry_or_none = None
        asyncio.get_running_loop().remove_reader(registry.engine.event_fd)
        # Joins the media thread.
        await asyncio.to_thread(registry.engine.close)

    def create_transport(self) -> Transport:
        """Make one ICE/DTLS association."""
        return Transport(self._registry)

    def create_local_source(
        self,
        *,
        is_audio: bool,
        label: str,
        encodings: Sequence[EncodingSpec] = (EncodingSpec(),),
    ) -> LocalSource:
        """Make a source that this process feeds."""
        return LocalSource(
            self._registry, is_audio=is_audio, label=label, encodings=tuple(encodings)
        )

    def open_tap(
        self, source: Source, *, max_bytes: int = DEFAULT_MAX_BYTES, is_lowest: bool = False
    ) -> Tap:
        """Start reading complete frames of a source, of its best or its lowest encoding."""
        return Tap(self._registry, source, max_bytes=max_bytes, is_lowest=is_lowest)

    def create_speaker_group(self, size: int = 3) -> SpeakerGroup:
        """Make a group of microphones of which only the `size` loudest are forwarded."""
        return SpeakerGroup(self._registry, size=size)

    def now_us(self) -> int:
        """The engine's clock, in which frames are stamped."""
        return self._registry.engine.now_us()

    def snapshot(self) -> MediaSnapshot:
        """Look at everything at once; a few µs per transport."""
        engine = self._registry.engine
        return MediaSnapshot(
            now_us=engine.now_us(),
            transports=parse_rows(engine.snapshot_transports(), _engine.TRANSPORT_DTYPE),
            encodings=parse_rows(engine.snapshot_encodings(), _engine.ENCODING_DTYPE),
            sinks=parse_rows(engine.snapshot_sinks(), _engine.SINK_DTYPE),
        )

    def snapshot_encodings(self) -> Rows:
        """Rows of ``sfu.engine.ENCODING_DTYPE`` alone, for whoever looks several times a second."""
        return parse_rows(self._registry.engine.snapshot_encodings(), _engine.ENCODING_DTYPE)

    def counters(self) -> dict[str, int]:
        """The engine's and this package's counters by name. Reads the kernel's table of all the
        machine's sockets: for a scrape, not for every tick."""
        registry = self._registry
        return {**registry.engine.counters(), **registry.counters}

    def gauges(self) -> dict[str, int]:
        """Present counts of the lines to subscribers, by name."""
        return self.downlink.snapshot() if self.downlink is not None else {}

    @property
    def downlink(self) -> Downlink | None:
        """What the lines to subscribers carry; None before the start and after the end."""
        registry = self._registry_or_none
        return registry.downlink if registry is not None else None

    @property
    def _registry(self) -> Registry:
        if self._registry_or_none is None:
            raise MediaClosedError("media server")
        return self._registry_or_none

    def _handle_events(self) -> None:
        registry = self._registry_or_none
        if registry is None:
            return
        for event in registry.engine.drain_events():
            try:
                if event[0] == "dead":
                    self._handle_dead()
                    continue
                _dispatch(registry, event)
            except Exception:
                # A bug in one object's callback must not stop the news for all others.
                registry.counters["event_errors"] += 1
                logger.exception("media event %s failed", event[0])

    def _handle_dead(self) -> None:
        self.is_dead = True
        logger.critical("the media thread died")
        if self.on_dead is not None:
            self.on_dead()


def _dispatch(registry: Registry, event: tuple[object, ...]) -> None:
    """Hand one event to its object; news of one already gone is dropped."""
    match event:
        case ("dtls" | "transport" | "uplink", int(handle), *_):
            if (transport := registry.transports.get(handle)) is not None:
                _tell_transport(transport, event)
        case ("encoding" | "key", int(handle), *_):
            if (source := registry.sources.get(handle)) is not None:
                _tell_source(source, event)
        case ("sink", int(handle)):
            if (sink := registry.sinks.get(handle)) is not None:
                sink.handle_started()
        case ("restless", int(handle)) if registry.downlink is not None:
            registry.downlink.wake(handle)
        case ("tap", int(handle)):
            if (tap := registry.taps.get(handle)) is not None:
                tap.handle_ready()
        case _:
            registry.counters["event_unknown"] += 1


def _tell_transport(transport: Transport, event: tuple[object, ...]) -> None:
    match event:
        case ("dtls", _, bytes(data)):
            transport.handle_dtls(data)
        case ("transport", _, int(state), str(protocol), str(ip), int(port)):
            transport.handle_ice_state(state, protocol, ip, port)
        case ("uplink", _, int(rate_bps)):
            transport.handle_uplink(rate_bps)


def _tell_source(source: Source, event: tuple[object, ...]) -> None:
    match event:
        case ("encoding", _, int(encoding), int(ssrc), int(codec)):
            source.handle_started(encoding, ssrc, Codec(codec))
        case ("key", _, int(encoding)) if isinstance(source, LocalSource):
            source.handle_key_wanted(encoding)


def _usable_hosts(hosts: Sequence[str]) -> list[str]:
    """Leave out the IPv6 wildcard where the machine has no IPv6 at all."""
    has_ipv6 = bool(local_addresses(["::"]))
    usable = [host for host in hosts if has_ipv6 or ipaddress.ip_address(host).version == 4]
    return usable or list(hosts)
