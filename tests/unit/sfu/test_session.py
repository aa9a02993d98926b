from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from fake_transport import CANDIDATES, SDP_DIR, FakeSource, FakeTransport, read_sdp
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.codecs import AcceptedFormat, CodecPolicy
from sfu.ids import Codec
from sfu.sdp import SdpError, SessionDescription, parse_sdp
from sfu.sdp.model import PayloadFormat
from sfu.sdp.parse import MAX_SECTIONS
from sfu.session import OfferedTrack, Refusal, Session, SessionError, Subscription, TrackClaim
from sfu.session.section import Section

AUDIO_CID = "2ae78f9f-cb29-4f2a-bc35-ea6d002973a9"
VIDEO_CID = "116eeeaf-73f2-4cf7-a7ab-9b1fcdc35ff3"


def claim_all(_: OfferedTrack) -> TrackClaim:
    return TrackClaim()


def hold(_: OfferedTrack) -> None:
    return None


class Peer:
    """A session over a recording transport."""

    def __init__(self, **arguments: object) -> None:
        self.transport = FakeTransport()
        self.session = Session(
            self.transport,  # type: ignore[arg-type]
            CANDIDATES,
            rng=random.Random(1),
            **arguments,  # type: ignore[arg-type]
        )
        self.log: list[tuple[str, str]] = []
        self.session.set_callbacks(
            on_published=lambda mid, source: self.log.append(("published", mid)),
            on_unpublished=lambda mid: self.log.append(("unpublished", mid)),
            on_subscribed=lambda s: self.log.append(("subscribed", s.mid or "")),
            on_unsupported=lambda s: self.log.append(("unsupported", s.track_id)),
        )

    def offer(
        self, name_or_text: str, claim: Callable[[OfferedTrack], object] = claim_all
    ) -> SessionDescription:
        text = name_or_text if "\n" in name_or_text else read_sdp(name_or_text)
        return parse_sdp(self.session.handle_offer(text, claim))  # type: ignore[arg-type]

    def subscribe(
        self, *, is_audio: bool = False, track: str = "TR_1", codecs: tuple[Codec, ...] = ()
    ) -> Subscription:
        return self.session.subscribe(
            FakeSource(is_audio),  # type: ignore[arg-type]
            stream_id=f"PA_1|{track}",
            track_id=track,
            codecs=codecs,
        )


# Answers in general.


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


def test_versions_rise_and_the_session_id_stays() -> None:
    peer = Peer()
    first, second = (peer.offer("native_dual_data_offer").origin for _ in range(2))
    assert first[1] == second[1] and second[2] == first[2] + 1


# Publishing.


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


def test_red_is_answered_first_when_policy_and_claim_allow_it() -> None:
    def audio(claim: TrackClaim, *, allows: bool) -> list[str]:
        peer = Peer(policy=CodecPolicy(allows_red_from_publishers=allows))
        answer = peer.offer("js_dual_publish_offer", lambda t: claim)
        return [payload.encoding for payload in answer.media[1].payloads]

    assert audio(TrackClaim(), allows=True) == ["red", "opus"]
    assert audio(TrackClaim(allows_red=False), allows=True) == ["opus"]
    assert audio(TrackClaim(is_stereo=True), allows=True) == ["opus"]
    assert audio(TrackClaim(), allows=False) == ["opus"]


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


# Refused offers leave everything as it was.


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


# ICE restart.


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


# Subscriptions in the single connection.


def test_subscription_is_placed_on_a_free_section_at_the_next_offer() -> None:
    peer = Peer()
    peer.offer("js_single_join_offer")
    subscription = peer.subscribe(track="TR_v", codecs=(Codec.VP8,))
    subscription.set_layers(1, 2, False)
    assert peer.session.has_pending and peer.session.needs_sections() == (0, 0)
    answer = peer.offer("js_single_placeholders_offer")
    media = answer.media[3]
    assert media.direction == "sendonly" and media.payloads[0].encoding == "VP8"
    assert [(m.stream, m.track) for m in media.msids] == [("PA_1|TR_v", "TR_v")]
    sink = peer.transport.sinks[0]
    assert media.ssrc_groups[0].ssrcs == (sink.ssrc, sink.rtx_ssrc)
    assert media.ssrcs[sink.ssrc] == {"cname": "PA_1|TR_v", "msid": "PA_1|TR_v TR_v"}
    assert (sink.mid, sink.layers) == ("3", (1, 2, False))
    assert [p.codec for p in sink.payloads][0] is Codec.VP8
    assert len({p.codec for p in sink.payloads}) == len(sink.payloads)
    assert peer.session.mid_to_track_id == {"3": "TR_v"} and not peer.session.has_pending
    # Chromium could not offer simulcast in a later section otherwise.
    assert any("sdes:rtp-stream-id" in extension.uri for extension in media.extensions)
    assert sum(1 for m in answer.media if m.msids) == 1


