"""A DTLS client over datagrams that somebody else carries: just enough to get SRTP keys."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

PROFILES = {
    b"SRTP_AEAD_AES_128_GCM": ("AEAD_AES_128_GCM", 16, 12),
    b"SRTP_AES128_CM_SHA1_80": ("AES_CM_128_HMAC_SHA1_80", 16, 14),
}


class DtlsIdentity:
    """One certificate and TLS context shared by every client of the process."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "load")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_tlsext_use_srtp(b":".join(PROFILES))


class DtlsPeer:
    """One handshake. Feed `handle`, send what it returns."""

    def __init__(self, identity: DtlsIdentity, is_client: bool) -> None:
        self._ssl = SSL.Connection(identity.context)
        self._ssl.set_ciphertext_mtu(1200)
        if is_client:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()
        self._is_client = is_client
        self.done = False

    def handle(self, datagram: bytes | None) -> list[bytes]:
        """Takes a datagram (None to start or after a timeout) and gives datagrams to send."""
        if datagram is not None:
            self._ssl.bio_write(datagram)
        if not self.done:
            try:
                self._ssl.do_handshake()
                self.done = True
            except SSL.WantReadError:
                pass
        return self._pending()

    def handle_timeout(self) -> list[bytes]:
        """Sends the last flight again if it is due."""
        self._ssl.DTLSv1_handle_timeout()
        return self._pending()

    def _pending(self) -> list[bytes]:
        out: list[bytes] = []
        while True:
            try:
                out += _split_records(self._ssl.bio_read(65_536))
            except SSL.WantReadError:
                return out

    def export_keys(self) -> tuple[str, bytes, bytes]:
        """Profile name, key||salt we receive with, key||salt we send with (RFC 5764 §4.2)."""
        name, key_bytes, salt_bytes = PROFILES[self._ssl.get_selected_srtp_profile()]
        material = self._ssl.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (key_bytes + salt_bytes)
        )
        keys = (material[:key_bytes], material[key_bytes : 2 * key_bytes])
        salts = (
            material[2 * key_bytes : 2 * key_bytes + salt_bytes],
            material[2 * key_bytes + salt_bytes :],
        )
        client, server = keys[0] + salts[0], keys[1] + salts[1]
        return (name, server, client) if self._is_client else (name, client, server)


def _split_records(data: bytes) -> list[bytes]:
    """Packs whole records into datagrams of at most 1200 bytes."""
    out: list[bytes] = []
    current = b""
    while len(data) >= 13:
        size = 13 + int.from_bytes(data[11:13], "big")
        record, data = data[:size], data[size:]
        if current and len(current) + len(record) > 1200:
            out.append(current)
            current = b""
        current += record
    return [*out, current] if current else out
