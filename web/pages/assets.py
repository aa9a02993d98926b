"""Static files under one digest, so that browsers may keep them for ever.

Weak networks pay dearly for every conditional request. All files share one digest in the path
(`/static/<digest>/js/…`): relative imports between ES modules carry it along, and any change gives
every file a new address.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path, PurePosixPath

from aiohttp import web

_IMPORT = re.compile(r"""^\s*(?:import|export)\b[^"';]*["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)
_FOREVER = "public, max-age=31536000, immutable"
_TEXT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Assets:
    """The static folder as read at start."""

    def __init__(self, folder: Path) -> None:
        """Read the folder once to learn its files and their digest."""
        self._folder = folder
        digest = hashlib.sha256()
        names: list[str] = []
        self._packed: dict[str, bytes] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                names.append(name)
                data = path.read_bytes()
                digest.update(name.encode() + b"\0" + data)
                if path.suffix in _TEXT_TYPES:
                    # Packed once here: packing 600 kB per request would stall the event loop.
                    self._packed[name] = gzip.compress(data, mtime=0)
        self._names = frozenset(names)
        self.digest = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Return the address of a file; an unknown name is a mistake in a template."""
        if name not in self._names:
            raise KeyError(f"no static file {name!r}")
        return f"/static/{self.digest}/{name}"

    def modules(self, entry: str) -> list[str]:
        """Return the addresses of an ES module and all it imports, each once, entry first.

        The page preloads them, which turns a chain of round trips into one.
        """
        seen = [entry]
        for name in seen:
            text = (self._folder / name).read_text("utf-8")
            for target in _IMPORT.findall(text):
                found = _resolve(name, target)
                if found not in seen:
                    seen.append(found)
        return [self.url(name) for name in seen]

    def inline(self, name: str) -> str:
        """Return a file's text, for what is part of every page (the icon sprite)."""
        return (self._folder / name).read_text("utf-8")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one file. An old digest gets the present file, but not for ever."""
        name = request.match_info["name"]
        if name not in self._names:
            raise web.HTTPNotFound
        is_current = request.match_info["digest"] == self.digest
        headers = {
            "Cache-Control": _FOREVER if is_current else "no-cache",
            "Content-Type": _content_type(name),
            "X-Content-Type-Options": "nosniff",
        }
        if name not in self._packed:
            return web.FileResponse(self._folder / name, headers=headers)
        headers["Vary"] = "Accept-Encoding"
        body = self._packed[name]
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
        return web.Response(body=body, headers=headers)


def _content_type(name: str) -> str:
    """Return the media type of a file, with its charset where it is text."""
    suffix = PurePosixPath(name).suffix
    if suffix in _TEXT_TYPES:
        return f"{_TEXT_TYPES[suffix]}; charset=utf-8"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _resolve(importer: str, target: str) -> str:
    """Resolve a relative import against the module that holds it."""
    parts: list[str] = list(PurePosixPath(importer).parent.parts)
    for step in PurePosixPath(target).parts:
        if step == "..":
            parts.pop()
        elif step != ".":
            parts.append(step)
    return "/".join(parts)
