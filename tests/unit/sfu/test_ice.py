"""Candidates and credentials."""

from __future__ import annotations

import re

import pytest

from sfu.ice import IceParameters, build_candidates, choose_addresses, local_addresses

FOUND = [
    ("lo", "127.0.0.1"),
    ("lo", "::1"),
    ("eth0", "192.0.2.10"),
    ("eth0", "2001:db8::10"),
    ("eth0", "fe80::1"),
    ("eth1", "198.51.100.10"),
    ("docker0", "172.17.0.1"),
    ("br-3f2a", "172.18.0.1"),
]


def test_credentials_are_long_fresh_ice_chars() -> None:
    first, second = IceParameters.generate(), IceParameters.generate()
    assert first.ufrag != second.ufrag and first.pwd != second.pwd
    assert re.fullmatch(r"[A-Za-z0-9]{8}", first.ufrag)
    assert re.fullmatch(r"[A-Za-z0-9]{24}", first.pwd)


def test_families_take_turns_and_bridges_are_left_out() -> None:
    chosen = choose_addresses(FOUND, {4, 6}, announce_loopback=False)
    assert chosen == ["192.0.2.10", "2001:db8::10", "198.51.100.10"]


def test_loopback_only_when_asked_or_alone() -> None:
    asked = choose_addresses(FOUND, {4}, announce_loopback=True)
    assert asked == ["192.0.2.10", "198.51.100.10", "127.0.0.1"]
    assert choose_addresses(FOUND[:2], {4, 6}, announce_loopback=False) == ["127.0.0.1", "::1"]
    assert choose_addresses(FOUND[6:], {4}, announce_loopback=False) == []


def test_node_ip_replaces_everything() -> None:
    assert local_addresses(["0.0.0.0", "::"], node_ip="203.0.113.5") == ("203.0.113.5",)


def test_named_hosts_are_announced_as_they_are() -> None:
    assert local_addresses(["127.0.0.1", "::1", "127.0.0.1"]) == ("127.0.0.1", "::1")


def test_candidate_lines() -> None:
    udp, tcp = build_candidates(["192.0.2.10"], udp_ports=[7882], tcp_ports=[7881])
    assert udp.to_sdp() == f"candidate:{udp.foundation} 1 udp 2130706431 192.0.2.10 7882 typ host"
    assert tcp.to_sdp().endswith("192.0.2.10 7881 typ host tcptype passive")
    assert udp.foundation != tcp.foundation


def test_udp_comes_before_tcp_and_earlier_addresses_before_later() -> None:
    candidates = build_candidates(["192.0.2.10", "2001:db8::10"], udp_ports=[1], tcp_ports=[2])
    priorities = [candidate.priority for candidate in candidates]
    assert priorities == sorted(priorities, reverse=True) and len(set(priorities)) == 4
    assert max(priorities) < 2**31


@pytest.mark.parametrize("tcp_ports", [[], [7881]])
def test_tcp_can_be_off(tcp_ports: list[int]) -> None:
    candidates = build_candidates(["192.0.2.10"], udp_ports=[1], tcp_ports=tcp_ports)
    assert len(candidates) == 1 + len(tcp_ports)
