"""The one clock of the daemon (decision D12).

Everything that waits, repeats or measures runs on the monotonic side. Wall time is a label, made from the monotonic time and an
offset that is held between two looks at the system's clock: two labels of one process are in the order of their monotonic times
unless the clock was stepped between them, and a step shows as a new offset.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from pathlib import Path

from edgegw.model import ClockTrust

# A label may be this far from the system's clock before the offset is moved. It must stay well below the 50 ms that a reading's time may err by.
OFFSET_DRIFT_MS = 5
# A difference of half a second between two looks is a step, not drift.
STEP_MS = 500
# The two clocks are read one after the other. Where the process had to wait for a core in between, they are read again, at most so often.
_PAIR_NS_MAX, _PAIRS_MAX = 200_000, 10
# adjtimex(2): return value of an unsynchronised clock, and the status bit for it.
_TIME_ERROR = 5
_STA_UNSYNC = 0x0040
# A maximum error above one second is no synchronisation.
MAX_ERROR_US = 1_000_000
# Earlier than this the clock was never set: edgegw did not exist.
BUILD_DATE_MS = 1_793_000_000_000

_TIMESYNC_STAMP = Path("/run/systemd/timesync/synchronized")


class Clock:
    """Monotonic time since the epoch began, and the wall time that belongs to it.

    `speed` above 1 lets simulated time run faster; only simulate, demo and tests may set it. Then everything that is judged, polled, shown or stored runs on
    it; what waits for an answer on a real line, or for a real broker or disk, takes `time.monotonic_ns` as ever.
    """

    def __init__(self, speed: float = 1.0, anchor: tuple[int, int] | None = None) -> None:
        """`anchor` of simulated time: a stamp of `time.monotonic_ns()` and the wall ms that belong to it, so that two processes have one day."""
        self.speed = speed
        self._start_ns, wall_ns = _both_ns()
        if anchor is None:
            self.offset_ms = wall_ns // 1_000_000
        else:
            self.offset_ms = anchor[1] + int((self._start_ns - anchor[0]) * speed) // 1_000_000
        self.trust = ClockTrust.UNSET

    def mono_ms(self, at_ns: int | None = None) -> int:
        """Milliseconds since the epoch began; `at_ns` is a stamp of `time.monotonic_ns()`."""
        elapsed_ns = (time.monotonic_ns() if at_ns is None else at_ns) - self._start_ns
        return int(elapsed_ns * self.speed) // 1_000_000

    @property
    def boot_ms(self) -> int:
        """The machine's monotonic time at which this clock's began: what two clocks of one boot have between them."""
        return self._start_ns // 1_000_000

    def wall_ms(self, mono_ms: int | None = None) -> int:
        """UTC ms of a monotonic time (default now) under the offset now held."""
        return (self.mono_ms() if mono_ms is None else mono_ms) + self.offset_ms

    def look(self) -> int:
        """Compares with the system's clock; moves the offset when it is off. Returns the step in ms, 0 for drift or none. Call once a second."""
        if self.speed != 1.0:
            return 0
        mono_ns, wall_ns = _both_ns()
        error_ms = wall_ns // 1_000_000 - self.wall_ms(self.mono_ms(mono_ns))
        if abs(error_ms) <= OFFSET_DRIFT_MS:
            return 0
        self.offset_ms += error_ms
        return error_ms if abs(error_ms) >= STEP_MS else 0

    async def sleep_until(self, mono_ms: float) -> None:
        """Returns at or after `mono_ms`, never before: uvloop's timers come up to 0.8 ms early (decision D2)."""
        while (left_ms := mono_ms - self.mono_ms()) > 0:  # noqa: ASYNC110 - a time is awaited, not a state
            await asyncio.sleep(left_ms / 1000 / self.speed)

    async def sleep(self, duration_ms: float) -> None:
        await self.sleep_until(self.mono_ms() + duration_ms)


def _both_ns() -> tuple[int, int]:
    """Monotonic and wall time of the same instant, the nearest of some pairs."""
    best_ns, best = None, (0, 0)
    for _ in range(_PAIRS_MAX):
        before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        apart_ns = after_ns - before_ns
        if best_ns is None or apart_ns < best_ns:
            best_ns, best = apart_ns, (before_ns + apart_ns // 2, wall_ns)
        if apart_ns <= _PAIR_NS_MAX:
            break
    return best


class _Timex(ctypes.Structure):
    """`struct timex` of Linux as far as it is read, the rest as room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_long * 40),
    )


def read_clock_trust() -> ClockTrust:
    """Asks kernel and timesyncd whether the wall clock is synchronised. Reads only; takes microseconds."""
    if read_clock_error_us() is not None:
        return ClockTrust.SYNCHRONISED
    if _TIMESYNC_STAMP.exists():
        return ClockTrust.SYNCHRONISED
    return ClockTrust.HELD if time.time_ns() // 1_000_000 >= BUILD_DATE_MS else ClockTrust.UNSET


def read_clock_error_us() -> int | None:
    """How far the wall clock is off at most, as the kernel has it from whoever disciplines it; None when nobody does."""
    timex = _Timex()
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state = adjtimex(ctypes.byref(timex))
    synchronised = state not in (-1, _TIME_ERROR) and not timex.status & _STA_UNSYNC and timex.maxerror < MAX_ERROR_US
    return int(timex.maxerror) if synchronised else None
