"""A damaged description is refused, or taken; whatever it was, the session goes on."""

from __future__ import annotations

from fake_transport import SDP_DIR, read_sdp
from hypothesis import given, settings
from hypothesis import strategies as st
from session_peer import Peer, claim_all

from sfu.ids import Codec
from sfu.sdp import SdpError, parse_sdp

OFFERS = sorted(path.stem for path in SDP_DIR.glob("*offer.sdp"))
ANSWERS = sorted(path.stem for path in SDP_DIR.glob("*answer.sdp"))


@st.composite
def damaged(draw: st.DrawFn, names: list[str]) -> str:
    lines = read_sdp(draw(st.sampled_from(names))).split("\r\n")
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.sampled_from(lines))
        action = draw(st.sampled_from(["drop", "repeat", "replace", "cut", "words"]))
        if action == "drop":
            del lines[at]
        elif action == "repeat":
            lines.insert(at, lines[at])
        elif action == "replace":
            lines[at] = other
        elif action == "cut":
            lines[at] = lines[at][: draw(st.integers(0, 40))]
        else:
            lines[at] = lines[at][:2] + " ".join(reversed(lines[at][2:].split()))
    return "\r\n".join(lines)


def check_answer(peer: Peer, offer: str, answer: str) -> None:
    theirs, ours = parse_sdp(offer), parse_sdp(answer)
    assert [(m.kind, m.mid) for m in ours.media] == [(m.kind, m.mid) for m in theirs.media]
    assert set(ours.bundled_mids) == {m.mid for m in ours.live_media()}
    for offered, answered in zip(theirs.media, ours.media, strict=True):
        assert not answered.sends or offered.receives or answered.kind == "application"
        assert bool(answered.msids) == (answered.mid in peer.session.mid_to_track_id)
        if not answered.is_rejected:
            assert set(answered.formats) <= set(offered.formats)
    open_sinks = [sink for sink in peer.transport.sinks if not sink.is_closed]
    assert {sink.mid for sink in open_sinks} == set(peer.session.mid_to_track_id)
    open_sources = {source for source in peer.transport.sources if not source.is_closed}
    assert open_sources == set(peer.session.published.values())


@given(st.lists(damaged(OFFERS), min_size=1, max_size=3), st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_offers(offers: list[str], subscribes: bool) -> None:
    peer = Peer()
    if subscribes:
        peer.subscribe(is_audio=True)
        peer.subscribe(codecs=(Codec.VP8,))
    for offer in offers:
        try:
            answer = peer.session.handle_offer(offer, claim_all)
        except SdpError:
            continue
        check_answer(peer, offer, answer)


@given(st.lists(damaged(ANSWERS), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_damaged_answers(answers: list[str]) -> None:
    peer = Peer(role="offerer")
    peer.subscribe(is_audio=True)
    peer.subscribe(codecs=(Codec.VP8,))
    offer = peer.session.create_offer()
    for answer in answers:
        try:
            peer.session.handle_answer(answer)
        except SdpError:
            continue
        peer.subscribe(is_audio=True)
        offer = peer.session.create_offer()
    assert parse_sdp(offer).media
