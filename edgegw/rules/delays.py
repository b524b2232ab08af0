"""Which delays run and when the next one ends. A delay that is dropped or set anew leaves its old entry behind, which is known by its time.

The points of one reading begin their delays at one time, and many rules have the same one: entries of one time lie in one bucket, so that a storm
costs a heap operation a reading and not a value.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from edgegw.rules.binding import Watch
from edgegw.rules.conditions import FAR

# A contact that chatters under a delay of a quarter of an hour leaves one entry a second; beyond this and four for each that runs they are swept.
_IDLE_MAX = 1000


class Delays:
    """At most one for each watch: `Watch.due_ms`."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Watch]] = {}
        """By the time at which they end, in the order in which they were set."""
        self._times: list[int] = []
        """Heap of the keys."""
        self._entries = 0
        self._running = 0
        self.next_ms = FAR
        """Nothing ends before it."""

    def set(self, watch: Watch, due_ms: int) -> None:
        if watch.due_ms == due_ms:
            return
        self._running += watch.due_ms == FAR
        watch.due_ms = due_ms
        bucket = self._buckets.get(due_ms)
        if bucket is None:
            self._buckets[due_ms] = [watch]
            heapq.heappush(self._times, due_ms)
            self.next_ms = self._times[0]
        else:
            bucket.append(watch)
        self._entries += 1
        if self._entries > 4 * self._running + _IDLE_MAX:
            self._sweep()

    def drop(self, watch: Watch) -> None:
        self._running -= watch.due_ms != FAR
        watch.due_ms = FAR

    def running(self) -> Iterator[Watch]:
        return (watch for due_ms, bucket in self._buckets.items() for watch in bucket if watch.due_ms == due_ms)

    def over(self, now_ms: int) -> list[tuple[int, Watch]]:
        """Those that end by `now_ms`, each with its time, earliest first. They go on to be set until who takes them changes that."""
        found: dict[Watch, int] = {}
        while self._times and self._times[0] <= now_ms:
            due_ms = heapq.heappop(self._times)
            bucket = self._buckets.pop(due_ms)
            self._entries -= len(bucket)
            for watch in bucket:
                if watch.due_ms == due_ms:
                    self.drop(watch)
                    found[watch] = due_ms
        self.next_ms = self._times[0] if self._times else FAR
        return [(due_ms, watch) for watch, due_ms in found.items()]

    def _sweep(self) -> None:
        """One entry for each that runs."""
        kept = {due_ms: list(dict.fromkeys(watch for watch in bucket if watch.due_ms == due_ms)) for due_ms, bucket in self._buckets.items()}
        self._buckets = {due_ms: bucket for due_ms, bucket in kept.items() if bucket}
        self._times = list(self._buckets)
        heapq.heapify(self._times)
        self._entries = sum(map(len, self._buckets.values()))
        self.next_ms = self._times[0] if self._times else FAR
