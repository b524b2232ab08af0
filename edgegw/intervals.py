"""Sets of sequences as closed intervals: what a receipt covers, what a receiver has settled. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

Interval = tuple[int, int]


class Added(NamedTuple):
    """What an `add` did."""

    swallowed: list[Interval]
    """Intervals that are no longer there by themselves."""
    merged: Interval
    """The one that is there now."""
    new: int
    """How many integers the set did not have before."""


class IntervalSet:
    """Integers as disjoint intervals, both ends included, that never touch: 1-3 and 4-6 are 1-6. A set without holes is one pair."""

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(intervals):
            self.add(first, last)

    def __iter__(self) -> Iterator[Interval]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """How many intervals, not how many integers."""
        return len(self._firsts)

    def __contains__(self, number: int) -> bool:
        return self.covers(number, number)

    def covers(self, first: int, last: int) -> bool:
        """Whether every integer from `first` to `last` is in the set."""
        index = bisect_right(self._firsts, first) - 1
        return index >= 0 and self._lasts[index] >= last

    def add(self, first: int, last: int) -> Added:
        start, end = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        swallowed = list(zip(self._firsts[start:end], self._lasts[start:end], strict=True))
        merged = (min([first, *self._firsts[start:end]]), max([last, *self._lasts[start:end]]))
        self._firsts[start:end], self._lasts[start:end] = [merged[0]], [merged[1]]
        return Added(swallowed, merged, _size(merged) - sum(map(_size, swallowed)))

    def remove(self, first: int, last: int) -> None:
        start, end = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if start >= end:
            return
        kept = [(self._firsts[start], first - 1), (last + 1, self._lasts[end - 1])]
        kept = [pair for pair in kept if pair[0] <= pair[1]]
        self._firsts[start:end] = [pair[0] for pair in kept]
        self._lasts[start:end] = [pair[1] for pair in kept]

    def missing(self, first: int, last: int) -> list[Interval]:
        """The parts of first..last that are not in the set."""
        gaps = []
        at = bisect_left(self._lasts, first)
        while at < len(self._firsts) and self._firsts[at] <= last and first <= last:
            if first < self._firsts[at]:
                gaps.append((first, self._firsts[at] - 1))
            first = self._lasts[at] + 1
            at += 1
        if first <= last:
            gaps.append((first, last))
        return gaps


def _size(interval: Interval) -> int:
    return interval[1] - interval[0] + 1
