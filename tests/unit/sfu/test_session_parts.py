"""What the halves of a session are made of: bundle map, encodings."""

from __future__ import annotations

import pytest
from fake_transport import read_sdp

from sfu.codecs import AcceptedFormat
from sfu.ids import EXTENSION_URIS, Codec, EncodingSpec, Payload
from sfu.sdp import parse_sdp
from sfu.sdp.model import (
    ExtMap,
    MediaDescription,
    PayloadFormat,
    Rid,
    Simulcast,
    SsrcGroup,
)
from sfu.session.bundle import BundleMap
from sfu.session.encodings import limit_layers, offered_rids, order_rids, read_encodings


def video(**attributes: object) -> MediaDescription:
    return MediaDescription("video", 9, "UDP/TLS/RTP/SAVPF", ("96",), **attributes)  # type: ignore[arg-type]


def accepted(pt: int, codec: Codec, rtx_pt: int = 0) -> AcceptedFormat:
    rtx = PayloadFormat(rtx_pt, "rtx", 90_000) if rtx_pt else None
    return AcceptedFormat(codec, PayloadFormat(pt, codec.name, 90_000), rtx)


def test_a_payload_type_keeps_its_first_meaning() -> None:
    bundle = BundleMap()
    assert len(bundle.take_formats([accepted(96, Codec.VP8, 97)])) == 1
    taken = bundle.take_formats([accepted(96, Codec.VP9), accepted(98, Codec.VP9, 97)])
    assert [(entry.format.pt, entry.rtx) for entry in taken] == [(98, None)]
    assert bundle.payloads == [Payload(96, Codec.VP8, 97), Payload(98, Codec.VP9, 0)]


def test_the_same_meaning_again_is_fine_and_may_bring_the_rtx_late() -> None:
    bundle = BundleMap()
    bundle.take_formats([accepted(96, Codec.VP8)])
    bundle.take_formats([accepted(96, Codec.VP8, 97)])
    assert bundle.payloads == [Payload(96, Codec.VP8, 97)]


def test_an_extension_id_keeps_its_first_meaning() -> None:
    bundle = BundleMap()
    mid, twcc = EXTENSION_URIS["mid"], EXTENSION_URIS["twcc"]
    first = video(extensions=(ExtMap(1, mid), ExtMap(2, twcc), ExtMap(3, "urn:unknown")))
    second = video(extensions=(ExtMap(2, mid), ExtMap(1, twcc), ExtMap(4, mid)))
    assert [e.id for e in bundle.take_extensions(first)] == [1, 2]
    assert bundle.take_extensions(second) == ()
    assert bundle.extensions == {"mid": 1, "twcc": 2}


def test_extension_ids_beyond_one_byte_headers_are_not_used() -> None:
    media = video(extensions=(ExtMap(1, EXTENSION_URIS["rid"]), ExtMap(15, EXTENSION_URIS["mid"])))
    assert [extension.id for extension in BundleMap().take_extensions(media)] == [1]


def encodings_of(name: str, index: int) -> tuple[EncodingSpec, ...]:
    return read_encodings(parse_sdp(read_sdp(name)).media[index], has_rid=True)


def test_rids_are_ordered_by_name_whatever_the_offers_order() -> None:
    ascending = encodings_of("js_dual_publish_offer", 2)
    descending = encodings_of("native_single_simulcast_offer", 8)
    assert [e.rid for e in ascending] == [e.rid for e in descending] == ["q", "h", "f"]
    assert all(e.ssrc == e.rtx_ssrc == 0 for e in ascending)


def test_declared_ssrcs_go_with_rids_in_order_as_pion_sends_them() -> None:
    assert encodings_of("go_dual_publish_offer", 1) == (
        EncodingSpec("q", 2860031385, 2675113436),
        EncodingSpec("h", 483662924, 2358245120),
        EncodingSpec("f", 2561946914, 2746048416),
    )


def test_rids_without_the_extension_and_without_ssrcs_are_one_layer() -> None:
    media = video(
        rids=(Rid("q", "send"), Rid("h", "send")), simulcast=Simulcast(send=(("q",), ("h",)))
    )
    assert read_encodings(media, has_rid=False) == (EncodingSpec(),)


def test_single_layer_with_rtx() -> None:
    media = video(ssrcs={7: {}, 8: {}}, ssrc_groups=(SsrcGroup("FID", (7, 8)),))
    assert read_encodings(media, has_rid=True) == (EncodingSpec("", 7, 8),)


def test_ssrc_simulcast_without_rids() -> None:
    groups = (SsrcGroup("SIM", (1, 2, 3)), SsrcGroup("FID", (1, 4)), SsrcGroup("FID", (3, 6)))
    media = video(ssrcs={n: {} for n in range(1, 7)}, ssrc_groups=groups)
    expected = (EncodingSpec("", 1, 4), EncodingSpec("", 2, 0), EncodingSpec("", 3, 6))
    assert read_encodings(media, has_rid=False) == expected


def test_paused_and_alternative_rids() -> None:
    media = video(
        rids=(Rid("a", "send"), Rid("b", "send"), Rid("c", "recv")),
        simulcast=Simulcast(send=(("~b", "x"), ("a",), ("c",), ("nowhere",))),
    )
    assert offered_rids(media) == ("b", "a")


@pytest.mark.parametrize(
    ("rids", "ordered"),
    [
        (("f", "h", "q"), ("q", "h", "f")),
        (("h", "q"), ("q", "h")),
        (("h", "m", "l"), ("l", "m", "h")),
        (("high", "low"), ("low", "high")),
        (("0", "1", "2"), ("2", "1", "0")),
    ],
)
def test_layer_order(rids: tuple[str, ...], ordered: tuple[str, ...]) -> None:
    assert order_rids(rids) == ordered


def test_more_than_three_layers_keep_the_lowest_and_the_two_highest() -> None:
    assert limit_layers([1, 2, 3, 4, 5]) == (1, 4, 5)
    assert limit_layers([1, 2]) == (1, 2)
