"""The report of an alarm as a mail carries it: what bus and cloud did, in words, and every reading in a table that any office program opens. Pure.

    time,from_raise_s,device,point,value,unit,quality        UTF-8 behind its mark (else Chinese is not read), CR LF, RFC 4180
    2026-11-21 09:30:00.120+08:00,-1.880,M-01,phase_voltage.a,229.4,V,good

The record is bounded where it is made (at most 7 KiB packed), and with it the table: some 100 bytes a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from edgegw.rules.notifiers.words import say

_MARK = "\ufeff"
# What an office program takes for a formula when a text begins with it.
_FORMULA = ("=", "+", "-", "@")


def table_of(body: Mapping[str, Any], language: str) -> bytes:
    """Of the record `alarm_report` (docs/alarms.md)."""
    import csv  # noqa: PLC0415 - a daemon that mails no reports never needs it

    out = StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerow(say(language, f"table.{name}") for name in ("time", "from_raise", "device", "point", "value", "unit", "quality"))
    for one in body.get("series", ()):
        unit = "" if one["unit"] == "1" else one["unit"]
        for dt_ms, value, *quality in one["samples"]:
            at = _local_ms(body["around_ms"] + dt_ms)
            rows.writerow((at, f"{dt_ms / 1000:.3f}", one["device"] or "", one["point"], _cell(value), unit, *(quality or ("good",))))
    return (_MARK + out.getvalue()).encode()


def lines_of(body: Mapping[str, Any], language: str) -> Iterator[str]:
    """What stands in the mail itself."""
    series: Sequence[Mapping[str, Any]] = body.get("series", ())
    yield say(language, "report.attached", len(series), _local_ms(body["from_ms"])[11:19], _local_ms(body["to_ms"])[11:19])
    if body.get("left_out"):
        yield say(language, "report.left_out", body["left_out"])
    if body.get("error"):
        yield say(language, "report.error", body["error"])
    bus = body.get("bus")
    if bus:
        yield say(language, "report.bus", bus["name"], say(language, "report.up" if bus["up"] else "report.down"), f"{100 * bus['busy_share']:.0f}")
        if bus.get("device"):
            yield say(language, "report.unit", *(bus["device"][name] for name in ("asked", "answered", "timed_out", "crc")))
    for uplink in body.get("uplinks", ()):
        age_s = uplink["last_receipt_age_s"]
        state = say(language, "report.connected" if uplink["connected"] else "report.away")
        yield say(language, "report.uplink", uplink["name"], state, "-" if age_s is None else say(language, "report.age", f"{age_s:.0f}"))


def _local_ms(at_ms: int) -> str:
    """In this machine's zone, as the notice itself."""
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).replace(microsecond=at_ms % 1000 * 1000).astimezone().isoformat(sep=" ", timespec="milliseconds")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return f"{value:.12g}" if isinstance(value, float) else str(value)
