"""Readers of single SDP attributes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from sfu.sdp.errors import SdpError
from sfu.sdp.model import (
    DIRECTIONS,
    ExtMap,
    Fingerprint,
    MediaDescription,
    Msid,
    PayloadFormat,
    Rid,
    Simulcast,
    SsrcGroup,
    TransportAttributes,
)

# How much of one kind a section may hold; more is an attack, not a client.
MAX_PER_KIND = 256
MAX_CANDIDATES = 64
MAX_RIDS = 16
MAX_FINGERPRINTS = 8
# RTP header extensions: one-byte headers carry 1..14, two-byte ones up to 255 (RFC 8285 §4.1.1).
MAX_EXTENSION_ID = 255

_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+")
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_RID = re.compile(r"~?[A-Za-z0-9_-]{1,32}")
_RTPMAP = re.compile(r"(\d{1,3}) ([!-.0-~]{1,64})/(\d{1,7})(?:/(\d{1,2}))?")
_EXTMAP = re.compile(r"(\d{1,5})(?:/([a-z]+))? +(\S+)(?: +(.*))?")
_SETUPS = ("active", "passive", "actpass", "holdconn")


def parse_int(text: str, maximum: int) -> int:
    """A decimal number from 0 to `maximum`."""
    # `isdecimal` would take other scripts' digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= 20) or int(text) > maximum:
        raise SdpError("sdp_bad_number", "a number that is none or out of range")
    return int(text)


def parse_token(text: str) -> str:
    """A token of RFC 8866 §9."""
    if not _TOKEN.fullmatch(text):
        raise SdpError("sdp_bad_attribute", "a malformed token")
    return text


def _bad(name: str) -> SdpError:
    return SdpError("sdp_bad_attribute", f"a malformed a={name}")


class TransportParser:
    """Collects ICE and DTLS attributes."""

    def __init__(self) -> None:
        """Starts empty."""
        self.transport = TransportAttributes()

    def handle(self, name: str, value: str) -> bool:
        """Takes an attribute; False if it is not one of these."""
        match name:
            case "ice-ufrag":
                self.transport.ice_ufrag = _parse_ice(name, value, 4)
            case "ice-pwd":
                self.transport.ice_pwd = _parse_ice(name, value, 22)
            case "ice-options":
                self.transport.ice_options = tuple(map(parse_token, value.split()[:MAX_RIDS]))
            case "fingerprint":
                self._handle_fingerprint(value)
            case "setup":
                if value not in _SETUPS:
                    raise _bad(name)
                self.transport.setup = value
            case _:
                return False
        return True

    def _handle_fingerprint(self, value: str) -> None:
        algorithm, _, digest = value.partition(" ")
        if not _TOKEN.fullmatch(algorithm) or not _HEX_PAIRS.fullmatch(digest):
            raise _bad("fingerprint")
        if len(self.transport.fingerprints) >= MAX_FINGERPRINTS:
            raise SdpError("sdp_too_many_attributes", "too many fingerprints")
        self.transport.fingerprints += (Fingerprint(algorithm.lower(), digest.upper()),)


def _parse_ice(name: str, value: str, minimum: int) -> str:
    # RFC 8839 §5.4: 4..256 ice-chars for the ufrag, 22..256 for the password.
    if not (minimum <= len(value) <= 256 and _ICE_CHARS.fullmatch(value)):
        raise _bad(name)
    return value


class MediaParser:
    """Collects the attributes of one m-section."""

    def __init__(self, media: MediaDescription) -> None:
        """Starts with what the m-line said."""
        self._media = media
        self._transport = TransportParser()
        self._rtpmaps: dict[int, PayloadFormat] = {}
        self._fmtps: dict[int, list[str]] = {}
        self._feedback: list[tuple[str, str]] = []
        self._candidates: list[str] = []
        self._extensions: list[ExtMap] = []
        self._msids: dict[Msid, None] = {}
        self._rids: dict[str, Rid] = {}
        self._groups: list[SsrcGroup] = []
        self._handlers: dict[str, Callable[[str], None]] = {
            "rtpmap": self._handle_rtpmap,
            "fmtp": self._handle_fmtp,
            "rtcp-fb": self._handle_rtcp_fb,
            "extmap": self._handle_extmap,
            "msid": self._handle_msid,
            "rid": self._handle_rid,
            "simulcast": self._handle_simulcast,
            "ssrc": self._handle_ssrc,
            "ssrc-group": self._handle_ssrc_group,
            "candidate": self._handle_candidate,
        }

    def handle(self, name: str, value: str) -> None:
        """Takes one attribute; unknown ones are skipped."""
        handler = self._handlers.get(name)
        if handler is not None:
            handler(value)
        elif name in DIRECTIONS:
            self._media.direction = name
        elif not self._transport.handle(name, value):
            self._handle_plain(name, value)

    def _handle_plain(self, name: str, value: str) -> None:
        media = self._media
        match name:
            case "mid":
                media.mid = parse_token(value)
            case "rtcp-mux":
                media.has_rtcp_mux = True
            case "rtcp-rsize":
                media.has_rtcp_rsize = True
            case "bundle-only":
                media.is_bundle_only = True
            case "end-of-candidates":
                media.has_end_of_candidates = True
            case "sctp-port":
                media.sctp_port = parse_int(value, 65535)
            case "sctpmap":  # before RFC 8841; still sent by old stacks
                media.sctp_port = parse_int(value.split(" ")[0], 65535)
            case "max-message-size":
                # 0 = any size (RFC 8841 §6).
                media.max_message_size_bytes = parse_int(value, 2**64 - 1)

    def finish(self) -> MediaDescription:
        """The section, with payload formats put together in m-line order."""
        media = self._media
        media.transport = self._transport.transport
        media.payloads = tuple(
            replace(
                self._rtpmaps[pt],
                fmtp=";".join(self._fmtps.get(pt, [])),
                feedback=tuple(
                    dict.fromkeys(fb for key, fb in self._feedback if key in (str(pt), "*"))
                ),
            )
            for pt in dict.fromkeys(int(f) for f in media.formats if f.isascii() and f.isdecimal())
            if pt in self._rtpmaps
        )
        media.candidates = tuple(self._candidates)
        media.extensions = tuple(self._extensions)
        media.msids = tuple(self._msids)
        media.rids = tuple(self._rids.values())
        media.ssrc_groups = tuple(self._groups)
        return media

    def _bound(self, count: int, maximum: int = MAX_PER_KIND) -> None:
        if count >= maximum:
            raise SdpError("sdp_too_many_attributes", "too many attributes of one kind")

    def _handle_rtpmap(self, value: str) -> None:
        found = _RTPMAP.fullmatch(value)
        if found is None or not value.isascii():
            raise _bad("rtpmap")
        pt = parse_int(found[1], 127)
        channels = int(found[4]) if found[4] else None
        self._rtpmaps[pt] = PayloadFormat(pt, found[2], int(found[3]), channels)

    def _handle_fmtp(self, value: str) -> None:
        pt, _, parameters = value.partition(" ")
        if not parameters.strip():
            raise _bad("fmtp")
        lines = self._fmtps.setdefault(parse_int(pt, 127), [])
        self._bound(len(lines))
        lines.append(parameters.strip())

    def _handle_rtcp_fb(self, value: str) -> None:
        pt, _, feedback = value.partition(" ")
        if not feedback.strip():
            raise _bad("rtcp-fb")
        self._bound(len(self._feedback), MAX_PER_KIND * 4)
        self._feedback.append((pt if pt == "*" else str(parse_int(pt, 127)), feedback.strip()))

    def _handle_extmap(self, value: str) -> None:
        found = _EXTMAP.fullmatch(value)
        if found is None or found[2] not in (None, *DIRECTIONS):
            raise _bad("extmap")
        self._bound(len(self._extensions))
        id_ = parse_int(found[1], 2**16)
        # Ids 4096 and up offer an extension without a number yet (RFC 8285 §5): nothing to use.
        if 1 <= id_ <= MAX_EXTENSION_ID:
            self._extensions.append(ExtMap(id_, found[3], found[2] or "", found[4] or ""))

    def _handle_msid(self, value: str) -> None:
        stream, _, track = value.partition(" ")
        if not stream:
            raise _bad("msid")
        self._bound(len(self._msids))
        self._msids[Msid(stream, track.partition(" ")[0])] = None

    def _handle_rid(self, value: str) -> None:
        id_, _, rest = value.partition(" ")
        direction, _, restrictions = rest.partition(" ")
        if not _RID.fullmatch(id_) or id_[0] == "~" or direction not in ("send", "recv"):
            raise _bad("rid")
        self._bound(len(self._rids), MAX_RIDS)
        self._rids[id_] = Rid(id_, direction, restrictions.strip())

    def _handle_simulcast(self, value: str) -> None:
        parts = value.split()
        streams: dict[str, tuple[tuple[str, ...], ...]] = {}
        for direction, text in zip(parts[::2], parts[1::2], strict=False):
            lists = tuple(tuple(stream.split(",")) for stream in text.split(";"))
            is_sound = all(_RID.fullmatch(rid) for stream in lists for rid in stream)
            if direction not in ("send", "recv") or direction in streams or not is_sound:
                raise _bad("simulcast")
            self._bound(len(lists), MAX_RIDS + 1)
            streams[direction] = lists
        if len(parts) % 2 or not streams:
            raise _bad("simulcast")
        self._media.simulcast = Simulcast(streams.get("send", ()), streams.get("recv", ()))

    def _handle_ssrc(self, value: str) -> None:
        number, _, attribute = value.partition(" ")
        name, _, content = attribute.strip().partition(":")
        ssrc = parse_int(number, 2**32 - 1)
        if ssrc == 0 or not _TOKEN.fullmatch(name):
            raise _bad("ssrc")
        self._bound(len(self._media.ssrcs) - (ssrc in self._media.ssrcs))
        attributes = self._media.ssrcs.setdefault(ssrc, {})
        self._bound(len(attributes))
        attributes[name] = content

    def _handle_ssrc_group(self, value: str) -> None:
        semantics, *numbers = value.split()[: MAX_PER_KIND + 1] or [""]
        self._bound(len(self._groups))
        ssrcs = tuple(parse_int(number, 2**32 - 1) for number in numbers)
        self._groups.append(SsrcGroup(parse_token(semantics), ssrcs))

    def _handle_candidate(self, value: str) -> None:
        self._bound(len(self._candidates), MAX_CANDIDATES)
        self._candidates.append(f"candidate:{value}")
