"""Time that passes only when nobody has anything to do: an event loop, and lines whose peers live on it. The bus reads `time.monotonic_ns`, which follows."""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Awaitable, Callable

from bus_rig import Asked, Say

from edgegw.bus.line import Line
from edgegw.bus.port import LineError
from edgegw.config.model import Bus

MS = 1_000_000


class _Jump(selectors.SelectSelector):
    """Waits for nothing: what would be waited for is the time that has passed."""

    now_ns = 1_000_000_000_000

    def select(self, timeout=None):
        events = super().select(0)
        if not events:
            assert timeout is not None, "nothing will ever happen any more"
            self.now_ns += max(0, math.ceil(timeout * 1e9))
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic: the same calls at the same times at each run."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now_ns / 1e9


def run_virtual(monkeypatch, main: Callable[[], Awaitable[None]]) -> None:
    """Runs it on a loop of its own; until it ends, the monotonic clock is the loop's."""
    with monkeypatch.context() as patched:
        loop = VirtualLoop()
        patched.setattr(time, "monotonic_ns", lambda: loop.jump.now_ns)
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()


class VirtualLine(Line):
    """A line to a peer that says what it says at virtual times. `behave` is as of the devices on ptys; an RTU peer answers each unit in order."""

    def __init__(self, bus: Bus, behave: Callable[[Asked], Say], *, fails: Callable[[], bool] = lambda: False) -> None:
        super().__init__(bus)
        self.behave = behave
        self.fails = fails
        """Whether this try to open fails."""
        self.asked: list[Asked] = []
        self._connection = 0
        self._free_ns: dict[int, int] = {}
        self._last_ns = 0

    async def open(self) -> None:
        if self.fails():
            raise LineError("E-BUS-CONNECT", "the peer refuses", "")
        self._connection += 1
        self._opened()

    async def close(self, why: str = "") -> None:
        self._ended(why)
        self._connection += 1

    def write(self, payload: bytes) -> None:
        if not self.is_open:
            raise LineError("E-BUS-CONNECT", self.fault, "")
        now_ns = time.monotonic_ns()
        head = payload[6:] if self.bus.kind == "tcp" else payload
        number = int.from_bytes(payload[:2], "big") if self.bus.kind == "tcp" else len(self.asked)
        asked = Asked(number, now_ns, now_ns - self._last_ns, head[0], head[1], int.from_bytes(head[2:4], "big"), int.from_bytes(head[4:6], "big"))
        self.asked.append(asked)
        self._last_ns = now_ns
        # A server of Modbus TCP may answer as it likes: its answers bear the number of their question.
        start_ns = now_ns if self.bus.kind == "tcp" else max(now_ns, self._free_ns.get(asked.unit, 0))
        loop = asyncio.get_running_loop()
        for after_s, data in self.behave(asked):
            self._free_ns[asked.unit] = at_ns = max(start_ns, now_ns + round(after_s * 1e9))
            loop.call_later((at_ns - now_ns) / 1e9, self._say, self._connection, data)

    def pull(self) -> None:
        """Everything is announced."""

    def hang_up(self) -> None:
        """The peer closes, or the adapter is pulled out."""
        self._broke("the peer is gone")

    def _say(self, connection: int, data: bytes) -> None:
        if connection != self._connection or not self.is_open:
            return
        if not data:
            self.hang_up()
            return
        self._last_ns = time.monotonic_ns()
        self.take(data)

    def _stop_reading(self) -> None:
        self._connection += 1
