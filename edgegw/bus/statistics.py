"""What a bus and each of its units did, counted. Read by the command line, the self-measurement and the tests; written by the bus task only."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Literal, Self

from edgegw.bus.trace import Trace

# Latencies kept for the percentiles: some minutes of one unit's answers, 2 KiB.
LATENCIES_MAX = 256
# Polls whose lateness is kept: some minutes of a bus, 8 KiB.
LATENESS_MAX = 1024
# Of the fields of a unit these are no counts.
_NO_COUNTERS = frozenset({"latencies_us", "last_answer_ns"})
# The busy share is that of the last whole window of this length.
BUSY_WINDOW_NS = 10 * 1_000_000_000


if TYPE_CHECKING:
    _Numbers = array[float]
else:
    _Numbers = array  # Python 3.11 takes no type here.

_append = array.append


class Recent(_Numbers):
    """The last `kept` numbers and at most a quarter more, eight bytes each: a deque of them takes four times as much, and 760 bytes while it is empty."""

    __slots__ = ("full", "kept")
    kept: int
    full: int

    def __new__(cls, typecode: Literal["q", "d"], kept: int) -> Self:
        """`typecode`: whole numbers or fractions."""
        self = super().__new__(cls, typecode)
        self.kept, self.full = kept, kept + kept // 4
        return self

    def append(self, number: float) -> None:
        """The newest one; the oldest go, some at a time: to move the rest for each one takes longer than all else that a poll counts."""
        _append(self, number)
        if len(self) > self.full:
            del self[: -self.kept]

    def clear(self) -> None:
        """Forgets all."""
        del self[:]


class Counters:
    """Of one unit."""

    __slots__ = (
        "answered",
        "asked",
        "crc",
        "doubled",
        "echo",
        "exceptions",
        "foreign",
        "last_answer_ns",
        "late",
        "latencies_us",
        "learnt_timeout_ms",
        "missed_slots",
        "noise_bytes",
        "resyncs",
        "short",
        "timed_out",
        "withheld",
    )

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        """Good answers and exceptions."""
        self.timed_out = 0
        """Questions without a proven answer, whatever was heard."""
        self.crc = 0
        self.short = 0
        self.exceptions = 0
        self.late = 0
        """Whole frames of this unit that answered another question than the one under way, or none."""
        self.doubled = 0
        """Answers with something behind them: two devices with one address, or a disturbed line."""
        self.echo = 0
        self.noise_bytes = 0
        self.foreign = 0
        """Whole frames of another unit, or of another master, heard while this unit was asked."""
        self.resyncs = 0
        """Questions asked only to be sure that no late answer can come any more."""
        self.missed_slots = 0
        self.withheld = 0
        """Questions that were not sent because they are not known only to read."""
        self.latencies_us = Recent("q", LATENCIES_MAX)
        """From the end of the request to the end of the answer."""
        self.learnt_timeout_ms = 0
        """What its answers are waited for, without the time of their own bytes; 0: not learnt yet, `answer_timeout_ms` holds."""
        self.last_answer_ns = 0
        """`time.monotonic_ns()` of its last answer or exception; 0 before the first."""

    def percentile_ms(self, percent: float) -> float | None:
        """Of the latencies kept; None before the first answer."""
        if not self.latencies_us:
            return None
        ordered = sorted(self.latencies_us)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000

    def as_dict(self) -> dict[str, int | float | None]:
        """Counters and percentiles, for screens and records."""
        numbers: dict[str, int | float | None] = {name: getattr(self, name) for name in self.__slots__ if name not in _NO_COUNTERS}
        return {**numbers, "latency_p50_ms": self.percentile_ms(50), "latency_p95_ms": self.percentile_ms(95)}


class BusStatistics:
    """Of one bus: its units, its last frames, and the time it was busy."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.units: dict[int, Counters] = {}
        self.opened = 0
        """Times that the line was opened."""
        self.idle_noise_bytes = 0
        """Bytes heard while nothing was asked that were no frame of a unit of ours."""
        self.lateness_ms = Recent("q", LATENESS_MAX)
        """From due to asked, of the last polls."""
        self.energy_reads = 0
        """Energy read for a boundary of the wall clock."""
        self.energy_late = 0
        """Of these, so late that the values are marked."""
        self.energy_skew_max_ms = 0
        """The longest that one came after its boundary."""
        self.busy_ns = 0
        self._window_start_ns = time.monotonic_ns()
        self._window_busy_ns = 0
        self._share = 0.0

    def unit(self, unit: int) -> Counters:
        counters = self.units.get(unit)
        if counters is None:
            counters = self.units[unit] = Counters()
        return counters

    def add_skew(self, skew_ms: int, *, late: bool) -> None:
        """An energy reading came so long after its boundary."""
        self.energy_reads += 1
        self.energy_late += late
        self.energy_skew_max_ms = max(self.energy_skew_max_ms, skew_ms)

    def lateness_percentile_ms(self, percent: float) -> int | None:
        """Of the polls kept; None before the first."""
        ordered = sorted(map(int, self.lateness_ms))
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else None

    def add_busy(self, start_ns: int, end_ns: int) -> None:
        """A question had the line from start to end."""
        took_ns = end_ns - start_ns
        self.busy_ns += took_ns
        self._window_busy_ns += took_ns
        if end_ns - self._window_start_ns >= BUSY_WINDOW_NS:
            self._share = self._window_busy_ns / (end_ns - self._window_start_ns)
            self._window_start_ns, self._window_busy_ns = end_ns, 0

    @property
    def busy_share(self) -> float:
        """Share of the last whole window in which the line was asked or answered; of the running one before there is any."""
        if self._share:
            return self._share
        elapsed_ns = time.monotonic_ns() - self._window_start_ns
        return self._window_busy_ns / elapsed_ns if elapsed_ns > 0 else 0.0

    def total(self, name: str) -> int:
        """Sum of one counter over the units."""
        return sum(getattr(counters, name) for counters in self.units.values())

    def as_dict(self) -> dict[str, object]:
        return {
            "opened": self.opened,
            "idle_noise_bytes": self.idle_noise_bytes,
            "busy_share": round(self.busy_share, 4),
            **{f"lateness_p{percent}_ms": self.lateness_percentile_ms(percent) for percent in (50, 95, 99)},
            "energy_reads": self.energy_reads,
            "energy_late": self.energy_late,
            "energy_skew_max_ms": self.energy_skew_max_ms,
            "units": {str(unit): counters.as_dict() for unit, counters in sorted(self.units.items())},
        }
