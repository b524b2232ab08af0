"""`edgegw config check`: every mistake at once, the load that each bus will have and the megabytes that each uplink will cost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgegw.cli.cells import both_ends, table, wrap
from edgegw.cli.output import Result, finish, paint, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import count, duration_ms, say
from edgegw.errors import lookup

if TYPE_CHECKING:
    from edgegw.config.bus_load import Forecast
    from edgegw.config.load import Loaded
    from edgegw.config.uplink_forecast import UplinkForecast

# Under a wrapped finding the text goes on here, so that the places stay in a column of their own.
_INDENT = 16
# Buses whose forecast is shown, the busiest first; a station has few lines, and many TCP servers that are all idle. --json has all.
_FORECASTS_MAX = 8


@click.group("config", help="The configuration.")
def command() -> None:
    pass


@command.command("check", help="Find every mistake in FILE (default: the configuration). Exit 0 good, 10 warnings, 1 errors, 2 not readable as TOML.")
@click.argument("file", required=False, metavar="[FILE]")
def check(file: str | None) -> None:
    from edgegw.config.check import forecasts, read, traffic
    from edgegw.level_use import with_open_alarms

    settings = current()
    loaded = with_open_alarms(read(Path(file or settings.config)))
    language = screen_language(settings, loaded.config.gateway.language if loaded.config else "")
    buses = forecasts(loaded.config) if loaded.config else []
    uplinks = traffic(loaded.config) if loaded.config else []
    rows = [(f.file, f.line, f.severity, f.id, f.text) for f in loaded.findings]
    result = Result(
        [dict(zip(("file", "line", "severity", "id", "text"), row, strict=True)) for row in rows],
        gateway=loaded.config.gateway.identity if loaded.config else "",
        exit_code=loaded.exit_code,
        screen=lambda: _screen(list(render(loaded, language, settings)), [*_forecast_lines(buses, language), *_traffic_lines(uplinks, language)]),
        rows=lambda: rows,
        more={
            "buses": [{**found._asdict(), "busy_share": round(found.busy_share, 3), "lateness_ms": round(found.lateness_ms)} for found in buses],
            "uplinks": [found._asdict() for found in uplinks],
        },
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


def _forecast_lines(buses: list[Forecast], language: str) -> list[str]:
    """What each bus will have to carry: good to know, no finding."""
    if not buses:
        return []
    shown = sorted(buses, key=lambda found: -found.busy_share)[:_FORECASTS_MAX]
    heads = [say(language, f"head.{name}") for name in ("bus", "devices", "asked", "load", "late_most")]
    rows = [
        [found.bus, str(found.devices), str(found.requests), f"{100 * found.busy_share:.0f} %", duration_ms(language, found.lateness_ms)] for found in shown
    ]
    return table(heads, rows, right=frozenset({1, 2, 3, 4}), flexible=0, width=screen_width())


def _traffic_lines(uplinks: list[UplinkForecast], language: str) -> list[str]:
    """What each uplink will cost a SIM card in a month."""
    if not uplinks:
        return []
    heads = [say(language, f"head.{name}") for name in ("uplink", "values_per_s", "mb_calm", "mb_busy", "mb_quota")]
    rows = [[found.uplink, f"{found.values_per_s:.1f}", f"{found.mb_calm:.0f}", f"{found.mb_busy:.0f}", str(found.quota_mb or "-")] for found in uplinks]
    return table(heads, rows, right=frozenset({1, 2, 3, 4}), flexible=0, width=screen_width())


def _screen(lines: list[str], told: list[str]) -> list[str]:
    """The last line stays the one that counts."""
    return [*lines[:-1], *told, lines[-1]]
