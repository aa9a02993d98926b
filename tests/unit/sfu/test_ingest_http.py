"""WHIP and WHEP sessions and their ICE fragments, without HTTP."""

from __future__ import annotations

import random
from typing import TypeVar

import pytest
from fake_transport import CANDIDATES, FakeSource, FakeTransport, read_sdp
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.ids import Codec
from sfu.ingest.resource import HttpSession, PatchError
from sfu.ingest.sdpfrag import IceFragment, format_fragment, parse_fragment
from sfu.ingest.whep import NothingToPlayError, PlayableTrack, WhepSession, choose_tracks
from sfu.ingest.whip import WhipSession
from sfu.sdp import SdpError, parse_sdp

PWD = "p" * 24
TRICKLE = (
    "a=ice-ufrag:xSTv\r\na=ice-pwd:3U5Nx4mEnyP6bZWHb3FAfHlH\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    "a=candidate:1 1 udp 2122194687 192.0.2.2 50733 typ host\r\na=end-of-candidates\r\n"
)
Kind = TypeVar("Kind", bound=HttpSession)


def make(kind: type[Kind]) -> tuple[Kind, FakeTransport]:
    transport = FakeTransport()
    session = kind(
        transport,  # type: ignore[arg-type]
        CANDIDATES,
        rng=random.Random(1),
    )
    return session, transport


def playable(
    track: str, *, is_audio: bool = False, owner: str = "PA_1", is_screen: bool = False
) -> PlayableTrack:
    return PlayableTrack(
        FakeSource(is_audio),  # type: ignore[arg-type]
        owner,
        owner,
        track,
        is_screen,
        (Codec.OPUS if is_audio else Codec.VP8,),
    )


# Fragments.


def test_reads_credentials_at_either_level() -> None:
    assert parse_fragment(TRICKLE) == IceFragment("xSTv", "3U5Nx4mEnyP6bZWHb3FAfHlH", 1)
    inside = f"m=audio 9 RTP/AVP 0\na=mid:0\na=ice-ufrag:abcd\na=ice-pwd:{PWD}\n"
    assert parse_fragment(inside) == IceFragment("abcd", PWD)
    assert parse_fragment("a=candidate:1\r\n") == IceFragment("", "", 1)


def test_what_is_written_is_read_back() -> None:
    text = format_fragment("abcd", PWD, mid="0", candidates=["candidate:1", "candidate:2"])
    assert parse_fragment(text) == IceFragment("abcd", PWD, 2)
    assert "a=mid:0\r\na=candidate:1\r\n" in text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x" * 20_000, "sdp_too_large"),
        ("hello", "sdp_bad_line"),
        ("a=ice-ufrag:a b\r\n", "sdp_bad_attribute"),
        ("a=candidate:1\r\n" * 65, "sdp_too_many_attributes"),
    ],
)
def test_malformed_fragments(text: str, code: str) -> None:
    with pytest.raises(SdpError) as caught:
        parse_fragment(text)
    assert caught.value.code == code


@given(st.text(max_size=200))
@settings(deadline=None)
def test_garbage_never_crashes(text: str) -> None:
    try:
        parse_fragment(text)
    except SdpError as error:
        assert error.code.startswith("sdp_")


# WHIP.


def test_whip_publishes_what_the_encoder_offers() -> None:
    session, transport = make(WhipSession)
    answer, tracks = session.handle_offer(read_sdp("js_dual_publish_offer"))
    assert [(t.offered.kind, t.codec) for t in tracks] == [
        ("audio", Codec.OPUS),
        ("video", Codec.VP8),
    ]
    assert [t.source for t in tracks] == transport.sources
    audio = parse_sdp(answer).media[1].payloads[0]
    assert audio.parameters["stereo"] == "1" and "usedtx" not in audio.parameters


def test_whip_needs_something_to_publish() -> None:
    session, _ = make(WhipSession)
    with pytest.raises(SdpError) as caught:
        session.handle_offer(read_sdp("native_dual_data_offer"))
    assert caught.value.code == "whip_no_track"


def test_whip_takes_a_bounded_number_of_tracks() -> None:
    offer = read_sdp("js_single_join_offer").replace("a=recvonly", "a=sendonly")
    session, transport = make(WhipSession)
    answer, tracks = session.handle_offer(offer)
    assert len(tracks) == len(transport.sources) == 4
    directions = [media.direction for media in parse_sdp(answer).media[:6]]
    assert directions == ["recvonly"] * 4 + ["inactive"] * 2


# PATCH.


def published() -> tuple[WhipSession, FakeTransport]:
    session, transport = make(WhipSession)
    session.handle_offer(read_sdp("js_dual_publish_offer"))
    return session, transport


