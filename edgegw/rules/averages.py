"""The mean of the last minutes of a point, in a few numbers however fast it is read (pure)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# The window moves on by a part of it: a mean over 15 minutes is that of the last 14 3/4 to 15.
_PARTS = 60
# So much of the window must have been seen before its mean says anything.
_SEEN_MIN = 0.9


@dataclass(slots=True, eq=False)
class Average:
    """Of good values only; `clear` when one was lost: what it was meanwhile nobody knows."""

    window_ms: int
    _parts: deque[list[int]] = field(default_factory=deque)
    """[begin ms, sum, count] each."""

    def add(self, value: int, mono_ms: int) -> int | None:
        """The mean with this value, rounded to the point's digits; None before enough of the window was seen."""
        parts = self._parts
        if not parts or mono_ms - parts[-1][0] >= self.window_ms / _PARTS:
            parts.append([mono_ms, 0, 0])
        parts[-1][1] += value
        parts[-1][2] += 1
        while mono_ms - parts[0][0] > self.window_ms:
            parts.popleft()
        if mono_ms - parts[0][0] < _SEEN_MIN * self.window_ms:
            return None
        return round(sum(part[1] for part in parts) / sum(part[2] for part in parts))

    def clear(self) -> None:
        self._parts.clear()
