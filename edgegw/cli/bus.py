"""`edgegw bus`: the lines, what is counted on them and what that hints at, and their frames while polling goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.bus_monitor import monitor
from edgegw.cli.cells import cells, table, wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import age, duration, say, say_word
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_OK, EXIT_WARNINGS, EdgegwError

# Counts that are mostly 0 and stand in a line of their own where they are not.
_RARE = ("late", "doubled", "echo", "foreign", "noise_bytes", "resyncs", "missed_slots", "withheld")
_PLAIN = ("asked", "answered", "timed_out", "crc", "short", "exceptions", *_RARE, "latency_p50_ms", "latency_p95_ms", "last_answer_age_s")
_INDENT = 4
# What the service keeps of the counters' past (bus/history.py).
_SINCE_S_MAX = 3600
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_DIGITS_MAX = 6
# Hints of one unit in its row, and of a line in the list; the others stand below, or in `bus stats`.
_HINTS_ROW_MAX = 2
_HINTS_LIST_MAX = 4
# Of points that a device does not have; `read` and --json name all.
_REFUSED_SHOWN_MAX = 6


@click.group("bus", help="The buses: what they count, and their frames as they come.")
def command() -> None:
    pass


command.add_command(monitor)


@command.command("list", help="The buses, where they are, and how busy. Exit 10 where something is wrong.")
def list_() -> None:
    settings = current()
    data, gateway, language = ask(settings, "bus-stats", {}, settings.timeout_s)
    wrong = any(bus["hints"] or any(unit["hints"] for unit in bus["units"]) for bus in data["buses"])
    result = Result(
        data["buses"],
        gateway=gateway,
        exit_code=EXIT_WARNINGS if wrong else EXIT_OK,
        screen=lambda: _list_screen(data["buses"], language),
        rows=lambda: ((bus["name"], bus["line"], bus["where"], len(bus["units"]), bus["requests_per_s"], bus["busy_share"]) for bus in data["buses"]),
    )
    finish(settings, "bus-list", result)


@command.command("stats", help="What each device on the bus answered, and what it hints at. Exit 10 where something is wrong.")
@click.argument("bus", required=False, default="")
@click.option("--since", default="", metavar="TIME", help="What was counted since so long ago: 30s, 10m, 1h at most (default: since the start).")
def stats(bus: str, since: str) -> None:
    settings = current()
    data, gateway, language = ask(settings, "bus-stats", {"bus": bus, "since_s": _seconds(since)}, settings.timeout_s)
    buses = data["buses"]
    wrong = any(found["hints"] or any(unit["hints"] for unit in found["units"]) for found in buses)
    result = Result(
        buses,
        gateway=gateway,
        exit_code=EXIT_WARNINGS if wrong else EXIT_OK,
        screen=lambda: (line for found in buses for line in render(found, language)),
        rows=lambda: (
            [found["name"], unit["address"] or unit["unit"], unit["device"], *(unit[name] for name in _PLAIN)] for found in buses for unit in found["units"]
        ),
    )
    finish(settings, "bus-stats", result)


def _seconds(text: str) -> int:
    """`30s`, `10m`, `1h`; 0 for none."""
    if not text:
        return 0
    number, unit = text[:-1], _UNITS_S.get(text[-1])
    seconds = int(number) * unit if unit and number.isascii() and number.isdigit() and len(number) <= _DIGITS_MAX else 0
    if not 0 < seconds <= _SINCE_S_MAX:
        raise click.UsageError(f"--since: '{text}' is no time up to 1h (30s, 10m)")
    return seconds


def ask(settings: Settings, question: str, arguments: dict[str, Any], timeout_s: float) -> tuple[dict[str, Any], str, str]:
    """The service's answer, its gateway and the language of the screen. Raises EdgegwError."""
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "what was counted is known to the running service alone", "leave out --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        return daemon.ask(question, arguments, timeout_s), daemon.gateway, screen_language(settings, daemon.language)


# -- screens


def _list_screen(buses: list[dict[str, Any]], language: str) -> list[str]:
    heads = [say(language, f"head.{name}") for name in ("bus", "line", "where", "devices", "offline", "requests", "load", "hint")]
    return table(heads, [_list_row(bus) for bus in buses], right=frozenset({3, 4, 5, 6}), flexible=2, width=screen_width())


