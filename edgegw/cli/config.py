"""`edgegw config check`: every mistake at once, and the load that each bus will have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgegw.cli.cells import both_ends, wrap
from edgegw.cli.output import Result, finish, paint, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import count, say
from edgegw.errors import lookup

if TYPE_CHECKING:
    from edgegw.config.load import Loaded

# Under a wrapped finding the text goes on here, so that the places stay in a column of their own.
_INDENT = 16


@click.group("config", help="The configuration.")
def command() -> None:
    pass


@command.command("check", help="Find every mistake in FILE (default: the configuration). Exit 0 good, 10 warnings, 1 errors, 2 not readable as TOML.")
@click.argument("file", required=False, metavar="[FILE]")
def check(file: str | None) -> None:
    from edgegw.config.check import read

    settings = current()
    loaded = read(Path(file or settings.config))
    language = screen_language(settings, loaded.config.gateway.language if loaded.config else "")
    rows = [(f.file, f.line, f.severity, f.id, f.text) for f in loaded.findings]
    result = Result(
        [dict(zip(("file", "line", "severity", "id", "text"), row, strict=True)) for row in rows],
        gateway=loaded.config.gateway.identity if loaded.config else "",
        exit_code=loaded.exit_code,
        screen=lambda: render(loaded, language, settings),
        rows=lambda: rows,
    )
    finish(settings, "config-check", result)


def render(loaded: Loaded, language: str, settings: Settings) -> Iterator[str]:
    """One line a finding, as compilers write them; broken at the width of a terminal, whole in a pipe."""
    for finding in loaded.findings:
        line = str(finding)
        message = lookup(finding.id)
        lines = wrap(line, _INDENT, screen_width()) if sys.stdout.isatty() else [line]
        yield paint("\n".join(lines), finding.severity, settings)
        if language == "zh" and message:
            yield " " * _INDENT + message.zh
    if not loaded.findings:
        config = loaded.config
        assert config is not None
        yield say(language, "check.good", loaded.path.name, len(config.device), len(config.bus), len(config.rule), len(config.uplink))
        return
    errors = len(loaded.errors)
    counted = (
        count(language, "check.error", "check.errors", errors),
        count(language, "check.warning", "check.warnings", len(loaded.findings) - errors),
    )
    yield both_ends(say(language, "check.summary", *counted), say(language, "exit", loaded.exit_code))
