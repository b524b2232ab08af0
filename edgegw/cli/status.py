"""`edgegw status`: one screen for the first look."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.alarm_screens import fault_lines
from edgegw.cli.cells import WIDTH, both_ends, pad, table, wrap
from edgegw.cli.output import Result, finish, paint, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import count, duration, say, say_word
from edgegw.cli.texts_alarms import say_level
from edgegw.control.client import Connection
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_NO_DAEMON, EXIT_OK, EXIT_WARNINGS, EdgegwError

_EXIT_OF = {"ok": EXIT_OK, "warn": EXIT_WARNINGS, "fail": EXIT_CHECK_FAILED}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_TRUSTED = ("synchronised", "corrected")
# More do not fit a screen; --json has them all.
_ALARMS_SHOWN_MAX = 10
# What does not fit one line goes on under the sentence.
_INDENT = 13


@click.command("status", help="One screen: overall, clock, cloud, buffer, buses, alarms. Exit 0 ok, 10 warnings, 1 a failure.")
def command() -> None:
    settings = current()
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "the status is what the running service knows", "leave out --offline; or: edgegw read CODE --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        data = daemon.ask("status", {}, settings.timeout_s)
        gateway = daemon.gateway or data["gateway"]
        language = screen_language(settings, daemon.language)
    exit_code = _EXIT_OF.get(data["overall"], EXIT_CHECK_FAILED)
    result = Result(
        data,
        gateway=gateway,
        exit_code=exit_code,
        screen=lambda: render(data, language, settings, exit_code),
        rows=lambda: plain_rows(data),
    )
    finish(settings, "status", result)


def plain_rows(data: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    yield ("overall", data["overall"])
    yield ("clock", data["clock"]["trust"], data["clock"].get("offset_ms"))
    for uplink in data["uplinks"]:
        yield ("uplink", uplink["name"], uplink["state"], uplink["connected"], uplink["last_receipt_age_s"])
    yield ("buffer", data["buffer"]["state"], data["buffer"]["values_waiting"], data["buffer"]["oldest_age_s"])
    for bus in data["buses"]:
        yield ("bus", bus["name"], bus["devices"], bus["online"], bus["offline"], bus["requests_per_s"], bus["error_percent"], bus["p95_ms"])
    for alarm in data["alarms"]:
        yield ("alarm", alarm["number"], alarm["for_s"], alarm["level"], alarm["device"], alarm["point"], alarm["text"])


def render(data: dict[str, Any], language: str, settings: Settings, exit_code: int | None, now_s: float | None = None) -> Iterator[str]:
    """The screen, at most 80 cells a line. Without an exit code it is no command's end, and no next one is named."""
    program = f"edgegw {data['version']}  {say(language, 'status.up', duration(language, data['uptime_s']))}"
    yield both_ends(f"{data['gateway']}  {data['name']}".rstrip(), program)
    now = time.localtime(now_s)
    overall = say_word(language, "word", data["overall"])
    yield paint(both_ends(f"{pad(overall, 6)} {_summary(data, language)}", time.strftime("%Y-%m-%d %H:%M:%S ", now) + _zone(now)), overall, settings)
    for name, word, text in _lines(data, language):
        shown = say_word(language, "word", word)
        first, *more = wrap(f"{pad(say(language, name), 6)} {pad(shown, 5)} {text}", _INDENT, screen_width())
        yield from (paint(first, shown, settings), *more)
    if data["buses"]:
        yield ""
        yield from _bus_table(data["buses"], language)
    yield ""
    yield from _alarm_table(data["alarms"], language)
    yield from fault_lines(data.get("service_state", []), language)
    step = _next_step(data)
    if exit_code is not None and (step or exit_code):
        yield both_ends(say(language, "next", step) if step else "", say(language, "exit", exit_code))


def _zone(now: time.struct_time) -> str:
    """+08, or +0530 where the zone is not a whole hour off."""
    zone = time.strftime("%z", now)
    return zone.removesuffix("00") if len(zone) == 5 else zone


def _summary(data: dict[str, Any], language: str) -> str:
    offline = sum(bus["offline"] for bus in data["buses"])
    parts = []
    if data["alarms"]:
        parts.append(count(language, "status.alarm", "status.alarms", len(data["alarms"])))
    if offline:
        parts.append(count(language, "status.device", "status.devices", offline))
    if not parts and data["clock"]["trust"] not in _TRUSTED:
        parts.append(say(language, "status.clock_doubt"))
    if not all(uplink["connected"] for uplink in data["uplinks"]):
        parts.append(say(language, "status.cloud_away"))
    return ("，" if language == "zh" else ", ").join(parts) or (say(language, "status.good") if data["overall"] == "ok" else "")


