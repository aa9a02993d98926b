"""Merging of flags, environment and file into one `Settings`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from web.settings.options import ENV_PREFIX, OPTIONS, ApiKey, Option, OptionError


@dataclass(frozen=True, slots=True)
class Settings:
    """The options as they stand after merging; one field per entry of `OPTIONS`."""

    host: str
    port: int
    rtc_port: int
    rtc_tcp_port: int
    turn_url: tuple[str, ...]
    turn_secret_file: str
    node_ip: str
    key: tuple[ApiKey, ...]
    data: str
    tls: str
    demo: bool
    public_url: str
    behind_proxy: bool
    webhook_url: tuple[str, ...]
    camera_network: tuple[str, ...]
    log_format: str
    log_level: str

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return Path(self.data)


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Merge the sources: a flag beats the environment, that the file, that the default.

    Args:
        flags: option name to what the command line gave; options that were not given are absent.
            `config` is the file.
        environ: the environment.

    Raises:
        OptionError: an option is unknown or malformed, or the file cannot be read.
    """
    path = flags.get("config") or environ.get(f"{ENV_PREFIX}CONFIG")
    from_file = read_file(Path(path)) if path else {}
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.name in flags:
            values[option.name] = _take(option, flags[option.name], option.flag)
        elif option.variable in environ:
            raw: Any = environ[option.variable]
            raw = raw.replace(",", " ").split() if option.is_list else raw
            if raw in ("", []):
                values[option.name] = option.default
            else:
                values[option.name] = _take(option, raw, option.variable)
        elif option.name in from_file:
            values[option.name] = _take(option, from_file[option.name], f"{option.name} in {path}")
        else:
            values[option.name] = option.default
    settings = Settings(**values)
    _check_together(settings)
    return settings


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file and refuse what no option is called."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise OptionError(f"cannot read {path}: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path} is not valid TOML: {error}") from None
    _check_known(content, {option.name for option in OPTIONS}, f" in {path}")
    return content


def _check_known(given: Iterable[str], known: set[str], where: str) -> None:
    for name in given:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise OptionError(f"unknown option {name!r}{where}{hint}")


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return variables with our prefix that no option is called: likely slips, worth a warning.

    Not an error: container platforms set variables such as AISLECAST_SERVICE_HOST by themselves.
    """
    known = {option.variable for option in OPTIONS} | {f"{ENV_PREFIX}CONFIG"}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in known)


def _take(option: Option, raw: Any, where: str) -> Any:
    try:
        if not option.is_list:
            return option.parse(raw)
        if not isinstance(raw, (list, tuple)):
            raw = [raw]
        return tuple(option.parse(item) for item in raw)
    except ValueError as error:
        raise OptionError(f"{where} {error}") from None


def _check_together(settings: Settings) -> None:
    names = [pair.key for pair in settings.key]
    if len(set(names)) != len(names):
        raise OptionError("the same API key is given twice")
    if settings.rtc_tcp_port and settings.rtc_tcp_port == settings.port:
        raise OptionError("port and rtc_tcp_port are the same; both are TCP")


assert {field.name for field in fields(Settings)} == {option.name for option in OPTIONS}, (
    "Settings has a field for every option"
)
