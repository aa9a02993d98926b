"""Every option of the server, once: flag, environment variable, file key, default and meaning.

The command line, the environment, the TOML file and the documentation are all read from
`OPTIONS`, so none of them can know an option that another does not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_TURN_URL: Final = re.compile(
    r"(turns?|stuns?):(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:(?P<port>\d{1,5}))?"
    r"(?P<transport>\?transport=(udp|tcp))?"
)
ENV_PREFIX: Final = "AISLECAST_"
MIN_SECRET_CHARS: Final = 32
"""HS256 with a shorter secret can be searched by brute force (RFC 7518 §3.2: key ≥ hash)."""


class OptionError(Exception):
    """An option is unknown or senseless; the text is for the person at the keyboard."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key and the secret that signs its tokens."""

    key: str
    secret: str

    def __repr__(self) -> str:
        """Leave the secret out: this may end up in a log or a traceback."""
        return f"ApiKey({self.key!r})"


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    `parse` turns a text (flag, variable) or a TOML value into the typed value and raises
    `ValueError` with the reason. An option with `is_list` is given several times as a flag,
    separated by commas or spaces in the environment, and as an array in the file.
    """

    name: str
    parse: Callable[[Any], Any]
    default: Any
    meaning: str
    metavar: str = ""
    is_list: bool = False
    is_switch: bool = False

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()


def parse_text(value: Any) -> str:
    """Take a non-empty text."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("wants a text")
    return value.strip()


def parse_port(value: Any) -> int:
    """Take a port number; 0 lets the system choose."""
    try:
        port = -1 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        port = -1
    if not 0 <= port <= 65535:
        raise ValueError("wants a port number from 0 to 65535")
    return port


def parse_switch(value: Any) -> bool:
    """Take a yes or a no."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("wants true or false")


def parse_address(value: Any) -> str:
    """Take an IP address."""
    try:
        return str(ipaddress.ip_address(str(value).strip()))
    except ValueError:
        raise ValueError("wants an IP address") from None


def parse_network(value: Any) -> str:
    """Take an IP network, for example 10.1.0.0/16."""
    try:
        return str(ipaddress.ip_network(str(value).strip(), strict=False))
    except ValueError:
        raise ValueError("wants a network such as 10.1.0.0/16") from None


def parse_url(value: Any) -> str:
    """Take an http or https address without a trailing slash."""
    text = parse_text(value)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("wants an address that starts with http:// or https://")
    return text.rstrip("/")


def parse_turn_url(value: Any) -> str:
    """Take a TURN or STUN address (RFC 7065, RFC 7064)."""
    text = parse_text(value)
    found = _TURN_URL.fullmatch(text)
    if found is None or (found["port"] and not 0 < int(found["port"]) <= 65535):
        raise ValueError("wants an address such as turn:turn.example.com:3478?transport=udp")
    if text.startswith("stun") and found["transport"]:
        raise ValueError("wants no transport in a STUN address")
    return text


def parse_key(value: Any) -> ApiKey:
    """Take KEY:SECRET; the message of a mistake never repeats the value."""
    key, separator, secret = str(value).strip().partition(":")
    if not separator or not key.strip() or not secret.strip():
        raise ValueError("wants KEY:SECRET")
    if len(secret.strip()) < MIN_SECRET_CHARS:
        raise ValueError(f"wants a secret of at least {MIN_SECRET_CHARS} characters")
    return ApiKey(key.strip(), secret.strip())


def parse_tls(value: Any) -> str:
    """Take `self`, or a certificate file and a key file with a comma between them."""
    text = parse_text(value)
    if text == "self":
        return text
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise ValueError("wants `self` or `cert.pem,key.pem`")
    return ",".join(parts)


def one_of(*words: str) -> Callable[[Any], str]:
    """Return a parser that takes one of some words."""

    def parse(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError("wants one of " + ", ".join(words))
        return word

    return parse


OPTIONS: Final[tuple[Option, ...]] = (
    Option("host", parse_text, "0.0.0.0", "address the pages and the API listen on", "H"),
    Option("port", parse_port, 7880, "HTTP port: pages, /rtc, /twirp, /whip, /api", "PORT"),
    Option("rtc_port", parse_port, 7882, "UDP port for all media", "PORT"),
    Option("rtc_tcp_port", parse_port, 7881, "TCP port for media where UDP is blocked", "PORT"),
    Option(
        "turn_url",
        parse_turn_url,
        (),
        "TURN server for networks that let neither media port through",
        "URL",
        is_list=True,
    ),
    Option(
        "turn_secret_file",
        parse_text,
        "",
        "file with the secret shared with the TURN server (coturn: static-auth-secret)",
        "FILE",
    ),
    Option(
        "node_ip",
        parse_address,
        "",
        "address clients reach this machine at, if not one of its own (behind NAT)",
        "IP",
    ),
    Option(
        "key",
        parse_key,
        (),
        "API key and secret; keep it in the file or the environment, as other users of the "
        "machine can read a command line (default: one made at the first start)",
        "KEY:SECRET",
        is_list=True,
    ),
    Option("data", parse_text, "data", "directory for the database, keys and recordings", "DIR"),
    Option(
        "tls",
        parse_tls,
        "",
        "`self` makes a local certificate, `cert.pem,key.pem` takes one; phones need HTTPS",
        "self|CERT,KEY",
    ),
    Option("demo", parse_switch, False, "open a demonstration store", is_switch=True),
    Option(
        "public_url",
        parse_url,
        "",
        "address people use, for links and QR codes (default: this machine's own)",
        "URL",
    ),
    Option(
        "behind_proxy",
        parse_switch,
        False,
        "take the caller's address and scheme from X-Forwarded-For and -Proto",
        is_switch=True,
    ),
    Option("webhook_url", parse_url, (), "where events are posted, signed", "URL", is_list=True),
    Option(
        "camera_network",
        parse_network,
        (),
        "network cameras may be in (default: any but this machine itself and link-local)",
        "CIDR",
        is_list=True,
    ),
    Option(
        "log_format", one_of("auto", "json", "console"), "auto", "auto, json or console", "FORMAT"
    ),
    Option(
        "log_level",
        one_of("debug", "info", "warning", "error"),
        "info",
        "debug, info, warning or error",
        "LEVEL",
    ),
)
