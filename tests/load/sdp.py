"""The little SDP a load client needs: offers by template, the few answer lines that matter."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

EXTENSIONS = {
    "mid": (4, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    "twcc": (3, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    "rid": (10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    "repaired_rid": (11, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
    "audio_level": (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
}
VP8_PT, RTX_PT, OPUS_PT = 96, 97, 111


@dataclass
class Section:
    """One m-section of our offer."""

    kind: str
    direction: str
    msid: str = ""
    rids: tuple[str, ...] = ()
    ssrc: int = 0


@dataclass
class Answer:
    """What the server's answer tells us."""

    ufrag: str
    pwd: str
    fingerprint: str
    setup: str
    candidates: list[tuple[str, int]]
    twcc_ids: set[int] = field(default_factory=set)
    sending_mids: set[str] = field(default_factory=set)
    mids_by_ssrc: dict[int, str] = field(default_factory=dict)


def build_offer(sections: list[Section], ufrag: str, pwd: str, fingerprint: str) -> str:
    """An offer with one BUNDLE group over all sections."""
    mids = " ".join(str(index) for index in range(len(sections)))
    lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}",
             "a=msid-semantic: WMS", "a=extmap-allow-mixed"]  # fmt: skip
    for mid, section in enumerate(sections):
        lines += _section_lines(mid, section)
        lines += [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{pwd}", "a=ice-options:trickle",
                  f"a=fingerprint:sha-256 {fingerprint}", "a=setup:actpass"]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def _section_lines(mid: int, section: Section) -> list[str]:
    is_audio = section.kind == "audio"
    payloads = f"{OPUS_PT}" if is_audio else f"{VP8_PT} {RTX_PT}"
    names = ["mid", "twcc"] + (["audio_level"] if is_audio else ["rid", "repaired_rid"])
    lines = [f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {payloads}", "c=IN IP4 0.0.0.0",
             "a=rtcp:9 IN IP4 0.0.0.0", f"a=mid:{mid}", f"a={section.direction}",
             "a=rtcp-mux", "a=rtcp-rsize"]  # fmt: skip
    lines += [f"a=extmap:{EXTENSIONS[name][0]} {EXTENSIONS[name][1]}" for name in names]
    if is_audio:
        lines += [f"a=rtpmap:{OPUS_PT} opus/48000/2", f"a=rtcp-fb:{OPUS_PT} transport-cc",
                  f"a=fmtp:{OPUS_PT} minptime=10;useinbandfec=1"]  # fmt: skip
    else:
        lines += [f"a=rtpmap:{VP8_PT} VP8/90000"]
        lines += [
            f"a=rtcp-fb:{VP8_PT} {fb}" for fb in ("transport-cc", "ccm fir", "nack", "nack pli")
        ]
        lines += [f"a=rtpmap:{RTX_PT} rtx/90000", f"a=fmtp:{RTX_PT} apt={VP8_PT}"]
    if section.msid:
        lines += [f"a=msid:{section.msid}"]
    if section.ssrc:
        # pion binds a track without rids by its declared SSRC only.
        lines += [f"a=ssrc:{section.ssrc} cname:load"]
    if section.rids:
        lines += [f"a=rid:{rid} send" for rid in section.rids]
        lines += [f"a=simulcast:send {';'.join(section.rids)}"]
    return lines


def parse_answer(sdp: str) -> Answer:
    """Reads the transport lines, the candidates and where media will come from."""

    def first(pattern: str) -> str:
        found = re.search(pattern, sdp)
        if found is None:
            raise ValueError(f"answer lacks {pattern}")
        return found.group(1)

    answer = Answer(
        ufrag=first(r"a=ice-ufrag:(\S+)"),
        pwd=first(r"a=ice-pwd:(\S+)"),
        fingerprint=first(r"a=fingerprint:sha-256 (\S+)"),
        setup=first(r"a=setup:(\S+)"),
        candidates=parse_candidates(sdp),
    )
    for part in re.split(r"\r?\n(?=m=)", sdp)[1:]:
        mid_line = re.search(r"a=mid:(\S+)", part)
        twcc = re.search(rf"a=extmap:(\d+)\S* {re.escape(EXTENSIONS['twcc'][1])}", part)
        if twcc:
            answer.twcc_ids.add(int(twcc.group(1)))
        if mid_line is None:
            continue
        if re.search(r"a=(sendonly|sendrecv)", part) and "a=ssrc:" in part:
            answer.sending_mids.add(mid_line.group(1))
        for ssrc in re.findall(r"a=ssrc:(\d+)", part):
            answer.mids_by_ssrc[int(ssrc)] = mid_line.group(1)
    return answer


def parse_candidates(text: str) -> list[tuple[str, int]]:
    """UDP host candidates on IPv4, in the order given."""
    found = re.findall(r"candidate:\S+ 1 (?:udp|UDP) \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", text)
    return [(ip, int(port)) for ip, port in found]
