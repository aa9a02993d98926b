"""Answers in general: what they mirror, refuse and keep; restarts of ICE; the end."""

from __future__ import annotations

import random

import pytest
from fake_transport import CANDIDATES, read_sdp
from session_peer import Peer, claim_all

from sfu.sdp import SdpError, parse_sdp
from sfu.session import Session, SessionError


def test_answer_mirrors_the_sections_and_names_where_we_are() -> None:
    peer = Peer()
    offer = parse_sdp(read_sdp("js_single_join_offer"))
    answer = peer.offer("js_single_join_offer")
    assert [(m.kind, m.mid) for m in answer.media] == [(m.kind, m.mid) for m in offer.media]
    assert answer.bundled_mids == offer.bundled_mids
    assert answer.is_ice_lite and answer.msid_semantic == "WMS *"
    first, *others = answer.media
    assert first.candidates == tuple(c.to_sdp() for c in CANDIDATES)
    assert first.has_end_of_candidates and not any(m.candidates for m in others)
    for media in answer.media:
        assert media.transport.setup == "active"
        assert media.transport.ice_ufrag == "ufrag0"
        assert str(media.transport.fingerprints[0]) == peer.transport.fingerprint
    assert peer.transport.remotes[0]["dtls_role"] == "client"


def test_placeholders_are_accepted_inactive_without_a_stream() -> None:
    answer = Peer().offer("js_single_join_offer")
    for media in answer.media[:6]:
        assert media.port == 9 and media.direction == "inactive"
        assert not media.msids and not media.ssrcs


def test_data_section_starts_the_association() -> None:
    peer = Peer()
    answer = peer.offer("native_dual_data_offer")
    assert peer.transport.data.starts == [{"remote_port": 5000, "max_message_bytes": 65535}]
    assert answer.media[0].sctp_port == 5000
    assert answer.media[0].max_message_size_bytes == 65535
    assert answer.media[0].formats == ("webrtc-datachannel",)


def test_a_passive_peer_is_met_actively_and_an_active_one_passively() -> None:
    for theirs, ours, role in (("active", "passive", "server"), ("passive", "active", "client")):
        peer = Peer()
        text = read_sdp("native_dual_data_offer").replace("actpass", theirs)
        assert peer.offer(text).media[0].transport.setup == ours
        assert peer.transport.remotes[0]["dtls_role"] == role


def test_the_dtls_role_stays_when_later_offers_leave_the_choice() -> None:
    peer = Peer()
    peer.offer(read_sdp("native_dual_data_offer").replace("actpass", "active"))
    assert peer.offer("native_dual_data_offer").media[0].transport.setup == "passive"


@pytest.mark.parametrize("is_lean", [False, True])
@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("trickle", ()),
        ("trickle goog-sped-v1", ("goog-sped-v1",)),
        ("sped trickle renomination googspedv1", ("sped", "googspedv1")),
    ],
)
def test_a_handshake_inside_checks_is_agreed_with_who_offers_it(
    offered: str, answered: tuple[str, ...], is_lean: bool
) -> None:
    peer = Peer(is_lean=is_lean)
    text = read_sdp("js_single_join_offer")
    assert "a=ice-options:trickle" in text
    text = text.replace("a=ice-options:trickle", f"a=ice-options:{offered}")
    answer = peer.offer(text)
    assert {answer.transport_of(media).ice_options for media in answer.media} == {answered}
    # Its ClientHello comes with its first check, so it has to be the client.
    setups = {answer.transport_of(media).setup for media in answer.media}
    assert setups == {"passive" if answered else "active"}
    # It holds for every description of the session.
    assert answer.to_sdp().count("a=ice-options") == (
        0 if not answered else 1 if is_lean else len(answer.media)
    )


def test_versions_rise_and_the_session_id_stays() -> None:
    peer = Peer()
    first, second = (peer.offer("native_dual_data_offer").origin for _ in range(2))
    assert first[1] == second[1] and second[2] == first[2] + 1


