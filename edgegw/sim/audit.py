"""Proves the way of the data: what the devices say they sent (journal) against what the receiver has (sink).

The sink is `readings(gateway, epoch, stream, seq, device, point, read_at_ms, value, quality, clock)`, one row a value, and is only read.

An answer counts when it was whole, no exception, and holds at least one point. Each such answer must be in the sink exactly once, with its
values (to half of the last digit) and its time; nothing else may be there. An answer in an excused interval (before a kill) may be missing.

The journal knows questions (device, function, address, count), the sink knows layouts (device, points). A question belongs to the layout
that has exactly its points, else to the largest one that they contain. A question without a layout is a probe when another question's
answer holds its points and more; otherwise its answers are lost. Within a layout `pairing.py` pairs them; whatever then has no partner is
lost (an answer), or a duplicate, wrong or unexplained (a row).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.model import Stream
from edgegw.sim import journal as journals
from edgegw.sim import pairing
from edgegw.sim.journal import Entry
from edgegw.sim.pairing import TIME_ERROR_MS_MAX, Cell, Decimals, Row, Sent

# 99 % of the times within this of the device's last byte.
TIME_ERROR_MS_P99_MAX = 50
# A list of ten thousand lost answers helps nobody.
EXAMPLES_MAX = 10
# Streams that hold what devices answered; the others hold events, the gateway's own statistics, and thinned copies.
ANSWER_STREAMS = (int(Stream.ENERGY), int(Stream.TELEMETRY))

_QUERY = """
SELECT epoch, stream, seq, device, point, read_at_ms, value, quality FROM readings
WHERE gateway = ? AND CAST(stream AS INTEGER) IN (?, ?) ORDER BY epoch, stream, seq, device, point
"""

Points = frozenset[str]
Interval = tuple[int, int]
_Layout = tuple[str, Points]


class Audit(msgspec.Struct):
    """The verdict. Each kind of finding is a count; `examples` has the first of each kind in words, `lost` those of the lost answers."""

    devices: int = 0
    """Devices that answered."""
    answers: int = 0
    """Answers that the devices gave, of any kind."""
    expected: int = 0
    """Answers that must be in the sink, the excused ones among them."""
    matched: int = 0
    """Answers that are there, with their values."""
    excused: int = 0
    """Missing, but from an excused interval."""
    probes: int = 0
    """Answers to questions that make no reading."""
    values_received: int = 0
    without_value: int = 0
    """Readings in the sink without any value: offline, refused, ..."""
    lost_count: int = 0
    duplicates: int = 0
    wrong: int = 0
    unexplained: int = 0
    time_error_ms_p99: int = 0
    time_error_ms_max: int = 0
    lost: list[str] = []
    examples: list[str] = []

    @property
    def ok(self) -> bool:
        exact = not (self.lost_count or self.duplicates or self.wrong or self.unexplained)
        return exact and self.matched > 0 and self.time_error_ms_p99 <= TIME_ERROR_MS_P99_MAX and self.time_error_ms_max <= TIME_ERROR_MS_MAX


def audit(journal: Path, sink: Path, gateway: str, kills: Sequence[Interval] = (), wanted: frozenset[tuple[str, str]] | None = None) -> Audit:
    """Compares the journal with the readings of `gateway` (`operator/station/gateway`). `kills`: excused intervals [from, to) of `time.monotonic_ns()`.

    `wanted`: (device, point) of all that the gateway stores, where it does not store everything; an answer without any of them is an introduction (model,
    serial number) and counts as a probe.
    """
    decimals, entries = journals.read(journal)
    verdict = Audit(devices=len({entry.device for entry in entries}), answers=len(entries))
    readings = _read_sink(sink, gateway, verdict)
    verdict.values_received = sum(cell.value is not None for row in readings for cell in row.cells.values())
    layouts: dict[str, set[Points]] = {}
    rows: dict[_Layout, list[Row]] = {}
    for row in readings:
        points = frozenset(row.cells)
        layouts.setdefault(row.device, set()).add(points)
        if row.has_value:
            rows.setdefault((row.device, points), []).append(row)
        else:
            verdict.without_value += 1
    stored = [entry for entry in entries if wanted is None or not entry.values or any((entry.device, point) in wanted for point in entry.values)]
    verdict.probes = len(entries) - len(stored)
    sent = _by_layout(stored, layouts, kills, verdict)
    errors_ms: list[int] = []
    for layout in sorted(sent.keys() | rows.keys(), key=lambda layout: (layout[0], sorted(layout[1]))):
        errors_ms += _compare(sent.get(layout, []), rows.get(layout, []), decimals.get(layout[0], {}), verdict)
    _judge_times(errors_ms, verdict)
    return verdict


def count_values(sink: Path) -> int:
    """Values that the receiver has, of all gateways."""
    with closing(sqlite3.connect(f"{sink.resolve().as_uri()}?mode=ro", uri=True)) as database:
        count: int = database.execute("SELECT count(*) FROM readings WHERE value IS NOT NULL").fetchone()[0]
    return count


def alarms_received(sink: Path, gateway: str) -> list[dict[str, object]]:
    """The alarms that the receiver has, in the order of their raising: level, device, text, and whether they have cleared."""
    alarms: dict[object, dict[str, object]] = {}
    with closing(sqlite3.connect(f"{sink.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT device, body FROM events WHERE gateway = ? AND kind = 'alarm' ORDER BY at_ms, epoch, seq", (gateway,))
        for device, text in rows:
            body = json.loads(text)
            alarm = alarms.setdefault(body["id"], {"level": body["level"], "device": device or body.get("bus"), "text": body["text"], "cleared": False})
            alarm["cleared"] = alarm["cleared"] or body["edge"] == "cleared"
    return list(alarms.values())


def _read_sink(path: Path, gateway: str, verdict: Audit) -> list[Row]:
    """Every reading of the gateway. A value that stands twice under one identity is a duplicate at once."""
    readings: list[Row] = []
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            for epoch, stream, seq, device, point, read_at_ms, value, quality in database.execute(_QUERY, (gateway, *ANSWER_STREAMS)):
                identity = f"{epoch}/{stream}/{seq}"
                if not readings or (readings[-1].identity, readings[-1].device) != (identity, device):
                    readings.append(Row(identity, device, read_at_ms, {}))
                row = readings[-1]
                if point in row.cells or read_at_ms != row.read_at_ms:
                    verdict.duplicates += 1
                    _note(verdict, f"duplicate: {identity} {device} {point} stands there twice")
                row.cells[point] = Cell(value, quality)
    except sqlite3.Error as fault:
        next_step = "give the file of `edgegw cloud receive --sink sqlite:FILE`"
        raise EdgegwError("E-SIM-SINK", f"{path}: cannot be read as the receiver's database: {fault}", next_step, EXIT_USAGE) from fault
    return readings


# -- what belongs where


def _by_layout(entries: Iterable[Entry], layouts: dict[str, set[Points]], kills: Sequence[Interval], verdict: Audit) -> dict[_Layout, list[Sent]]:
    """The answers by layout. Probes are counted and left out; answers without a layout stand under their own points, where no row will be."""
    questions: dict[tuple[str, int, int, int, Points], list[Entry]] = {}
    for entry in entries:
        if entry.exception is None and entry.values:
            # A UPS is asked by words, which have no address: its points tell its questions apart.
            questions.setdefault((entry.device, entry.function, entry.address, entry.count, frozenset(entry.values)), []).append(entry)
    asked: dict[str, set[Points]] = {}
    for (device, *_), answers in questions.items():
        asked.setdefault(device, set()).add(frozenset(answers[0].values))
    sent: dict[_Layout, list[Sent]] = {}
    for (device, *_), answers in questions.items():
        points = frozenset(answers[0].values)
        layout = layout_of(points, layouts.get(device, set()), asked[device])
        if layout is None and any(points < other for other in asked[device]):
            verdict.probes += len(answers)
            continue
        verdict.expected += sum(entry.whole for entry in answers)
        sent.setdefault((device, layout or points), []).extend(Sent(entry, must=entry.whole and not _excused(entry, kills)) for entry in answers)
    return sent


def layout_of(points: Points, layouts: set[Points], asked: set[Points]) -> Points | None:
    """The layout that an answer with these points fills; None when there is none.

    A layout that another question asks for exactly is that question's, even if this answer happens to hold its points too.
    """
    if points in layouts:
        return points
    free = (layout for layout in layouts if layout < points and layout not in asked)
    return max(free, key=lambda layout: (len(layout), sorted(layout)), default=None)


def _excused(entry: Entry, kills: Sequence[Interval]) -> bool:
    """The exchange touched an excused interval: an answer that was asked for before a kill and ended after it had nobody to go to."""
    return any(entry.request_ns < end and start <= entry.finished_ns for start, end in kills)


# -- answers and rows of one layout


def _compare(sent: list[Sent], rows: list[Row], decimals: Decimals, verdict: Audit) -> list[int]:
    """Pairs them, counts what has no partner, and returns the errors of the times in ms."""
    sent.sort(key=lambda one: one.entry.finished_ms)
    rows, doubled = pairing.drop_doubled(sorted(rows, key=lambda row: (row.read_at_ms, row.identity)))
    for row in doubled:
        verdict.duplicates += 1
        _note(verdict, f"duplicate: {_name(row)} is there under another identity too")
    for row in pairing.pair(sent, rows, decimals):
        _explain(row, sent, decimals, verdict)
    for one in sent:
        verdict.matched += one.row is not None
        if one.row is None and one.must:
            verdict.lost_count += 1
            if len(verdict.lost) < EXAMPLES_MAX:
                verdict.lost.append(_describe(one.entry))
        elif one.row is None and one.entry.whole:
            verdict.excused += 1
    return [abs(one.row.read_at_ms - one.entry.finished_ms) for one in sent if one.row is not None]


def _explain(row: Row, sent: list[Sent], decimals: Decimals, verdict: Audit) -> None:
    """Says what is the matter with a row that is no answer's. A wrong row takes with it the answer that it garbled: that one is not lost as well."""
    near = pairing.near(sent, row)
    free = [one for one in near if one.row is None]
    if free:
        garbled = pairing.nearest(free, row)
        verdict.wrong += 1
        _note(verdict, f"wrong: {_name(row)}: {pairing.difference(garbled.entry, row, decimals)}")
        sent.remove(garbled)
    elif any(pairing.equal(one.entry, row, decimals) for one in near):
        verdict.duplicates += 1
        _note(verdict, f"duplicate: {_name(row)}: its answer is there already")
    else:
        verdict.unexplained += 1
        _note(verdict, f"unexplained: {_name(row)}: no answer within {TIME_ERROR_MS_MAX} ms has these points and values")


def _judge_times(errors_ms: list[int], verdict: Audit) -> None:
    if errors_ms:
        errors_ms.sort()
        verdict.time_error_ms_p99 = errors_ms[min(len(errors_ms) - 1, len(errors_ms) * 99 // 100)]
        verdict.time_error_ms_max = errors_ms[-1]


def _note(verdict: Audit, text: str) -> None:
    kind = text.partition(":")[0]
    if sum(example.startswith(kind) for example in verdict.examples) < EXAMPLES_MAX:
        verdict.examples.append(text)


def _name(row: Row) -> str:
    return f"{row.identity} {row.device} at {row.read_at_ms}"


def _describe(entry: Entry) -> str:
    return f"{entry.device} answer {entry.n} (function {entry.function}, {entry.count} from {entry.address}) at {entry.finished_ms}"
