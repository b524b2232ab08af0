"""Sequences of the epoch that runs: in the order of (monotonic time, source), from 1 in each stream (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heapreplace

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
        """The readings in the order of their sequences. One that has no place left (its source was read twice in one millisecond, or it would come before
        what is numbered) gets the next one, and no other is moved for that.
        """
        came = sorted(readings, key=_place)
        waiting = [(*_place(reading), index) for index, reading in enumerate(came)]
        placed: list[Reading] = []
        last_ms, last_source = self._places.get(stream, (-1, -1))
        while waiting:
            mono_ms, source_id, index = waiting[0]
            if (mono_ms, source_id) <= (last_ms, last_source):
                heapreplace(waiting, (last_ms if source_id > last_source else last_ms + 1, source_id, index))
                continue
            heappop(waiting)
            placed.append(_moved(came[index], mono_ms))
            last_ms, last_source = mono_ms, source_id
        self._places[stream] = last_ms, last_source
        return placed


def _place(reading: Reading) -> tuple[int, int]:
    return reading.mono_ms, reading.source.source_id


def _moved(reading: Reading, mono_ms: int) -> Reading:
    """Both times move, so that the offset of the clock stays."""
    if mono_ms == reading.mono_ms:
        return reading
    return msgspec.structs.replace(reading, mono_ms=mono_ms, read_at_ms=reading.read_at_ms + mono_ms - reading.mono_ms)