def _lines(data: dict[str, Any], language: str) -> Iterator[tuple[str, str, str]]:
    """(text id of the name, state word, sentence) of clock, clouds and buffer."""
    clock = data["clock"]
    offset = say(language, "status.offset", clock["offset_ms"]) if clock.get("offset_ms") is not None else ""
    yield "status.clock", "ok" if clock["trust"] in _TRUSTED else "warn", say_word(language, "clock", clock["trust"]) + offset
    if not data["uplinks"]:
        yield "status.cloud", "none", say(language, "status.no_uplink")
    for uplink in data["uplinks"]:
        yield "status.cloud", "ok" if uplink["connected"] and not uplink["error"] else "warn", _uplink(uplink, language)
    for uplink in data["uplinks"]:
        for found in uplink.get("certificates", ()):
            if found["step"] is not None:
                name = f"{uplink['name']}: {found['subject']}"
                yield "status.cert", "warn", say(language, "status.cert_ends", name, found["expires"], found["days_left"])
    for bus in data["buses"]:
        if bus.get("error"):
            yield "status.line", "warn", f"{bus['name']}: {_error(bus['error'])}"
    buffer = data["buffer"]
    yield "status.buffer", "fail" if buffer["error"] else "ok", _buffer(buffer, language)
    if data.get("unproven"):
        yield "status.profiles", "none", say(language, "status.unproven", ", ".join(data["unproven"]))


def _uplink(uplink: dict[str, Any], language: str) -> str:
    if uplink["error"]:
        return f"{uplink['name']}: {_error(uplink['error'])}"
    where = f"{uplink['name']}: {uplink['broker'].split('//')[-1].split('@')[-1]} "
    age_s = uplink["last_receipt_age_s"]
    state = say(language, "status.connected" if uplink["connected"] else "status.not_connected")
    receipt = say(language, "status.no_receipt") if age_s is None else say(language, "status.receipt", duration(language, age_s))
    today = sum(counts["up"] + counts["down"] for counts in uplink.get("bytes_today", {}).values())
    receipt += say(language, "status.today", f"{today / 1e6:.1f}") if today else ""
    return where + state + receipt + (say(language, "status.in_flight", uplink["in_flight"]) if uplink["in_flight"] else "")


def _buffer(buffer: dict[str, Any], language: str) -> str:
    if buffer["error"]:
        return _error(buffer["error"])
    waiting = say(language, "status.waiting", buffer["values_waiting"])
    oldest = (
        say(language, "status.oldest", duration(language, buffer["oldest_age_s"])) if buffer["values_waiting"] and buffer["oldest_age_s"] is not None else ""
    )
    return waiting + oldest + say(language, "status.file", f"{(buffer['file_bytes'] or 0) / 1024**2:.1f}")


def _error(error: Any) -> str:
    return f"{error['id']}: {error['text']}" if isinstance(error, dict) else str(error)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _bus_table(buses: list[dict[str, Any]], language: str) -> list[str]:
    heads = [say(language, f"head.{name}") for name in ("bus", "line", "devices", "online", "offline", "requests", "errors", "p95")]
    rows = [
        [
            bus["name"],
            bus["line"],
            str(bus["devices"]),
            str(bus["online"]),
            str(bus["offline"]),
            _number(bus["requests_per_s"], 1),
            _number(bus["error_percent"], 1),
            "-" if bus["p95_ms"] is None else f"{bus['p95_ms']:.0f} ms",
        ]
        for bus in buses
    ]
    return table(heads, rows, right=frozenset(range(2, 8)), flexible=1)


def _alarm_table(alarms: list[dict[str, Any]], language: str) -> list[str]:
    if not alarms:
        return [say(language, "status.no_alarm")]
    heads = [say(language, f"head.{name}") for name in ("alarm", "for", "level", "device", "what")]
    shown = alarms[:_ALARMS_SHOWN_MAX]
    rows = [[f"#{a['number']}", duration(language, a["for_s"]), say_level(language, a), a["device"], _what(a, language)] for a in shown]
    more = [f"... +{len(alarms) - len(shown)}"] if len(alarms) > len(shown) else []
    return table(heads, rows, right=frozenset(), flexible=4, width=max(WIDTH, screen_width())) + more


def _what(alarm: dict[str, Any], language: str) -> str:
    """The alarm's text, and its value where the text does not say it already."""
    text = str((alarm.get("text_zh") if language == "zh" else "") or alarm["text"] or alarm["point"])
    if alarm["value"] is None or not alarm["unit"] or alarm["unit"] == "1" or alarm["value"] in map(float, _NUMBER.findall(text)):
        return text
    limit = say(language, "alarm.limit", f"{alarm['limit']:g}") if alarm["limit"] is not None else ""
    return f"{text} {alarm['value']:g} {alarm['unit']}{limit}"


def _next_step(data: dict[str, Any]) -> str:
    """At most two commands that lead on from what is wrong."""
    faulty = [thing["error"] for thing in (*data["buses"], *data["uplinks"]) if isinstance(thing.get("error"), dict)]
    steps = [f"edgegw explain {error['id']}" for error in faulty]
    steps += [f"edgegw alarms show {alarm['number']}" for alarm in data["alarms"]]
    return " | ".join(dict.fromkeys(steps[:2]))
