"""The configuration of every package, built here from the settings and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from recorder.config import RecorderConfig
from sfu.config import MediaConfig
from signaling.config import SignalingConfig
from web.settings.options import ApiKey
from web.settings.secret_files import (
    load_api_key,
    load_host_key,
    load_seal_key,
    prepare_data_dir,
)
from web.settings.sources import Settings


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What must never be shown."""

    api_keys: tuple[ApiKey, ...]
    host_key: str
    seal_key: bytes

    def texts(self) -> list[str]:
        """Return them as they would look in a log, for the scrubber."""
        return [*(pair.secret for pair in self.api_keys), self.host_key, self.seal_key.hex()]


def load_secrets(settings: Settings) -> Secrets:
    """Read the secrets, making those that are missing."""
    prepare_data_dir(settings.data_dir)
    return Secrets(
        api_keys=settings.key or (load_api_key(settings.data_dir),),
        host_key=load_host_key(settings.data_dir),
        seal_key=load_seal_key(settings.data_dir),
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


def signaling_config(secrets: Secrets, *, version: str) -> SignalingConfig:
    """Return the signaling side's configuration."""
    return SignalingConfig(
        keys={pair.key: pair.secret for pair in secrets.api_keys},
        debug_info=f"aislecast {version}",
    )
