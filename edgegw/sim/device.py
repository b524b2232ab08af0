"""One simulated device: registers that follow the station, a number for each answer, and the faults that are switched on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

import msgspec

from edgegw.sim.frames import Request
from edgegw.sim.journal import Entry
from edgegw.sim.station import SimDevice
from edgegw.sim.tongue import Body, Physical

SERIAL_FAULTS = frozenset({"delay", "crc", "truncate", "noise", "exception"})
# A stream socket neither damages nor invents bytes.
TCP_FAULTS = frozenset({"delay", "exception"})
# What cuts, delays or damages an answer. Noise stands before a whole one, an exception is a whole one.
_NOT_WHOLE = frozenset({"delay", "crc", "truncate"})


class SwitchedFault(msgspec.Struct, frozen=True):
    """A fault of the answers of one device: how often, and for `delay` how long."""

    kind: str
    probability: float
    delay_ms: float = 0.0


class Reply(msgspec.Struct, frozen=True):
    """What a device says to one request, and what happens to it on the way."""

    request: Request
    payload: bytes
    exception: int | None
    values: Mapping[str, int | str | None]
    fault: str | None = None
    delay_ns: int = 0

    @property
    def whole(self) -> bool:
        return self.fault not in _NOT_WHOLE


class DeviceCounts(msgspec.Struct):
    requests: int = 0
    answers: int = 0
    refused: int = 0
    """Answers that were exceptions."""
    unanswered: int = 0
    """Requests that came while the device was silent."""


class Device:
    """Asked by the thread of its line only; `force`, `silence` and `switch` may come from another: they replace whole objects."""

    def __init__(
        self, facts: SimDevice, image: Body, measure: Callable[[], Mapping[str, Physical]], seed: int, is_dark: Callable[[], bool] = lambda: False
    ) -> None:
        self.code = facts.code
        self.bus = facts.bus
        self.unit = facts.key
        self.image = image
        self.turnaround_ns = round(facts.turnaround_ms * 1e6)
        self.counts = DeviceCounts()
        self._measure = measure
        self._is_dark = is_dark
        self._forced: dict[str, Physical] = {}
        self._silent_until_ns = 0.0
        self._fault: SwitchedFault | None = None
        self._random = random.Random(seed)

    # -- what a control command changes

    def force(self, point: str, value: Physical) -> None:
        """The point has this value until `release`."""
        self._forced = {**self._forced, point: value}

    def release(self, point: str | None) -> None:
        """The point, or every point, follows the station again."""
        self._forced = {name: value for name, value in self._forced.items() if point not in (None, name)}

    def silence(self, seconds: float | None) -> None:
        """No answer for this long; None: until told to speak (`silence(0)`)."""
        self._silent_until_ns = float("inf") if seconds is None else time.monotonic_ns() + seconds * 1e9

    def switch(self, fault: SwitchedFault | None) -> None:
        self._fault = fault

    # -- what the line asks

    def answer(self, request: Request) -> Reply | None:
        """The answer to a request to this unit, with the values of this moment; None when the device is silent."""
        self.counts.requests += 1
        if time.monotonic_ns() < self._silent_until_ns or self._is_dark():
            self.counts.unanswered += 1
            return None
        fault = self._drawn_fault()
        busy = fault is not None and fault.kind == "exception"
        said = self.image.refuse(request) if busy else self.image.answer(request, self._measure(), self._forced)
        if said is None:
            self.counts.unanswered += 1
            return None
        delay_ns = round(fault.delay_ms * 1e6) if fault and fault.kind == "delay" and said.exception is None else 0
        return Reply(request, said.payload, said.exception, said.values, fault.kind if fault else None, delay_ns)

    def entry(self, reply: Reply, request_ns: int, finished_ns: int, finished_ms: int, *, whole: bool) -> Entry:
        """Numbers the answer, which is now on the line, and says what it was."""
        self.counts.answers += 1
        self.counts.refused += reply.exception is not None
        request = reply.request
        return Entry(
            device=self.code,
            bus=self.bus,
            unit=self.unit,
            n=self.counts.answers,
            function=request.function,
            address=request.address,
            count=request.count,
            request_ns=request_ns,
            finished_ns=finished_ns,
            finished_ms=finished_ms,
            exception=reply.exception,
            whole=whole,
            values=reply.values,
        )

    def _drawn_fault(self) -> SwitchedFault | None:
        fault = self._fault
        return fault if fault and self._random.random() < fault.probability else None
