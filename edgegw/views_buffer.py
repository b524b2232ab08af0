"""What the control socket answers about the store's file: for people who may use the socket but not read the file (forms: docs/cli.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.export import fields
from edgegw.buffer.history import Reader, Span
from edgegw.buffer.limits import limits_of
from edgegw.buffer.overview import capacity, describe, newest
from edgegw.buffer.recovery import Recovery, find_damaged, plain
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.errors import EXIT_HELD, EdgegwError

# A question for more samples than fit some screens is a matter for `export`.
TAIL_MAX = 10_000
# One answer of a recovery: progress comes four times a second at least.
_STEP_S = 0.25
# A recovery that nobody asks on for this long has lost its asker: another may begin.
_FORGOTTEN_S = 60.0


class BufferViews:
    """Reads on threads, with connections of its own that never write; salvage goes through the writer as everything does."""

    def __init__(self, config: Config, clock: Clock, buffer: Buffer) -> None:
        self._clock = clock
        self._buffer = buffer
        self._directory = Path(config.paths.state_dir)
        self._limits = limits_of(self._directory, config.store.max_size_mib)
        self._recovery: Recovery | None = None
        self._asked_s = 0.0

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"buffer-status": self.status, "buffer-tail": self.tail, "capacity": self.capacity, "buffer-recover": self.recover}

    async def status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        stored = self._buffer.status()
        found = await asyncio.to_thread(self._describe)
        live = {
            "writing": stored.writing,
            "error": stored.last_error or None,
            "queue_readings": stored.queue_readings,
            "tail_readings": stored.tail_readings,
            "dropped_readings": stored.dropped_readings,
        }
        return {**found, "live": live}

    def _describe(self) -> dict[str, Any]:
        with Reader(self._directory / FILE_NAME) as reader:
            return describe(reader, self._limits)

    async def capacity(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            with Reader(self._directory / FILE_NAME) as reader:
                return capacity(reader, self._limits)

        return await asyncio.to_thread(look)

    async def tail(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`count` newest samples of `device` and `point` (empty: all)."""
        count = max(1, min(int(arguments.get("count", 20)), TAIL_MAX))
        span = Span(device=str(arguments.get("device", "")), point=str(arguments.get("point", "")))

        def look() -> dict[str, Any]:
            with Reader(self._directory / FILE_NAME) as reader:
                return {"samples": [fields(sample) for sample in newest(reader, count, span)]}

        return await asyncio.to_thread(look)

    async def recover(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A quarter of a second of salvage from `file` (a name in the state directory; empty: the only one); asked again until `done`."""
        path = find_damaged(self._directory, str(arguments.get("file", "")))
        running = self._recovery
        if running is not None and running.progress.file != path.name and time.monotonic() - self._asked_s < _FORGOTTEN_S:
            raise EdgegwError("E-RECOVER-HELD", f"{running.progress.file} is being salvaged", "wait until that has ended", EXIT_HELD)
        if running is None or running.progress.file != path.name or arguments.get("begin"):
            self._end()
            running = self._recovery = await asyncio.to_thread(Recovery, self._buffer, self._clock, path)
        until_s = time.monotonic() + _STEP_S
        while True:
            progress = await running.step()
            self._asked_s = time.monotonic()
            if progress.done:
                self._end()
            if progress.done or self._asked_s >= until_s:
                return plain(progress)

    def _end(self) -> None:
        if self._recovery is not None:
            self._recovery.close()
            self._recovery = None
