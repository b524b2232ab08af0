"""What a line's task waits on: a future for one waiter at a time that is used again for each wait, and wakes its task within the same turn of the loop.

An `asyncio.Future` wakes its task in the next turn; for each answer on a busy connection that is one more look at all sockets, which costs as much
as the rest of the waiting. asyncio takes every object for a future that has `_asyncio_future_blocking` and the methods below (the protocol
of `asyncio.isfuture`). Only a callback of the loop can wake a task at once: from within another task it is woken in the next turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Arrival:
    """Of one line."""

    __slots__ = ("_asyncio_future_blocking", "_came", "_context", "_is_cancelled", "_is_settled", "_loop", "_number", "_wake")

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: Callable[[Arrival], object] | None = None
        """Of the task that waits."""
        self._context: Context | None = None
        self._number = 0
        """Of the wait."""
        self._came = False
        self._is_settled = True
        self._is_cancelled = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits and was not told."""
        return not self._is_settled

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """A new wait; who still waits for the last one does so no more."""
        self._loop = loop
        self._number += 1
        self._wake = self._context = None
        self._is_settled = self._is_cancelled = False

    def settle(self, *, came: bool) -> None:
        """Ends the wait, if there is one, with this result."""
        if self._is_settled:
            return
        wake, context = self._wake, self._context
        if wake is not None and asyncio.current_task(self._loop) is not None:
            self.settle_soon(came=came)
            return
        self._came = came
        self._is_settled = True
        if wake is not None and context is not None:
            context.run(wake, self)

    def settle_soon(self, *, came: bool) -> None:
        """The same in the next turn of the loop, from wherever."""
        if not self._is_settled:
            assert self._loop is not None
            self._loop.call_soon(self._settle_late, self._number, came)

    def _settle_late(self, number: int, came: bool) -> None:  # noqa: FBT001 - for call_soon
        if number == self._number:
            self.settle(came=came)

    # -- what asyncio asks of a future

    def __await__(self) -> Generator[Arrival, None, bool]:
        if not self._is_settled:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def add_done_callback(self, wake: Callable[[Arrival], object], *, context: Context) -> None:
        self._wake, self._context = wake, context

    def get_loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def result(self) -> bool:
        if self._is_cancelled:
            raise asyncio.CancelledError
        return self._came

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002 - asyncio hands it over
        """False when the wait is over: then the task itself is told."""
        if self._is_settled or self._loop is None:
            return False
        self._is_cancelled = self._is_settled = True
        if self._wake is not None and self._context is not None:
            self._loop.call_soon(self._wake, self, context=self._context)
        return True
