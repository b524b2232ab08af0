"""`edgegw alarms show ID --report`: what was read in the minute before an alarm and the minute after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgegw.cli.cells import table, wrap
from edgegw.cli.output import screen_width
from edgegw.cli.texts import say_word as say_quality
from edgegw.cli.texts_alarms import say
from edgegw.cli.times import local

# Of the point that the rule judges; more are in --json.
_SHOWN = 24
# Other points of a screen; more are in --json.
_POINTS = 40
_INDENT = 4


def report_screen(report: dict[str, Any], language: str) -> Iterator[str]:
    """80 columns: all points in a table, the judged ones reading by reading, then bus and link."""
    from_ms, around_ms, to_ms = (local(report[name])[11:] for name in ("from_ms", "around_ms", "to_ms"))
    yield say(language, "report.span", from_ms, to_ms, around_ms)
    if not report["whole"]:
        yield say(language, "report.part")
    series = report["series"]
    if not series:
        yield say(language, "report.none")
    else:
        yield from _points(series[:_POINTS], report["device"], language)
    left = max(0, len(series) - _POINTS) + report["left_out"]
    if left:
        yield say(language, "report.left", left)
    for one in series:
        if one["point"] == report["point"] and one["device"] == report["device"]:
            yield ""
            yield from _readings(one, language)
    yield ""
    yield from _line(report, language)


def _points(series: list[dict[str, Any]], device: str | None, language: str) -> Iterator[str]:
    heads = [say(language, f"head.{name}") for name in ("point", "unit", "before", "at_raise", "after", "least", "most", "readings", "quality")]
    rows = []
    for one in series:
        samples = one["samples"]
        numbers = [sample[1] for sample in samples if isinstance(sample[1], int | float) and not isinstance(sample[1], bool)]
        until = [sample for sample in samples if sample[0] <= 0]
        rows.append(
            [
                one["point"] if one["device"] == device else f"{one['device']} {one['point']}",
                one["unit"] if one["unit"] != "1" else "",
                _value(samples[0][1]) if samples[0][0] <= 0 else "-",
                _value(until[-1][1]) if until else "-",
                _value(samples[-1][1]) if samples[-1][0] > 0 else "-",
                _value(min(numbers)) if numbers else "-",
                _value(max(numbers)) if numbers else "-",
                str(one["of"]),
                " ".join(dict.fromkeys(say_quality(language, "quality", _quality(sample)) for sample in samples)),
            ]
        )
    yield from table(heads, rows, right=frozenset(range(2, 8)), flexible=0, width=screen_width(), gap=1)


def _readings(one: dict[str, Any], language: str) -> Iterator[str]:
    """Those nearest to the raise; `of` says how many there were."""
    samples = sorted(sorted(one["samples"], key=lambda sample: abs(sample[0]))[:_SHOWN], key=lambda sample: sample[0])
    yield say(language, "report.readings", one["point"], len(samples), one["of"])
    heads = [say(language, f"head.{name}") for name in ("from_raise", "value", "unit", "quality")]
    rows = [
        [f"{sample[0] / 1000:+.2f} s", _value(sample[1]), "" if one["unit"] == "1" else one["unit"], say_quality(language, "quality", _quality(sample))]
        for sample in samples
    ]
    yield from table(heads, rows, right=frozenset({0, 1}), flexible=1, width=screen_width())


def _line(report: dict[str, Any], language: str) -> Iterator[str]:
    bus = report["bus"]
    if bus:
        words = (bus["name"], bus["line"], f"{100 * bus['busy_share']:.0f}", f"{bus['span_s']:.0f}", bus["error"] or say(language, "report.good"))
        yield from wrap(say(language, "report.bus", *words), _INDENT, screen_width())
        if bus["device"]:
            unit = bus["device"]
            p95 = "-" if unit["latency_p95_ms"] is None else f"{unit['latency_p95_ms']:.0f}"
            counts = (unit["asked"], unit["answered"], unit["timed_out"], unit["crc"], unit["exceptions"], p95)
            yield from wrap(say(language, "report.unit", report["device"], *counts), _INDENT, screen_width())
    for uplink in report["uplinks"]:
        age_s = uplink["last_receipt_age_s"]
        receipt = say(language, "report.no_receipt") if age_s is None else say(language, "report.receipt", f"{age_s:.0f}")
        state = say(language, "report.connected" if uplink["connected"] else "report.away")
        yield from wrap(
            say(language, "report.uplink", uplink["name"], state, receipt, uplink["error"] or say(language, "report.good")), _INDENT, screen_width()
        )


def _quality(sample: list[Any]) -> str:
    return str(sample[2]) if len(sample) > 2 else "good"


def _value(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
