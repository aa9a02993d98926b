"""Message catalogues and the choice of language for one request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

LANGUAGES: tuple[str, ...] = ("zh-CN", "en")
"""Languages with a catalogue; the first is the default."""

COOKIE = "lang"
"""Name of the cookie that keeps the person's choice."""


def load_catalogues() -> dict[str, Mapping[str, str]]:
    """Read every catalogue: language tag → (key → text)."""
    folder = resources.files("web.pages") / "catalogue"
    return {
        tag: MappingProxyType(json.loads((folder / f"{tag}.json").read_text("utf-8")))
        for tag in LANGUAGES
    }


def choose_language(cookie: str | None, accept_language: str) -> str:
    """Pick the language of a page.

    Args:
        cookie: the kept choice, if any; wins when it names a catalogue.
        accept_language: the header of RFC 9110 §12.5.4, perhaps empty.

    Returns:
        One of LANGUAGES. Every Chinese variant gets the Chinese catalogue.
    """
    if cookie in LANGUAGES:
        return cookie
    for tag in _ranked(accept_language):
        primary = tag.partition("-")[0]
        for language in LANGUAGES:
            if primary == language.partition("-")[0]:
                return language
    return LANGUAGES[0]


def _ranked(accept_language: str) -> list[str]:
    """Order language ranges by weight; rubbish ranks last, q=0 is left out."""
    ranges: list[tuple[float, str]] = []
    for part in accept_language.lower().split(",")[:16]:
        tag, _, weight = part.strip().partition(";")
        quality = 1.0
        if weight:
            try:
                quality = float(weight.strip().removeprefix("q="))
            except ValueError:
                quality = 0.001
        if tag and quality > 0:
            ranges.append((quality, tag.strip()))
    return [tag for _, tag in sorted(ranges, key=lambda item: -item[0])]
