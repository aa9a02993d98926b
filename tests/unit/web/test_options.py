"""Options: one table for flags, variables, file and documents."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from web.server.cli import build_parser
from web.settings.options import OPTIONS, ApiKey, OptionError
from web.settings.sources import load_settings, unknown_variables

ROOT = Path(__file__).resolve().parents[3]
SECRET = "s" * 40
SAMPLES: dict[str, object] = {
    "host": "127.0.0.1",
    "port": 1,
    "rtc_port": 2,
    "rtc_tcp_port": 3,
    "turn_url": "turns:turn.example:443?transport=tcp",
    "turn_secret_file": "turn-secret",
    "node_ip": "192.0.2.7",
    "key": f"k:{SECRET}",
    "data": "elsewhere",
    "tls": "a.pem,b.pem",
    "demo": True,
    "public_url": "https://walks.example/base",
    "behind_proxy": True,
    "webhook_url": "http://127.0.0.1:9/hook",
    "camera_network": "10.0.0.0/8",
    "log_format": "json",
    "log_level": "debug",
}


def test_samples_cover_every_option() -> None:
    assert set(SAMPLES) == {option.name for option in OPTIONS}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_comes_from_flag_variable_and_file(option, tmp_path: Path) -> None:
    sample = SAMPLES[option.name]
    expected = option.parse(sample)
    expected = (expected,) if option.is_list else expected
    text = str(sample).lower() if option.is_switch else str(sample)

    flags = [option.flag] if option.is_switch else [option.flag, text]
    parsed = vars(build_parser().parse_args(["serve", *flags]))
    parsed.pop("command")
    assert getattr(load_settings(parsed, {}), option.name) == expected

    assert getattr(load_settings({}, {option.variable: text}), option.name) == expected

    file = tmp_path / "aislecast.toml"
    value = text if option.is_switch or isinstance(sample, int) else f'"{text}"'
    file.write_text(f"{option.name} = {f'[{value}]' if option.is_list else value}\n")
    assert getattr(load_settings({"config": str(file)}, {}), option.name) == expected
    assert getattr(load_settings({}, {"AISLECAST_CONFIG": str(file)}), option.name) == expected


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "aislecast.toml"
    file.write_text("port = 1\nrtc_port = 11\ndemo = true\n")
    environ = {"AISLECAST_PORT": "2", "AISLECAST_CONFIG": str(file)}
    settings = load_settings({"port": "3"}, environ)
    assert (settings.port, settings.rtc_port, settings.rtc_tcp_port) == (3, 11, 7881)
    assert load_settings({}, environ).port == 2
    assert load_settings({"demo": False}, environ).demo is False


def test_lists_in_the_environment_are_split_and_flags_repeat() -> None:
    environ = {"AISLECAST_KEY": f"a:{SECRET}, b:{SECRET}"}
    assert load_settings({}, environ).key == (ApiKey("a", SECRET), ApiKey("b", SECRET))
    parsed = build_parser().parse_args(["serve", "--key", f"a:{SECRET}", "--key", f"b:{SECRET}"])
    assert load_settings({"key": parsed.key}, {}).key[1].key == "b"


def test_empty_variable_means_default() -> None:
    assert load_settings({}, {"AISLECAST_TLS": "", "AISLECAST_KEY": ""}).tls == ""


def test_unknown_option_in_the_file_is_named_with_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "aislecast.toml"
    file.write_text("rtc_prot = 1\n")
    with pytest.raises(OptionError, match=r"unknown option 'rtc_prot' .*did you mean 'rtc_port'"):
        load_settings({"config": str(file)}, {})


@pytest.mark.parametrize(
    ("content", "message"), [(b"port = ", "not valid TOML"), (b"\xff\xfe", "not UTF-8")]
)
def test_unreadable_file_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "aislecast.toml"
    file.write_bytes(content)
    with pytest.raises(OptionError, match=message):
        load_settings({"config": str(file)}, {})
    with pytest.raises(OptionError, match="No such file"):
        load_settings({"config": str(tmp_path / "none.toml")}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", "65536"),
        ("port", True),
        ("node_ip", "here"),
        ("tls", "cert.pem"),
        ("demo", "maybe"),
        ("public_url", "ftp://x"),
        ("camera_network", "10.0.0.0/99"),
        ("log_level", "loud"),
        ("data", ""),
        ("host", 5),
    ],
)
def test_senseless_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(OptionError, match="wants"):
        load_settings({name: value}, {})


def test_a_bad_key_is_refused_without_repeating_it() -> None:
    for text in ("nosecret", "k:short-secret"):
        with pytest.raises(OptionError) as caught:
            load_settings({"key": [text]}, {})
        assert text.rpartition(":")[2] not in str(caught.value)
    assert "short" not in repr(ApiKey("k", "short-secret"))


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(OptionError, match="twice"):
        load_settings({"key": [f"a:{SECRET}", f"a:{SECRET}x"]}, {})
    with pytest.raises(OptionError, match="the same"):
        load_settings({"port": 7000, "rtc_tcp_port": 7000}, {})


def test_unknown_variables_are_named() -> None:
    environ = {"AISLECAST_PORTS": "1", "AISLECAST_PORT": "1", "PATH": "", "AISLECAST_CONFIG": ""}
    assert unknown_variables(environ) == ["AISLECAST_PORTS"]


def test_every_option_is_documented() -> None:
    documents = (ROOT / "README.md").read_text() + (ROOT / "deploy/README.md").read_text()
    for option in OPTIONS:
        assert f"`{option.flag}" in documents, option.flag
        assert option.variable in documents, option.variable
    serve = next(
        action.choices["serve"]
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    known = {option.flag for option in OPTIONS} | {"--config", "--help"}
    given = {s for a in serve._actions for s in a.option_strings if s.startswith("--")}
    assert {flag for flag in given if not flag.startswith("--no-")} - {"--node-ip"} <= known


def test_the_example_file_is_valid() -> None:
    text = (ROOT / "deploy/aislecast.toml").read_text()
    example = {line.lstrip("# ").partition(" =")[0] for line in text.splitlines() if " = " in line}
    assert example <= {option.name for option in OPTIONS}
    assert load_settings({"config": str(ROOT / "deploy/aislecast.toml")}, {}).port == 7880


@pytest.mark.parametrize(
    "url",
    [
        "turn:turn.example.com",
        "turn:203.0.113.7:3478?transport=udp",
        "turns:[2001:db8::1]:443?transport=tcp",
        "stun:turn.example.com:3478",
    ],
)
def test_addresses_of_turn_servers(url: str) -> None:
    assert load_settings({"turn_url": [url]}, {}).turn_url == (url,)


@pytest.mark.parametrize(
    "url",
    [
        "https://turn.example.com",
        "turn:",
        "turn:a:70000",
        "turn:a?transport=sctp",
        "stun:a?transport=udp",
        'turn:a"; rel="next',
        "turn:a b",
    ],
)
def test_what_is_no_turn_server_is_refused(url: str) -> None:
    with pytest.raises(OptionError):
        load_settings({"turn_url": [url]}, {})
