"""Camera addresses: checked, and their secrets kept."""

from __future__ import annotations

import pickle
import socket
import traceback

import pytest

from sfu.errors import CameraError
from sfu.ingest.rtsp_url import CameraUrl

SECRET = "hunter2"


def code_of(url: str) -> str:
    with pytest.raises(CameraError) as caught:
        CameraUrl(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value.code


def test_no_representation_holds_the_secrets() -> None:
    url = CameraUrl(f"rtsp://admin:{SECRET}@192.0.2.20:8554/live/main?user=admin&pw={SECRET}")
    for text in (repr(url), str(url), f"{url}", url.redacted, repr([url]), repr(vars_of(url))):
        assert SECRET not in text and "admin" not in text
    assert url.redacted == "rtsp://192.0.2.20:8554/live/main"
    with pytest.raises(TypeError):
        pickle.dumps(url)


def vars_of(url: CameraUrl) -> dict[str, object]:
    return {name: getattr(url, name) for name in ("host", "port", "scheme")}


@pytest.mark.parametrize(
    "url",
    [
        f"http://a:{SECRET}@192.0.2.1/",
        f"file:///etc/{SECRET}",
        f"concat:rtsp://{SECRET}",
        f"rtsp://u:{SECRET}@192.0.2.1:99999/",
        f"rtsp://u:{SECRET}@192.0.2.1:0/",
        f"rtsp://u:{SECRET}@/nohost",
        f"rtsp://u:{SECRET}@[::1/",
        f"rtsp://u:{SECRET}@192.0.2.1/x\r\nTEARDOWN",
        f"rtsp://192.0.2.1/ {SECRET}",
        f"rtsp://192.0.2.1/{SECRET}" + "x" * 3000,
        SECRET,
        "",
    ],
)
def test_anything_else_is_refused_without_quoting_it(url: str) -> None:
    assert code_of(url) == "camera_bad_url"


def test_opens_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [("192.0.2.7", 554)]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", answer) for answer in answers]
    )
    url = CameraUrl(f"rtsp://ad%40min:{SECRET}%2F@cam.example/live?x=1")
    assert url.resolve(None) == f"rtsp://ad%40min:{SECRET}%2F@192.0.2.7:554/live?x=1"
    with pytest.raises(CameraError) as caught:
        url.resolve(("198.51.100.0/24",))
    assert caught.value.code == "camera_forbidden_address"
    assert url.resolve(("192.0.2.0/24",))


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
    ],
)
def test_own_machine_and_metadata_are_off_limits_by_default(
    monkeypatch: pytest.MonkeyPatch, ip: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", (ip, 554))])
    with pytest.raises(CameraError) as caught:
        CameraUrl("rtsp://cam.example/").resolve(None)
    assert caught.value.code == "camera_forbidden_address"


def test_ipv6_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *a, **k: [(10, 1, 6, "", ("2001:db8::5", 322, 0, 0))]
    )
    url = CameraUrl("rtsps://[2001:db8::5]/a")
    assert url.port == 322 and url.resolve(None) == "rtsps://[2001:db8::5]:322/a"


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> object:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(CameraError) as caught:
        CameraUrl(f"rtsp://a:{SECRET}@cam.example/").resolve(None)
    assert caught.value.code == "camera_unknown_host"
