"""Tracks that an offer publishes: which, how, and when they end."""

from __future__ import annotations

import pytest
from fake_transport import read_sdp
from session_peer import Peer, claim_all, hold

from sfu.codecs import AcceptedFormat, CodecPolicy
from sfu.ids import Codec
from sfu.sdp import SessionDescription, parse_sdp
from sfu.sdp.model import PayloadFormat
from sfu.session import OfferedTrack, Refusal, TrackClaim
from sfu.session.section import Section

AUDIO_CID = "2ae78f9f-cb29-4f2a-bc35-ea6d002973a9"
VIDEO_CID = "116eeeaf-73f2-4cf7-a7ab-9b1fcdc35ff3"


def test_publishes_simulcast_with_rids_and_their_extensions() -> None:
    peer = Peer()
    answer = peer.offer("js_dual_publish_offer")
    video = answer.media[2]
    assert video.direction == "recvonly"
    assert [(rid.id, rid.direction) for rid in video.rids] == [
        ("q", "recv"),
        ("h", "recv"),
        ("f", "recv"),
    ]
    assert video.simulcast is not None and video.simulcast.recv == (("q",), ("h",), ("f",))
    names = {extension.uri.rpartition(":")[2] for extension in video.extensions}
    assert {"mid", "rtp-stream-id", "repaired-rtp-stream-id"} <= names
    source = peer.transport.sources[1]
    assert [e.rid for e in source.encodings] == ["q", "h", "f"] and source.mid == "2"
    assert peer.log == [("published", "1"), ("published", "2")]
    extensions, payloads = peer.transport.media[-1]
    assert extensions["twcc"] == 3 and extensions["rid"] == 10 and extensions["dependency"] == 12
    assert (96, Codec.VP8, 97) in payloads and (111, Codec.OPUS, 0) in payloads


def test_answers_rids_in_the_offers_order() -> None:
    peer = Peer()
    answer = peer.offer("native_single_simulcast_offer")
    assert answer.media[8].simulcast is not None
    assert answer.media[8].simulcast.recv == (("f",), ("h",), ("q",))
    assert [e.rid for e in peer.transport.sources[-1].encodings] == ["q", "h", "f"]


def test_go_publisher_with_rids_and_ssrcs_and_no_repaired_rid() -> None:
    peer = Peer()
    answer = peer.offer("go_dual_publish_offer")
    assert [media.direction for media in answer.media] == ["recvonly", "recvonly", "sendrecv"]
    assert [e.ssrc for e in peer.transport.sources[1].encodings] == [
        2860031385,
        483662924,
        2561946914,
    ]


def test_claim_sees_the_clients_track_ids() -> None:
    seen: list[OfferedTrack] = []

    def claim(track: OfferedTrack) -> TrackClaim:
        seen.append(track)
        return TrackClaim()

    Peer().offer("js_single_simulcast_offer", claim)
    audio, video = seen
    assert (audio.mid, audio.kind, audio.msid_track) == ("7", "audio", AUDIO_CID)
    assert audio.ssrcs == (2238041514,) and audio.rids == ()
    assert (video.mid, video.kind, video.msid_track) == ("8", "video", VIDEO_CID)
    assert video.rids == ("q", "h", "f") and video.codecs[0] is Codec.VP8


def test_wanted_codec_is_answered_first_with_its_fmtp() -> None:
    answer = Peer().offer("js_dual_publish_offer", lambda t: TrackClaim(codecs=(Codec.H264,)))
    first = answer.media[2].payloads[0]
    assert first.encoding == "H264" and first.parameters["profile-level-id"] == "42e01f"
    vp8 = next(p for p in answer.media[2].payloads if p.encoding == "VP8")
    assert vp8.fmtp == "x-google-start-bitrate=1000"


