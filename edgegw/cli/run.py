"""`edgegw run`: the daemon in the foreground."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from edgegw.cli.settings import current
from edgegw.errors import EXIT_OK


@click.command("run", help="The daemon in the foreground; --json writes its log lines as JSON, -v more of them.")
def command() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_before_start)
    from edgegw.app import run

    settings = current()
    click.get_current_context().exit(run(Path(settings.config), settings.json, settings.verbose))


def _end_before_start(_number: int, _frame: object) -> None:
    """Until the loop runs and hears the signals itself: opening a large store takes seconds, and nothing is accepted yet."""
    sys.exit(EXIT_OK)
