"""`edgegw buffer`: what the store holds, its newest values, whether all is there, and its contents as a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.buffer_export import export
from edgegw.cli.buffer_file import ask, local_time, locate
from edgegw.cli.buffer_parcel import import_receipt
from edgegw.cli.buffer_recover import recover
from edgegw.cli.cells import both_ends, cut, pad, table, wrap
from edgegw.cli.output import Result, finish, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts_buffer import say, size
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS

_INDENT = 9
_FOLLOW_S = 1.0
# Values of one look while following: what came in a second, and some more.
_FOLLOW_COUNT = 2_000
# Gaps and damages on a screen; --json has them all.
_FINDINGS_SHOWN_MAX = 20


@click.group("buffer", help="The store: what it holds, what waits, its newest values, export, salvage.")
def command() -> None:
    pass


command.add_command(export)
command.add_command(import_receipt)
command.add_command(recover)
FILE_OPTION = click.option("--file", default="", metavar="FILE", help="A file of the store instead of the one in use.")


@command.command("status", help="Size and room, what is stored from when to when, what waits. Exit 10 where data was lost, 1 where nothing can be written.")
@FILE_OPTION
def status(file: str) -> None:
    from_file = _describe
    settings = current()
    data, gateway, language = ask(settings, "buffer-status", {}, file, from_file)
    live = data.get("live")
    code = EXIT_OK if not live else EXIT_CHECK_FAILED if not live["writing"] else EXIT_WARNINGS if live["dropped_readings"] else EXIT_OK
    result = Result(
        data,
        gateway=gateway,
        exit_code=code,
        screen=lambda: _status_screen(data, gateway, language),
        rows=lambda: ((row["stream"], row["blocks"], row["values"], row["from_ms"], row["to_ms"]) for row in data["streams"]),
    )
    finish(settings, "buffer-status", result)


def _describe(reader: Any, limits: Any) -> dict[str, Any]:
    from edgegw.buffer.overview import describe

    return describe(reader, limits)


def _status_screen(data: dict[str, Any], gateway: str, language: str) -> Iterator[str]:
    yield both_ends(gateway or data["file"], say(language, "starts", data["starts"]))
    percent = round(100 * data["used_bytes"] / data["bytes_max"]) if data["bytes_max"] else 0
    yield _line("file", say(language, "used", size(data["used_bytes"]), size(data["bytes_max"]), percent), language)
    yield _line("disk", say(language, "free", size(data["disk_free_bytes"]), size(data["disk_bytes"])), language)
    live = data.get("live")
    if live:
        words = ("writing", live["queue_readings"], live["tail_readings"]) if live["writing"] else ("not_writing", live["error"], live["queue_readings"])
        yield from wrap(_line("writer", say(language, *words), language), _INDENT, screen_width())
        if live["dropped_readings"]:
            yield _line("dropped", say(language, "dropped.count", f"{live['dropped_readings']:,}"), language)
    heads = [say(language, f"head.{name}") for name in ("stream", "blocks", "values", "from", "to")]
    heads += [say(language, "head.waiting", uplink["name"]) for uplink in data["uplinks"]]
    yield ""
    yield from table(
        heads, [_status_row(row, data["uplinks"], language) for row in data["streams"]], right=frozenset({1, 2, *range(5, len(heads))}), flexible=4
    )


def _status_row(row: dict[str, Any], uplinks: list[dict[str, Any]], language: str) -> list[str]:
    waiting = [f"{uplink['waiting'].get(row['stream'], 0):,}" for uplink in uplinks]
    first, last = (local_time(row[name])[:16] for name in ("from_ms", "to_ms"))
    return [say(language, f"stream.{row['stream']}"), f"{row['blocks']:,}" if row["blocks"] else "-", f"{row['values']:,}", first, last, *waiting]


def _line(name: str, text: str, language: str) -> str:
    return pad(say(language, name), _INDENT) + text


# -- tail


@command.command("tail", help="The newest stored values; with -f as they come. Exit 4 where nothing is stored.")
@click.argument("device", required=False, default="")
@click.argument("point", required=False, default="")
@click.option("-n", "--count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C; with --json one object a line.")
@FILE_OPTION
def tail(device: str, point: str, *, count: int, follow: bool, file: str) -> None:
    settings = current()

    def look(wanted: int) -> tuple[list[dict[str, Any]], str, str]:
        def newest(reader: Any, _limits: Any) -> dict[str, Any]:
            from edgegw.buffer.export import fields
            from edgegw.buffer.history import Span
            from edgegw.buffer.overview import newest as newest_of

            return {"samples": [fields(sample) for sample in newest_of(reader, wanted, Span(device=device, point=point))]}

        data, gateway, language = ask(settings, "buffer-tail", {"device": device, "point": point, "count": wanted}, file, newest)
        return data["samples"], gateway, language

    samples, gateway, language = look(max(count, _FOLLOW_COUNT) if follow else count)
    if follow:
        _follow(settings, samples, count, lambda: look(_FOLLOW_COUNT)[0], language)
    result = Result(
        samples,
        gateway=gateway,
        exit_code=EXIT_OK if samples else EXIT_UNKNOWN,
        screen=lambda: _tail_screen(samples, language) if samples else [say(language, "nothing")],
        rows=lambda: (tuple(sample.values()) for sample in samples),
    )
    finish(settings, "buffer-tail", result)


def _follow(settings: Settings, samples: list[dict[str, Any]], count: int, look: Any, language: str) -> None:
    """Until Ctrl-C. What was there is known by its identity; of what there is at first, the last `count` are shown."""
    shown: dict[tuple[str, str, str, int], None] = dict.fromkeys(map(_key, samples[:-count]))
    if not settings.json and not settings.plain:
        _put(_head(language))
    while True:
        new = [sample for sample in samples if _key(sample) not in shown]
        shown = dict.fromkeys([*shown, *map(_key, new)][-10 * _FOLLOW_COUNT :])
        for sample in new:
            _put(
                _as_event(sample) if settings.json else "\t".join(str(field) for field in sample.values()) if settings.plain else _sample_line(sample, language)
            )
        sys.stdout.flush()
        try:
            time.sleep(_FOLLOW_S)
        except KeyboardInterrupt:
            click.get_current_context().exit(EXIT_INTERRUPTED)
        samples = look()


def _put(line: str) -> None:
    sys.stdout.write(line + "\n")


def _as_event(sample: dict[str, Any]) -> str:
    import json

    return json.dumps({"schema": "edgegw.buffer-tail/1", "event": "sample", **sample}, ensure_ascii=True, separators=(",", ":"))


def _key(sample: dict[str, Any]) -> tuple[str, str, str, int]:
    return sample["epoch"], sample["kind"], f"{sample['device']} {sample['point']}", sample["seq"]


def _head(language: str) -> str:
    heads = {name: say(language, f"head.{name}") for name in ("time", "device", "point", "value", "unit", "quality")}
    return _columns(*heads.values())


def _tail_screen(samples: list[dict[str, Any]], language: str) -> Iterator[str]:
    yield _head(language)
    yield from (_sample_line(sample, language) for sample in samples)


def _sample_line(sample: dict[str, Any], language: str) -> str:
    quality = say(language, f"quality.{sample['quality']}")
    if sample["kind"] == "thinned":
        quality += f" ({say(language, 'thinned')})"
    value = "-" if sample["value"] is None else str(sample["value"])
    return _columns(_local(sample["time"]), sample["device"], sample["point"], value, sample["unit"], quality)


def _local(stamp: str) -> str:
    from datetime import datetime

    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%m-%d %H:%M:%S.%f")[:-3]
    except ValueError:
        return stamp


def _columns(*words: str) -> str:
    """Time, device, point, value, unit and quality in their columns."""
    at, device, point, value, unit, quality = words
    cells = [pad(at, 18), pad(device, 12), pad(point, 22), pad(value, 11, right=True), pad(unit if unit != "1" else "", 5)]
    return cut(" ".join([*cells, quality]).rstrip(), screen_width())


# -- verify


@command.command("verify", help="Reads the whole file: gaps in the sequences, blocks that cannot be opened. Exit 1 where there is any.")
@FILE_OPTION
def verify(file: str) -> None:
    from edgegw.buffer.history import Reader
    from edgegw.buffer.verify import verify as verify_file

    settings = current()
    path, _, gateway, language = locate(settings, file)
    with Reader(path) as reader:
        report = verify_file(reader)
    damaged = [{"epoch": f"{one.epoch:016x}", "stream": one.stream, "first": one.first, "last": one.last, "reason": one.reason} for one in report.damaged]
    gaps = [{"epoch": gap.epoch, "stream": gap.stream, "first": gap.first, "last": gap.last} for gap in report.gaps]
    data = {"blocks": report.blocks, "values": report.values, "events": report.events, "lost": dict(report.lost), "gaps": gaps, "damaged": damaged}
    result = Result(
        data,
        gateway=gateway,
        exit_code=EXIT_OK if report.is_good else EXIT_CHECK_FAILED,
        screen=lambda: _verify_screen(data, language),
        rows=lambda: ((kind, *found.values()) for kind, rows in (("gap", gaps), ("damaged", damaged)) for found in rows),
    )
    finish(settings, "buffer-verify", result)


def _verify_screen(data: dict[str, Any], language: str) -> Iterator[str]:
    counts = [f"{data[name]:,}" for name in ("blocks", "values", "events")]
    for gap in data["gaps"][:_FINDINGS_SHOWN_MAX]:
        yield say(language, "verify.gap", *gap.values())
    for found in data["damaged"][:_FINDINGS_SHOWN_MAX]:
        yield from wrap(say(language, "verify.damaged", *found.values()), _INDENT, screen_width())
    for reason, count in data["lost"].items():
        yield say(language, "verify.lost", reason, f"{count:,}")
    if data["gaps"] or data["damaged"]:
        yield from wrap(say(language, "verify.bad", *counts, len(data["gaps"]), len(data["damaged"])), 0, screen_width())
    else:
        yield from wrap(say(language, "verify.good", *counts), 0, screen_width())