def test_opus_follows_the_track_and_not_the_offer() -> None:
    def fmtp(claim: TrackClaim) -> dict[str, str]:
        answer = Peer().offer("js_dual_publish_offer", lambda t: claim)
        opus = next(p for p in answer.media[1].payloads if p.encoding == "opus")
        return opus.parameters

    base = {"minptime": "10", "useinbandfec": "1"}
    assert fmtp(TrackClaim()) == {**base, "usedtx": "1"}
    assert fmtp(TrackClaim(uses_dtx=False, is_stereo=True)) == {**base, "stereo": "1"}


def test_in_band_fec_is_wanted_whatever_the_offer_says() -> None:
    offer = read_sdp("js_dual_publish_offer").replace(";useinbandfec=1", "")
    assert "useinbandfec" not in offer
    opus = next(p for p in Peer().offer(offer).media[1].payloads if p.encoding == "opus")
    assert opus.parameters["useinbandfec"] == "1"


def test_sound_encrypted_end_to_end_never_leaves_as_red() -> None:
    formats = [
        AcceptedFormat(codec, PayloadFormat(pt, name, 48_000, 2), None)
        for codec, pt, name in ((Codec.OPUS, 111, "opus"), (Codec.RED, 63, "red"))
    ]
    subscription = Peer().subscribe(is_audio=True)
    section = Section("1", "audio", formats=formats, subscription=subscription)
    assert [payload.codec for payload in section.sink_payloads()] == [Codec.OPUS, Codec.RED]
    subscription.allows_red = False
    assert [payload.codec for payload in section.sink_payloads()] == [Codec.OPUS]


def test_sound_is_bounded_at_once_and_again_in_the_next_answer() -> None:
    peer = Peer()
    claim = TrackClaim(sound_bps=32_000)
    first = peer.session.handle_offer(read_sdp("js_dual_publish_offer"), lambda t: claim)
    assert first.count("b=TIAS:32000") == 2 and "maxaveragebitrate" not in first
    second = peer.session.handle_offer(read_sdp("js_dual_publish_offer"), lambda t: claim)
    assert "maxaveragebitrate=32000" in second and "b=TIAS:32000" in second
    assert "b=TIAS" not in Peer().session.handle_offer(
        read_sdp("js_dual_publish_offer"), lambda t: TrackClaim()
    )


def test_where_a_sender_starts_may_be_said() -> None:
    offer = read_sdp("js_dual_publish_offer")
    answer = Peer().session.handle_offer(offer, lambda t: TrackClaim(start_bps=300_000))
    assert "x-google-start-bitrate=1000" in offer and "start-bitrate=1000" not in answer
    assert "a=fmtp:96 x-google-start-bitrate=300\r\n" in answer
    assert "profile-level-id=42e01f" in answer, "other parameters stay"
    assert "start-bitrate" not in answer[answer.index("m=audio") : answer.index("m=video")]


def layers_of(answer: SessionDescription) -> tuple[tuple[str, ...], ...]:
    simulcast = answer.media[2].simulcast
    assert simulcast is not None
    return simulcast.recv


def test_layers_are_paused_from_the_top_and_come_back() -> None:
    peer = Peer()
    first = peer.offer("js_dual_publish_offer", lambda t: TrackClaim(layers=1))
    assert layers_of(first) == (("q",), ("~h",), ("~f",))
    assert not peer.session.has_pending and peer.session.told_layers("2") == 1
    # libwebrtc offers as paused what an answer has paused.
    paused = read_sdp("js_dual_publish_offer").replace("send q;h;f", "send q;~h;~f")
    assert "~h" in paused
    assert layers_of(peer.offer(paused)) == (("q",), ("~h",), ("~f",))
    peer.session.limit_layers("2", 2)
    assert peer.session.has_pending and peer.session.needs_sections() == (0, 0)
    assert layers_of(peer.offer(paused)) == (("q",), ("h",), ("~f",))
    peer.session.limit_layers("2", 0)
    assert layers_of(peer.offer(paused.replace("~h", "h"))) == (("q",), ("h",), ("f",))
    assert not peer.session.has_pending
    assert [name for name, _ in peer.log] == ["published", "published"], "the track is the same"


