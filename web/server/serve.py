"""`aislecast serve`: starts, says where, waits for a signal, drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from typing import Final

import structlog

from web.ops.logs import Scrubber, configure_logs
from web.server.banner import print_welcome
from web.server.compose import Server
from web.server.configs import load_secrets
from web.settings.options import OptionError
from web.settings.sources import Settings

log = structlog.get_logger("web.server")

STOP_WITHIN_S: Final = 9.0
LINGER_S: Final = 0.3
EXIT_WITHIN_S: Final = 9.7
"""The promise is 10 s. A thread that sits in a system call (a camera that does not answer, a
disk that hangs) would hold the interpreter's own exit up for longer."""


async def serve(settings: Settings, *, version: str) -> int:
    """Run until SIGTERM or SIGINT; a second one stops at once."""
    secret = load_secrets(settings)
    configure_logs(
        is_json=settings.log_format == "json"
        or (settings.log_format == "auto" and not sys.stderr.isatty()),
        level=settings.log_level,
        scrub=Scrubber(secret.texts()),
    )
    server = Server(settings, secret, version=version)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, number)
    server.parts.media.on_dead = stop.set
    try:
        await server.start()
    except OptionError:
        await server.close()
        raise
    print_welcome(await server.welcome(), sys.stdout)
    server.open_demo()
    # What was made so far stays: the collector need not look at it again in every full pass.
    gc.collect()
    gc.freeze()
    log.info("started", url=server.addresses.public_url, version=version)
    await stop.wait()
    watchdog = threading.Timer(EXIT_WITHIN_S, os._exit, [1])
    watchdog.daemon = True
    watchdog.start()
    # A supervisor starts a failed server again; clients come back by themselves.
    status = 1 if server.parts.media.is_dead else 0
    if await _stop(server):
        # All is told and written. A thread that still draws or dials need not be waited for.
        done = threading.Timer(LINGER_S, os._exit, [status])
        done.daemon = True
        done.start()
    return status


def _on_signal(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        log.warning("stopped_at_once", signal=number.name)
        os._exit(1)
    log.info("stopping", signal=number.name)
    stop.set()


async def _stop(server: Server) -> bool:
    """Drain and close; tells whether all of it was done."""
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            with contextlib.suppress(asyncio.CancelledError):
                await server.drain()
            await server.close()
    except TimeoutError:
        log.error("stop_took_too_long", limit_s=STOP_WITHIN_S)
    except Exception:
        log.exception("stop_failed")
    else:
        log.info("stopped")
        return True
    return False
