"""From the typed model to SDP lines."""

from __future__ import annotations

from collections.abc import Iterator

from sfu.sdp.model import MediaDescription, PayloadFormat, Simulcast, TransportAttributes


def format_transport(transport: TransportAttributes) -> list[str]:
    """The ICE and DTLS lines of a section or of the session level."""
    lines = []
    if transport.ice_ufrag:
        lines.append(f"a=ice-ufrag:{transport.ice_ufrag}")
    if transport.ice_pwd:
        lines.append(f"a=ice-pwd:{transport.ice_pwd}")
    if transport.ice_options:
        lines.append(f"a=ice-options:{' '.join(transport.ice_options)}")
    lines += [f"a=fingerprint:{fingerprint}" for fingerprint in transport.fingerprints]
    if transport.setup:
        lines.append(f"a=setup:{transport.setup}")
    return lines


def format_media(media: MediaDescription) -> list[str]:
    """One m-section."""
    lines = [
        f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}",
        "c=IN IP4 0.0.0.0",
    ]
    if media.bandwidth_bps is not None:
        lines.append(f"b=TIAS:{media.bandwidth_bps}")
    lines += format_transport(media.transport)
    if media.mid:
        lines.append(f"a=mid:{media.mid}")
    if media.is_bundle_only:
        lines.append("a=bundle-only")
    lines += [
        f"a=extmap:{ext.id}{'/' + ext.direction if ext.direction else ''} {ext.uri}"
        f"{' ' + ext.attributes if ext.attributes else ''}"
        for ext in media.extensions
    ]
    lines.append(f"a={media.direction}")
    lines += [f"a=msid:{msid.stream} {msid.track}".rstrip(" ") for msid in media.msids]
    if media.has_rtcp_mux:
        lines.append("a=rtcp-mux")
    if media.has_rtcp_rsize:
        lines.append("a=rtcp-rsize")
    for payload in media.payloads:
        lines += _payload_lines(payload)
    lines += _stream_lines(media)
    if media.sctp_port is not None:
        lines.append(f"a=sctp-port:{media.sctp_port}")
    if media.max_message_size_bytes is not None:
        lines.append(f"a=max-message-size:{media.max_message_size_bytes}")
    lines += [f"a={candidate}" for candidate in media.candidates]
    if media.has_end_of_candidates:
        lines.append("a=end-of-candidates")
    return lines


def _payload_lines(payload: PayloadFormat) -> Iterator[str]:
    channels = f"/{payload.channels}" if payload.channels is not None else ""
    yield f"a=rtpmap:{payload.pt} {payload.encoding}/{payload.clock_hz}{channels}"
    for feedback in payload.feedback:
        yield f"a=rtcp-fb:{payload.pt} {feedback}"
    if payload.fmtp:
        yield f"a=fmtp:{payload.pt} {payload.fmtp}"


def _stream_lines(media: MediaDescription) -> Iterator[str]:
    for rid in media.rids:
        yield f"a=rid:{rid.id} {rid.direction} {rid.restrictions}".rstrip(" ")
    if media.simulcast is not None:
        yield f"a=simulcast:{_simulcast_value(media.simulcast)}"
    for group in media.ssrc_groups:
        yield f"a=ssrc-group:{group.semantics} {' '.join(map(str, group.ssrcs))}"
    for ssrc, attributes in media.ssrcs.items():
        for name, value in attributes.items():
            yield f"a=ssrc:{ssrc} {name}:{value}" if value else f"a=ssrc:{ssrc} {name}"


def _simulcast_value(simulcast: Simulcast) -> str:
    parts = []
    for direction, streams in (("send", simulcast.send), ("recv", simulcast.recv)):
        if streams:
            parts.append(f"{direction} {';'.join(','.join(s) for s in streams)}")
    return " ".join(parts)
