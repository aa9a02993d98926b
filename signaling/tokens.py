"""Access tokens: JWT, HS256, LiveKit's claims.

Time is an argument, so the library's own checks of `exp` and `nbf` are switched off and done here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jwt

from signaling.errors import AuthError, MisuseError

__all__ = ["Grants", "TokenKeys", "VideoGrant"]

LEEWAY_S = 60
MIN_SECRET_BYTES = 32
# A refresh token must outlive one reconnect attempt even if the original is about to end.
MIN_REFRESH_S = 600


@dataclass(frozen=True)
class VideoGrant:
    """The `video` claim. None means the claim was absent, which allows (see `rights`)."""

    room_join: bool = False
    room: str = ""
    room_create: bool = False
    room_list: bool = False
    room_admin: bool = False
    room_record: bool = False
    ingress_admin: bool = False
    destination_room: str = ""
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: tuple[str, ...] = ()
    can_update_own_metadata: bool | None = None
    hidden: bool = False
    recorder: bool = False
    agent: bool = False
    can_subscribe_metrics: bool | None = None


@dataclass(frozen=True)
class Grants:
    """What a verified token says."""

    api_key: str
    identity: str = ""
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str = "standard"
    video: VideoGrant = VideoGrant()
    sha256: str = ""
    room_preset: str = ""
    room_config: Mapping[str, Any] | None = None
    expires_s: int = 0  # Unix time


_FLAGS = (
    "room_join",
    "room_create",
    "room_list",
    "room_admin",
    "room_record",
    "ingress_admin",
    "hidden",
    "recorder",
    "agent",
)
_OPTIONAL_FLAGS = (
    "can_publish",
    "can_subscribe",
    "can_publish_data",
    "can_update_own_metadata",
    "can_subscribe_metrics",
)
_STRINGS = ("room", "destination_room")


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def _typed(claims: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = claims.get(name, default)
    if value is default:
        return default
    if not isinstance(value, kind):
        raise AuthError("invalid_token", f"invalid authorization token: bad claim {name}")
    return value


def _parse_video(claims: Mapping[str, Any]) -> VideoGrant:
    found: dict[str, Any] = {}
    for name in _FLAGS:
        found[name] = _typed(claims, _camel(name), bool, False)
    for name in _OPTIONAL_FLAGS:
        found[name] = _typed(claims, _camel(name), bool, None)
    for name in _STRINGS:
        found[name] = _typed(claims, _camel(name), str, "")
    sources = _typed(claims, "canPublishSources", list, None) or []
    if not all(isinstance(source, str) for source in sources):
        raise AuthError("invalid_token", "invalid authorization token: bad claim canPublishSources")
    return VideoGrant(**found, can_publish_sources=tuple(sources))


def _parse_claims(api_key: str, claims: Mapping[str, Any]) -> Grants:
    attributes = _typed(claims, "attributes", dict, None) or {}
    if not all(isinstance(value, str) for value in attributes.values()):
        raise AuthError("invalid_token", "invalid authorization token: bad claim attributes")
    return Grants(
        api_key=api_key,
        identity=_typed(claims, "sub", str, ""),
        name=_typed(claims, "name", str, ""),
        metadata=_typed(claims, "metadata", str, ""),
        attributes=attributes,
        kind=_typed(claims, "kind", str, "") or "standard",
        video=_parse_video(_typed(claims, "video", dict, None) or {}),
        sha256=_typed(claims, "sha256", str, ""),
        room_preset=_typed(claims, "roomPreset", str, ""),
        room_config=_typed(claims, "roomConfig", dict, None),
        expires_s=int(claims["exp"]),
    )


def _video_claims(video: VideoGrant) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for name in (*_FLAGS, *_STRINGS):
        if value := getattr(video, name):
            claims[_camel(name)] = value
    for name in _OPTIONAL_FLAGS:
        if (value := getattr(video, name)) is not None:
            claims[_camel(name)] = value
    if video.can_publish_sources:
        claims["canPublishSources"] = list(video.can_publish_sources)
    return claims


class TokenKeys:
    """The configured API keys: verifies tokens made with them and signs our own."""

    def __init__(self, keys: Mapping[str, str], *, token_bytes: int = 16 * 1024) -> None:
        """Takes secrets by API key. Raises MisuseError for a short one."""
        for api_key, secret in keys.items():
            if len(secret.encode()) < MIN_SECRET_BYTES:
                raise MisuseError(
                    "secret_too_short",
                    f"the secret of key {api_key!r} must have at least {MIN_SECRET_BYTES} bytes",
                )
        self._secrets = {api_key: secret.encode() for api_key, secret in keys.items()}
        self._token_bytes = token_bytes

    def verify(self, token: str, *, now_s: float) -> Grants:
        """Check signature, issuer and validity.

        Args:
            token: compact JWT.
            now_s: Unix time.

        Raises:
            AuthError: with a message fit for the caller; it never holds the token.
        """
        if len(token) > self._token_bytes:
            raise AuthError("invalid_token", "invalid authorization token: too long")
        claims = self._decode(token)
        for name in ("exp", "nbf"):
            value = claims.get(name, 0)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            # Python's JSON knows Infinity and NaN.
            if not is_number or not math.isfinite(value):
                raise AuthError("invalid_token", f"invalid authorization token: bad claim {name}")
        if "exp" not in claims:
            raise AuthError("invalid_token", "invalid authorization token: exp is required")
        if claims["exp"] + LEEWAY_S <= now_s:
            raise AuthError("token_expired", "invalid authorization token: token is expired")
        if claims.get("nbf", 0) - LEEWAY_S > now_s:
            raise AuthError("token_not_yet_valid", "invalid authorization token: not valid yet")
        return _parse_claims(claims["iss"], claims)

    def _decode(self, token: str) -> dict[str, Any]:
        unchecked = {"verify_signature": False, "verify_exp": False, "verify_aud": False}
        checked = dict.fromkeys(
            ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_sub", "verify_jti"),
            False,
        )
        try:
            claims = jwt.decode(token, options=unchecked)  # type: ignore[arg-type]
            secret = self._secrets.get(str(claims.get("iss", "")))
            if secret is None:
                raise AuthError("unknown_key", "invalid authorization token: unknown API key")
            claims = jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                options=checked,  # type: ignore[arg-type]
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise AuthError(
                "invalid_token", "invalid authorization token: token signature is invalid"
            ) from error
        return claims

    def sign(self, grants: Grants, *, now_s: float) -> str:
        """Sign `grants` with the key they name, valid until `grants.expires_s`."""
        claims: dict[str, Any] = {
            "iss": grants.api_key,
            "exp": grants.expires_s,
            "nbf": int(now_s),
            "sub": grants.identity,
            "video": _video_claims(grants.video),
        }
        optional = {
            "name": grants.name,
            "metadata": grants.metadata,
            "attributes": dict(grants.attributes),
            "kind": grants.kind,
            "sha256": grants.sha256,
            "roomPreset": grants.room_preset,
            "roomConfig": grants.room_config,
        }
        claims |= {name: value for name, value in optional.items() if value}
        return self.sign_claims(grants.api_key, claims)

    def refresh(self, grants: Grants, *, now_s: float) -> str:
        """Sign the same grants again, valid for at least ten more minutes."""
        expires_s = max(grants.expires_s, int(now_s) + MIN_REFRESH_S)
        return self.sign(replace(grants, expires_s=expires_s), now_s=now_s)

    def sign_claims(self, api_key: str, claims: Mapping[str, Any]) -> str:
        """Sign arbitrary claims with a configured key."""
        secret = self._secrets.get(api_key)
        if secret is None:
            raise MisuseError("unknown_key", f"no API key {api_key!r} is configured")
        return jwt.encode(dict(claims), secret, algorithm="HS256")
