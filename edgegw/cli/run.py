"""`edgegw run`: the daemon in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from edgegw.cli.settings import current


@click.command("run", help="The daemon in the foreground; --json writes its log lines as JSON, -v more of them.")
def command() -> None:
    from edgegw.app import run

    settings = current()
    click.get_current_context().exit(run(Path(settings.config), settings.json, settings.verbose))
