"""The local certificate authority: what it signs, what it may not sign, when it renews."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from web.ops.certificates import Certificates, local_names
from web.ops.local_authority import LocalAuthority, names_of
from web.settings.options import OptionError

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NAMES = ["localhost", "192.168.1.5", "::1", "store-pc", "fd00::5"]


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificate_names_the_machine_and_chains_to_the_authority(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    assert authority.ensure(NAMES, NOW)
    server, issuer = load(authority.certificate_path), load(authority.authority_path)
    assert names_of(server) == set(NAMES)
    server.verify_directly_issued_by(issuer)
    lifetime = server.not_valid_after_utc - server.not_valid_before_utc
    assert lifetime <= datetime.timedelta(days=398)
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_nothing_changes_until_something_must(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    before = authority.certificate_path.read_bytes()
    assert not authority.ensure(NAMES[:2], NOW + datetime.timedelta(days=300))
    assert authority.certificate_path.read_bytes() == before


def test_a_new_address_needs_a_new_certificate_but_the_same_authority(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    issuer = authority.authority_path.read_bytes()
    assert authority.ensure([*NAMES, "10.0.0.9"], NOW)
    assert "10.0.0.9" in names_of(load(authority.certificate_path))
    assert authority.authority_path.read_bytes() == issuer


def test_the_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    issuer = authority.authority_path.read_bytes()
    assert authority.ensure(NAMES, NOW + datetime.timedelta(days=380))
    assert authority.authority_path.read_bytes() == issuer
    assert authority.ensure(NAMES, NOW + datetime.timedelta(days=3640))
    assert authority.authority_path.read_bytes() != issuer


def test_the_authority_can_speak_for_local_names_only(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    issuer = load(authority.authority_path)
    constraints = issuer.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    assert x509.DNSName("store-pc") in permitted
    assert not any(isinstance(p, x509.DNSName) and p.value in ("", "com") for p in permitted)
    basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    # A public address is allowed one by one, and needs an authority that names it.
    assert authority.ensure([*NAMES, "203.0.113.9"], NOW)
    assert load(authority.authority_path) != issuer


def test_damaged_files_are_made_again(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    authority.certificate_path.write_text("damaged")
    assert authority.ensure(NAMES, NOW)
    authority.authority_path.unlink()
    assert authority.ensure(NAMES, NOW)


def test_context_loads_and_reloads(tmp_path: Path) -> None:
    certificates = Certificates("self", tmp_path, ["192.168.1.5"])
    assert certificates.is_local
    assert len(certificates.operations()) == 1
    (tmp_path / "tls" / "server.crt").write_text("half written")
    certificates.refresh()
    assert certificates.context.cert_store_stats()["x509"] == 0


def test_given_files_are_taken_and_mistakes_said(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    pair = f"{authority.certificate_path},{authority.key_path}"
    certificates = Certificates(pair, tmp_path, [])
    assert not certificates.is_local
    assert certificates.operations() == []
    assert isinstance(certificates.context, ssl.SSLContext)
    for wrong in (
        f"{tmp_path}/none.pem,{authority.key_path}",
        f"{authority.certificate_path},{tmp_path}/ca.key",
    ):
        with pytest.raises(OptionError, match="cannot use"):
            Certificates(wrong, tmp_path, [])


def test_an_encrypted_key_is_refused_without_asking(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    authority = LocalAuthority(tmp_path)
    authority.ensure(NAMES, NOW)
    authority.key_path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(OptionError, match="cannot use"):
        Certificates(f"{authority.certificate_path},{authority.key_path}", tmp_path, [])


def test_local_names_hold_every_way_to_this_machine() -> None:
    names = local_names(["192.168.1.5"])
    assert {"localhost", "127.0.0.1", "::1", "192.168.1.5"} <= set(names)
