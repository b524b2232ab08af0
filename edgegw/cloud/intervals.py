"""Sets of sequences as closed intervals: what of a stream is settled."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

Interval = tuple[int, int]


class IntervalSet:
    """Disjoint closed intervals, never touching each other: 1-3 and 4-6 are 1-6."""

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        self._lasts: list[int] = []
        self._firsts: list[int] = []
        for first, last in sorted(intervals):
            self.add(first, last)

    def __iter__(self) -> Iterator[Interval]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, first: int, last: int) -> tuple[list[Interval], Interval]:
        """Returns what the new interval swallowed, and what stands there now."""
        at = bisect_left(self._lasts, first - 1)
        end = at
        while end < len(self._firsts) and self._firsts[end] <= last + 1:
            end += 1
        swallowed = list(zip(self._firsts[at:end], self._lasts[at:end], strict=True))
        merged = (min([first, *self._firsts[at:end]]), max([last, *self._lasts[at:end]]))
        self._firsts[at:end], self._lasts[at:end] = [merged[0]], [merged[1]]
        return swallowed, merged

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

    def __contains__(self, number: int) -> bool:
        return not self.missing(number, number)
