"""`--tls self`: a certificate authority of this machine and a server certificate from it.

An authority rather than one self-signed certificate, because iPhones open WebSockets only to a
host whose certificate chains to an authority the owner trusts. Its name constraints keep it
harmless: even if its key were stolen it could speak for private addresses only.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from web.settings.secret_files import write_private

AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 397  # Apple refuses server certificates that live longer than 398 days
RENEW_DAYS: Final = 30
PRIVATE_NETWORKS: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
LOCAL_DOMAINS: Final = ("localhost", "local", "lan", "internal", "home.arpa")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class LocalAuthority:
    """Keeps `ca.crt`, `ca.key`, `server.crt` and `server.key` in one directory."""

    def __init__(self, directory: Path) -> None:
        """Take the directory."""
        self._directory = directory
        self.authority_path = directory / "ca.crt"
        self.certificate_path = directory / "server.crt"
        self.key_path = directory / "server.key"
        self._authority_key_path = directory / "ca.key"

    def ensure(self, names: Iterable[str], now: datetime.datetime) -> bool:
        """Make what is missing, about to expire, or lacks a name; tells whether anything changed.

        Args:
            names: IP addresses and host names the server is reached at.
            now: the time, with zone.
        """
        wanted = sorted(set(names))
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = self._load(self.authority_path)
        needs_authority = (
            authority is None
            or not self._authority_key_path.exists()
            or _ends_soon(authority, now)
            or not _may_name(authority, wanted)
        )
        if needs_authority:
            authority = self._make_authority(wanted, now)
        assert authority is not None
        server = self._load(self.certificate_path)
        if (
            not needs_authority
            and server is not None
            and self.key_path.exists()
            and not _ends_soon(server, now)
            and set(wanted) <= names_of(server)
        ):
            return False
        self._make_server(authority, wanted, now)
        return True

    def _load(self, path: Path) -> x509.Certificate | None:
        try:
            return x509.load_pem_x509_certificate(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _make_authority(self, names: list[str], now: datetime.datetime) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"Aislecast local {now:%Y-%m-%d}")]
        )
        certificate = (
            _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .add_extension(_constraints(names), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        write_private(self._authority_key_path, _key_pem(key))
        write_private(self.authority_path, certificate.public_bytes(serialization.Encoding.PEM))
        return certificate

    def _make_server(
        self, authority: x509.Certificate, names: list[str], now: datetime.datetime
    ) -> None:
        authority_key = serialization.load_pem_private_key(
            self._authority_key_path.read_bytes(), password=None
        )
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Aislecast")])
        certificate = (
            _builder(subject, authority.subject, key.public_key(), now, SERVER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                critical=False,
            )
            .sign(authority_key, hashes.SHA256())
        )
        write_private(self.key_path, _key_pem(key))
        pem = serialization.Encoding.PEM
        chain = certificate.public_bytes(pem) + authority.public_bytes(pem)
        write_private(self.certificate_path, chain)


def names_of(certificate: x509.Certificate) -> set[str]:
    """Return the names a server certificate is good for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = [str(ip) for ip in found.get_values_for_type(x509.IPAddress)]
    return {*found.get_values_for_type(x509.DNSName), *addresses}


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # Phones' clocks may be behind.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days - 1))
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(names: list[str]) -> x509.NameConstraints:
    """Allow private networks, local domains, and exactly the names of this machine."""
    networks = [ipaddress.ip_network(network) for network in PRIVATE_NETWORKS]
    permitted: list[x509.GeneralName] = [x509.IPAddress(network) for network in networks]
    permitted += [x509.DNSName(domain) for domain in LOCAL_DOMAINS]
    for name in names:
        address = _address(name)
        if address is None:
            if not _in_domains(name, LOCAL_DOMAINS):
                permitted.append(x509.DNSName(name))
        elif not any(address in network for network in networks):
            permitted.append(x509.IPAddress(ipaddress.ip_network(address)))
    return x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)


def _may_name(authority: x509.Certificate, names: list[str]) -> bool:
    try:
        found = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    domains: list[str] = []
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for permitted in found.permitted_subtrees or []:
        if isinstance(permitted, x509.DNSName):
            domains.append(permitted.value)
        elif isinstance(permitted, x509.IPAddress) and isinstance(
            permitted.value, ipaddress.IPv4Network | ipaddress.IPv6Network
        ):
            networks.append(permitted.value)
    for name in names:
        address = _address(name)
        if address is None and not _in_domains(name, domains):
            return False
        if address is not None and not any(address in network for network in networks):
            return False
    return True


def _in_domains(name: str, domains: Iterable[str]) -> bool:
    return any(name == domain or name.endswith("." + domain) for domain in domains)


def _ends_soon(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_after_utc - now < datetime.timedelta(days=RENEW_DAYS)


def _address(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _general(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
