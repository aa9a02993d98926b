"""Logs: nothing secret passes, by name, by look, or by value."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from web.ops.logs import Scrubber, configure_logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrIn0.c2lnbmF0dXJl"
CANARY = "canary-secret-0123456789"


@pytest.fixture
def lines():
    """A log stream in JSON; logging is put back as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(is_json=True, level="debug", scrub=Scrubber([CANARY]), stream=stream)
    yield stream
    root.handlers[:], _ = before
    root.setLevel(before[1])
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "text",
    [
        f"GET /rtc?access_token={JWT}&x=1",
        f"token {JWT} was refused",
        f"Authorization: Bearer {JWT}",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "rtsp://admin:pa55word@10.0.0.5:554/stream1",
        "join_request=CAESpa55word0123456789",
        "opened /j/pa55word-0123456789abcd",
        f"key is {CANARY}!",
        "password=pa55word&user=x",
    ],
)
def test_secret_looks_are_hidden(text: str) -> None:
    clean = Scrubber([CANARY]).clean_text(text)
    assert "***" in clean
    for part in (JWT, JWT.split(".")[1], "pa55word", "dXNlcjpwYXNzd29yZA", CANARY):
        assert part not in clean


def test_secret_names_and_nested_values_are_hidden() -> None:
    entry = {"event": "x", "api_secret": "abc", "more": {"password": "abc", "list": [CANARY]}}
    clean = Scrubber([CANARY])(None, "info", entry)
    assert clean == {
        "event": "x",
        "api_secret": "***",
        "more": {"password": "***", "list": ["***"]},
    }


def test_plain_values_pass() -> None:
    entry = {"event": "camera", "num": 3, "ok": True, "none": None, "ratio": 0.5}
    assert Scrubber()(None, "info", dict(entry)) == entry


def test_both_loggers_write_scrubbed_json(lines: io.StringIO) -> None:
    structlog.get_logger("web.test").info("hello", url="rtsp://u:secretpw@host/")
    logging.getLogger("sfu.test").warning("token %s", JWT)
    try:
        raise ValueError(f"bad {CANARY}")
    except ValueError:
        structlog.get_logger("web.test").exception("failed")
        logging.getLogger("sfu.test").exception("failed too")
    text = lines.getvalue()
    entries = [json.loads(line) for line in text.splitlines()]
    assert [entry["event"] for entry in entries] == ["hello", "token ***", "failed", "failed too"]
    assert entries[0]["logger"] == "web.test"
    assert entries[0]["level"] == "info"
    assert "ValueError" in entries[2]["exception"]
    for secret in ("secretpw", JWT, CANARY):
        assert secret not in text


def test_chatty_libraries_are_kept_quiet(lines: io.StringIO) -> None:
    logging.getLogger("aioice.ice").debug("candidate")
    logging.getLogger("aiohttp.access").info('"GET /rtc?access_token=x"')
    assert lines.getvalue() == ""


def test_malformed_requests_write_nothing(lines) -> None:
    logger = logging.getLogger("aiohttp.server")
    for error in (BadHttpMessage("a piece of a request"), ValueError("our own fault")):
        logger.error("Error handling request", exc_info=error)
    written = lines.getvalue()
    assert "a piece of a request" not in written
    assert "our own fault" in written
