"""The options that every command knows, before and after its name; the later one wins.

`main.py` adds them to each command that it loads, so a command's module need not mention them: it takes the `Settings` from its context.
"""

from __future__ import annotations

import os
from typing import Any

import click

DEFAULT_CONFIG = "/etc/edgegw/config.toml"
DEFAULT_SOCKET = "/run/edgegw/control.sock"
DEFAULT_TIMEOUT_S = 10.0
LANGUAGES = ("en", "zh")


class Settings:
    """What the caller wants of every command alike: what was typed, else its variable, else the default."""

    def __init__(self) -> None:
        self.typed: dict[str, Any] = {}

    def _choose(self, key: str, variable: str) -> str | None:
        return self.typed.get(key) or os.environ.get(variable) or None

    @property
    def config(self) -> str:
        return self._choose("config", "EDGEGW_CONFIG") or DEFAULT_CONFIG

    @property
    def socket(self) -> str:
        """The named socket, else the one that an explicitly named configuration states, else the service's."""
        named = self._choose("socket", "EDGEGW_SOCKET")
        if named:
            return named
        return _socket_of(self.config) if self._choose("config", "EDGEGW_CONFIG") else DEFAULT_SOCKET

    @property
    def language(self) -> str | None:
        """Chinese (zh) or English (en); None when nothing says so and the gateway's own language may decide."""
        chosen = self._choose("lang", "EDGEGW_LANG")
        if chosen in LANGUAGES:
            return chosen
        for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
            locale = os.environ.get(variable, "")
            if locale:
                return None if locale.split(".")[0] in ("C", "POSIX") else "zh" if locale.startswith("zh") else "en"
        return None

    @property
    def json(self) -> bool:
        return bool(self.typed.get("json"))

    @property
    def plain(self) -> bool:
        return bool(self.typed.get("plain"))

    @property
    def quiet(self) -> bool:
        return bool(self.typed.get("quiet"))

    @property
    def verbose(self) -> int:
        return int(self.typed.get("verbose", 0))

    @property
    def no_color(self) -> bool:
        return bool(self.typed.get("no_color") or os.environ.get("NO_COLOR"))

    @property
    def timeout_s(self) -> float:
        return float(self.typed.get("timeout", DEFAULT_TIMEOUT_S))

    @property
    def offline(self) -> bool:
        return bool(self.typed.get("offline"))


def _socket_of(config: str) -> str:
    """`paths.control_socket` of a file that may be missing or wrong: then the default, and the command itself will say what is wrong."""
    import tomllib

    try:
        with open(config, "rb") as file:  # noqa: PTH123 - as in errors.py
            path = tomllib.load(file)["paths"]["control_socket"]
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_SOCKET
    return path if isinstance(path, str) else DEFAULT_SOCKET


def current() -> Settings:
    """The settings of the command that runs."""
    return click.get_current_context().ensure_object(Settings)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Notes what was typed. A default of the later place must not undo what the earlier place said."""
    if value is not None and value is not False and value != 0:
        assert parameter.name is not None
        context.ensure_object(Settings).typed[parameter.name] = value


def global_options(*, hidden: bool) -> list[click.Option]:
    """A new set of the options, for one command."""
    rows: list[tuple[list[str], dict[str, Any]]] = [
        (["-c", "--config"], {"metavar": "FILE", "help": f"Configuration (EDGEGW_CONFIG; default {DEFAULT_CONFIG})."}),
        (["--socket"], {"metavar": "PATH", "help": f"The service's control socket (EDGEGW_SOCKET; default {DEFAULT_SOCKET})."}),
        (["--lang"], {"type": click.Choice(LANGUAGES), "help": "Language of the screens (EDGEGW_LANG, else the locale)."}),
        (["--json"], {"is_flag": True, "help": "One JSON object on stdout, everything else on stderr."}),
        (["--plain"], {"is_flag": True, "help": "Fields separated by tabs, no header."}),
        (["-q", "--quiet"], {"is_flag": True, "help": "No screen: the exit code tells."}),
        (["-v", "--verbose"], {"count": True, "help": "More of what happens; a traceback for a bug."}),
        (["--no-color"], {"is_flag": True, "help": "No colour (also NO_COLOR, or a pipe)."}),
        (["--timeout"], {"type": click.FloatRange(0.1, 600), "metavar": "S", "help": f"Longest wait in seconds (default {DEFAULT_TIMEOUT_S:g})."}),
        (["--offline"], {"is_flag": True, "help": "Never use the service: open port and files directly."}),
    ]
    return [click.Option(names, expose_value=False, callback=_keep, hidden=hidden, **words) for names, words in rows]
