"""Secrets the server makes for itself, in files that only their owner can read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from web.settings.options import MIN_SECRET_CHARS, ApiKey, OptionError, parse_key

API_KEY_FILE = "api-key"
HOST_KEY_FILE = "host-key"
SEAL_KEY_FILE = "seal-key"


def prepare_data_dir(path: Path) -> None:
    """Make the data directory, readable by its owner only.

    Raises:
        OptionError: it cannot be made or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"cannot make the data directory {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise OptionError(f"cannot write to the data directory {path}")


def load_api_key(data_dir: Path) -> ApiKey:
    """Return the key made at the first start."""

    def make() -> str:
        return f"AC{secrets.token_hex(6)}:{secrets.token_urlsafe(36)}"

    try:
        return parse_key(_read_or_make(data_dir / API_KEY_FILE, make))
    except ValueError as error:
        raise OptionError(f"{data_dir / API_KEY_FILE} {error}") from None


def load_host_key(data_dir: Path) -> str:
    """Return the key that lets a host in; removing the file makes a new one and signs all out."""
    return _read_or_make(data_dir / HOST_KEY_FILE, lambda: secrets.token_urlsafe(18))


def load_turn_secret(path: str) -> str:
    """Return the secret shared with the TURN server; empty where none is used.

    Raises:
        OptionError: the file cannot be read, or holds too little. Its content is not repeated.
    """
    if not path:
        return ""
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise OptionError(f"turn_secret_file {path} is not a text") from None
    except OSError as error:
        raise OptionError(f"cannot read turn_secret_file {path}: {error.strerror}") from None
    if len(secret) < MIN_SECRET_CHARS or len(secret.split()) != 1:
        raise OptionError(
            f"turn_secret_file {path} wants one secret of at least {MIN_SECRET_CHARS} characters"
        )
    return secret


def load_seal_key(data_dir: Path) -> bytes:
    """Return the key that seals what is kept for later use, such as camera addresses."""
    text = _read_or_make(data_dir / SEAL_KEY_FILE, lambda: secrets.token_hex(32))
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise OptionError(f"{data_dir / SEAL_KEY_FILE} is damaged; restore it") from None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError):
        raise OptionError(f"cannot read {path}") from None
    if not text:
        text = make()
        write_private(path, text.encode("ascii") + b"\n")
    return text
