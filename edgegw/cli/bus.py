"""`edgegw bus`: the lines, what is counted on them and what that hints at, and their frames while polling goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.bus_monitor import monitor
from edgegw.cli.cells import cut, table, wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import age, duration, say, say_word
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_OK, EXIT_WARNINGS, EdgegwError

# Counts that are mostly 0 and stand in a line of their own where they are not.
_RARE = ("late", "doubled", "echo", "foreign", "noise_bytes", "resyncs", "missed_slots")
_PLAIN = ("asked", "answered", "timed_out", "crc", "short", "exceptions", *_RARE, "latency_p50_ms", "latency_p95_ms", "last_answer_age_s")
_INDENT = 4


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
@click.option("--seconds", type=click.FloatRange(0, 300), default=0.0, metavar="N", help="Count for so long from now on (default: since the start).")
def stats(bus: str, *, seconds: float) -> None:
    settings = current()
    data, gateway, language = ask(settings, "bus-stats", {"bus": bus, "seconds": seconds}, settings.timeout_s + seconds)
    buses = data["buses"]
    wrong = any(found["hints"] or any(unit["hints"] for unit in found["units"]) for found in buses)
    result = Result(
        buses,
        gateway=gateway,
        exit_code=EXIT_WARNINGS if wrong else EXIT_OK,
        screen=lambda: (line for found in buses for line in render(found, language)),
        rows=lambda: ([found["name"], unit["unit"], unit["device"], *(unit[name] for name in _PLAIN)] for found in buses for unit in found["units"]),
    )
    finish(settings, "bus-stats", result)


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
    hints = " ".join(dict.fromkeys([*bus["hints"], *(hint for unit in bus["units"] for hint in unit["hints"])]))
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
    if bus["idle_noise_bytes"]:
        yield say(language, "stats.idle_noise", bus["idle_noise_bytes"])
    hints = dict.fromkeys([*bus["hints"], *(hint for unit in bus["units"] for hint in unit["hints"])])
    for hint in hints:
        yield from wrap(f"{hint} {say_word(language, 'hint', hint)}", _INDENT, width)
    if hints:
        yield say(language, "next", f"edgegw bus monitor {bus['name']}")


def _unit_lines(units: list[dict[str, Any]], language: str, width: int) -> Iterator[str]:
    names = ("unit_id", "code", "asked", "ok", "timed_out", "crc", "exceptions", "p50", "p95", "last", "hint")
    heads = [say(language, f"head.{name}") for name in names]
    title, *lines = table(heads, [_row(unit) for unit in units], right=frozenset({0, *range(2, 10)}), flexible=1, width=width)
    yield title
    for line, unit in zip(lines, units, strict=True):
        yield line
        rare = [f"{say(language, f'count.{name}')} {unit[name]}" for name in _RARE if unit[name]]
        if rare:
            yield cut(" " * _INDENT + "  ".join(rare), width)


def _row(unit: dict[str, Any]) -> list[str]:
    ok = "-" if unit["ok_percent"] is None else f"{unit['ok_percent']:.1f}"
    broken = unit["crc"] + unit["short"]
    times = [_milliseconds(unit["latency_p50_ms"]), _milliseconds(unit["latency_p95_ms"]), age(unit["last_answer_age_s"])]
    counts = [str(unit["asked"]), ok, str(unit["timed_out"]), str(broken), str(unit["exceptions"])]
    return [str(unit["unit"]), unit["device"], *counts, *times, " ".join(unit["hints"])]


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}ms"
