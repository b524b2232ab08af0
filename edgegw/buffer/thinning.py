"""Unsent telemetry to one row a source and quarter of an hour, when the room for all of it has run out (pure; identity rule 7).

A thinned row stands in stream 5 and carries, for each point, `NAME.min`, `NAME.mean`, `NAME.max` and `NAME.last`; for a point of unit 1
without decimals (states, flags, text) `NAME.last` alone. `mean` has one decimal more than the point. Its time is that of the last reading in
it; as that may be of an earlier start, its monotonic time is the same number. Means come from the values there were, under the worst of
their qualities; where there were none, the row has the last quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgegw.block import Row
from edgegw.model import ClockTrust, Point, Quality, Reading, Source, Stream, Value

QUARTER_MS = 900_000
_DECIMALS_MAX = 12  # what a schema document may name


def thinned_sources(sources: Mapping[int, Source]) -> dict[int, Source]:
    """The layout of the thinned rows of these sources, under the same ids."""
    return {
        source.source_id: Source(
            source.source_id,
            source.device,
            source.group,
            QUARTER_MS,
            tuple(column for point in source.points for column in _columns(point)),
            source.device_class,
            Stream.THINNED,
        )
        for source in sources.values()
    }


def thin(rows: Iterable[Row], sources: Mapping[int, Source], layouts: Mapping[int, Source]) -> list[Reading]:
    """Rows of one schema and clock trust to thinned readings in the order of (time, source). `layouts` are the sources' thinned ones."""
    quarters: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        quarters.setdefault((row.read_at_ms // QUARTER_MS, row.source_id), []).append(row)
    thinned = [_reading(quarter, sources[source_id], layouts[source_id]) for (_, source_id), quarter in quarters.items()]
    return sorted(thinned, key=lambda reading: (reading.mono_ms, reading.source.source_id))


def _columns(point: Point) -> tuple[Point, ...]:
    last = Point(f"{point.name}.last", point.decimals, point.unit, point.kind)
    if not _is_measure(point):
        return (last,)
    low, high = (Point(f"{point.name}.{word}", point.decimals, point.unit, point.kind) for word in ("min", "max"))
    return (low, Point(f"{point.name}.mean", _mean_decimals(point), point.unit, point.kind), high, last)


def _is_measure(point: Point) -> bool:
    """As a schema document tells it, which does not name the kind."""
    return point.unit != "1" or point.decimals != 0


def _mean_decimals(point: Point) -> int:
    return min(point.decimals + 1, _DECIMALS_MAX)


def _reading(quarter: Sequence[Row], source: Source, layout: Source) -> Reading:
    values: list[Value] = []
    quality: dict[int, Quality] = {}
    for position, point in enumerate(source.points):
        cells, code = _summary(quarter, position, point)
        if code is not Quality.GOOD:
            quality.update(dict.fromkeys(range(len(values), len(values) + len(cells)), code))
        values += cells
    last = max(row.read_at_ms for row in quarter)
    return Reading(layout, last, last, ClockTrust(quarter[-1].clock), tuple(values), quality)


def _summary(quarter: Sequence[Row], position: int, point: Point) -> tuple[list[Value], Quality]:
    """The point's columns and the quality that holds for all of them."""
    there = [(row.values[position], row.quality.get(position, Quality.GOOD)) for row in quarter]
    valued = [(value, code) for value, code in there if code.has_value]
    width = len(_columns(point))
    if not valued:
        return [None] * width, there[-1][1]
    last = valued[-1][0]
    code = max(code for _, code in valued)
    if width == 1:
        return [last], code
    numbers = [value for value, _ in valued if isinstance(value, (int, float))]
    if not numbers:
        return [last] * width, code
    return [min(numbers), _mean(numbers, _mean_decimals(point) - point.decimals), max(numbers), last], code


def _mean(numbers: Sequence[int | float], more_decimals: int) -> int | float:
    """Exact for integers, rounded half to even at the last decimal of the mean."""
    if all(isinstance(number, int) for number in numbers):
        total, count = sum(int(number) for number in numbers) * int(10**more_decimals), len(numbers)
        whole, rest = divmod(total, count)
        return whole + (2 * rest > count or (2 * rest == count and whole % 2))
    return sum(numbers) / len(numbers)
