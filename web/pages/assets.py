"""Static files under one digest, so that browsers may keep them for ever.

Weak networks pay dearly for every conditional request. All files share one digest in the path
(`/static/<digest>/js/…`): relative imports between ES modules carry it along, and any change gives
every file a new address.

Others' code, the largest file by far, has a digest of its own: a new version of ours leaves it in
the browsers that have it.

Each request is one more to be lost, and a browser waits twice as long after each loss. So the style
sheets of a page come as one (`css/tokens+base+desk.css`), and its modules, too
(`bundle/js/room/main.js`, see `bundle.py`).
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aiohttp import web

from web.pages import bundle

_FOREVER = "public, max-age=31536000, immutable"
_TEXT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_MAX_SHEETS = 12
_BROTLI_SUFFIX = ".br"
_BUNDLE = "bundle/"
_VENDORED = "vendor/"
_OURS = re.compile(r"js/.+\.js")


class Assets:
    """The static folder as read at start."""

    def __init__(self, folder: Path) -> None:
        """Read the folder once to learn its files and their digest."""
        self._folder = folder
        # How files are joined is part of what browsers keep.
        digest = hashlib.sha256(Path(bundle.__file__).read_bytes())
        names: list[str] = []
        self._own_digests: dict[str, str] = {}
        self._packed: dict[str, bytes] = {}
        self._smaller: dict[str, bytes] = {}
        self._bundles: dict[str, bytes] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                data = path.read_bytes()
                digest.update(name.encode() + b"\0" + data)
                if path.suffix == _BROTLI_SUFFIX:
                    self._smaller[name.removesuffix(_BROTLI_SUFFIX)] = data
                    continue
                names.append(name)
                if name.startswith(_VENDORED):
                    self._own_digests[name] = hashlib.sha256(data).hexdigest()[:12]
                if path.suffix in _TEXT_TYPES:
                    # Packed once here: packing 600 kB per request would stall the event loop.
                    self._packed[name] = gzip.compress(data, mtime=0)
        self._names = frozenset(names)
        self.digest = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Return the address of a file; an unknown name is a mistake in a template."""
        if name not in self._names:
            raise KeyError(f"no static file {name!r}")
        return f"/static/{self._digest_of(name)}/{name}"

    def _digest_of(self, name: str) -> str:
        return self._own_digests.get(name, self.digest)

    def sheet(self, names: Sequence[str]) -> str:
        """Return the address of several style sheets in one."""
        for name in names:
            self.url(f"css/{name}.css")
        return f"/static/{self.digest}/css/{'+'.join(names)}.css"

    def bundle(self, entry: str) -> str:
        """Return the address of an ES module with all it imports."""
        self.url(entry)
        return f"/static/{self.digest}/{_BUNDLE}{entry}"

    def inline(self, name: str) -> str:
        """Return a file's text, for what is part of every page (the icon sprite)."""
        return (self._folder / name).read_text("utf-8")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one file. An old digest gets the present file, but not for ever."""
        name = request.match_info["name"]
        body = self._join_sheets(name) if "+" in name else self._join_modules(name)
        if name not in self._names and body is None:
            raise web.HTTPNotFound
        is_current = request.match_info["digest"] == self._digest_of(name)
        headers = {
            "Cache-Control": _FOREVER if is_current else "no-cache",
            "Content-Type": _content_type(name),
            "X-Content-Type-Options": "nosniff",
        }
        if body is None:
            body = self._packed.get(name)
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

    def _join_modules(self, name: str) -> bytes | None:
        """Pack an ES module with all it imports; None where there is none of that name."""
        entry = name.removeprefix(_BUNDLE)
        if entry == name or entry not in self._names or not _OURS.fullmatch(entry):
            return None
        if name not in self._bundles:
            try:
                text = bundle.bundle(self.inline, entry)
            except (bundle.BundleError, OSError):
                return None
            self._bundles[name] = gzip.compress(text.encode(), mtime=0)
        return self._bundles[name]

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
