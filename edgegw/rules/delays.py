"""Which delays run and when the next one ends. A delay that is dropped or set anew leaves its old entry behind, which is known by its time.

The points of one reading begin their delays at one time, and many rules have the same one: entries of one time lie in one bucket, so that a storm
costs a heap operation a reading and not a value.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from edgegw.rules.binding import Watch
from edgegw.rules.conditions import FAR

# A contact that chatters under a delay of a quarter of an hour leaves one entry a second; beyond this and four for each that ran at the last sweep they are swept.
_IDLE_MAX = 1000


class Delays:
    """At most one for each watch: `Watch.due_ms`."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Watch]] = {}
        """By the time at which they end, in the order in which they were set."""
        self._times: list[int] = []
        """Heap of the keys."""
        self._entries = 0
        self._swept = 0
        """Entries that the last sweep left; no more than there are."""
        self.next_ms = FAR
        """Nothing ends before it."""

    def set(self, watch: Watch, due_ms: int) -> None:
        if watch.due_ms == due_ms:
            return
        watch.due_ms = due_ms
        self._entries += 1
        bucket = self._buckets.get(due_ms)
        if bucket is not None:
            bucket.append(watch)
            return
        self._buckets[due_ms] = [watch]
        heapq.heappush(self._times, due_ms)
        self.next_ms = self._times[0]
        if self._entries > 4 * self._swept + _IDLE_MAX:
            self._sweep()

    @staticmethod
    def drop(watch: Watch) -> None:
        watch.due_ms = FAR

    def running(self) -> Iterator[Watch]:
        return (watch for due_ms, bucket in self._buckets.items() for watch in bucket if watch.due_ms == due_ms)

    def over(self, now_ms: int) -> list[tuple[int, Watch]]:
        """Those that end by `now_ms`, each with its time, earliest first. They are not set any more."""
        found: list[tuple[int, Watch]] = []
        while self._times and self._times[0] <= now_ms:
            due_ms = heapq.heappop(self._times)
            bucket = self._buckets.pop(due_ms)
            self._entries -= len(bucket)
            for watch in bucket:
                if watch.due_ms == due_ms:
                    watch.due_ms = FAR
                    found.append((due_ms, watch))
        self._swept = min(self._swept, self._entries)
        self.next_ms = self._times[0] if self._times else FAR
        return found

    def _sweep(self) -> None:
        """One entry for each that runs."""
        kept = {due_ms: list(dict.fromkeys(watch for watch in bucket if watch.due_ms == due_ms)) for due_ms, bucket in self._buckets.items()}
        self._buckets = {due_ms: bucket for due_ms, bucket in kept.items() if bucket}
        self._times = list(self._buckets)
        heapq.heapify(self._times)
        self._entries = self._swept = sum(map(len, self._buckets.values()))
        self.next_ms = self._times[0] if self._times else FAR
