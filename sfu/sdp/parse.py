"""From SDP text to the typed model, bounded and strict where a mistake would cost something.

Unknown lines and attributes are skipped; a known one that is malformed refuses the whole text.
"""

from __future__ import annotations

import re

from sfu.sdp.attributes import MediaParser, TransportParser, parse_int, parse_token
from sfu.sdp.description import SessionDescription
from sfu.sdp.errors import SdpError
from sfu.sdp.model import Group, MediaDescription

# A browser's video section is up to 5 kB, and a description must fit a signalling message (1 MiB).
MAX_TEXT_BYTES = 768 * 1024
# 80 people who all send picture and sound, to one subscriber.
MAX_SECTIONS = 160
MAX_LINE_CHARS = 8 * 1024
MAX_FORMATS = 128
# libwebrtc's limit too: it keeps the MID extension within a one-byte header (RFC 8285 §4.2).
MAX_MID_CHARS = 16

_LINE = re.compile(r"[a-z]=")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FORMAT = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}")


def parse_sdp(text: str) -> SessionDescription:
    """Reads a session description.

    Raises:
        SdpError: with a stable code: `sdp_too_large`, `sdp_too_many_sections`, `sdp_line_too_long`,
            `sdp_bad_character`, `sdp_bad_line`, `sdp_bad_number`, `sdp_bad_attribute`,
            `sdp_missing_mid`, `sdp_duplicate_mid`, `sdp_too_many_attributes`.
    """
    if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise SdpError("sdp_too_large", f"more than {MAX_TEXT_BYTES} bytes")
    lines = _split(text)
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MAX_SECTIONS:
        raise SdpError("sdp_too_many_sections", f"more than {MAX_SECTIONS} m-sections")
    description = SessionDescription()
    direction = _parse_session(description, lines[: starts[0] if starts else None])
    # Without sections there is nothing to pair.
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=False):
        description.media.append(_parse_media(lines[start:end], direction))
    _check_mids(description)
    return description


def _split(text: str) -> list[str]:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != "v=0":
        raise SdpError("sdp_bad_line", "does not start with v=0")
    for line in lines:
        if len(line) > MAX_LINE_CHARS:
            raise SdpError("sdp_line_too_long", f"a line of more than {MAX_LINE_CHARS} characters")
        if not _LINE.match(line):
            raise SdpError("sdp_bad_line", "a line without a type")
        if _CONTROL.search(line):
            raise SdpError("sdp_bad_character", "a control character")
    return lines


def _attribute(line: str) -> tuple[str, str]:
    name, _, value = line[2:].partition(":")
    return name, value.strip(" ")


def _parse_session(description: SessionDescription, lines: list[str]) -> str:
    """Reads the session level; returns the direction that sections inherit."""
    transport = TransportParser()
    groups: list[Group] = []
    direction = "sendrecv"
    for line in lines:
        if line.startswith("o="):
            description.origin = _parse_origin(line[2:])
        if not line.startswith("a="):
            continue
        name, value = _attribute(line)
        if name == "group":
            semantics, *mids = value.split()[: MAX_SECTIONS + 1] or [""]
            groups.append(Group(parse_token(semantics), tuple(map(parse_token, mids))))
        elif name == "ice-lite":
            description.is_ice_lite = True
        elif name == "extmap-allow-mixed":
            description.allows_mixed_extmap = True
        elif name == "msid-semantic":
            description.msid_semantic = value
        elif name in ("sendrecv", "sendonly", "recvonly", "inactive"):
            direction = name
        else:
            transport.handle(name, value)
    description.groups = tuple(groups)
    description.transport = transport.transport
    return direction


def _parse_origin(value: str) -> tuple[str, int, int]:
    parts = value.split(" ")
    if len(parts) != 6 or not parts[0]:
        raise SdpError("sdp_bad_line", "an o-line that is not six fields")
    limit = 2**64 - 1
    return parts[0], parse_int(parts[1], limit), parse_int(parts[2], limit)


def _parse_media(lines: list[str], direction: str) -> MediaDescription:
    parts = lines[0][2:].split()
    if len(parts) < 4 or len(parts) > 3 + MAX_FORMATS:
        raise SdpError("sdp_bad_line", "an m-line with too few or too many fields")
    kind, port, protocol, *formats = parts
    if any(not _FORMAT.fullmatch(name) for name in (*formats, *protocol.split("/"))):
        raise SdpError("sdp_bad_line", "an m-line with a malformed field")
    parser = MediaParser(
        MediaDescription(
            kind=parse_token(kind),
            port=parse_int(port.partition("/")[0], 65535),
            protocol=protocol,
            formats=tuple(formats),
            direction=direction,
        )
    )
    for line in lines[1:]:
        if line.startswith("a="):
            parser.handle(*_attribute(line))
    return parser.finish()


def _check_mids(description: SessionDescription) -> None:
    seen: set[str] = set()
    for media in description.media:
        if not media.mid:
            raise SdpError("sdp_missing_mid", "a section without a=mid")
        if len(media.mid) > MAX_MID_CHARS:
            raise SdpError("sdp_bad_attribute", f"a mid of more than {MAX_MID_CHARS} characters")
        if media.mid in seen:
            raise SdpError("sdp_duplicate_mid", "two sections with the same mid")
        seen.add(media.mid)
