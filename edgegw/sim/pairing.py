"""Which row of the receiver is which answer of a device: pairs answers and rows of one layout by time and value. Pure.

First those that are each other's nearest in time and equal, then what is left with the nearest equal answer that is free.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

import msgspec

from edgegw.points import lookup
from edgegw.sim.journal import Entry

# No reading's time may be further from its answer than this; beyond it a row is not the answer's.
TIME_ERROR_MS_MAX = 500

Decimals = Mapping[str, int]


class Cell(NamedTuple):
    """One value of a row; None where there is none."""

    value: float | str | None
    quality: str


class Row(NamedTuple):
    """One reading as the receiver has it."""

    identity: str
    """`epoch/stream/seq`"""
    device: str
    read_at_ms: int
    cells: dict[str, Cell]

    @property
    def has_value(self) -> bool:
        return any(cell.value is not None for cell in self.cells.values())


class Sent(msgspec.Struct):
    """One answer and its row."""

    entry: Entry
    must: bool
    """False when it may be missing: damaged, delayed, or from an excused interval."""
    row: Row | None = None


def drop_doubled(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows in order of time to (rows, those that say the same at the same time as another)."""
    kept: list[Row] = []
    doubled: list[Row] = []
    for row in rows:
        (doubled if any(other.cells == row.cells for other in _of_time(kept, row.read_at_ms)) else kept).append(row)
    return kept, doubled


def _of_time(rows: list[Row], at_ms: int) -> Iterator[Row]:
    """The rows of this time at the end of a list in order of time."""
    return takewhile(lambda row: row.read_at_ms == at_ms, reversed(rows))


def pair(sent: Sequence[Sent], rows: Sequence[Row], decimals: Decimals) -> list[Row]:
    """Gives each answer its row; both in order of time. Returns the rows that are no answer's."""
    return _pair_rest(sent, _pair_nearest(sent, rows, decimals), decimals)


def _pair_nearest(sent: Sequence[Sent], rows: Sequence[Row], decimals: Decimals) -> list[Row]:
    sent_ms = [one.entry.finished_ms for one in sent]
    rows_ms = [row.read_at_ms for row in rows]
    left: list[Row] = []
    for index, row in enumerate(rows):
        one = sent[_nearest(sent_ms, row.read_at_ms)] if sent else None
        if one and one.row is None and _nearest(rows_ms, one.entry.finished_ms) == index and in_reach(one, row) and equal(one.entry, row, decimals):
            one.row = row
        else:
            left.append(row)
    return left


def _pair_rest(sent: Sequence[Sent], rows: Sequence[Row], decimals: Decimals) -> list[Row]:
    free = [one for one in sent if one.row is None]
    left: list[Row] = []
    for row in rows:
        fitting = [one for one in near(free, row) if one.row is None and equal(one.entry, row, decimals)]
        if fitting:
            nearest(fitting, row).row = row
        else:
            left.append(row)
    return left


def _nearest(times_ms: list[int], at_ms: int) -> int:
    """Index of the time nearest to `at_ms`, the first of equal ones."""
    after = bisect_left(times_ms, at_ms)
    if after and (after == len(times_ms) or at_ms - times_ms[after - 1] <= times_ms[after] - at_ms):
        return bisect_left(times_ms, times_ms[after - 1])
    return after


def near(sent: Sequence[Sent], row: Row) -> Sequence[Sent]:
    """The answers of a list in order of time that could be the row's."""
    start = bisect_left(sent, row.read_at_ms - TIME_ERROR_MS_MAX, key=lambda one: one.entry.finished_ms)
    end = bisect_left(sent, row.read_at_ms + TIME_ERROR_MS_MAX + 1, key=lambda one: one.entry.finished_ms)
    return sent[start:end]


def nearest(sent: Sequence[Sent], row: Row) -> Sent:
    return min(sent, key=lambda one: abs(one.entry.finished_ms - row.read_at_ms))


def in_reach(one: Sent, row: Row) -> bool:
    return abs(one.entry.finished_ms - row.read_at_ms) <= TIME_ERROR_MS_MAX


# -- values


def equal(entry: Entry, row: Row, decimals: Decimals) -> bool:
    """Every value of the row is the answer's."""
    return all(_same(point, entry.values[point], decimals.get(point, 0), cell) for point, cell in row.cells.items())


def difference(entry: Entry, row: Row, decimals: Decimals) -> str:
    """The first value of the row that is not the answer's, in words."""
    for point, cell in row.cells.items():
        sent = entry.values[point]
        if not _same(point, sent, decimals.get(point, 0), cell):
            text = f"{sent * 10.0 ** -decimals.get(point, 0):.10g}" if isinstance(sent, int) else sent
            return f"{point} sent {text}, received {cell.value} ({cell.quality})"
    return "equal"


def _same(point: str, sent: int | str | None, decimals: int, cell: Cell) -> bool:
    if sent is None:
        return cell.value is None and cell.quality in ("bad", "not fitted")
    if isinstance(sent, str) or isinstance(cell.value, str):
        return sent == cell.value
    value = sent * 10.0**-decimals
    if cell.value is None:
        return cell.quality == "bad" and not _plausible(point, value)
    # Half of the last digit, and the rounding of the floats themselves.
    return abs(cell.value - value) <= 0.5 * 10.0**-decimals + 1e-12 * abs(value)


def _plausible(point: str, value: float) -> bool:
    name = lookup(point)
    return name is None or name.range is None or name.range[0] <= value <= name.range[1]
