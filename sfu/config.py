"""Settings of the media side."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from sfu.errors import ConfigError

__all__ = ["DataLimits", "DtlsConfig", "MediaConfig"]


@dataclass(frozen=True, slots=True)
class DtlsConfig:
    """Bounds of the DTLS handshake.

    Attributes:
        mtu_bytes: largest DTLS datagram in the handshake; 1200 passes every path that media passes.
        handshake_timeout_s: from the first authenticated check to the keys.
        resend_delays_s: pauses before a flight that got no answer is sent again; the last one
            repeats until the handshake ends. OpenSSL alone waits 1, 2, 4 … s, which a lossy radio
            turns into a join of many seconds. A repeat costs about 700 bytes.
        max_queued_datagrams: DTLS that arrived before we could read it.
    """

    mtu_bytes: int = 1200
    handshake_timeout_s: float = 20.0
    resend_delays_s: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.4)
    max_queued_datagrams: int = 64


@dataclass(frozen=True, slots=True)
class DataLimits:
    """Bounds of the data channels of one transport.

    Attributes:
        max_message_bytes: largest message either way (``a=max-message-size``).
        max_reliable_bytes: buffered towards the peer before reliable sends are refused.
        max_lossy_bytes: buffered towards the peer before lossy messages are dropped.
        receive_window_bytes: SCTP receive window; also bounds reassembly.
        max_channels: channels a peer may open.
        max_streams: highest SCTP stream count announced and accepted.
        messages_per_s: sustained messages a peer may send; more is dropped and counted.
        message_burst: messages allowed at once.
        datagrams_per_s: sustained DTLS datagrams read; more is dropped before decryption, which
            SCTP answers by slowing down, so one flooding peer costs little.
        datagram_burst: datagrams allowed at once.
    """

    max_message_bytes: int = 65_535
    max_reliable_bytes: int = 1 << 20
    max_lossy_bytes: int = 128 << 10
    receive_window_bytes: int = 256 << 10
    max_channels: int = 16
    max_streams: int = 1024
    messages_per_s: float = 500.0
    message_burst: float = 1000.0
    datagrams_per_s: float = 1500.0
    datagram_burst: float = 3000.0


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """Where and how media is received.

    Attributes:
        hosts: addresses to bind, one socket each; the wildcards take every interface.
        udp_port: for all media; 0 picks one.
        tcp_port: for ICE-TCP; 0 picks one, None switches it off.
        node_ip: announced instead of the interfaces' addresses (1:1 NAT, containers).
        announce_loopback: also announce 127.0.0.1, which happens anyway when nothing else is there.
        dtls: bounds of the handshake.
        data: bounds of the data channels.
    """

    hosts: tuple[str, ...] = ("0.0.0.0", "::")
    udp_port: int = 7882
    tcp_port: int | None = 7881
    node_ip: str | None = None
    announce_loopback: bool = False
    dtls: DtlsConfig = field(default_factory=DtlsConfig)
    data: DataLimits = field(default_factory=DataLimits)

    def __post_init__(self) -> None:
        """Refuses what cannot work."""
        if not self.hosts:
            raise ConfigError("config_no_host", "no address to listen on for media")
        for host in (*self.hosts, *([self.node_ip] if self.node_ip else [])):
            try:
                ipaddress.ip_address(host)
            except ValueError:
                raise ConfigError("config_bad_ip", f"not an IP address: {host}") from None
        for port in (self.udp_port, self.tcp_port or 0):
            if not 0 <= port <= 65535:
                raise ConfigError("config_bad_port", f"not a port: {port}")
