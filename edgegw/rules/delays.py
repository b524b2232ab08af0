"""Which delays run and when the next one ends. A delay that is dropped or set anew leaves its old entry behind, which is known by its time."""

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
        self._entries: list[tuple[int, int, Watch]] = []
        self._count = 0
        self._running = 0

    @property
    def next_ms(self) -> int:
        """Nothing ends before it."""
        return self._entries[0][0] if self._entries else FAR

    def set(self, watch: Watch, due_ms: int) -> None:
        if watch.due_ms != due_ms:
            self._running += watch.due_ms == FAR
            watch.due_ms = due_ms
            self._count += 1
            heapq.heappush(self._entries, (due_ms, self._count, watch))
            if len(self._entries) > 4 * self._running + _IDLE_MAX:
                self._sweep()

    def drop(self, watch: Watch) -> None:
        self._running -= watch.due_ms != FAR
        watch.due_ms = FAR

    def running(self) -> Iterator[Watch]:
        return (watch for due_ms, _, watch in self._entries if watch.due_ms == due_ms)

    def over(self, now_ms: int) -> list[tuple[int, Watch]]:
        """Those that end by `now_ms`, each with its time, earliest first. They go on to be set until who takes them changes that."""
        found: dict[Watch, int] = {}
        while self._entries and self._entries[0][0] <= now_ms:
            due_ms, _, watch = heapq.heappop(self._entries)
            if watch.due_ms == due_ms:
                self.drop(watch)
                found[watch] = due_ms
        return [(due_ms, watch) for watch, due_ms in found.items()]

    def _sweep(self) -> None:
        """One entry for each that runs."""
        kept = {watch: (due_ms, number, watch) for due_ms, number, watch in self._entries if watch.due_ms == due_ms}
        self._entries = list(kept.values())
        heapq.heapify(self._entries)
