"""What the terminal shows when the server is up: addresses, a phone link and its QR code."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TextIO

import segno


@dataclass(frozen=True, slots=True)
class Welcome:
    """What to tell the person who started the server."""

    host_url: str
    host_link: str
    host_key_file: str
    phone_url: str
    room_title: str
    is_https: bool
    is_local_certificate: bool
    data_dir: str


def print_welcome(welcome: Welcome, stream: TextIO) -> None:
    """Print it.

    The host link goes to a terminal only: output that is kept (a journal, a container's log)
    names the file that holds the key instead. The phone link is an invitation that expires.
    """
    is_kept = not stream.isatty()
    lines = [
        "",
        "  Aislecast is running.",
        "",
        f"  HQ      {welcome.host_url if is_kept else welcome.host_link}",
        *([f"          (host key in {welcome.host_key_file})"] if is_kept else []),
        f"  Phone   {welcome.phone_url}",
        f"          ({welcome.room_title}; valid for 7 days)",
    ]
    if not welcome.is_https:
        lines += [
            "",
            "  Phones lend camera and microphone to HTTPS pages only: start with --tls self",
            "  (a certificate made here) or --tls cert.pem,key.pem. This machine needs neither.",
        ]
    elif welcome.is_local_certificate:
        lines += [
            "",
            "  The certificate was made here, so phones warn once:",
            "    Android  Advanced > Proceed",
            "    iPhone   Show Details > visit this website; if the call does not start, open",
            "             /local-ca.crt, install the profile, then switch it on under",
            "             Settings > General > About > Certificate Trust Settings",
        ]
    lines += ["", f"  Data in {welcome.data_dir}. Ctrl-C stops.", ""]
    if _shows_blocks(stream):
        lines.insert(-2, qr_text(welcome.phone_url))
    stream.write("\n".join(lines) + "\n")
    stream.flush()


def qr_text(url: str) -> str:
    """Return a QR code of half blocks, for a terminal of any colours."""
    text = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=text, compact=True, border=2)
    return text.getvalue()


def _shows_blocks(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"
