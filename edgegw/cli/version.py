"""`edgegw version`: what runs here, for a report."""

from __future__ import annotations

import platform
import sqlite3
import ssl

import click

from edgegw import __version__
from edgegw.cli.output import Result, finish
from edgegw.cli.settings import current


@click.command("version", help="Version of edgegw and of what it runs on.")
def command() -> None:
    facts = {
        "edgegw": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "system": platform.platform(),
    }
    result = Result(
        facts,
        screen=lambda: [f"{name:8} {text}" for name, text in facts.items()],
        rows=facts.items,
    )
    finish(current(), "version", result)
