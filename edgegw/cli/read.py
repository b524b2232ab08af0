"""`edgegw read CODE [POINT...]`: values with unit, quality and age; never one of them alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from edgegw.cli.cells import cells, cut, table, wrap
from edgegw.cli.fault_texts import fault_texts
from edgegw.cli.output import Result, complain, error_object, finish, paint, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import age, count, say, say_word
from edgegw.control.client import Connection
from edgegw.errors import EXIT_DEVICE_ERROR, EXIT_NO_ANSWER, EXIT_OK, EXIT_WARNINGS, EdgegwError

# Stale is age, shown and never stored: older than this many periods.
STALE_PERIODS = 3
# Of a text in the table; a longer one would push the other columns off the screen.
TEXT_CELLS = 20


@click.command("read", help="Values of a device. Without --fresh: as last polled. With --offline the line is opened directly.")
@click.argument("code")
@click.argument("points", metavar="[POINT]...", nargs=-1)
@click.option("--fresh", is_flag=True, help="Poll now.")
@click.option("--raw", is_flag=True, help="Show address and raw registers too.")
def command(code: str, points: tuple[str, ...], *, fresh: bool, raw: bool) -> None:
    settings = current()
    data, gateway, spoken = _direct(settings, code, points) if settings.offline else _ask(settings, code, points, fresh=fresh)
    values = mark_stale(data["values"])
    language = screen_language(settings, spoken)
    fault = find_fault(data, values, code)
    if fault:
        complain(fault, language=language, json_command=None)
    result = Result(
        values,
        gateway=gateway,
        exit_code=fault.exit_code if fault else judge(values),
        screen=lambda: render({**data, "values": values}, code, language, settings, raw=raw or ((fresh or settings.offline) and _has_raw(values))),
        rows=lambda: ([v["device"], v["point"], v["value"], v["unit"], v["quality"], v["age_s"]] for v in values),
        more={**{key: data[key] for key in ("device", "requests", "milliseconds")}, "error": error_object(fault) if fault else None},
    )
    finish(settings, "read", result)


def _ask(settings: Settings, code: str, points: Sequence[str], *, fresh: bool) -> tuple[dict[str, Any], str, str]:
    """The service's word; where no service runs, the device's own."""
    try:
        with Connection(settings.socket, settings.timeout_s) as daemon:
            data = daemon.ask("read", {"device": code, "points": list(points), "fresh": fresh}, settings.timeout_s)
            return data, daemon.gateway, daemon.language
    except EdgegwError as fault:
        if fault.message_id != "E-DAEMON-ABSENT" or not os.access(settings.config, os.R_OK):
            raise
    return _direct(settings, code, points, said="direct.absent")


def _direct(settings: Settings, code: str, points: Sequence[str], said: str = "direct") -> tuple[dict[str, Any], str, str]:
    from edgegw.cli.direct import read_directly

    return read_directly(settings, code, points, said)


def mark_stale(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A good value older than 3 periods is stale. The daemon states the period of each value; without it nothing is guessed."""
    return [{**value, "quality": "stale"} if _is_stale(value) else value for value in values]


def _is_stale(value: dict[str, Any]) -> bool:
    period_s, age_s = value.get("period_s"), value["age_s"]
    if value["quality"] != "good" or not period_s or age_s is None:
        return False
    return bool(age_s > STALE_PERIODS * period_s)


def judge(values: Sequence[dict[str, Any]]) -> int:
    """The exit code: a device that said nothing, one that refused all, a doubt about some, or all good."""
    qualities = {value["quality"] for value in values}
    if qualities <= {"good", "not fitted"}:
        return EXIT_OK
    if qualities == {"offline"}:
        return EXIT_NO_ANSWER
    return EXIT_DEVICE_ERROR if qualities == {"refused"} else EXIT_WARNINGS


