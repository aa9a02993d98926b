"""`aislecast token`: prints an access token for scripts and tests."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from signaling.tokens import Grants, TokenKeys, VideoGrant
from web.settings.options import OptionError
from web.settings.secret_files import load_api_key, prepare_data_dir
from web.settings.sources import Settings

DEFAULT_TTL_S = 6 * 3600
MAX_TTL_S = 366 * 24 * 3600

FLAGS = {
    "room_join": "join the room (on by default with --room)",
    "room_create": "create and delete rooms",
    "room_list": "list rooms",
    "room_admin": "manage the participants of the room",
    "room_record": "record the room",
    "can_publish": "send audio and video",
    "can_subscribe": "receive audio and video",
    "can_publish_data": "send messages",
    "can_update_own_metadata": "change one's own name and attributes",
    "hidden": "be invisible to others",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--identity", default="", help="who it is for; needed to join")
    parser.add_argument("--room", default="", help="the room it is for")
    parser.add_argument("--name", default="", help="name others see")
    parser.add_argument("--metadata", default="", help="text for applications")
    parser.add_argument(
        "--attribute", action="append", default=[], metavar="NAME=VALUE", help="for applications"
    )
    parser.add_argument(
        "--ttl", default=str(DEFAULT_TTL_S), metavar="TIME", help="seconds, or 90m, 6h, 7d"
    )
    parser.add_argument(
        "--can-publish-source",
        action="append",
        default=[],
        choices=["camera", "microphone", "screen_share", "screen_share_audio"],
        help="send only from these",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    for name, meaning in FLAGS.items():
        parser.add_argument(
            "--" + name.replace("_", "-"),
            action=argparse.BooleanOptionalAction,
            default=None,
            help=meaning,
        )


def run(settings: Settings, given: Mapping[str, Any]) -> int:
    """Print a token signed with the first configured key, else with the generated one."""
    if settings.key:
        key = settings.key[0]
    else:
        prepare_data_dir(settings.data_dir)
        key = load_api_key(settings.data_dir)
    now_s = time.time()
    grants = Grants(
        api_key=key.key,
        identity=given["identity"],
        name=given["name"],
        metadata=given["metadata"],
        attributes=dict(_pair(text) for text in given["attribute"]),
        video=_video(given),
        expires_s=int(now_s) + parse_ttl(given["ttl"]),
    )
    token = TokenKeys({key.key: key.secret}).sign(grants, now_s=now_s)
    sys.stdout.write((json.dumps({"token": token}) if given["json"] else token) + "\n")
    return 0


def parse_ttl(text: str) -> int:
    """Read a length of time: seconds, or a number with s, m, h or d."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    digits, unit_s = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not digits.isascii() or not digits.isdigit():
        raise OptionError("--ttl wants a time such as 600, 90m, 6h or 7d")
    ttl_s = int(digits) * unit_s
    if not 0 < ttl_s <= MAX_TTL_S:
        raise OptionError("--ttl wants a time from 1 s to 366 d")
    return ttl_s


def _video(given: Mapping[str, Any]) -> VideoGrant:
    room_join = given["room_join"]
    if room_join is None:
        room_join = bool(given["room"] and given["identity"])
    if room_join and not (given["room"] and given["identity"]):
        raise OptionError("joining needs --room and --identity")
    return VideoGrant(
        room_join=room_join,
        room=given["room"],
        room_create=bool(given["room_create"]),
        room_list=bool(given["room_list"]),
        room_admin=bool(given["room_admin"]),
        room_record=bool(given["room_record"]),
        hidden=bool(given["hidden"]),
        can_publish=given["can_publish"],
        can_subscribe=given["can_subscribe"],
        can_publish_data=given["can_publish_data"],
        can_publish_sources=tuple(given["can_publish_source"]),
        can_update_own_metadata=given["can_update_own_metadata"],
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise OptionError("--attribute wants NAME=VALUE")
    return name, value
