"""Static files under one digest, so that browsers may keep them for ever.

Weak networks pay dearly for every conditional request. All files share one digest in the path
(`/static/<digest>/js/…`): relative imports between ES modules carry it along, and any change gives
every file a new address.

The style sheets of a page come as one (`css/tokens+base+desk.css`): they hold up the first paint,
and each further request would be a further connection, whose first packets may be lost.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aiohttp import web

_IMPORT = re.compile(r"""^\s*(?:import|export)\b[^"';]*["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)
_FOREVER = "public, max-age=31536000, immutable"
_TEXT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_MAX_SHEETS = 12
_BROTLI_SUFFIX = ".br"


class Assets:
    """The static folder as read at start."""

    def __init__(self, folder: Path) -> None:
        """Read the folder once to learn its files and their digest."""
        self._folder = folder
        digest = hashlib.sha256()
        names: list[str] = []
        self._packed: dict[str, bytes] = {}
        self._smaller: dict[str, bytes] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                data = path.read_bytes()
                digest.update(name.encode() + b"\0" + data)
                if path.suffix == _BROTLI_SUFFIX:
                    self._smaller[name.removesuffix(_BROTLI_SUFFIX)] = data
                    continue
                names.append(name)
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

    def sheet(self, names: Sequence[str]) -> str:
        """Return the address of several style sheets in one."""
        for name in names:
            self.url(f"css/{name}.css")
        return f"/static/{self.digest}/css/{'+'.join(names)}.css"

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
        sheet = self._join_sheets(name) if "+" in name else None
        if name not in self._names and sheet is None:
            raise web.HTTPNotFound
        is_current = request.match_info["digest"] == self.digest
        headers = {
            "Cache-Control": _FOREVER if is_current else "no-cache",
            "Content-Type": _content_type(name),
            "X-Content-Type-Options": "nosniff",
        }
        body = sheet if sheet is not None else self._packed.get(name)
        if body is None:
            return web.FileResponse(self._folder / name, headers=headers)
        headers["Vary"] = "Accept-Encoding"
        accepted = _read_encodings(request.headers.get("Accept-Encoding", ""))
        if "br" in accepted and name in self._smaller:
            headers["Content-Encoding"] = "br"
            body = self._smaller[name]
        elif "gzip" in accepted:
            headers["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
        return web.Response(body=body, headers=headers)

    def _join_sheets(self, name: str) -> bytes | None:
        """Pack several style sheets as one; None where one of them is unknown."""
        names = name.removeprefix("css/").removesuffix(".css").split("+")
        files = [f"css/{one}.css" for one in names]
        if len(files) > _MAX_SHEETS or not self._names.issuperset(files):
            return None
        # Packed again each time: 40 kB take a millisecond, and a browser asks once.
        return gzip.compress(b"".join(gzip.decompress(self._packed[file]) for file in files))


def _read_encodings(header: str) -> frozenset[str]:
    """Return what a browser can unpack; browsers send no weights here."""
    return frozenset(part.partition(";")[0].strip() for part in header.split(","))


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