def test_a_layer_that_the_peer_itself_has_stopped_stays_so() -> None:
    paused = read_sdp("js_dual_publish_offer").replace("send q;h;f", "send q;h;~f")
    peer = Peer()
    assert layers_of(peer.offer(paused)) == (("q",), ("h",), ("~f",))
    peer.session.limit_layers("2", 1)
    assert layers_of(peer.offer(paused)) == (("q",), ("~h",), ("~f",))


def test_layers_of_nothing_published_are_nothing() -> None:
    peer = Peer()
    peer.offer("js_dual_publish_offer", hold)
    peer.session.limit_layers("2", 1)
    peer.session.limit_layers("99", 1)
    assert not peer.session.has_pending and peer.session.told_layers("99") == 0


def test_red_is_answered_first_when_policy_and_claim_allow_it() -> None:
    def audio(claim: TrackClaim, *, allows: bool) -> list[str]:
        peer = Peer(policy=CodecPolicy(allows_red_from_publishers=allows))
        answer = peer.offer("js_dual_publish_offer", lambda t: claim)
        return [payload.encoding for payload in answer.media[1].payloads]

    assert audio(TrackClaim(), allows=True) == ["red", "opus"]
    assert audio(TrackClaim(allows_red=False), allows=True) == ["opus"]
    assert audio(TrackClaim(is_stereo=True), allows=True) == ["opus"]
    assert audio(TrackClaim(), allows=False) == ["opus"]


def test_red_may_come_with_a_later_answer() -> None:
    peer = Peer()

    def formats(claim: TrackClaim) -> tuple[str, ...]:
        return peer.offer("js_dual_publish_offer", lambda t: claim).media[1].formats

    assert formats(TrackClaim(starts_red=False))[0] == "111"
    peer.session.add_red("99")
    assert not peer.session.has_pending and formats(TrackClaim())[0] == "111"
    peer.session.add_red("1")
    assert peer.session.has_pending and peer.session.needs_sections() == (0, 0)
    assert formats(TrackClaim())[0] == "63" and not peer.session.has_pending
    stereo = Peer()
    stereo.offer("js_dual_publish_offer", lambda t: TrackClaim(starts_red=False, is_stereo=True))
    stereo.session.add_red("1")
    assert not stereo.session.has_pending, "it would be in vain"


def test_feedback_is_a_subset_of_what_was_offered() -> None:
    video = Peer().offer("go_dual_publish_offer").media[1]
    assert set(video.payloads[0].feedback) == {
        "goog-remb",
        "ccm fir",
        "nack",
        "nack pli",
        "transport-cc",
    }
    assert all(not p.feedback for p in video.payloads if p.encoding == "rtx")
    # Offered without its header extension, transport-cc would promise feedback about nothing.
    assert Peer().offer("js_dual_publish_offer").media[1].payloads[0].feedback == ()


def test_nack_for_audio_is_neither_offered_nor_answered_without_a_repair_stream() -> None:
    def with_nack(text: str) -> str:
        return text.replace("a=rtpmap:111 opus", "a=rtcp-fb:111 nack\r\na=rtpmap:111 opus")

    answer = Peer().offer(with_nack(read_sdp("js_dual_publish_offer")))
    audio = next(media for media in answer.media if media.kind == "audio")
    assert audio.payloads and not any("nack" in p.feedback for p in audio.payloads)
    subscriber = Peer(role="offerer")
    subscriber.subscribe(is_audio=True)
    offered = parse_sdp(subscriber.session.create_offer())
    audio = next(media for media in offered.media if media.kind == "audio")
    assert [p.feedback for p in audio.payloads] == [("transport-cc",)] * 2


