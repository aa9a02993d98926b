"""The server's own offers."""

from __future__ import annotations

import pytest
from fake_transport import read_sdp
from session_peer import Peer, connected

from sfu.codecs import CodecPolicy
from sfu.ids import Codec
from sfu.sdp import SdpError, parse_sdp
from sfu.sdp.parse import MAX_SECTIONS
from sfu.session import SessionError


def test_first_offer_has_only_data() -> None:
    peer = Peer(role="offerer")
    offer = parse_sdp(peer.session.create_offer())
    assert [(m.kind, m.mid, m.transport.setup) for m in offer.media] == [
        ("application", "0", "actpass")
    ]
    assert peer.session.is_negotiating
    peer.session.handle_answer(read_sdp("js_dual_data_answer"))
    assert not peer.session.is_negotiating
    assert peer.transport.remotes[0]["dtls_role"] == "server"
    assert peer.transport.data.starts


def test_offers_a_section_for_each_subscription() -> None:
    peer = connected("js")
    peer.subscribe(is_audio=True, track="TR_a", codecs=(Codec.OPUS,))
    peer.subscribe(track="TR_v", codecs=(Codec.H264,))
    assert peer.session.has_pending
    offer = parse_sdp(peer.session.create_offer())
    _, audio, video = offer.media
    assert audio.direction == video.direction == "sendonly"
    assert (audio.mid, video.mid) == ("1", "2") and offer.bundled_mids == ("0", "1", "2")
    assert audio.formats == ("111", "63") and video.formats[0] == "108"
    assert {"96", "97"} <= set(video.formats)
    assert video.msids[0].stream == "PA_1|TR_v"
    assert "goog-remb" not in video.payloads[0].feedback
    assert peer.transport.sinks == [] and not peer.session.has_pending
    assert peer.session.mid_to_track_id == {"1": "TR_a", "2": "TR_v"}
    peer.session.handle_answer(read_sdp("js_dual_subscribe_answer"))
    assert [sink.mid for sink in peer.transport.sinks] == ["1", "2"]
    assert (96, Codec.VP8, 97) in peer.transport.sinks[1].payloads
    assert peer.log == [("subscribed", "1"), ("subscribed", "2")]


def test_only_agreed_extensions_are_used() -> None:
    peer = connected()
    peer.subscribe(is_audio=True)
    peer.session.create_offer()
    peer.session.handle_answer(read_sdp("go_dual_subscribe_answer"))
    extensions, payloads = peer.transport.media[-1]
    assert payloads == [(111, Codec.OPUS, 0)]
    assert "mid" not in extensions


def test_sections_are_reused_after_they_were_offered_inactive() -> None:
    peer = connected()
    first = peer.subscribe(is_audio=True)
    peer.session.create_offer()
    peer.session.handle_answer(read_sdp("go_dual_subscribe_answer"))
    peer.session.unsubscribe(first)
    assert peer.session.has_pending
    offer = parse_sdp(peer.session.create_offer())
    assert offer.media[1].direction == "inactive" and not offer.media[1].msids
    inactive = read_sdp("go_dual_subscribe_answer").replace("a=recvonly", "a=inactive")
    peer.session.handle_answer(inactive)
    assert not peer.session.has_pending
    second = peer.subscribe(is_audio=True, track="TR_2")
    offer = parse_sdp(peer.session.create_offer())
    assert second.mid == "1" and len(offer.media) == 2 and second.ssrc != first.ssrc


def test_unsubscribing_while_an_offer_is_out_needs_another_one() -> None:
    peer = connected()
    subscription = peer.subscribe(is_audio=True)
    peer.session.create_offer()
    peer.session.unsubscribe(subscription)
    peer.session.handle_answer(read_sdp("go_dual_subscribe_answer"))
    assert peer.transport.sinks == [] and peer.session.has_pending
    assert parse_sdp(peer.session.create_offer()).media[1].direction == "inactive"


def test_rejected_section_is_told_of_and_stays_dead() -> None:
    peer = connected()
    subscription = peer.subscribe(is_audio=True)
    peer.session.create_offer()
    rejected = read_sdp("go_dual_subscribe_answer").replace("m=audio 9", "m=audio 0")
    peer.session.handle_answer(rejected)
    assert peer.log == [("unsupported", "TR_1")] and subscription.mid is None
    peer.subscribe(is_audio=True, track="TR_2")
    offer = parse_sdp(peer.session.create_offer())
    assert [m.is_rejected for m in offer.media] == [False, True, False]
    assert offer.bundled_mids == ("0", "2")


def test_one_offer_at_a_time_unless_ice_restarts() -> None:
    peer = Peer(role="offerer")
    peer.session.create_offer()
    with pytest.raises(SessionError) as caught:
        peer.session.create_offer()
    assert caught.value.code == "session_offer_pending"
    offer = parse_sdp(peer.session.create_offer(ice_restart=True))
    assert offer.media[0].transport.ice_ufrag == "ufrag1" and peer.transport.restarts == 1
    peer.session.withdraw_offer()
    assert not peer.session.is_negotiating


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("a=setup:active", "a=setup:actpass", "sdp_bad_setup"),
        ("a=mid:0", "a=mid:7", "sdp_section_changed"),
        ("m=application", "m=audio", "sdp_section_changed"),
        ("a=ice-ufrag:", "a=x:", "sdp_missing_ice"),
    ],
)
def test_answer_that_cannot_be_used_leaves_the_offer_open(old: str, new: str, code: str) -> None:
    peer = Peer(role="offerer")
    peer.session.create_offer()
    with pytest.raises(SdpError) as caught:
        peer.session.handle_answer(read_sdp("js_dual_data_answer").replace(old, new))
    assert caught.value.code == code and peer.session.is_negotiating
    peer.session.handle_answer(read_sdp("js_dual_data_answer"))


def test_an_answer_that_changes_the_dtls_role_is_refused() -> None:
    peer = connected()
    peer.session.create_offer()
    text = read_sdp("go_dual_data_answer").replace("setup:active", "setup:passive")
    with pytest.raises(SdpError):
        peer.session.handle_answer(text)


def test_answer_without_an_offer_is_refused() -> None:
    with pytest.raises(SdpError) as caught:
        connected().session.handle_answer(read_sdp("go_dual_data_answer"))
    assert caught.value.code == "sdp_unexpected_answer"


def test_offerer_without_data_has_nothing_to_offer_at_first() -> None:
    peer = Peer(role="offerer", has_data=False)
    with pytest.raises(SessionError):
        peer.session.create_offer()
    peer.subscribe()
    assert [m.kind for m in parse_sdp(peer.session.create_offer()).media] == ["video"]


def test_the_number_of_sections_is_bounded() -> None:
    peer = connected()
    subscriptions = [peer.subscribe(track=f"TR_{n}") for n in range(MAX_SECTIONS + 6)]
    assert len(parse_sdp(peer.session.create_offer()).media) == MAX_SECTIONS
    assert sum(s.mid is None for s in subscriptions) == 7 and peer.session.has_pending


def test_policy_that_leaves_the_codec_out_refuses_the_subscription() -> None:
    peer = Peer(role="offerer", policy=CodecPolicy(video=(Codec.VP8,)))
    peer.subscribe(track="TR_h", codecs=(Codec.H264,))
    peer.session.create_offer()
    assert peer.log == [("unsupported", "TR_h")]
