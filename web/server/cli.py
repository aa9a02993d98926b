"""The command line: `aislecast serve` and `aislecast token`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from web.server import token_command
from web.settings.options import ENV_PREFIX, OPTIONS, Option, OptionError
from web.settings.sources import Settings, load_settings, unknown_variables


def run(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Run one command; returns the exit status (2 = wrong options, 1 = could not start)."""
    environ = os.environ if environ is None else environ
    given = vars(build_parser().parse_args(arguments))
    command = given.pop("command")
    own = {option.name for option in OPTIONS} | {"config"}
    try:
        settings = load_settings({k: v for k, v in given.items() if k in own}, environ)
        for name in unknown_variables(environ):
            sys.stderr.write(f"aislecast: {name} is no option and is not used\n")
        if command == "token":
            return token_command.run(settings, given)
        return _serve(settings)
    except OptionError as error:
        sys.stderr.write(f"aislecast: {error}\n")
        return 2


def _serve(settings: Settings) -> int:
    # Imported late: `aislecast token` and `--help` need neither the engine nor the HTTP server.
    import asyncio

    from web.server.serve import serve

    return asyncio.run(serve(settings, version=own_version()))


def own_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("aislecast")
    except PackageNotFoundError:
        return "0.0.0"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; its options come from `OPTIONS`."""
    parser = argparse.ArgumentParser(
        prog="aislecast",
        description="Meetings and remote store walks over weak networks.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"aislecast {own_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="run the server",
        allow_abbrev=False,
        epilog=f"Every option is also a variable ({ENV_PREFIX}RTC_PORT) and a line of the TOML "
        "file (rtc_port = 7882). A flag beats a variable, a variable beats the file.",
    )
    token = commands.add_parser("token", help="print an access token", allow_abbrev=False)
    token_command.add_arguments(token)
    for command in (serve, token):
        command.add_argument(
            "--config", metavar="FILE", default=argparse.SUPPRESS, help="options in TOML"
        )
    for option in OPTIONS:
        _add(serve, option)
        if option.name in ("key", "data"):
            _add(token, option)
    return parser


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    extra: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(option)}
    if option.is_switch:
        # Also --no-…: a flag must be able to beat a variable or the file either way.
        extra["action"] = argparse.BooleanOptionalAction
    else:
        extra["metavar"] = option.metavar
        if option.is_list:
            extra["action"] = "append"
    parser.add_argument(option.flag, dest=option.name, **extra)


def _help(option: Option) -> str:
    meaning = option.meaning.replace("%", "%%")
    if option.default in ("", (), False):
        return meaning
    return f"{meaning} (default: {option.default})"
