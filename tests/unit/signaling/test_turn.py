"""Credentials for a TURN server."""

from __future__ import annotations

from dataclasses import replace

from signaling_bench import KEY, SECRET, Bench

from signaling.config import IceServer, SignalingConfig
from signaling.turn import TurnAccess, list_ice_servers

URL = "turn:turn.example:3478?transport=udp"


def test_credentials_are_those_that_coturn_computes() -> None:
    # openssl dgst -sha1 -hmac SECRET -binary | base64
    server = TurnAccess((URL,), "north-north-north-north-north-32").issue("PA_1", 1_000_000_000.9)
    assert server.username == "1000021600:PA_1"
    assert server.credential == "u0uL0oQkICfo4qRv65GtW9btRvE="
    assert server.credential not in repr(server)


def test_everybody_gets_the_fixed_servers_and_credentials_of_their_own() -> None:
    stun = IceServer(("stun:stun.example",))
    config = SignalingConfig(keys={}, ice_servers=(stun,))
    assert list_ice_servers(config, "PA_1", 0.0) == [stun]
    config = replace(config, turn=TurnAccess((URL,), "s" * 32))
    first, second = (list_ice_servers(config, user, 0.0) for user in ("PA_1", "PA_2"))
    assert first[0] == second[0] == stun
    assert first[1].credential != second[1].credential


def test_a_client_hears_of_it_at_the_join_and_anew_when_it_comes_back() -> None:
    bench = Bench(config=SignalingConfig(keys={KEY: SECRET}, turn=TurnAccess((URL,), "s" * 32)))
    alice = bench.join("alice")
    join = alice.last("join")
    (joined,) = join.ice_servers
    assert list(joined.urls) == [URL]
    assert joined.username.endswith(f":{join.participant.sid}")
    alice.connect()
    bench.clock.advance(60)
    alice.lose()
    alice.resume()
    (resumed,) = alice.last("reconnect").ice_servers
    assert int(resumed.username.split(":")[0]) - int(joined.username.split(":")[0]) == 60
