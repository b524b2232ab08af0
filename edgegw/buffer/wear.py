"""How much is written to the disk in a day, and how often it is waited for: flash wears out by both.

Counted is what the kernel says the process has caused to be written (`write_bytes` of /proc/self/io: whole pages of 4 KiB, the journal of the
file system not included), so also what else the daemon writes; where that cannot be read, nothing is said about bytes.
"""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path

import msgspec

_log = logging.getLogger("edgegw.buffer")

DAY_S = 86_400.0
# Promise 2 alone takes a sync a second, 86,400 a day; energy and events come on top.
SYNCS_A_DAY_MAX = 90_000
# A start seals, joins and catches up: what it writes is not what a day brings.
_FIRST_WORD_S = 3600.0
_SAMPLE_S = 900.0
_IO = Path("/proc/self/io")


class Wear(msgspec.Struct, frozen=True):
    """At the rate of the last day, or of what of it the daemon has run."""

    written_bytes_a_day: int
    """0 where the kernel does not tell."""
    syncs_a_day: int


class Meter:
    """Samples taken every quarter of an hour, a day of them."""

    def __init__(self, budget_bytes_a_day: int, now_s: float) -> None:
        self._budget_bytes = budget_bytes_a_day
        self._samples: deque[tuple[float, int, int]] = deque([(now_s, written_bytes(), 0)], maxlen=int(DAY_S / _SAMPLE_S) + 1)
        self._latest = self._samples[0]
        self._over = False

    def look(self, now_s: float, syncs: int) -> Wear | None:
        """Takes a sample when one is due. Returns what is to be told, once, when the budget is exceeded."""
        self._latest = (now_s, self._latest[1], syncs)
        if now_s - self._samples[-1][0] < _SAMPLE_S:
            return None
        self._latest = (now_s, written_bytes(), syncs)
        self._samples.append(self._latest)
        found = self.wear()
        over = now_s - self._samples[0][0] >= _FIRST_WORD_S and (found.written_bytes_a_day > self._budget_bytes or found.syncs_a_day > SYNCS_A_DAY_MAX)
        told, self._over = over and not self._over, over
        if told:
            _log.warning(
                "W-STORE-WEAR: %d MB and %d syncs a day wear out the flash; the budget is %d MB and %d",
                found.written_bytes_a_day // 1_000_000,
                found.syncs_a_day,
                self._budget_bytes // 1_000_000,
                SYNCS_A_DAY_MAX,
            )
        return found if told else None

    def wear(self) -> Wear:
        first, last = self._samples[0], self._latest
        spent_s = last[0] - first[0]
        if spent_s <= 0:
            return Wear(0, 0)
        sampled_s = self._samples[-1][0] - first[0]
        written = (self._samples[-1][1] - first[1]) * DAY_S / sampled_s if sampled_s > 0 else 0.0
        return Wear(int(written), int((last[2] - first[2]) * DAY_S / spent_s))


def written_bytes() -> int:
    """Of this process since it began; 0 where the kernel does not tell."""
    try:
        lines = _IO.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), 0)
