"""When the next commit must be synced and when the tail is sealed (pure: the time comes in)."""

from __future__ import annotations

import math

# Promise 2: synced at most 1 s after the reading; the rest is for waking up and for the disk.
SYNC_AFTER_S = 0.95
# A window may end this much earlier or later, so that it ends with a sync that is due anyway: a sync more every 10 s would
# take a busy station over 90,000 syncs a day.
_SLACK_S_MAX = 0.5
# So many values wait for no window: no block is larger, and what is held stays bounded.
VALUES_SEALED_AT_ONCE = 10_000


class Windows:
    """Deadlines in seconds of the monotonic clock."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._soon: tuple[float, float] | None = None
        self._answering: tuple[float, float] | None = None
        self._answered: tuple[float, float] | None = None
        self._unsynced_s = math.inf
        self._held_s = math.inf
        self._values = 0

    def seal_soon(self, now_s: float, delay_s: float) -> None:
        self._soon = (now_s, delay_s)

    def committed(self, oldest_s: float, values: int) -> None:
        """Readings were committed, the oldest accepted at `oldest_s`."""
        self._unsynced_s = min(self._unsynced_s, oldest_s)
        if values:
            self._held_s = min(self._held_s, oldest_s)
            self._values += values

    def synced(self) -> None:
        self._unsynced_s = math.inf

    def sealing(self) -> None:
        """A seal begins: it answers what was asked for until now, and nothing that comes while it lasts (`seal_soon` is another thread's)."""
        self._answering = self._soon

    def sealed(self, *, everything: bool) -> None:
        """Nothing is held any more; `everything`: because a window ended, not because energy went ahead."""
        self._held_s = math.inf
        self._values = 0
        if everything:
            self._answered = self._answering

    def sync_at_s(self) -> float:
        """A commit at or after this time is a synced one."""
        return min(self._unsynced_s + SYNC_AFTER_S, self.seal_by_s())

    def seal_by_s(self) -> float:
        """The tail is sealed at this time even if nothing else needs a sync."""
        due_s, slack_s = self._seal_at()
        return due_s + slack_s

    def seal_with_sync(self, now_s: float) -> bool:
        """Whether a sync that happened now is a good end of the window."""
        due_s, slack_s = self._seal_at()
        return now_s >= due_s - slack_s or self._values >= VALUES_SEALED_AT_ONCE

    def _seal_at(self) -> tuple[float, float]:
        due_s = self._held_s + self.window_s
        slack_s = min(_SLACK_S_MAX, self.window_s / 2)
        soon = self._soon
        if soon is not None and soon is not self._answered and self._held_s != math.inf:
            asked_s, delay_s = soon
            soon_s = max(asked_s, self._held_s) + delay_s
            if soon_s < due_s:
                return soon_s, 0.0
        return due_s, slack_s
