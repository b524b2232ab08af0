"""Report by exception, where the configuration wants it: readings that say nothing new are judged and shown, but neither stored nor sent.

A reading goes when one of its points has left its band around the last value that went, has another quality, or has no band and changed at all; and at the
latest after the heartbeat. It goes whole or not at all, so that no value is ever repeated in place of a measured one. Energy, counters and
whatever comes with an event always go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from edgegw.config.model import Deadband
from edgegw.model import Event, Quality, Reading, Source, Stream, Value

Band = Callable[[Value, Value], bool]
"""Whether the second value says no more than the first."""


class Deadbands:
    """What went last, of each source that has a band."""

    def __init__(self, configured: Sequence[Deadband], sources: Sequence[Source]) -> None:
        self._bands = {source.source_id: bands for source in sources if (bands := _bands_of(source, configured))}
        self._heartbeats_ms = {source_id: min(heartbeat_ms for heartbeat_ms, _ in bands.values()) for source_id, bands in self._bands.items()}
        self._last: dict[int, Reading] = {}
        self.spared = 0
        """Readings that were not stored."""

    def keep(self, readings: tuple[Reading, ...], events: tuple[Event, ...]) -> tuple[Reading, ...]:
        """Those of one transaction that go; all of them where an event happened in it."""
        if not self._bands:
            return readings
        kept = tuple(reading for reading in readings if self._goes(reading, certain=bool(events)))
        self.spared += len(readings) - len(kept)
        return kept

    def _goes(self, reading: Reading, *, certain: bool) -> bool:
        source_id = reading.source.source_id
        bands = self._bands.get(source_id)
        if bands is None:
            return True
        last = self._last.get(source_id)
        if not certain and last is not None and reading.mono_ms - last.mono_ms < self._heartbeats_ms[source_id] and _says_nothing_new(last, reading, bands):
            return False
        self._last[source_id] = reading
        return True


def _says_nothing_new(last: Reading, reading: Reading, bands: Mapping[int, tuple[int, Band]]) -> bool:
    if last.quality != reading.quality or Quality.SUSPECT in reading.quality.values() or last.clock is not reading.clock:
        return False
    for position, (before, now) in enumerate(zip(last.values, reading.values, strict=True)):
        if before != now and (position not in bands or not bands[position][1](before, now)):
            return False
    return True


def _bands_of(source: Source, configured: Sequence[Deadband]) -> dict[int, tuple[int, Band]]:
    """{position: (heartbeat, band)}; the first table that names a point counts."""
    if source.stream != Stream.TELEMETRY:
        return {}
    found: dict[int, tuple[int, Band]] = {}
    for position, point in enumerate(source.points):
        if point.kind != "measure":
            continue
        table = next((one for one in configured if fnmatchcase(point.name, one.point) and fnmatchcase(source.device, one.device)), None)
        if table is not None:
            found[position] = (round(table.heartbeat_s * 1000), _band(table, point.decimals))
    return found


def _band(table: Deadband, decimals: int) -> Band:
    scale = 10**decimals

    def covers(before: Value, now: Value) -> bool:
        if not isinstance(before, int | float) or not isinstance(now, int | float):
            return False
        return bool(abs(now - before) <= max(table.absolute * scale, table.percent / 100 * abs(before)))

    return covers
