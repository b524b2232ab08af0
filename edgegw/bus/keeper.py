"""Keeps the line of a bus open: when to try, when to wait, what the log says of it."""

from __future__ import annotations

import asyncio
import logging
import time

from edgegw.bus.line import CLOSE_TIMEOUT_S, OPEN_TIMEOUT_S, Line
from edgegw.bus.port import LineError
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.trace import CLOSED, NOT_OPENED, OPENED
from edgegw.clock import Clock

_log = logging.getLogger("edgegw.bus")

# Back within 5 s of the port's return, with the time that opening takes.
REOPEN_MS_MIN = 500
REOPEN_MS_MAX = 4000


class LineKeeper:
    """Of one bus. A line that worked is opened again at once (some servers close after each answer); one that did not, after a pause."""

    def __init__(self, line: Line, clock: Clock, statistics: BusStatistics, connect_delay_ms: int) -> None:
        self.line = line
        self.down_since_ms: int | None = None
        self.fault: LineError | None = None
        """Why the last try failed; None while the line works."""
        self.failures = 0
        """Tries in a row that failed."""
        self.retry_ms = 0
        """No try before this."""
        self._clock = clock
        self._statistics = statistics
        self._connect_delay_ms = connect_delay_ms
        self._worked = False
        line.on_closed = lambda why: self._note(CLOSED, why)

    def answered(self) -> None:
        """An answer came on the open line."""
        self._worked = True
        self.failures = 0
        self.retry_ms = 0

    @property
    def open_ms_max(self) -> int:
        """Longest time that one try takes."""
        return round(1000 * (OPEN_TIMEOUT_S + CLOSE_TIMEOUT_S)) + self._connect_delay_ms

    @property
    def is_down(self) -> bool:
        """Whether the last try to open failed."""
        return self.down_since_ms is not None

    async def open(self) -> bool:
        """One try; False when it failed, which is told once."""
        now_ms = self._clock.mono_ms()
        try:
            await self.line.open()
            await self._settle()
        except LineError as fault:
            self.failures += 1
            self.retry_ms = now_ms + min(REOPEN_MS_MAX, REOPEN_MS_MIN << min(self.failures - 1, 8))
            self._tell_down(fault, now_ms)
            return False
        self._worked = False
        # Holds until an answer comes: a server that accepts and closes is not connected to in a tight loop.
        self.retry_ms = now_ms + REOPEN_MS_MIN
        self._statistics.opened += 1
        self._note(OPENED, "" if self.down_since_ms is None else f"after {(self._clock.mono_ms() - self.down_since_ms) / 1000:.0f} s")
        self._tell_up()
        return True

    async def open_again(self) -> bool:
        """For a line that closed under a question: at once when it had worked, else not now."""
        return self._worked and await self.open()

    async def renew(self) -> None:
        """Closes a line on which nobody answers: half-open connections look like that. The next turn opens it."""
        await self.line.close("nobody answers on it; it is made new")

    async def _settle(self) -> None:
        if self._connect_delay_ms:
            await asyncio.sleep(self._connect_delay_ms / 1000 / self._clock.speed)

    def _note(self, kind: str, words: str) -> None:
        """For the trace, where people look for what happened between two frames."""
        self._statistics.trace.line(time.monotonic_ns(), kind, words)

    def _tell_down(self, fault: LineError, now_ms: int) -> None:
        # Once for each reason: it is tried every few seconds, and the frames from before are worth more.
        if self.fault is None or self.fault.text != fault.text:
            self._note(NOT_OPENED, fault.text)
        self.fault = fault
        if self.down_since_ms is None:
            self.down_since_ms = now_ms
            _log.error("%s", fault)

    def _tell_up(self) -> None:
        if self.down_since_ms is not None:
            _log.info('bus "%s" is back after %.0f s', self.line.bus.name, (self._clock.mono_ms() - self.down_since_ms) / 1000)
            self.down_since_ms = self.fault = None
