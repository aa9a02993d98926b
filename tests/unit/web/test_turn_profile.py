"""The coturn profile agrees with itself and with the server's defaults."""

from __future__ import annotations

import re
from pathlib import Path

from sfu.config import MediaConfig

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


def defined(name: str) -> str:
    found = re.search(rf"^define {name} = (.*?) *(#.*)?$", read("coturn/firewall.nft"), re.M)
    assert found is not None
    return found[1]


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


def test_the_firewall_has_the_ports_of_the_relay_and_of_media() -> None:
    script = read("coturn/run.sh")
    ends = [re.search(rf"TURN_{end}_PORT:-(\d+)", script) for end in ("MIN", "MAX")]
    assert all(ends) and defined("relay_ports") == "-".join(end[1] for end in ends if end)
    assert defined("media_port") == str(MediaConfig().udp_port)


def test_the_rule_that_is_written_out_is_the_one_that_is_shipped() -> None:
    rule = "ip daddr $media_servers udp dport != $media_port counter drop"
    assert rule in read("coturn/firewall.nft")
    rule = rule.replace("$media_servers", defined("media_servers").strip("{ }"))
    rule = rule.replace("$media_port", defined("media_port"))
    assert f"udp sport {defined('relay_ports')} {rule}" in read("README.md")


def test_whole_addresses_are_denied_and_only_the_media_servers_allowed() -> None:
    profile = read("coturn/turnserver.conf")
    assert "denied-peer-ip=0.0.0.0-255.255.255.255" in profile
    assert "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" in profile
    assert "allowed-peer-ip" not in profile.replace("(allowed-peer-ip)", "")
    assert read("coturn/run.sh").count("allowed-peer-ip=") == 1
