"""The TURN options together, and where their secret goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from signaling.config import IceServer
from web.server.configs import Secrets, load_secrets, signaling_config
from web.settings.options import ApiKey, OptionError
from web.settings.sources import Settings, load_settings
from web.whip.routes import ice_server_link

SECRET = "t" * 40
TURN, STUN = "turn:turn.example:3478?transport=udp", "stun:turn.example:3478"


def settings(tmp_path: Path, **options: object) -> Settings:
    return load_settings({"data": str(tmp_path / "data"), **options}, {})


def test_urls_and_secret_belong_together(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="wants turn_secret_file"):
        load_secrets(settings(tmp_path, turn_url=[TURN]))
    with pytest.raises(OptionError, match="with turn_url only"):
        load_secrets(settings(tmp_path, turn_url=[STUN], turn_secret_file="x"))
    assert load_secrets(settings(tmp_path, turn_url=[STUN])).turn_secret == ""


@pytest.mark.parametrize("content", [b"short", b"two words of more than 32 characters", b"\xff"])
def test_a_bad_secret_file_is_said_without_its_content(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "turn-secret"
    file.write_bytes(content)
    with pytest.raises(OptionError, match="turn_secret_file") as raised:
        load_secrets(settings(tmp_path, turn_url=[TURN], turn_secret_file=str(file)))
    assert content.decode(errors="replace") not in str(raised.value)
    with pytest.raises(OptionError, match="No such file"):
        load_secrets(settings(tmp_path, turn_url=[TURN], turn_secret_file=str(tmp_path / "none")))


def test_the_secret_goes_to_signaling_and_to_the_scrubber_of_logs(tmp_path: Path) -> None:
    file = tmp_path / "turn-secret"
    file.write_text(f"{SECRET}\n")
    chosen = settings(tmp_path, turn_url=[TURN, STUN], turn_secret_file=str(file))
    secrets = load_secrets(chosen)
    assert SECRET in secrets.texts() and SECRET not in repr(chosen)
    config = signaling_config(chosen, secrets, version="1")
    assert config.ice_servers == (IceServer((STUN,)),)
    assert config.turn is not None and config.turn.urls == (TURN,)
    assert SECRET not in repr(config.turn)


def test_without_options_there_are_no_servers(tmp_path: Path) -> None:
    config = signaling_config(
        settings(tmp_path), Secrets((ApiKey("k", SECRET),), "h", b"s"), version="1"
    )
    assert config.turn is None and config.ice_servers == ()


def test_links_of_whip_answers() -> None:
    assert ice_server_link(STUN, IceServer((STUN,))) == f'<{STUN}>; rel="ice-server"'
    link = ice_server_link(TURN, IceServer((TURN,), "9:u", "c="))
    assert link == (
        f'<{TURN}>; rel="ice-server"; username="9:u"; credential="c="; credential-type="password"'
    )
    assert web.Response(headers={"Link": link}).headers["Link"] == link
