from __future__ import annotations

from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import AuthError, MisuseError
from signaling.tokens import Grants, TokenKeys, VideoGrant

NOW_S = 1_700_000_000.0
SECRET = "0123456789abcdef0123456789abcdef"
KEYS = TokenKeys({"key": SECRET, "other": "f" * 32})


def make(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    body = {"iss": "key", "sub": "alice", "exp": NOW_S + 60, "video": {"roomJoin": True}}
    body |= claims
    return jwt.encode({k: v for k, v in body.items() if v is not None}, secret, algorithm)


def refusal(token: str) -> str:
    with pytest.raises(AuthError) as caught:
        KEYS.verify(token, now_s=NOW_S)
    assert caught.value.http_status == 401
    assert not token or token not in caught.value.message
    return caught.value.code


def test_a_good_token_gives_its_claims() -> None:
    token = make(
        name="Alice",
        metadata="m",
        attributes={"a": "1"},
        kind="agent",
        roomPreset="p",
        roomConfig={"maxParticipants": 3},
        video={
            "roomJoin": True,
            "room": "r",
            "canPublish": False,
            "canPublishSources": ["camera"],
            "canUpdateOwnMetadata": True,
            "hidden": True,
        },
    )
    grants = KEYS.verify(token, now_s=NOW_S)
    assert (grants.api_key, grants.identity, grants.name) == ("key", "alice", "Alice")
    assert (grants.metadata, grants.attributes, grants.kind) == ("m", {"a": "1"}, "agent")
    assert grants.room_config == {"maxParticipants": 3} and grants.room_preset == "p"
    assert grants.video == VideoGrant(
        room_join=True,
        room="r",
        can_publish=False,
        can_publish_sources=("camera",),
        can_update_own_metadata=True,
        hidden=True,
    )


def test_absent_claims_are_not_false() -> None:
    video = KEYS.verify(make(), now_s=NOW_S).video
    assert video.can_publish is None and video.can_subscribe is None


def test_expiry_is_required_and_has_a_minute_of_leeway() -> None:
    assert refusal(make(exp=None)) == "invalid_token"
    assert KEYS.verify(make(exp=NOW_S - 59), now_s=NOW_S).identity == "alice"
    assert refusal(make(exp=NOW_S - 60)) == "token_expired"


def test_a_token_from_the_future_is_refused_beyond_the_leeway() -> None:
    assert KEYS.verify(make(nbf=NOW_S + 59), now_s=NOW_S).identity == "alice"
    assert refusal(make(nbf=NOW_S + 61)) == "token_not_yet_valid"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        make("another-secret-that-is-long-enough-too"),
        make("f" * 32),  # a configured secret, but of another key
        make(algorithm="HS512", secret="0123456789abcdef" * 4),
        jwt.encode({"iss": "key", "exp": NOW_S + 60}, None, "none"),
        "x" * 20_000,
    ],
)
def test_what_proves_nothing_is_refused(token: str) -> None:
    assert refusal(token) == "invalid_token"


def test_an_unknown_key_is_refused() -> None:
    assert refusal(make(iss="nobody")) == "unknown_key"
    assert refusal(make(iss=None)) == "unknown_key"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "soon"},
        {"exp": True},
        {"nbf": "now"},
        {"sub": 7},
        {"video": []},
        {"video": {"roomJoin": "yes"}},
        {"video": {"canPublishSources": "camera"}},
        {"video": {"canPublishSources": [1]}},
        {"attributes": {"a": 1}},
    ],
)
def test_claims_of_the_wrong_type_are_refused(claims: dict[str, Any]) -> None:
    assert refusal(make(**claims)) == "invalid_token"


def test_short_secrets_are_refused() -> None:
    with pytest.raises(MisuseError) as caught:
        TokenKeys({"key": "x" * 31})
    assert caught.value.code == "secret_too_short"
    assert "x" * 31 not in str(caught.value)


def test_signing_gives_back_the_same_grants() -> None:
    grants = Grants(
        api_key="other",
        identity="bob",
        name="B",
        attributes={"k": "v"},
        video=VideoGrant(room_join=True, room="r", can_publish_data=False),
        expires_s=int(NOW_S) + 100,
    )
    assert KEYS.verify(KEYS.sign(grants, now_s=NOW_S), now_s=NOW_S) == grants


def test_a_refresh_keeps_the_key_and_lasts_ten_minutes_or_longer() -> None:
    grants = KEYS.verify(make(), now_s=NOW_S)
    fresh = KEYS.verify(KEYS.refresh(grants, now_s=NOW_S), now_s=NOW_S)
    assert fresh.api_key == "key" and fresh.expires_s == int(NOW_S) + 600
    long = KEYS.verify(make(exp=int(NOW_S) + 9000), now_s=NOW_S)
    fresh = KEYS.verify(KEYS.refresh(long, now_s=NOW_S), now_s=NOW_S)
    assert fresh.expires_s == int(NOW_S) + 9000


def test_signing_needs_a_configured_key() -> None:
    with pytest.raises(MisuseError):
        KEYS.sign(Grants(api_key="gone"), now_s=NOW_S)


@given(st.text(max_size=200))
def test_no_text_breaks_the_verifier(text: str) -> None:
    with pytest.raises(AuthError):
        KEYS.verify(text, now_s=NOW_S)
