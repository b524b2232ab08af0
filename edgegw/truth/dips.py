"""Dips and swells of the mains: the event `voltage_dip` or `voltage_swell` (limits of GB/T 30137).

A meter shows one that lasts over a poll, and it is told when the voltages are back. A UPS of the Megatec family tells the last abnormal input voltage beside
the present one, and goes on telling it, or 000.0 where it has none: only a change to a voltage outside the limits is news.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgegw.model import Point, Quality, Source
from edgegw.truth.work import Work, in_unit

NOMINAL_V, LINE_NOMINAL_V = 220.0, 380.0
DIP, SWELL = 0.9, 1.1
# Below this the mains were gone, and the alarms of that tell it; many UPS say 0 where they have nothing to say.
INTERRUPTION = 0.1
# IEC 61000-4-30: a voltage on the limit is not back and away again at every look.
HYSTERESIS = 0.02
# What lasts longer is no dip (GB/T 30137): the alarms of voltage tell it.
LASTS_MS_MAX = 60_000
# Of one meter so often at most: a load that flickers would fill the store.
TOLD_EVERY_MS = 60_000
METERING_CLASS = "meter"
_POINT = "input.voltage.fault"
_PHASES, _LINES = ("phase_voltage.a", "phase_voltage.b", "phase_voltage.c"), ("line_voltage.ab", "line_voltage.bc", "line_voltage.ca")

Key = tuple[int, int]
"""Source id and position of one voltage."""


class Limits(NamedTuple):
    """Of one voltage, in its scaled integers. Both ends belong to what is usual, and to what is back."""

    low: int
    high: int
    back_low: int
    back_high: int
    gone: int


class Episode(NamedTuple):
    """Voltages that have left what is usual."""

    since_ms: int
    share: float
    """Of the nominal voltage, the farthest from 1 so far."""
    value: float
    point: Point
    names: frozenset[str]


class MeterDips:
    """One meter: the step of each of its sources that has phase voltages, of a meter without any line voltages."""

    def __init__(self, sources: Sequence[Source]) -> None:
        quick = [source for source in sources if source.device_class == METERING_CLASS and source.period_ms < LASTS_MS_MAX]
        has_phases = any(point.name in _PHASES for source in quick for point in source.points)
        names, self._nominal_v = (_PHASES, NOMINAL_V) if has_phases else (_LINES, LINE_NOMINAL_V)
        found = {source.source_id: [(i, point) for i, point in enumerate(source.points) if point.name in names] for source in quick}
        self._points = {(source_id, i): point for source_id, points in found.items() for i, point in points}
        self._limits = {key: _limits(point, self._nominal_v) for key, point in self._points.items()}
        self._plain = {
            source_id: tuple((i, self._limits[source_id, i].low, self._limits[source_id, i].high) for i, _ in points)
            for source_id, points in found.items()
            if points
        }
        self._calm: set[int] = set()
        """Sources whose voltages were all good and usual at the last look."""
        self._usual: set[Key] = set()
        """Only from there a voltage can dip: of one that was not known nobody can say since when."""
        self._away: set[Key] = set()
        self._episode: Episode | None = None
        self._told_ms: int | None = None
        self._count = 0
        """Dips since one was told."""

    @property
    def source_ids(self) -> list[int]:
        return list(self._plain)

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        source_id = work.reading.source.source_id
        # Nearly every look ends here.
        if source_id in self._calm and work.is_all_good:
            values = work.values()
            for position, low, high in self._plain[source_id]:
                if not low <= values[position] <= high:  # type: ignore[operator]
                    break
            else:
                return
        self._look(source_id, work)

    def _look(self, source_id: int, work: Work) -> None:
        keys = [(source_id, position) for position, _, _ in self._plain[source_id]]
        for key in keys:
            value = work.value(key[1])
            limits = self._limits[key]
            if type(value) is not int or work.quality(key[1]) is not Quality.GOOD or value < limits.gone:
                self._lose(key)
            elif key in self._away and not limits.back_low <= value <= limits.back_high:
                self._leave(key, value, work)
            elif limits.low <= value <= limits.high:
                self._away.discard(key)
                self._usual.add(key)
            elif key in self._usual:
                self._leave(key, value, work)
        if self._episode is not None and work.now.mono_ms - self._episode.since_ms > LASTS_MS_MAX:
            self._give_up()
        if self._episode is not None and not self._away:
            self._tell(self._episode, work)
        (self._calm.add if self._usual.issuperset(keys) else self._calm.discard)(source_id)

    def _leave(self, key: Key, value: int, work: Work) -> None:
        self._usual.discard(key)
        self._away.add(key)
        point = self._points[key]
        share = in_unit(value, point) / self._nominal_v
        before = self._episode or Episode(work.now.mono_ms, 1.0, 0.0, point, frozenset())
        if abs(share - 1) > abs(before.share - 1):
            before = before._replace(share=share, value=in_unit(value, point), point=point)
        self._episode = before._replace(names=before.names | {point.name})

    def _lose(self, key: Key) -> None:
        """Not read, or gone: what it is now nobody knows, or an alarm tells."""
        self._usual.discard(key)
        if key in self._away:
            self._give_up()

    def _give_up(self) -> None:
        """Those that are away must be usual before they can dip again."""
        self._away.clear()
        self._episode = None

    def _tell(self, episode: Episode, work: Work) -> None:
        self._episode = None
        self._count += 1
        now_ms = work.now.mono_ms
        if self._told_ms is not None and now_ms - self._told_ms < TOLD_EVERY_MS:
            return
        body = {
            "point": episode.point.name,
            "value": episode.value,
            "unit": episode.point.unit,
            "percent": round(100 * episode.share, 1),
            "duration_s": round((now_ms - episode.since_ms) / 1000, 1),
            "phases": sorted(name.rpartition(".")[2] for name in episode.names),
            "count": self._count,
        }
        self._told_ms, self._count = now_ms, 0
        assert work.reading is not None
        work.tell(_kind(episode.share), work.reading.source.device, body)


class Dips:
    """The step of a source that has the fault voltage of a UPS."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.positions = [position for position, point in enumerate(source.points) if point.name == _POINT]
        self._last: int | None = None

    def __call__(self, work: Work) -> None:
        position = self.positions[0]
        value = work.value(position)
        if type(value) is not int or work.wrong or work.quality(position) is not Quality.GOOD:
            return
        before, self._last = self._last, value
        if before is None or before == value:
            return
        point = self._source.points[position]
        share = in_unit(value, point) / NOMINAL_V
        if share > SWELL or INTERRUPTION < share < DIP:
            body = {"point": point.name, "value": in_unit(value, point), "unit": point.unit, "percent": round(100 * share, 1)}
            work.tell(_kind(share), self._source.device, body)


def _kind(share: float) -> str:
    return "voltage_swell" if share > 1 else "voltage_dip"


def _limits(point: Point, nominal_v: float) -> Limits:
    def scaled(share: float) -> float:
        return round(share * nominal_v * 10.0**point.decimals, 6)

    low, high, back_low, back_high = scaled(DIP), scaled(SWELL), scaled(DIP + HYSTERESIS), scaled(SWELL - HYSTERESIS)
    return Limits(math.ceil(low), math.floor(high), math.ceil(back_low), math.floor(back_high), math.ceil(scaled(INTERRUPTION)))
