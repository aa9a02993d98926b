"""Logs: JSON for machines, colour for people, and nothing secret in either."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "***"
SECRET_NAMES: Final = re.compile(
    r"(secret|password|passwd|token|authorization|cookie|url_with|api_key)", re.IGNORECASE
)
SECRET_TEXTS: Final = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?"), HIDDEN),  # a JWT
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(r"(?i)\b(access_token|join_request|token|secret|password|key|code)=[^&\s\"']+"),
        rf"\1={HIDDEN}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@\"']+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"/j/[\w-]{8,}"), f"/j/{HIDDEN}"),  # invitations
)
MAX_TEXT_CHARS: Final = 8_000
MAX_DEPTH: Final = 4


class Scrubber:
    """Removes what is secret from log entries: by name, by look, and known values exactly."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """Take secrets to remove wherever they appear."""
        self._known = [secret for secret in known if len(secret) >= 8]

    def __call__(self, _logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
        """Clean one entry (a structlog processor)."""
        return {
            key: HIDDEN if SECRET_NAMES.search(key) and value else self.clean(value)
            for key, value in entry.items()
        }

    def clean(self, value: Any, depth: int = 0) -> Any:
        """Return a value without secrets, to any depth that is worth printing."""
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, (int, float, bool, type(None))) or depth >= MAX_DEPTH:
            return (
                value
                if isinstance(value, (int, float, type(None)))
                else self.clean_text(str(value))
            )
        if isinstance(value, dict):
            return {
                str(key): HIDDEN
                if SECRET_NAMES.search(str(key)) and item
                else self.clean(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.clean(item, depth + 1) for item in value]
        return self.clean_text(str(value))

    def clean_text(self, text: str) -> str:
        """Return a text without secrets."""
        text = text[:MAX_TEXT_CHARS]
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        for pattern, instead in SECRET_TEXTS:
            text = pattern.sub(instead, text)
        return text


def configure_logs(
    *,
    is_json: bool,
    level: str,
    scrub: Scrubber,
    stream: TextIO = sys.stderr,
) -> None:
    """Send structlog and the standard library's logging through one scrubbed line format."""
    # Tracebacks are made into text before scrubbing, so that no exception text escapes it.
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        scrub,
    ]
    last: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if is_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their debug lines hold SDP, keys and addresses, one per packet.
    for name in ("aiortc", "aioice", "aiohttp", "asyncio", "libav", "av"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("aiohttp.server").addFilter(is_worth_logging)
    logging.captureWarnings(True)


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Drop aiohttp's errors about malformed requests (a filter).

    They are their senders' fault and answered with 400. aiohttp would write a traceback for each,
    with a piece of the request that may hold half a token, which no pattern knows again.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
