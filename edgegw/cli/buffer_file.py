"""Where a command finds the store: through the service, else in the configured directory, else the file that was named."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.output import screen_language
from edgegw.cli.settings import Settings
from edgegw.cli.texts_buffer import say
from edgegw.control.client import Connection
from edgegw.errors import EdgegwError

if TYPE_CHECKING:
    from pathlib import Path

    from edgegw.buffer.history import Reader
    from edgegw.buffer.limits import Limits
    from edgegw.config.model import Config

Look = Callable[["Reader", "Limits"], Any]


def ask(settings: Settings, command: str, arguments: dict[str, Any], file: str, look: Look) -> tuple[Any, str, str]:
    """(data, gateway, language): the service's word, or `look` at the file where no service runs or a file was named."""
    if not file and not settings.offline:
        try:
            with Connection(settings.socket, settings.timeout_s) as daemon:
                return daemon.ask(command, arguments, settings.timeout_s), daemon.gateway, screen_language(settings, daemon.language)
        except EdgegwError as fault:
            if fault.message_id != "E-DAEMON-ABSENT" or not os.access(settings.config, os.R_OK):
                raise
    path, limits, gateway, language = locate(settings, file)
    if not file:
        click.echo(say(language, "absent", path), err=True)
    from edgegw.buffer.history import Reader

    with Reader(path) as reader:
        return look(reader, limits), gateway, language


def locate(settings: Settings, file: str) -> tuple[Path, Limits, str, str]:
    """(file, its limits, gateway, language). Raises EdgegwError."""
    from pathlib import Path

    from edgegw.buffer.database import FILE_NAME
    from edgegw.buffer.limits import limits_of

    if file:
        path = Path(file)
        return path, limits_of(path.absolute().parent if path.exists() else Path(), 0), "", screen_language(settings)
    config = configured(settings)
    directory = Path(config.paths.state_dir)
    if not directory.is_dir():
        from edgegw.errors import EXIT_STORE

        raise EdgegwError("E-STORE-OPEN", f"there is no directory {directory}", "edgegw config check; or --file FILE", EXIT_STORE)
    language = screen_language(settings, config.gateway.language)
    return directory / FILE_NAME, limits_of(directory, config.store.max_size_mib), config.gateway.identity, language


def configured(settings: Settings) -> Config:
    from pathlib import Path

    from edgegw.cli.direct import load_config

    return load_config(Path(settings.config))


def moment_ms(text: str, option: str) -> int:
    """`2026-11-20`, `2026-11-20T12:00`, `2026-11-20T12:00:00Z` or `24h`, `7d` ago to UTC ms; without a zone it is local time."""
    import re
    import time
    from datetime import datetime

    ago = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if ago:
        return round((time.time() - int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]) * 1000)
    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError) as fault:
        raise click.UsageError(f"{option}: '{text}' is no time (2026-11-20, 2026-11-20T12:00, 24h, 7d)") from fault


def local_time(at_ms: int | None) -> str:
    """The screen's time, in the local zone."""
    import time

    if at_ms is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
