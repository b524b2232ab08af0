"""The latest reading of every source, for screens: what a device said last, how old it is, and what is wrong with it now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from edgegw.model import Point, Quality, Reading, Source, Value

# A good value older than this many periods of its source is shown as stale (technician's rule: never a value without its age).
STALE_PERIODS = 3


class LiveValue(msgspec.Struct, frozen=True):
    """One point as a screen shows it. `quality` is a word of `Quality`, or `stale` for an old good value that stays visible."""

    source: Source
    point: Point
    value: Value
    quality: str
    age_ms: int | None
    reading: Reading | None

    @property
    def number(self) -> float | str | bool | None:
        """The value in the point's unit."""
        if isinstance(self.value, bytes):
            return self.value.hex()
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            return self.value
        return self.value / 10**self.point.decimals if self.point.decimals else self.value


class Live:
    """Bounded by the configuration: two readings a source. Only the loop touches it."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources: dict[str, list[Source]] = {}
        for source in sources:
            self._sources.setdefault(source.device, []).append(source)
        self._latest: dict[int, Reading] = {}
        self._valued: dict[int, Reading] = {}

    def put(self, reading: Reading) -> None:
        self._latest[reading.source.source_id] = reading
        if len(reading.quality) < len(reading.values) or any(quality.has_value for quality in reading.quality.values()):
            self._valued[reading.source.source_id] = reading

    def devices(self) -> tuple[str, ...]:
        return tuple(self._sources)

    def values(self, device: str, now_ms: int) -> Iterator[LiveValue]:
        """Every point of the device in the order of its profile; `now_ms` is monotonic."""
        for source in self._sources.get(device, ()):
            for position in range(len(source.points)):
                yield self._value(source, position, now_ms)

    def _value(self, source: Source, position: int, now_ms: int) -> LiveValue:
        point = source.points[position]
        latest = self._latest.get(source.source_id)
        if latest is None:
            return LiveValue(source, point, None, "not read yet", None, None)
        quality = latest.quality_of(position)
        valued = self._valued.get(source.source_id)
        if quality is Quality.OFFLINE and valued is not None and valued.values[position] is not None:
            return LiveValue(source, point, valued.values[position], "stale", now_ms - valued.mono_ms, valued)
        age_ms = now_ms - latest.mono_ms
        old = quality is Quality.GOOD and age_ms > STALE_PERIODS * source.period_ms
        return LiveValue(source, point, latest.values[position], "stale" if old else quality.word, age_ms, latest)
