"""`edgegw buffer recover`: what a damaged file that was set aside still holds, into the store; through the service, or without it under its lock."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from edgegw.cli.buffer_file import configured
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts_buffer import say
from edgegw.control.client import Connection
from edgegw.errors import EXIT_OK, EXIT_WARNINGS, EdgegwError

# A step of the service takes a quarter of a second; the first one opens the file.
_STEP_TIMEOUT_S = 60.0


@click.command("recover", help="Salvages a damaged file that was set aside, for delivery. Exit 0 when all was read, 10 when something is lost.")
@click.argument("file", required=False, default="")
def recover(file: str) -> None:
    settings = current()
    data, gateway, language = _run(settings, file)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    lines = [
        say(language, "recover.done", data["file"], f"{data['readings']:,}", f"{data['events']:,}"),
        say(language, "recover.stored", f"{data['stored']:,}", f"{data['stored_events']:,}"),
        say(language, "recover.lost", f"{data['unreadable']:,}", f"{data['lost']:,}"),
        say(language, "recover.kept"),
    ]
    code = EXIT_WARNINGS if data["unreadable"] or data["lost"] else EXIT_OK
    finish(settings, "buffer-recover", Result(data, gateway=gateway, exit_code=code, screen=lambda: lines, rows=data.items))


def _run(settings: Settings, file: str) -> tuple[dict[str, Any], str, str]:
    if not settings.offline:
        try:
            return _through_service(settings, file)
        except EdgegwError as fault:
            if fault.message_id != "E-DAEMON-ABSENT" or not os.access(settings.config, os.R_OK):
                raise
    return _directly(settings, file)


def _through_service(settings: Settings, file: str) -> tuple[dict[str, Any], str, str]:
    with Connection(settings.socket, settings.timeout_s) as daemon:
        language = screen_language(settings, daemon.language)
        tell = _teller(language)
        name = os.path.basename(file)  # noqa: PTH119 - as in errors.py
        data = daemon.ask("buffer-recover", {"file": name, "begin": True}, _STEP_TIMEOUT_S)
        while not data["done"]:
            tell(data)
            data = daemon.ask("buffer-recover", {"file": data["file"]}, _STEP_TIMEOUT_S)
        return data, daemon.gateway, language


def _directly(settings: Settings, file: str) -> tuple[dict[str, Any], str, str]:
    """The store opened here, under the lock that keeps a second gateway away."""
    import asyncio
    from pathlib import Path

    from edgegw.buffer.recovery import Recovery, find_damaged, plain
    from edgegw.buffer.store import Buffer
    from edgegw.clock import Clock, read_clock_trust

    config = configured(settings)
    directory = Path(config.paths.state_dir)
    language = screen_language(settings, config.gateway.language)
    path = find_damaged(directory, file)
    click.echo(say(language, "absent", path), err=True)
    clock = Clock()
    clock.trust = read_clock_trust()
    tell = _teller(language)

    async def run(buffer: Buffer) -> dict[str, Any]:
        recovery = Recovery(buffer, clock, path)
        try:
            while not (progress := await recovery.step()).done:
                tell(plain(progress))
            return plain(progress)
        finally:
            recovery.close()

    buffer = Buffer.open(directory, clock, config.store, (), [uplink.name for uplink in config.uplink], lambda _: None)
    try:
        return asyncio.run(run(buffer)), config.gateway.identity, language
    finally:
        buffer.close()


def _teller(language: str) -> Callable[[dict[str, Any]], None]:
    def tell(data: dict[str, Any]) -> None:
        if sys.stderr.isatty():
            counts = [f"{data[name]:,}" for name in ("blocks", "events", "readings")]
            click.echo("\r" + say(language, "recover.progress", data["file"], *counts)[: screen_width() - 1], nl=False, err=True)

    return tell
