"""Subscriptions in the single connection: which section carries which."""

from __future__ import annotations

from fake_transport import read_sdp
from session_peer import Peer

from sfu.ids import Codec


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
