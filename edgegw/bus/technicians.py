"""Reads that people ask for: ahead of the queue, within their share of the line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from edgegw.bus.schedule import Link, Slot
from edgegw.model import Reading

# Reads of technicians that may wait; a person does not read more devices at a time.
TECHNICIAN_MAX = 8


class Request(NamedTuple):
    """A technician's read: what is still to be asked, and what came."""

    slots: deque[Slot]
    readings: list[Reading]
    done: asyncio.Future[list[Reading]]


class Requests:
    """Of one bus, in their order."""

    def __init__(self, tell_offline: Callable[[Slot], Reading]) -> None:
        """`tell_offline`: the reading of a source that cannot be asked."""
        self._waiting: list[Request] = []
        self._tell_offline = tell_offline

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= TECHNICIAN_MAX

    def add(self, link: Link) -> asyncio.Future[list[Reading]]:
        """Every source of the device; the readings."""
        request = Request(deque(link.slots), [], asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        return request.done

    def askable(self, is_held: Callable[[Slot], bool]) -> Request | None:
        """The first read with a source that nothing holds back (the late-answer guard, an introduction); that source comes first."""
        for request in self._waiting:
            for slot in request.slots:
                if not is_held(slot):
                    request.slots.remove(slot)
                    request.slots.appendleft(slot)
                    return request
        return None

    def served(self, request: Request, slot: Slot, reading: Reading | None) -> None:
        """What its first source said, None when it could not be asked yet; the last one ends the read."""
        if reading is None:
            request.slots.append(slot)
            return
        request.readings.append(reading)
        if slot.link.failures and slot.offline:
            self._rest_offline(request)  # The rest would cost a time-out each and say the same.
        if not request.slots and request in self._waiting:
            self._waiting.remove(request)
            _finish(request)

    def refuse_all(self) -> None:
        """The line is down."""
        while self._waiting:
            request = self._waiting.pop(0)
            self._rest_offline(request)
            _finish(request)

    def cancel_all(self) -> None:
        """The bus ends."""
        while self._waiting:
            self._waiting.pop(0).done.cancel()

    def _rest_offline(self, request: Request) -> None:
        request.readings.extend(map(self._tell_offline, request.slots))
        request.slots.clear()


def _finish(request: Request) -> None:
    if not request.done.done():
        request.done.set_result(request.readings)
