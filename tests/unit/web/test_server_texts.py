"""What the server says of itself: the welcome, its addresses, the OpenAPI document, tokens."""

from __future__ import annotations

import io

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request

from web.http.bodies import Shape, Text
from web.http.callers import BEHIND_PROXY, caller_address, origin
from web.http.operations import Operation
from web.server.addresses import Addresses
from web.server.banner import Welcome, print_welcome
from web.server.cli import run
from web.server.openapi import describe, openapi_operation
from web.server.token_command import parse_ttl
from web.settings.options import OptionError
from web.settings.sources import load_settings

SECRET = "s" * 40
WELCOME = Welcome(
    host_url="http://localhost:7880/",
    host_link="http://localhost:7880/#key=hostsecret",
    host_key_file="data/host-key",
    phone_url="http://192.168.1.5:7880/j/abcdefghijklmnop",
    room_title="First walk",
    is_https=False,
    is_local_certificate=False,
    data_dir="data",
)


class Terminal(io.TextIOWrapper):
    def __init__(self, *, is_terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


def test_the_host_link_goes_to_a_terminal_only() -> None:
    shown, kept = Terminal(is_terminal=True), Terminal(is_terminal=False)
    print_welcome(WELCOME, shown)
    print_welcome(WELCOME, kept)
    assert "#key=hostsecret" in shown.text()
    assert "hostsecret" not in kept.text()
    assert "data/host-key" in kept.text()
    assert "█" in shown.text()
    assert WELCOME.phone_url in kept.text()


def test_a_terminal_without_blocks_gets_the_link_alone() -> None:
    from dataclasses import replace

    plain = Terminal(is_terminal=True, encoding="ascii")
    print_welcome(replace(WELCOME, is_https=True, is_local_certificate=True), plain)
    assert WELCOME.phone_url in plain.text()
    assert "iPhone" in plain.text()


@pytest.mark.parametrize(
    ("flags", "public", "local"),
    [
        ({"node_ip": "203.0.113.7"}, "http://203.0.113.7:7880", "http://localhost:7880"),
        ({"node_ip": "2001:db8::1"}, "http://[2001:db8::1]:7880", "http://localhost:7880"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1:7880", "http://127.0.0.1:7880"),
        (
            {"node_ip": "203.0.113.7", "tls": "self"},
            "https://203.0.113.7:7880",
            "https://203.0.113.7:7880",
        ),
        ({"public_url": "https://w.example"}, "https://w.example", "https://w.example"),
    ],
)
def test_addresses_to_print(flags: dict[str, str], public: str, local: str) -> None:
    addresses = Addresses(load_settings(flags, {}))
    assert (addresses.public_url, addresses.local_url) == (public, local)


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("localhost:7880", "http://192.168.1.5:7880"),
        ("127.0.0.1:7880", "http://192.168.1.5:7880"),
        ("[::1]:7880", "http://192.168.1.5:7880"),
        ("walks.lan", "http://walks.lan"),
        ("[fd00::5]:7880", "http://[fd00::5]:7880"),
        ("[fd00::5]", "http://[fd00::5]"),
    ],
)
def test_links_start_with_what_a_phone_can_open(host: str, base: str) -> None:
    addresses = Addresses(load_settings({"node_ip": "192.168.1.5"}, {}))
    request = make_mocked_request("GET", "/", headers={"Host": host})
    assert addresses.link_base(request) == base


def test_forwarded_headers_count_only_behind_a_proxy() -> None:
    headers = {
        "Host": "w.example",
        "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
        "X-Forwarded-Proto": "https",
    }
    from aiohttp import web

    app = web.Application()
    direct = make_mocked_request("GET", "/", headers=headers, app=app)
    assert caller_address(direct) != "203.0.113.9"
    assert origin(direct) == "http://w.example"
    behind = web.Application()
    behind[BEHIND_PROXY] = True
    proxied = make_mocked_request("GET", "/", headers=headers, app=behind)
    assert caller_address(proxied) == "203.0.113.9"
    assert origin(proxied) == "https://w.example"


async def _handler(_request):
    raise NotImplementedError


def test_openapi_describes_paths_bodies_and_access() -> None:
    operations = [
        Operation(
            "POST",
            "/api/things/{id}",
            _handler,
            "Do",
            "things",
            body=Shape({"name": Text(5)}),
            query={"q": "a query"},
            answers={201: {"type": "object"}, 404: "Gone."},
        )
    ]
    operations.append(openapi_operation(operations, version="1.2.3"))
    document = describe(operations, version="1.2.3")
    assert set(document["paths"]) == {"/api/things/{id}", "/api/openapi.json"}
    thing = document["paths"]["/api/things/{id}"]["post"]
    assert [p["name"] for p in thing["parameters"]] == ["id", "q"]
    assert thing["security"] == [{"session": []}, {"token": []}]
    assert thing["operationId"] == "post_api_things_id"
    schema = thing["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["name"] == {"type": "string", "maxLength": 5, "minLength": 1}
    assert set(thing["responses"]) == {"201", "404", "default"}


def token_claims(capsys, *arguments: str) -> dict:
    status = run(["token", *arguments], {"AISLECAST_KEY": f"k:{SECRET}"})
    assert status == 0
    return jwt.decode(capsys.readouterr().out.strip(), SECRET, algorithms=["HS256"])


def test_token_command_prints_what_it_was_asked(capsys) -> None:
    claims = token_claims(
        capsys,
        *("--identity", "ann", "--room", "r", "--name", "Ann", "--attribute", "role=host"),
        *("--can-publish", "--no-can-subscribe", "--can-publish-source", "camera"),
        *("--room-admin", "--ttl", "90m"),
    )
    assert (claims["iss"], claims["sub"], claims["name"]) == ("k", "ann", "Ann")
    assert claims["exp"] - claims["nbf"] == 5400
    assert claims["attributes"] == {"role": "host"}
    assert claims["video"] == {
        "roomJoin": True,
        "room": "r",
        "roomAdmin": True,
        "canPublish": True,
        "canSubscribe": False,
        "canPublishSources": ["camera"],
    }


def test_token_for_the_server_api_needs_no_identity(capsys) -> None:
    assert token_claims(capsys, "--room-list")["video"] == {"roomList": True}


@pytest.mark.parametrize(
    "arguments",
    [["--room-join"], ["--ttl", "0"], ["--ttl", "x"], ["--ttl", "999d"], ["--attribute", "x"]],
)
def test_senseless_tokens_are_refused(arguments: list[str], capsys) -> None:
    assert run(["token", *arguments], {"AISLECAST_KEY": f"k:{SECRET}"}) == 2
    assert capsys.readouterr().err.startswith("aislecast: ")


@pytest.mark.parametrize(
    ("text", "ttl_s"), [("60", 60), ("2m", 120), ("6h", 21600), ("7d", 604800)]
)
def test_times_to_live(text: str, ttl_s: int) -> None:
    assert parse_ttl(text) == ttl_s
    with pytest.raises(OptionError):
        parse_ttl("-" + text)
