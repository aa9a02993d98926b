"""DTLS by aiortc over datagrams that the engine carries; the SRTP keys go to the engine.

aiortc's RTCDtlsTransport keeps the handshake, the certificate check and the association with SCTP.
What differs here: one SSL context for all transports, flights cut on record boundaries, early
repeats of an unanswered flight (see `sfu.flight`), bounded input, no SRTP session in Python and no
logging per datagram.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
    certificate_digest,
    generate_certificate,
)
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from sfu.config import DtlsConfig
from sfu.flight import CHANGE_CIPHER_SPEC, HANDSHAKE, FinishedKey, FlightNumbers, Record
from sfu.flight import parse_records as _parse_records
from sfu.stats import Counters

if TYPE_CHECKING:
    from aiortc.rtcicetransport import RTCIceTransport

__all__ = ["DatagramInbox", "DtlsIdentity", "DtlsTransport", "SrtpKeys", "split_flight"]

_DTLS_1_2 = 0xFEFD
_RECORD_HEADER_BYTES = 13
_APPLICATION_DATA = 23
# Most wanted first: GCM costs the engine a third of CM with HMAC-SHA1.
_SRTP_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80]
_ENGINE_PROFILES = {
    SRTP_AEAD_AES_128_GCM.openssl_profile: "AEAD_AES_128_GCM",
    SRTP_AES128_CM_SHA1_80.openssl_profile: "AES_CM_128_HMAC_SHA1_80",
}
# Larger than any datagram we read or write but a whole first flight, which takes two reads.
_READ_BYTES = 2048

# (profile, receive key||salt, send key||salt), as Engine.set_srtp takes them.
SrtpKeys = Callable[[str, bytes, bytes], None]


class DtlsIdentity(RTCCertificate):
    """The certificate of this process run with the one SSL context that all transports share.

    A context costs about 50 kB and a millisecond; per transport only the SSL object is left.
    """

    def __init__(self) -> None:
        """Makes a fresh P-256 key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        super().__init__(key=key, cert=generate_certificate(key))
        self._context = self._build_context()

    @property
    def fingerprint(self) -> str:
        """As in ``a=fingerprint``: ``sha-256 AA:BB:…``."""
        return f"sha-256 {certificate_digest(self._cert, 'sha-256')}"

    def _build_context(self) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles=_SRTP_PROFILES)
        context.set_min_proto_version(_DTLS_1_2)
        # Without this the MTU set on a connection is replaced by a query that a memory BIO fails.
        context.set_options(SSL.OP_NO_QUERY_MTU)
        # A server context would otherwise keep every client's session for minutes.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        return context

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        return self._context