def _list_row(bus: dict[str, Any]) -> list[str]:
    silent = sum(unit["silent"] for unit in bus["units"])
    found = list(dict.fromkeys([*bus["hints"], *(hint for unit in bus["units"] for hint in unit["hints"])]))
    hints = " ".join([*found[:_HINTS_LIST_MAX], *(["..."] if len(found) > _HINTS_LIST_MAX else [])])
    counts = [str(len(bus["units"])), str(silent), f"{bus['requests_per_s']:.1f}", f"{100 * bus['busy_share']:.0f} %"]
    return [bus["name"], bus["line"], bus["where"], *counts, hints]


def render(bus: dict[str, Any], language: str) -> Iterator[str]:
    """One bus, at most 80 cells a line: its line, its units, and a sentence for each hint."""
    width = screen_width()
    foreign = sum(unit["foreign"] for unit in bus["units"])
    load = say(language, "stats.load", f"{100 * bus['busy_share']:.0f}")
    late = say(language, "stats.lateness", _milliseconds(bus["lateness_p99_ms"]))
    words = [bus["name"], bus["where"], bus["line"], duration(language, bus["span_s"]), load, late, say(language, "stats.foreign", foreign)]
    yield from wrap("  ".join(words), _INDENT, width)
    if bus["error"]:
        yield from wrap(f"{bus['error']['id']}: {bus['error']['text']}", _INDENT, width)
    if bus["units"]:
        yield from _unit_lines(bus["units"], language, width)
    if bus["energy_reads"]:
        yield from wrap(say(language, "stats.energy", bus["energy_reads"], bus["energy_late"], _milliseconds(bus["energy_skew_max_ms"])), _INDENT, width)
    if bus["idle_noise_bytes"]:
        yield say(language, "stats.idle_noise", bus["idle_noise_bytes"])
    hints = dict.fromkeys([*bus["hints"], *(hint for unit in bus["units"] for hint in unit["hints"])])
    for hint in hints:
        yield from wrap(f"{hint} {say_word(language, 'hint', hint)}", _INDENT, width)
    if hints:
        yield say(language, "next", f"edgegw bus monitor {bus['name']}")


# Columns of `bus stats`; a line that is too long first does without the median, then without the second space between its columns.
_COLUMNS = ("unit_id", "code", "asked", "ok", "timed_out", "crc", "exceptions", "p50", "p95", "last", "hint")
_COLUMNS_NARROW = tuple(name for name in _COLUMNS if name != "p50")


def _unit_lines(units: list[dict[str, Any]], language: str, width: int) -> Iterator[str]:
    cells_of = [_cells(unit) for unit in units]
    title, *lines = _table(cells_of, language, width)
    yield title
    for line, unit in zip(lines, units, strict=True):
        yield line
        below = [*unit["hints"][_HINTS_ROW_MAX:], *(f"{say(language, f'count.{name}')} {unit[name]}" for name in _RARE if unit[name])]
        if refused := unit["refused_points"]:
            more = ["..."] if len(refused) > _REFUSED_SHOWN_MAX else []
            below.append(say(language, "stats.refused", " ".join([*refused[:_REFUSED_SHOWN_MAX], *more])))
        if below:
            yield from wrap(" " * _INDENT + "  ".join(below), _INDENT, width)


def _table(cells_of: list[dict[str, str]], language: str, width: int) -> list[str]:
    """The widest form that the screen has room for; in the narrowest the device's code gives way."""
    for names, gap in ((_COLUMNS, 2), (_COLUMNS_NARROW, 2), (_COLUMNS_NARROW, 1)):
        heads = [say(language, f"head.{name}") for name in names]
        rows = [[row[name] for name in names] for row in cells_of]
        needed = sum(max(cells(line[column]) for line in (heads, *rows)) for column in range(len(names))) + gap * (len(names) - 1)
        if needed <= width:
            break
    right = frozenset(number for number, name in enumerate(names) if name not in {"code", "hint"})
    return table(heads, rows, right=right, flexible=1, width=width, gap=gap)


def _cells(unit: dict[str, Any]) -> dict[str, str]:
    ok = "-" if unit["ok_percent"] is None else f"{unit['ok_percent']:.1f}"
    return {
        "unit_id": unit["address"] or str(unit["unit"]),
        "code": unit["device"],
        "asked": str(unit["asked"]),
        "ok": ok,
        "timed_out": str(unit["timed_out"]),
        "crc": str(unit["crc"] + unit["short"]),
        "exceptions": str(unit["exceptions"]),
        "p50": _milliseconds(unit["latency_p50_ms"]),
        "p95": _milliseconds(unit["latency_p95_ms"]),
        "last": age(unit["last_answer_age_s"]),
        "hint": " ".join(unit["hints"][:_HINTS_ROW_MAX]),
    }


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}ms"