def test_audio_subscription_has_no_rtx() -> None:
    peer = Peer()
    peer.subscribe(is_audio=True)
    media = peer.offer("js_single_join_offer").media[0]
    assert media.direction == "sendonly" and not media.ssrc_groups and len(media.ssrcs) == 1
    assert peer.transport.sinks[0].rtx_ssrc == 0


def test_needs_sections_counts_what_is_missing() -> None:
    peer = Peer()
    assert peer.session.needs_sections() == (0, 0)
    peer.offer("js_single_join_offer")
    for number in range(5):
        peer.subscribe(track=f"TR_v{number}")
    peer.subscribe(is_audio=True)
    assert peer.session.needs_sections() == (0, 2)
    peer.offer("js_single_placeholders_offer")
    assert peer.session.needs_sections() == (0, 2) and peer.session.has_pending
    assert peer.session.mid_to_track_id == {
        "0": "TR_1",
        "3": "TR_v0",
        "4": "TR_v1",
        "5": "TR_v2",
    }


def test_sections_where_the_peer_publishes_are_never_used() -> None:
    peer = Peer()
    for number in range(4):
        peer.subscribe(track=f"TR_{number}")
    peer.offer("js_single_simulcast_offer")
    assert set(peer.session.mid_to_track_id) == {"3", "4", "5"}


def test_removed_subscription_is_seen_inactive_once_before_its_section_is_used_again() -> None:
    peer = Peer()
    first = peer.subscribe(track="TR_a")
    peer.offer("js_single_placeholders_offer")
    old_ssrc = first.ssrc
    peer.session.unsubscribe(first)
    assert peer.transport.sinks[0].is_closed and peer.session.has_pending
    peer.session.unsubscribe(first)
    second, _, last = (peer.subscribe(track=f"TR_{name}") for name in "bcd")
    assert peer.session.needs_sections() == (0, 0)
    answer = peer.offer("js_single_placeholders_offer")
    assert answer.media[3].direction == "inactive" and not answer.media[3].msids
    assert second.mid == "4" and peer.session.needs_sections() == (0, 0)
    assert last.mid is None and peer.session.has_pending
    answer = peer.offer("js_single_placeholders_offer")
    assert answer.media[3].direction == "sendonly"
    assert last.mid == "3" and last.ssrc != old_ssrc


def test_subscription_stays_in_its_section_over_later_offers() -> None:
    peer = Peer()
    subscription = peer.subscribe()
    first = peer.offer("js_single_placeholders_offer").media[3]
    again = peer.offer("js_single_simulcast_offer").media[3]
    assert again.ssrcs == first.ssrcs and again.msids == first.msids
    assert len(peer.transport.sinks) == 1 and subscription.sink is not None


def test_section_that_stops_receiving_gives_its_subscription_back() -> None:
    peer = Peer()
    subscription = peer.subscribe()
    peer.offer("js_single_placeholders_offer")
    text = read_sdp("js_single_placeholders_offer")
    at = text.index("a=mid:3\r\n")
    peer.offer(text[:at] + text[at:].replace("a=recvonly", "a=inactive", 1))
    assert peer.transport.sinks[0].is_closed and subscription.mid == "4"
    assert len(peer.transport.sinks) == 2


def test_peer_without_the_codec_is_told_of() -> None:
    peer = Peer()
    text = read_sdp("native_single_before_restart_offer").replace("AV1/90000", "AVX/90000")
    subscription = peer.subscribe(track="TR_av1", codecs=(Codec.AV1,))
    peer.offer(text)
    assert peer.log == [("unsupported", "TR_av1")] and subscription.is_unsupported
    assert not peer.session.has_pending and peer.session.needs_sections() == (0, 0)


def test_closed_source_gets_no_sink() -> None:
    peer = Peer()
    subscription = peer.subscribe()
    subscription.source.close()
    peer.offer("js_single_placeholders_offer")
    assert peer.transport.sinks == []


def test_layer_orders_reach_the_sink() -> None:
    peer = Peer()
    subscription = peer.subscribe()
    peer.offer("js_single_placeholders_offer")
    subscription.set_layers(0, 1, True)
    assert peer.transport.sinks[0].layers == (0, 1, True) == subscription.layers


# The server's own offers.


def connected(client: str = "go") -> Peer:
    peer = Peer(role="offerer")
    peer.session.create_offer()
    peer.session.handle_answer(read_sdp(f"{client}_dual_data_answer"))
    return peer


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


# Rubbish: a damaged description is refused, or taken; whatever it was, the session goes on.

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
