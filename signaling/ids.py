"""Session identifiers: a two-letter prefix that clients check, and 71 random bits."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["SidMaker"]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 12


class SidMaker:
    """Makes `PA_…`, `RM_…`, `TR_…` and `EV_…` identifiers from a source of random bytes."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        """Takes the source of randomness."""
        self._token_bytes = token_bytes

    def make(self, prefix: str, hint: str = "") -> str:
        """A new identifier. `hint` follows the underscore and is meant for human readers."""
        number = int.from_bytes(self._token_bytes(9), "big")
        letters = []
        for _ in range(_LENGTH - len(hint)):
            number, index = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[index])
        return f"{prefix}_{hint}{''.join(letters)}"