class DatagramInbox:
    """What DTLS needs of an ICE transport: datagrams out, a bounded queue of them in."""

    role = "controlled"  # ICE-lite, RFC 8445 §6.1.1

    __slots__ = ("_is_closed", "_max_queued", "_queue", "_send_datagram", "_waiter", "dropped")

    def __init__(self, send_datagram: Callable[[bytes], None], *, max_queued: int) -> None:
        """Nothing is sent before the first write."""
        self._send_datagram = send_datagram
        self._max_queued = max_queued
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False
        self.dropped = 0

    def push(self, data: bytes) -> bool:
        """Queue one datagram from the peer; False when it was dropped because the queue is full."""
        if self._is_closed or len(self._queue) >= self._max_queued:
            self.dropped += 1
            return False
        self._queue.append(data)
        self._wake()
        return True

    def send(self, data: bytes) -> None:
        """Send one datagram to the peer."""
        if not self._is_closed:
            self._send_datagram(data)

    def close(self) -> None:
        """End: readers get a ConnectionError once the queue is empty."""
        self._is_closed = True
        self._wake()

    async def receive(self, timeout_s: float | None) -> bytes | None:
        """Return the next datagram, or None after ``timeout_s``."""
        if not self._queue and not self._is_closed:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None
            if timeout_s is not None:
                timer = loop.call_later(max(timeout_s, 0.0), self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        if self._queue:
            return self._queue.popleft()
        if self._is_closed:
            raise ConnectionError
        return None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _recv(self) -> bytes:
        data = await self.receive(None)
        assert data is not None, "receive without a time limit returns data or raises"
        return data

    async def _send(self, data: bytes) -> None:
        self.send(data)


def split_flight(data: bytes, mtu_bytes: int) -> list[bytes]:
    """Cut a flight into datagrams of at most ``mtu_bytes``, only between records.

    A record never spans datagrams (RFC 6347 §4.1.1); a single larger record goes alone.
    """
    datagrams = []
    start = end = 0
    while end + _RECORD_HEADER_BYTES <= len(data):
        length = int.from_bytes(data[end + 11 : end + 13], "big")
        next_end = end + _RECORD_HEADER_BYTES + length
        if next_end - start > mtu_bytes and end > start:
            datagrams.append(data[start:end])
            start = end
        end = next_end
    if start < len(data):
        datagrams.append(data[start:])
    return datagrams


class DtlsTransport(RTCDtlsTransport):
    """One DTLS association.

    Inputs: :meth:`run` once, datagrams pushed into the inbox. Outputs: datagrams through the inbox,
    keys through ``on_keys`` before the state becomes connected, and ``on_state``.
    """

    def __init__(
        self,
        inbox: DatagramInbox,
        identity: DtlsIdentity,
        config: DtlsConfig,
        counters: Counters,
        *,
        on_keys: SrtpKeys,
        on_state: Callable[[str], None],
    ) -> None:
        """Sends nothing before :meth:`run`."""
        super().__init__(cast("RTCIceTransport", inbox), [identity])
        self._srtp_profiles = _SRTP_PROFILES
        self._inbox = inbox
        self._config = config
        self._counters = counters
        self._on_keys = on_keys
        self._on_state = on_state
        self._numbers = FlightNumbers()
        self._flight: list[Record] = []  # the last one, while it may have to be repeated
        self._resends = 0

    async def run(self, fingerprints: Sequence[tuple[str, str]], *, is_client: bool) -> None:
        """Do the handshake, then read until the end; returns when the handshake is over.

        Args:
            fingerprints: (algorithm, value) of the peer's certificate; all known ones must match.
            is_client: we send the ClientHello.
        """
        self._set_role("client" if is_client else "server")
        parameters = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(algorithm, value) for algorithm, value in fingerprints]
        )
        try:
            async with asyncio.timeout(self._config.handshake_timeout_s):
                await self.start(parameters)
        except TimeoutError:
            self._counters["dtls_handshake_timeout"] += 1
            self._set_state(State.FAILED)
        except (ConnectionError, SSL.Error):
            self._counters["dtls_handshake_failed"] += 1
            self._set_state(State.FAILED)
        else:
            self._counters[f"dtls_handshake_{self.state}"] += 1

    async def stop(self) -> None:
        """Say close_notify and end."""
        await super().stop()
        self._inbox.close()
        self._ssl = None
        self._flight.clear()

    async def _do_handshake(self) -> None:
        # The connection was just made by start().
        self._connection.set_ciphertext_mtu(self._config.mtu_bytes)
        await super()._do_handshake()
        # The last flight of a server goes out with the last step.
        await self._write_ssl()
        if self._role == "client":
            self._flight.clear()
            self._skip_numbers()

    def _skip_numbers(self) -> None:
        """Move OpenSSL past the record numbers that our repeats used: peers drop a second use."""
        for _ in range(self._numbers.surplus):
            self._connection.send(b"\0")
        if self._numbers.surplus:
            self._connection.bio_read(_READ_BYTES)

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:
        super()._validate_peer_identity(remoteParameters)
        if self._state == State.FAILED:
            self._counters["dtls_fingerprint_mismatch"] += 1

    def _setup_srtp(self) -> None:
        """Export the keys (RFC 5764 §4.2) to the engine; no session is made here."""
        selected = self._connection.get_selected_srtp_profile()
        profile = next((p for p in self._srtp_profiles if p.openssl_profile == selected), None)
        if profile is None:
            self._counters["dtls_no_srtp_profile"] += 1
            self._set_state(State.FAILED)
            return
        material = self._connection.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (profile.key_length + profile.salt_length)
        )
        client_key = profile.get_key_and_salt(material, 0)
        server_key = profile.get_key_and_salt(material, 1)
        name = _ENGINE_PROFILES[profile.openssl_profile]
        if self._role == "server":
            self._on_keys(name, client_key, server_key)
        else:
            self._on_keys(name, server_key, client_key)

    async def _recv_next(self) -> None:
        data = await self._inbox.receive(self._next_resend_s())
        if data is None:
            self._resend_flight()
            return
        if not 19 < data[0] < 64:  # RFC 7983; the engine demultiplexes, so this is rare
            self._counters["dtls_not_dtls"] += 1
            return
        if self.encrypted and data[0] == _APPLICATION_DATA:
            # Who sends data has our last flight.
            self._flight.clear()
        self._connection.bio_write(data)
        await self._read_records()

    async def _read_records(self) -> None:
        """Hand over every record of what was just written; one datagram may hold several."""
        while True:
            try:
                data = self._connection.recv(_READ_BYTES)
            except SSL.ZeroReturnError:
                await self._write_ssl()
                raise ConnectionError from None
            except SSL.WantReadError:
                break
            except SSL.Error:
                # Garbage, or an alert; during the handshake the next step reports it as failed.
                self._counters["dtls_record_error"] += 1
                break
            if data and self._data_receiver is not None:
                await self._data_receiver._handle_data(data)
            if self._ssl is None:  # stopped by what was just handled
                raise ConnectionError
        await self._write_ssl()

    async def _send_data(self, data: bytes) -> None:
        # Between the end and the last run of the reader the state still says connected.
        if self._state != State.CONNECTED or self._ssl is None:
            raise ConnectionError("not connected")
        try:
            self._connection.send(data)
        except SSL.Error:  # the peer said goodbye
            raise ConnectionError("not connected") from None
        await self._write_ssl()

    async def _write_ssl(self) -> None:
        pending = b""
        while self._ssl is not None:
            try:
                piece = self._ssl.bio_read(_READ_BYTES)
            except SSL.Error:
                break
            pending += piece
            if len(piece) < _READ_BYTES:
                break
        if not pending:
            return
        records = [self._numbers.take(record) for record in _parse_records(pending)]
        if any(record.kind in (HANDSHAKE, CHANGE_CIPHER_SPEC) for record in records):
            if records != self._flight:
                self._resends = 0
            self._flight = records
            self._send_flight()
        else:
            for datagram in split_flight(pending, self._config.mtu_bytes):
                self._inbox.send(datagram)

    def _send_flight(self) -> None:
        key = None
        if self._role == "client" and any(record.epoch for record in self._flight):
            key = FinishedKey.of_client(self._connection)
        flight = b"".join(self._numbers.number(r, key).to_bytes() for r in self._flight)
        for datagram in split_flight(flight, self._config.mtu_bytes):
            self._inbox.send(datagram)

    def _next_resend_s(self) -> float | None:
        """How long to wait for the peer before the flight is repeated; None = no longer."""
        delays_s = self._config.resend_delays_s
        if not self._flight or not delays_s:
            return None
        if self.encrypted and self._resends >= len(delays_s):
            # Nothing tells a server that its last flight arrived. A client that still lacks it
            # repeats its own, to which OpenSSL answers.
            self._flight.clear()
            return None
        return delays_s[min(self._resends, len(delays_s) - 1)]

    def _resend_flight(self) -> None:
        self._resends += 1
        self._counters["dtls_flight_resent"] += 1
        self._send_flight()

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_state(self.state)

    @property
    def _connection(self) -> SSL.Connection:
        assert self._ssl is not None, "read and written only between start and stop"
        return self._ssl
