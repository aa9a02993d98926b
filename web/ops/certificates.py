"""The TLS context of the HTTP port: from `--tls`, renewed and reloaded while the server runs."""

from __future__ import annotations

import asyncio
import datetime
import re
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from web.http.operations import Operation
from web.ops.local_authority import LocalAuthority
from web.settings.options import OptionError

log = structlog.get_logger("web.tls")

LOOK_EVERY_S: Final = 60.0
HOST_NAME: Final = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")


class Certificates:
    """Holds the TLS context; `watch` keeps its certificate fresh. New handshakes use it at once."""

    def __init__(self, tls: str, data_dir: Path, addresses: Iterable[str]) -> None:
        """Load or make the certificate.

        Args:
            tls: `self`, or certificate file and key file with a comma between.
            data_dir: where the local authority lives.
            addresses: what the local certificate must be good for.

        Raises:
            OptionError: the files cannot be used.
        """
        self._authority: LocalAuthority | None = None
        if tls == "self":
            self._authority = LocalAuthority(data_dir / "tls")
            self._names = local_names(addresses)
            self._authority.ensure(self._names, datetime.datetime.now(datetime.UTC))
            self._files = (self._authority.certificate_path, self._authority.key_path)
        else:
            certificate, key = tls.split(",")
            self._files = (Path(certificate), Path(key))
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded = self._stamp()
        try:
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a matching PEM certificate and key"
            raise OptionError(
                f"cannot use {' and '.join(map(str, self._files))}: {reason}"
            ) from None

    @property
    def is_local(self) -> bool:
        """Whether the certificate was made here."""
        return self._authority is not None

    async def watch(self) -> None:
        """Renew and reload until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Renew the local certificate if it ends soon; load files that have changed."""
        if self._authority is not None:
            self._authority.ensure(self._names, datetime.datetime.now(datetime.UTC))
        stamp = self._stamp()
        if stamp == self._loaded:
            return
        try:
            # A half-written pair fails here and the old one stays; the next look tries again.
            probe = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            probe.load_cert_chain(*self._files, password=_no_password)
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError):
            log.warning("certificate_not_loaded", file=str(self._files[0]))
            return
        self._loaded = stamp
        log.info("certificate_loaded", file=str(self._files[0]))

    def operations(self) -> list[Operation]:
        """Return the route that hands out the local authority; none with a bought certificate."""
        if self._authority is None:
            return []
        return [
            Operation(
                "GET",
                "/local-ca.crt",
                self.handle_authority,
                "The local certificate authority, for phones to trust (with --tls self)",
                "operations",
                access="anyone",
                answers={200: "application/x-x509-ca-cert"},
            )
        ]

    async def handle_authority(self, _request: web.Request) -> web.Response:
        """Answer with the authority's certificate, which is public."""
        assert self._authority is not None
        body = await asyncio.to_thread(self._authority.authority_path.read_bytes)
        return web.Response(body=body, content_type="application/x-x509-ca-cert")

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        try:
            return tuple((s.st_mtime_ns, s.st_size) for s in (f.stat() for f in self._files))
        except OSError:
            return ()


def local_names(addresses: Iterable[str]) -> list[str]:
    """Return what people may type to reach this machine: its addresses, its name, localhost."""
    names = {"localhost", "127.0.0.1", "::1", *addresses}
    host_name = socket.gethostname().lower()
    if HOST_NAME.match(host_name) and not host_name.replace(".", "").isdigit():
        names |= {host_name, f"{host_name.split('.')[0]}.local"}
    return sorted(names)


def _no_password() -> str:
    # Without this OpenSSL asks on the terminal and the start hangs.
    raise ValueError("the key is encrypted; give one without a password")
