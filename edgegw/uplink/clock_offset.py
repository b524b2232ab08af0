"""How far our clock is from the cloud's (pure).

A receipt says when it was signed. Its way to us only makes it look older: of several the one that came quickest, with the smallest difference,
is the nearest to the truth, and a negative one is certain. Receipts that a broker kept for us through an outage look hours old: what they say is
forgotten when newer ones have come.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# A window of the fewest readings is sealed once a minute: these are of the last minutes.
_LAST: Final = 8
# One or two may both have been slow.
_MIN: Final = 3


class ClockOffset:
    """Of one cloud."""

    def __init__(self) -> None:
        self._differences_ms: deque[int] = deque(maxlen=_LAST)

    def note(self, signed_at_ms: int, now_ms: int) -> None:
        """A good receipt; both are wall times, the second is ours."""
        self._differences_ms.append(now_ms - signed_at_ms)

    @property
    def offset_ms(self) -> int | None:
        """Positive when ours is ahead; None while too little is known."""
        return min(self._differences_ms) if len(self._differences_ms) >= _MIN else None
