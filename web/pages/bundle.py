"""A page's ES modules in one file, so that a lossy line has one request to lose, not forty.

The modules stay what they are: separate files without a build step, each served by itself too. What
they have in common is what makes this simple: named imports and exports only, no circles, nothing
exported that changes later. What is written otherwise is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

__all__ = ["BundleError", "bundle"]

_IMPORT: Final = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"(\.{1,2}/[^"]+)";', re.MULTILINE)
_EXPORT: Final = re.compile(
    r"^export ((?:async )?function\*?|class|const)(\s+)([\w$]+)", re.MULTILINE
)
_UNKNOWN: Final = re.compile(r"^\s*(?:import|export)\b.*|^await\b.*", re.MULTILINE)
# Comments that have lines of their own; nearly half of the text.
_COMMENT: Final = re.compile(
    r"^[ \t]*/\*\*(?:(?!\*/).)*\*/[ \t]*\n|^[ \t]*//[^\n]*\n", re.MULTILINE | re.DOTALL
)


class BundleError(ValueError):
    """A module is written in a way that cannot be joined."""


def bundle(read: Callable[[str], str], entry: str) -> str:
    """Join a module and all it imports.

    Args:
        read: returns a module's text by its name, such as ``js/room/main.js``.
        entry: the name of the first module.

    Returns:
        The text of one module: each of its parts in a function of its own, after those it needs. It
        exports what the first module does.

    Raises:
        BundleError: a circle, or a form of import or export that is not known here.
    """
    places: dict[str, int] = {}
    parts: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise BundleError(f"{name} imports itself by way of {above[-1]}")
        if name in places:
            return
        text = read(name)
        for _, target in _IMPORT.findall(text):
            add(_resolve(name, target), (*above, name))
        places[name] = len(parts)
        parts.append(_wrap(name, text, places))

    add(entry, ())
    names = ", ".join(found[3] for found in _EXPORT.finditer(read(entry)))
    return "".join(parts) + (
        f"export const {{ {names} }} = part{places[entry]};\n" if names else ""
    )


def _wrap(name: str, text: str, places: dict[str, int]) -> str:
    def bring(found: re.Match[str]) -> str:
        names = ", ".join(one.strip().replace(" as ", ": ") for one in found[1].split(","))
        return f"const {{ {names.rstrip(', ')} }} = part{places[_resolve(name, found[2])]};"

    exported = ", ".join(found[3] for found in _EXPORT.finditer(text))
    text = _COMMENT.sub("", text)
    text = _EXPORT.sub(r"\1\2\3", _IMPORT.sub(bring, text))
    if found := _UNKNOWN.search(text):
        raise BundleError(f"{name}: {found[0].strip()}")
    place = places[name]
    return f"// {name}\nconst part{place} = (() => {{\n{text}\nreturn {{ {exported} }};\n}})();\n"


def _resolve(importer: str, target: str) -> str:
    """Resolve a relative import against the module that holds it."""
    parts: list[str] = list(PurePosixPath(importer).parent.parts)
    for step in PurePosixPath(target).parts:
        if step == "..":
            parts.pop()
        elif step != ".":
            parts.append(step)
    return "/".join(parts)
