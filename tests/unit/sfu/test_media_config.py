"""Settings that cannot work are refused."""

from __future__ import annotations

import pytest

from sfu.config import MediaConfig
from sfu.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"hosts": ()}, "config_no_host"),
        ({"hosts": ("localhost",)}, "config_bad_ip"),
        ({"node_ip": "203.0.113.300"}, "config_bad_ip"),
        ({"udp_port": 70_000}, "config_bad_port"),
        ({"tcp_port": -1}, "config_bad_port"),
    ],
)
def test_refused(options: dict[str, object], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MediaConfig(**options)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_defaults_listen_everywhere() -> None:
    config = MediaConfig(tcp_port=None)
    assert config.hosts == ("0.0.0.0", "::") and config.udp_port == 7882
