"""The configuration of every package, built here from the settings and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from recorder.config import RecorderConfig
from sfu.config import MediaConfig
from signaling.config import IceServer, SignalingConfig
from signaling.turn import TurnAccess
from web.settings.options import ApiKey, OptionError
from web.settings.secret_files import (
    load_api_key,
    load_host_key,
    load_seal_key,
    load_turn_secret,
    prepare_data_dir,
)
from web.settings.sources import Settings


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What must never be shown."""

    api_keys: tuple[ApiKey, ...]
    host_key: str
    seal_key: bytes
    turn_secret: str = ""

    def texts(self) -> list[str]:
        """Return them as they would look in a log, for the scrubber."""
        texts = [*(pair.secret for pair in self.api_keys), self.host_key, self.seal_key.hex()]
        return [*texts, self.turn_secret] if self.turn_secret else texts


def load_secrets(settings: Settings) -> Secrets:
    """Read the secrets, making those that are missing.

    Raises:
        OptionError: a file cannot be read or made, or the TURN options do not belong together.
    """
    needs_turn = any(url.startswith("turn") for url in settings.turn_url)
    if needs_turn and not settings.turn_secret_file:
        raise OptionError("turn_url wants turn_secret_file, the secret shared with that server")
    if settings.turn_secret_file and not needs_turn:
        raise OptionError("turn_secret_file is of use with turn_url only")
    prepare_data_dir(settings.data_dir)
    return Secrets(
        api_keys=settings.key or (load_api_key(settings.data_dir),),
        host_key=load_host_key(settings.data_dir),
        seal_key=load_seal_key(settings.data_dir),
        turn_secret=load_turn_secret(settings.turn_secret_file),
    )


def media_config(settings: Settings) -> MediaConfig:
    """Return the media side's configuration.

    Media listens on every interface even when HTTP does not: behind a reverse proxy only HTTP
    goes through it.
    """
    return MediaConfig(
        udp_port=settings.rtc_port,
        tcp_port=settings.rtc_tcp_port,
        node_ip=settings.node_ip or None,
        announce_loopback=settings.host in ("127.0.0.1", "::1", "localhost"),
    )


def recorder_config(settings: Settings) -> RecorderConfig:
    """Return the recorder's configuration."""
    return RecorderConfig(
        directory=settings.data_dir / "recordings",
        database=settings.data_dir / "recordings.sqlite3",
    )


def signaling_config(settings: Settings, secrets: Secrets, *, version: str) -> SignalingConfig:
    """Return the signaling side's configuration."""
    turn = tuple(url for url in settings.turn_url if url.startswith("turn"))
    stun = tuple(url for url in settings.turn_url if url.startswith("stun"))
    return SignalingConfig(
        ice_servers=(IceServer(stun),) if stun else (),
        turn=TurnAccess(turn, secrets.turn_secret) if turn else None,
        keys={pair.key: pair.secret for pair in secrets.api_keys},
        debug_info=f"aislecast {version}",
    )