def refused(peer: Peer, text: str) -> str:
    with pytest.raises(SdpError) as caught:
        peer.session.handle_offer(text, claim_all)
    return caught.value.code


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("a=setup:actpass", "a=setup:holdconn", "sdp_bad_setup"),
        ("a=ice-pwd:", "a=x-pwd:", "sdp_missing_ice"),
        ("a=fingerprint:", "a=x:", "sdp_missing_fingerprint"),
        ("sha-256 FC:5D", "sha-256 00:5D", "sdp_fingerprint_changed"),
        ("a=mid:1\r\n", "a=mid:9\r\n", "sdp_section_changed"),
        ("m=audio", "m=video", "sdp_section_changed"),
        ("m=application 50733", "m=application 0", "sdp_no_section"),
        ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE x", "sdp_no_section"),
    ],
)
def test_offer_that_cannot_be_used(old: str, new: str, code: str) -> None:
    peer = Peer()
    peer.offer("js_dual_publish_offer")
    text = read_sdp("js_dual_publish_offer")
    if code == "sdp_no_section" and "application" in old:
        text = text.replace("BUNDLE 0 1 2", "BUNDLE 0")
    before = (list(peer.log), len(peer.transport.remotes))
    assert refused(peer, text.replace(old, new)) == code
    assert (peer.log, len(peer.transport.remotes)) == before
    assert set(peer.session.published) == {"1", "2"}


def test_missing_sections_are_refused() -> None:
    peer = Peer()
    peer.offer("js_single_simulcast_offer")
    assert refused(peer, read_sdp("js_single_join_offer")) == "sdp_section_missing"


def test_a_rejected_section_may_be_put_to_another_use() -> None:
    peer = Peer()
    text = read_sdp("js_dual_publish_offer")
    peer.offer(text.replace("m=audio 9 ", "m=audio 0 ").replace("BUNDLE 0 1 2", "BUNDLE 0 2"))
    fresh = text.replace("a=mid:1\r\n", "a=mid:5\r\n").replace("BUNDLE 0 1 2", "BUNDLE 0 5 2")
    assert [m.mid for m in peer.offer(fresh).media] == ["0", "5", "2"]
    assert set(peer.session.published) == {"2", "5"}


def test_new_credentials_restart_ice_and_keep_everything_else() -> None:
    peer = Peer()
    peer.offer("native_single_before_restart_offer")
    subscription = peer.subscribe(is_audio=True)
    peer.offer("native_single_before_restart_offer")
    assert peer.transport.restarts == 0
    answer = peer.offer("native_single_restart_offer")
    assert peer.transport.restarts == 1
    assert answer.media[0].transport.ice_ufrag == "ufrag1"
    assert peer.transport.remotes[-1]["ufrag"] == "DmaZ"
    assert subscription.mid == "0" and len(peer.transport.sinks) == 1


def test_roles_are_kept_apart() -> None:
    with pytest.raises(SessionError):
        Peer().session.create_offer()
    with pytest.raises(SessionError):
        Peer().session.handle_answer("")
    with pytest.raises(SessionError):
        Peer(role="offerer").session.handle_offer("", claim_all)
    assert Peer(role="offerer").session.claim_held(claim_all) == []


def test_close_ends_sources_and_sinks() -> None:
    peer = Peer()
    peer.subscribe()
    peer.offer("js_single_simulcast_offer")
    peer.session.close()
    assert all(source.is_closed for source in peer.transport.sources)
    assert all(sink.is_closed for sink in peer.transport.sinks)
    assert peer.session.subscriptions == () and not peer.transport.is_closed


def test_our_ssrcs_never_meet_the_peers() -> None:
    class Fixed(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return next(numbers) if k == 32 else 1

    numbers = iter([0, 2238041514, 5, 5, 6])
    peer = Peer()
    peer.session = Session(
        peer.transport,  # type: ignore[arg-type]
        CANDIDATES,
        rng=Fixed(),
    )
    subscription = peer.subscribe()
    peer.offer("js_single_simulcast_offer")
    assert (subscription.ssrc, subscription.rtx_ssrc) == (5, 6)