def find_fault(data: dict[str, Any], values: Sequence[dict[str, Any]], code: str) -> EdgegwError | None:
    """Why there is nothing new to show: the line, the silence of the device, or its refusal. A fresh read that nobody answered says so beside the old values."""
    exit_code = judge(values) if data.get("answered", True) else EXIT_NO_ANSWER
    device = data["device"]
    where = f"{code} (bus {device['bus']}, unit {device['unit']})"
    if exit_code == EXIT_NO_ANSWER and data.get("error"):
        error = data["error"]
        return EdgegwError(error["id"], f"{code}: {error['text']}", error["next"], EXIT_NO_ANSWER)
    if exit_code == EXIT_NO_ANSWER:
        step = f"check its power, address, speed and wiring; `edgegw status` shows whether others on {device['bus']} answer"
        return EdgegwError("E-BUS-TIMEOUT", f"{where} does not answer", step, EXIT_NO_ANSWER)
    if exit_code == EXIT_DEVICE_ERROR:
        return EdgegwError("E-BUS-REFUSED", f"{where} refuses what is asked", f"does it fit the profile {device['profile']}?", EXIT_DEVICE_ERROR)
    return None


def render(data: dict[str, Any], code: str, language: str, settings: Settings, *, raw: bool) -> Iterator[str]:
    """The screen, at most 80 cells a line."""
    device = data["device"]
    place = _place(device, language)
    yield cut("  ".join(text for text in (code, device["name"], device["profile"], place) if text), screen_width())
    if device.get("unproven"):
        yield say(language, "read.unproven")
    if said := _identity(device, language):
        yield cut(said, screen_width())
    values = data["values"]
    heads = [say(language, f"head.{name}") for name in ("point", "value", "unit", "quality", "age")]
    rows = [_row(value, language) for value in values]
    if raw:
        heads.append(say(language, "head.raw"))
        rows = [[*row, _raw(value)] for row, value in zip(rows, values, strict=True)]
    title, *lines = table(heads, rows, right=frozenset({1, 4}), flexible=5 if raw else 0)
    yield title
    for line, value in zip(lines, values, strict=True):
        yield paint(line, say_word(language, "quality", value["quality"]) if value["quality"] == "stale" else "", settings)
        for text in _below(value, device["profile"], language):
            yield from wrap(f"    {text}", 6, screen_width())
    if data["requests"]:
        requests = count(language, "read.request", "read.requests", data["requests"])
        yield say(language, "read.cost", requests, f"{data['milliseconds']:.0f}")


def _identity(device: dict[str, Any], language: str) -> str:
    """Which device answers, and whether it is the wrong one or asleep; empty where nobody knows."""
    texts = {"serial_number": "read.serial_number", "model": "read.model", "firmware": "read.firmware"}
    said = [say(language, text, device[key]) for key, text in texts.items() if device.get(key)]
    if device.get("stranger"):
        said.insert(0, say(language, "read.wrong", device["stranger"]))
    elif device.get("state") == "asleep":
        said.insert(0, say(language, "read.asleep"))
    return "  ".join(said)


def _row(value: dict[str, Any], language: str) -> list[str]:
    unit = "" if value["unit"] == "1" else value["unit"]
    return [value["point"], _shown(value["value"]), unit, say_word(language, "quality", value["quality"]), age(value["age_s"])]


def _below(value: dict[str, Any], profile: str, language: str) -> list[str]:
    """What stands under a value: the words of its faults, or a text that its column is too narrow for."""
    shown = value["value"]
    texts = fault_texts(language, profile, value["point"], shown)
    return texts or ([shown] if isinstance(shown, str) and cells(shown) > TEXT_CELLS else [])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str) and cells(value) > TEXT_CELLS:
        return ".."
    return str(int(value)) if isinstance(value, bool) else str(value)


def _has_raw(values: Sequence[dict[str, Any]]) -> bool:
    """Whoever reads just now wants to compare: the registers are shown beside the values."""
    return any(value["raw"] is not None for value in values)


def _raw(value: dict[str, Any]) -> str:
    return " ".join(str(part) for part in (value["address"], value["raw"]) if part is not None)


def _place(device: dict[str, Any], language: str) -> str:
    """The bus, and what finds the device on it."""
    if device.get("address"):
        return say(language, "read.address", device["bus"], device["address"])
    return say(language, "read.unit", device["bus"], device["unit"]) if device["unit"] else str(device["bus"])
