"""Electrical values that do not move at all while current flows: a meter, or what reads it for us, repeats itself."""

from __future__ import annotations

from collections.abc import Sequence

from edgegw.model import Quality, Source, Value
from edgegw.truth.standing import VALUES_FROZEN, Standing
from edgegw.truth.work import Work

STILL_MS = 10 * 60_000
METERING_CLASS = "meter"
# One value alone may well stay the same for ten minutes.
POINTS_MIN = 2
_ELECTRICAL = (
    "phase_voltage.",
    "line_voltage.",
    "current",
    "active_power",
    "reactive_power",
    "apparent_power",
    "power_factor",
    "frequency",
    "voltage",
    "power",
)
_BELIEVED = frozenset({Quality.GOOD, Quality.LATE})


class Still:
    """One meter: the step of each of its sources that has electrical values."""

    def __init__(self, sources: Sequence[Source], standing: Standing) -> None:
        self._standing = standing
        self._positions = {source.source_id: positions for source in sources if (positions := _electrical(source))}
        self._currents = {
            source.source_id: [position for position in self._positions.get(source.source_id, ()) if source.points[position].name.startswith("current")]
            for source in sources
        }
        self._last: dict[int, tuple[Value, ...]] = {}
        self._flows: dict[int, bool] = {}
        self._since_ms = 0

    @property
    def source_ids(self) -> list[int]:
        """None where there is too little to judge by."""
        enough = sum(len(positions) for positions in self._positions.values()) >= POINTS_MIN
        return list(self._positions) if enough and any(self._currents.values()) else []

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        source_id, now_ms = work.reading.source.source_id, work.now.mono_ms
        if work.wrong or not (work.is_all_good or all(work.quality(position) in _BELIEVED for position in self._positions[source_id])):
            self._last.pop(source_id, None)
            self._since_ms = now_ms
            return
        read = work.values()
        values = tuple([read[position] for position in self._positions[source_id]])
        before = self._last.get(source_id)
        if values != before:
            self._last[source_id] = values
            self._flows[source_id] = any(read[position] for position in self._currents[source_id])
            self._since_ms = now_ms
            if before is not None:
                self._standing.end(VALUES_FROZEN, "", work)
        elif now_ms - self._since_ms >= STILL_MS and len(self._last) == len(self._positions) and any(self._flows.values()):
            self._standing.begin(VALUES_FROZEN, "", work)


def _electrical(source: Source) -> list[int]:
    return [position for position, point in enumerate(source.points) if point.kind == "measure" and point.name.startswith(_ELECTRICAL)]
