"""Sets of sequences as merged intervals: what an uplink's receipts cover (pure)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class IntervalSet:
    """Integers as disjoint intervals, both ends included; neighbours are one interval, so a set without holes is one pair."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """How many intervals, not how many integers."""
        return len(self._firsts)

    def add(self, first: int, last: int) -> int:
        """Returns how many integers were new."""
        start = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        known = sum(min(self._lasts[i], last) - max(self._firsts[i], first) + 1 for i in range(start, end) if self._overlaps(i, first, last))
        if start < end:
            merged_first, merged_last = min(first, self._firsts[start]), max(last, self._lasts[end - 1])
        else:
            merged_first, merged_last = first, last
        self._firsts[start:end] = [merged_first]
        self._lasts[start:end] = [merged_last]
        return last - first + 1 - known

    def remove(self, first: int, last: int) -> None:
        start = bisect_left(self._lasts, first)
        end = bisect_right(self._firsts, last)
        if start >= end:
            return
        kept = []
        if self._firsts[start] < first:
            kept.append((self._firsts[start], first - 1))
        if self._lasts[end - 1] > last:
            kept.append((last + 1, self._lasts[end - 1]))
        self._firsts[start:end] = [pair[0] for pair in kept]
        self._lasts[start:end] = [pair[1] for pair in kept]

    def covers(self, first: int, last: int) -> bool:
        """Whether every integer from `first` to `last` is in the set."""
        index = bisect_right(self._firsts, first) - 1
        return index >= 0 and self._lasts[index] >= last

    def _overlaps(self, index: int, first: int, last: int) -> bool:
        return self._firsts[index] <= last and self._lasts[index] >= first
