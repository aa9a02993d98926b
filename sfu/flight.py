"""Flights of a DTLS 1.2 handshake that can be sent again, as often and as early as we like.

OpenSSL repeats a flight after 1, 2, 4 … seconds and offers Python no way to change that. The same
bytes sent again would do for a peer that missed them. They do not for one that has them and whose
answer was lost: it drops them as a replay, and a server repeats its last flight only when it hears
the client's Finished anew (RFC 6347 §4.2.4). So every repeat gets record numbers of its own.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

__all__ = ["FinishedKey", "FlightNumbers", "Record", "parse_records"]

HANDSHAKE = 22
CHANGE_CIPHER_SPEC = 20
_HEADER_BYTES = 13
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 8, 16  # RFC 5288 §3
# Cipher suites whose records can be made anew: (part of the name, key length, hash of the PRF).
_GCM_SUITES = (("AES128-GCM-SHA256", 16, "sha256"), ("AES256-GCM-SHA384", 32, "sha384"))


class Record(NamedTuple):
    """One DTLS record. ``seq`` is the 48-bit number within ``epoch``."""

    kind: int
    version: bytes
    epoch: int
    seq: int
    payload: bytes

    def to_bytes(self) -> bytes:
        """As on the wire."""
        number = self.epoch.to_bytes(2, "big") + self.seq.to_bytes(6, "big")
        size = len(self.payload).to_bytes(2, "big")
        return bytes([self.kind]) + self.version + number + size + self.payload


def parse_records(data: bytes) -> Iterator[Record]:
    """Split what OpenSSL wrote into records; a torn last one is left out."""
    start = 0
    while start + _HEADER_BYTES <= len(data):
        end = start + _HEADER_BYTES + int.from_bytes(data[start + 11 : start + 13], "big")
        if end > len(data):
            return
        yield Record(
            data[start],
            data[start + 1 : start + 3],
            int.from_bytes(data[start + 3 : start + 5], "big"),
            int.from_bytes(data[start + 5 : start + 11], "big"),
            data[start + _HEADER_BYTES : end],
        )
        start = end


class FinishedKey:
    """What a client's encrypted Finished can be written with a second time."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        """Takes the client's write key and its fixed part of the nonce."""
        self._cipher = AESGCM(key)
        self._salt = salt

    @classmethod
    def of_client(cls, connection: SSL.Connection) -> FinishedKey | None:
        """Derive it once the connection has keys (RFC 5246 §6.3); None for another cipher."""
        name = connection.get_cipher_name() or ""
        suite = next((suite for suite in _GCM_SUITES if name.endswith(suite[0])), None)
        secret = connection.master_key()
        ours, theirs = connection.client_random(), connection.server_random()
        if suite is None or not secret or ours is None or theirs is None:
            return None
        _, key_bytes, hash_name = suite
        size = 2 * key_bytes + 2 * _SALT_BYTES
        block = _prf(secret, b"key expansion" + theirs + ours, size, hash_name)
        return cls(block[:key_bytes], block[2 * key_bytes : 2 * key_bytes + _SALT_BYTES])

    def renumber(self, record: Record, seq: int) -> Record | None:
        """Encrypt the content of a record under another number; None if it is not ours."""
        nonce, sealed = record.payload[:_NONCE_BYTES], record.payload[_NONCE_BYTES:]
        size = len(sealed) - _TAG_BYTES
        if size < 0:
            return None
        try:
            plain = self._cipher.decrypt(self._salt + nonce, sealed, _context(record, size))
        except InvalidTag:
            return None
        # OpenSSL counts its nonces up from a random start; a random one meets none of them.
        nonce = os.urandom(_NONCE_BYTES)
        anew = record._replace(seq=seq)
        sealed = self._cipher.encrypt(self._salt + nonce, plain, _context(anew, size))
        return anew._replace(payload=nonce + sealed)


class FlightNumbers:
    """Numbers the records of our side of a handshake.

    Attributes:
        surplus: encrypted records sent beyond those that OpenSSL made. It has to be moved past
            their numbers before it encrypts anything else.
    """

    def __init__(self) -> None:
        """Begins with record 0 of epoch 0."""
        self._next_plain = 0
        self._next_sealed = 0
        self._num_sealed_by_openssl = 0

    @property
    def surplus(self) -> int:
        """See the class."""
        return max(0, self._next_sealed - self._num_sealed_by_openssl)

    def take(self, record: Record) -> Record:
        """Note a record that OpenSSL made."""
        if record.epoch > 0:
            self._num_sealed_by_openssl = max(self._num_sealed_by_openssl, record.seq + 1)
        return record

    def number(self, record: Record, key: FinishedKey | None) -> Record:
        """Return the record as it is to be sent now, the first time or again."""
        if record.epoch == 0:
            record = record._replace(seq=self._next_plain)
            self._next_plain += 1
            return record
        if record.epoch > 1 or record.kind != HANDSHAKE:
            return record
        if record.seq >= self._next_sealed:
            self._next_sealed = record.seq + 1
            return record
        anew = key.renumber(record, self._next_sealed) if key is not None else None
        if anew is None:
            return record
        self._next_sealed += 1
        return anew


def _context(record: Record, size: int) -> bytes:
    """The additional data of RFC 5246 §6.2.3.3, with the DTLS number of RFC 6347 §4.1.2.1."""
    number = record.epoch.to_bytes(2, "big") + record.seq.to_bytes(6, "big")
    return number + bytes([record.kind]) + record.version + size.to_bytes(2, "big")


def _prf(secret: bytes, seed: bytes, size: int, hash_name: str) -> bytes:
    """P_hash of RFC 5246 §5."""
    output = b""
    link = seed
    while len(output) < size:
        link = hmac.digest(secret, link, hash_name)
        output += hmac.digest(secret, link + seed, hash_name)
    return output[:size]