def test_held_track_is_accepted_and_claimed_later_without_a_negotiation() -> None:
    peer = Peer()
    answer = peer.offer("js_dual_publish_offer", hold)
    assert [m.direction for m in answer.media[1:]] == ["recvonly", "recvonly"]
    assert peer.transport.sources == [] and peer.session.published == {}
    assert peer.session.claim_held(hold) == []
    assert peer.session.claim_held(claim_all) == ["1", "2"]
    assert peer.session.claim_held(claim_all) == []
    assert set(peer.session.published) == {"1", "2"}


def test_held_track_is_asked_about_again_at_the_next_offer() -> None:
    peer = Peer()
    peer.offer("js_dual_publish_offer", hold)
    peer.offer("js_dual_publish_offer")
    assert set(peer.session.published) == {"1", "2"}


def test_refused_track_is_inactive_and_not_asked_about_again() -> None:
    peer = Peer()
    answer = peer.offer("js_dual_publish_offer", lambda t: Refusal("not allowed"))
    assert [m.direction for m in answer.media[1:]] == ["inactive", "inactive"]
    peer.offer("js_dual_publish_offer")
    assert peer.session.published == {} and peer.session.claim_held(claim_all) == []


def test_reoffer_keeps_sources() -> None:
    peer = Peer()
    peer.offer("js_dual_publish_offer")
    peer.offer("js_dual_publish_offer")
    assert len(peer.transport.sources) == 2
    assert not any(source.is_closed for source in peer.transport.sources)


def test_section_that_turns_inactive_unpublishes() -> None:
    peer = Peer()
    peer.offer("js_single_simulcast_offer")
    answer = peer.offer("js_single_unpublish_offer")
    assert peer.log[-1] == ("unpublished", "8") and set(peer.session.published) == {"7"}
    assert peer.transport.sources[1].is_closed
    assert answer.media[8].direction == "inactive" and answer.media[8].port == 9


@pytest.mark.parametrize("change", ["m=video 0 ", "a=recvonly"])
def test_rejected_or_recvonly_section_unpublishes(change: str) -> None:
    peer = Peer()
    peer.offer("js_dual_publish_offer")
    text = read_sdp("js_dual_publish_offer")
    at = text.index("m=video")
    old = "m=video 9 " if change.startswith("m=") else "a=sendonly"
    peer.offer(text[:at] + text[at:].replace(old, change))
    assert peer.log[-1] == ("unpublished", "2")


def test_another_track_in_the_same_section_is_a_new_publication() -> None:
    peer = Peer()
    peer.offer("js_dual_publish_offer")
    text = read_sdp("js_dual_publish_offer").replace("b09f0153-a436-478b-966e-960fee4efffb", "new")
    peer.offer(text)
    assert peer.log[-2:] == [("unpublished", "2"), ("published", "2")]
    assert len(peer.transport.sources) == 3


def test_unknown_kinds_protocols_and_codecs_are_rejected_with_port_zero() -> None:
    text = read_sdp("js_dual_publish_offer").replace("m=audio 9 UDP/TLS/RTP/SAVPF", "m=text 9 X")
    answer = Peer().offer(text)
    assert answer.media[1].port == 0 and answer.media[1].kind == "text"
    assert answer.bundled_mids == ("0", "2")
    answer = Peer().offer(read_sdp("js_dual_publish_offer").replace("opus", "speex"))
    assert answer.media[1].is_rejected and answer.bundled_mids == ("0", "2")


def test_sections_outside_the_bundle_are_rejected() -> None:
    text = read_sdp("js_dual_publish_offer").replace("BUNDLE 0 1 2", "BUNDLE 0 1")
    assert [m.is_rejected for m in Peer().offer(text).media] == [False, False, True]
    text = read_sdp("js_dual_publish_offer").replace("a=group:BUNDLE 0 1 2\r\n", "")
    assert [m.is_rejected for m in Peer().offer(text).media] == [False, True, True]


def test_section_without_rtcp_mux_is_rejected() -> None:
    text = read_sdp("js_dual_publish_offer").replace("a=rtcp-mux\r\n", "")
    assert [m.is_rejected for m in Peer().offer(text).media] == [False, True, True]
