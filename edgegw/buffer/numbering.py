"""Sequences of the epoch that runs: in the order of (monotonic time, source), from 1 in each stream (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgegw.model import Reading


class Numbering:
    """The last sequence and the last place in the order, for each stream."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._places: dict[int, tuple[int, int]] = {}

    def last(self, stream: int) -> int:
        """The last sequence given, 0 when there is none."""
        return self._last.get(stream, 0)

    def give(self, stream: int, count: int) -> int:
        """Takes the next `count` sequences; returns the first of them."""
        first = self.last(stream) + 1
        self._last[stream] = first + count - 1
        return first

    def order(self, stream: int, readings: Sequence[Reading]) -> list[Reading]:
        """The readings in the order of their sequences; one that would come before what is numbered gets the next millisecond."""
        placed = sorted(readings, key=_place)
        last = self._places.get(stream, (-1, -1))
        for index, reading in enumerate(placed):
            place = _place(reading)
            if place <= last:
                reading = placed[index] = _moved(reading, last)  # noqa: PLW2901 - the moved one takes its place
                place = _place(reading)
            last = place
        self._places[stream] = last
        return placed


def _place(reading: Reading) -> tuple[int, int]:
    return reading.mono_ms, reading.source.source_id


def _moved(reading: Reading, last: tuple[int, int]) -> Reading:
    """The reading at the first free place behind `last`. Both times move, so that the offset of the clock stays."""
    last_ms, last_source = last
    mono_ms = last_ms if reading.source.source_id > last_source else last_ms + 1
    return msgspec.structs.replace(reading, mono_ms=mono_ms, read_at_ms=reading.read_at_ms + mono_ms - reading.mono_ms)