def test_trickle_changes_nothing() -> None:
    session, transport = published()
    patched = session.handle_patch(TRICKLE, session.etag)
    assert patched.fragment == "" and patched.etag == session.etag == '"ufrag0"'
    assert transport.restarts == 0
    assert session.handle_patch("a=candidate:1\r\n", "*").fragment == ""


def test_new_credentials_restart_ice() -> None:
    session, transport = published()
    before = session.etag
    restart = f"a=ice-ufrag:new0\r\na=ice-pwd:{PWD}\r\n"
    patched = session.handle_patch(restart, "*")
    assert transport.restarts == 1 and patched.etag == session.etag != before
    assert parse_fragment(patched.fragment) == IceFragment("ufrag1", "q" * 24, 2)
    assert transport.remotes[-1]["ufrag"] == "new0"
    assert transport.remotes[-1]["dtls_role"] == transport.remotes[0]["dtls_role"]
    assert transport.remotes[-1]["fingerprints"] == transport.remotes[0]["fingerprints"]
    # The same fragment again is no second restart.
    assert session.handle_patch(restart, "*").fragment == "" and transport.restarts == 1


@pytest.mark.parametrize(
    ("if_match", "code"),
    [(None, "patch_needs_etag"), ("", "patch_needs_etag"), ('"other"', "patch_stale")],
)
def test_patch_must_name_the_ice_session(if_match: str | None, code: str) -> None:
    session, transport = published()
    with pytest.raises(PatchError) as caught:
        session.handle_patch(TRICKLE, if_match)
    assert caught.value.code == code and transport.restarts == 0


def test_one_of_several_tags_is_enough() -> None:
    session, _ = published()
    assert session.handle_patch(TRICKLE, f'"old", {session.etag}').etag == session.etag


# Life.


async def test_ends_once_with_its_transport() -> None:
    session, transport = published()
    log: list[str] = []
    session.on_connected = lambda: log.append("connected")
    session.on_ended = lambda: log.append("ended")
    assert transport.on_state is not None
    for state in ("connecting", "connected", "disconnected", "connected", "failed", "closed"):
        transport.on_state(state)
    await session.close()
    assert log == ["connected", "connected", "ended"]
    assert transport.is_closed and all(source.is_closed for source in transport.sources)


# WHEP.


def recv_offer() -> str:
    """Three audio and three video sections that receive."""
    return read_sdp("js_single_join_offer")


def test_screens_come_first_and_sound_follows_the_picture() -> None:
    tracks = [
        playable("mic 1", is_audio=True, owner="1"),
        playable("cam 1", owner="1"),
        playable("mic 2", is_audio=True, owner="2"),
        playable("screen 2", owner="2", is_screen=True),
    ]
    chosen = choose_tracks(tracks, num_audio=1, num_video=1)
    assert [track.track_id for track in chosen] == ["screen 2", "mic 2"]
    everything = choose_tracks(tracks, num_audio=3, num_video=3)
    assert [t.track_id for t in everything] == ["screen 2", "cam 1", "mic 1", "mic 2"]
    assert choose_tracks(tracks, num_audio=1, num_video=0)[0].track_id == "mic 1"


def test_whep_answers_with_what_is_there() -> None:
    session, transport = make(WhepSession)
    tracks = [playable("TR_v"), playable("TR_a", is_audio=True)]
    answer, subscriptions = session.handle_offer(recv_offer(), tracks)
    assert [(s.track_id, s.mid) for s in subscriptions] == [("TR_v", "3"), ("TR_a", "0")]
    media = parse_sdp(answer).media
    assert media[0].msids[0].stream == media[3].msids[0].stream == "PA_1"
    assert [m.direction for m in media[:4]] == ["sendonly", "inactive", "inactive", "sendonly"]
    assert len(transport.sinks) == 2


def test_whep_player_that_offers_both_directions_only_receives() -> None:
    session, transport = make(WhepSession)
    offer = recv_offer().replace("a=recvonly", "a=sendrecv")
    answer, subscriptions = session.handle_offer(offer, [playable("TR_v")])
    assert subscriptions[0].mid == "3" and transport.sources == []
    assert parse_sdp(answer).media[3].direction == "sendonly"


def test_whep_without_tracks_or_sections() -> None:
    for offer, tracks in (
        (recv_offer(), []),
        (read_sdp("js_dual_publish_offer"), [playable("TR_v")]),
    ):
        session, _ = make(WhepSession)
        with pytest.raises(NothingToPlayError):
            session.handle_offer(offer, tracks)


def test_whep_without_a_common_codec() -> None:
    session, _ = make(WhepSession)
    offer = recv_offer().replace("VP8/90000", "VPX/90000")
    with pytest.raises(SdpError) as caught:
        session.handle_offer(offer, [playable("TR_v")])
    assert caught.value.code == "whep_no_common_codec"
