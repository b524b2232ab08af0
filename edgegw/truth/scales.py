"""Power against voltage and current of other answers: loads may have changed between them, so that only a wrong scale shows.

A DC meter of DL/T 645-2007 tells power in kW or MW and current in A or kA by its rating plate: a factor of 1000 that no frame tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgegw.model import Quality, Source
from edgegw.truth.electric import FLOOR_KW, READINGS_MIN
from edgegw.truth.work import Work, in_unit

# Between two answers a load seldom becomes three times what it was, and not three polls in a row; a scale is wrong by ten at least.
FACTOR = 3.0
# A value that is older than so many periods of its source is not compared.
FRESH_PERIODS = 2
_BELIEVED = frozenset({Quality.GOOD, Quality.LATE})


class Scales:
    """One power of one device whose voltages and currents come in other answers. The step of every source that has a part of it."""

    def __init__(self, power: tuple[Source, int], pairs: Sequence[tuple[tuple[Source, int], tuple[Source, int]]], *, dc: bool) -> None:
        self._power = power
        self._pairs = pairs
        self._dc = dc
        self._latest: dict[tuple[int, int], tuple[float, int]] = {}
        places = [power, *(place for pair in pairs for place in pair)]
        self._positions = {source.source_id: [p for s, p in places if s.source_id == source.source_id] for source, _ in places}
        self._fresh_ms = FRESH_PERIODS * max(source.period_ms for source, _ in places)
        self._misfits = 0

    @property
    def source_ids(self) -> list[int]:
        return list(self._positions)

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        source = work.reading.source
        for position in self._positions[source.source_id]:
            value = work.value(position)
            if type(value) is int and not work.wrong and work.quality(position) in _BELIEVED:
                self._latest[source.source_id, position] = in_unit(value, source.points[position]), work.now.mono_ms
            else:
                self._latest.pop((source.source_id, position), None)
        power_source, position = self._power
        if source.source_id == power_source.source_id and (power := self._latest.get((source.source_id, position))):
            self._judge(power[0], position, work)

    def _judge(self, power_kw: float, position: int, work: Work) -> None:
        product_kw = self._product_kw(work.now.mono_ms)
        if product_kw is None:
            return
        high = abs(power_kw) > FACTOR * product_kw + FLOOR_KW
        low = self._dc and abs(power_kw) * FACTOR + FLOOR_KW < product_kw
        before = self._misfits
        self._misfits = before + 1 if high or low else 0
        if self._misfits >= READINGS_MIN:
            work.suspect(position)
        if self._misfits == READINGS_MIN or (before >= READINGS_MIN and not self._misfits):
            point = self._power[0].points[position]
            body = {
                "point": point.name,
                "edge": "raised" if self._misfits else "cleared",
                "value": power_kw,
                "expected": round(product_kw, 3),
                "unit": point.unit,
                "bound": "scale",
                "reason": "voltage times current of other answers; is the scale right?",
            }
            work.tell("implausible", self._power[0].device, body)

    def _product_kw(self, now_ms: int) -> float | None:
        total = 0.0
        for (voltage_source, voltage), (current_source, current) in self._pairs:
            u, i = self._latest.get((voltage_source.source_id, voltage)), self._latest.get((current_source.source_id, current))
            if u is None or i is None or now_ms - min(u[1], i[1]) > self._fresh_ms:
                return None
            total += abs(u[0] * i[0]) / 1000
        return total


def compile_scales(sources: Sequence[Source]) -> list[Scales]:
    """Of one device: its DC power, or the AC total of the phases that it has, where they do not come in one answer."""
    at = {point.name: (source, i) for source in reversed(sources) for i, point in enumerate(source.points)}
    phases = [phase for phase in "abc" if f"phase_voltage.{phase}" in at and f"current.{phase}" in at]
    candidates = [("power", [("voltage", "current")], True)] if {"voltage", "current"} <= at.keys() else []
    if len(phases) in {1, 3}:
        candidates.append(("active_power", [(f"phase_voltage.{phase}", f"current.{phase}") for phase in phases], False))
    found = []
    for power, pairs, dc in candidates:
        if power in at and len({at[name][0].source_id for pair in pairs for name in (power, *pair)}) > 1:
            found.append(Scales(at[power], [(at[voltage], at[current]) for voltage, current in pairs], dc=dc))
    return found
