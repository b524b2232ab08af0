"""One simulated device: registers that follow the station, a number for each answer, and the faults that are switched on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import msgspec

from edgegw.sim import forgery, frames
from edgegw.sim.frames import Request
from edgegw.sim.image import Image
from edgegw.sim.journal import Entry
from edgegw.sim.station import SimDevice
from edgegw.sim.tongue import Body, Physical, Said

SERIAL_FAULTS = frozenset({"delay", "crc", "truncate", "noise", "garbage", "exception", "reboot", *forgery.KINDS})
# A stream socket neither damages nor invents bytes, and a server has one device for each unit.
TCP_FAULTS = frozenset({"delay", "exception", "reboot", "transaction", "flood", *forgery.KINDS}) - {"twin"}
# What cuts, delays or damages an answer. Noise stands before a whole one, an exception is a whole one.
_NOT_WHOLE = frozenset({"delay", "crc", "truncate", "twin"})
# No answer at all, or the answer to something else: nothing of it may become a value.
_NO_ANSWER = frozenset({"garbage", "transaction", *forgery.KINDS}) - {"twin"}
# What a device is away for when it starts anew, unless told otherwise.
_REBOOT_MS = 3000.0


class SwitchedFault(msgspec.Struct, frozen=True):
    """A fault of the answers of one device: how often, for `delay` and `reboot` how long, for `exception` which."""

    kind: str
    probability: float
    delay_ms: float = 0.0
    code: int | None = None


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
        return self.fault not in _NOT_WHOLE | _NO_ANSWER


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
        self._shifts: dict[str, float] = {}
        self._outputs: dict[str, Physical] = {}
        """Relays that the gateway has switched."""
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
        self._shifts = {name: shift for name, shift in self._shifts.items() if point not in (None, name)}

    def hold(self, pattern: str) -> list[str]:
        """The points of this pattern stay as they are now until `release`; returns their names."""
        now = self._moved(self._measure())
        held = {point: now[point] for point in self.image.points if point in now and fnmatchcase(point, pattern)}
        self._forced = {**self._forced, **held}
        return list(held)

    def shift(self, point: str, to: float) -> None:
        """The register stands at `to` now and goes on counting from there, until `release`. Raises ValueError when it is none."""
        measured = self._measure().get(point)
        if measured is None or isinstance(measured, str):
            raise ValueError(f"nothing in the station drives {point} of {self.code}")
        self._shifts = {**self._shifts, point: to - measured}

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
        code = fault.code if fault and busy else None
        said = self.image.refuse(request, code) if busy else self._obey(request) or self.image.answer(request, self._moved(self._measure()), self._forced)
        if said is None:
            self.counts.unanswered += 1
            return None
        if fault is None:
            return Reply(request, said.payload, said.exception, said.values)
        if fault.kind == "reboot":
            # It answers this question, and is away before the rest of the round.
            self.silence((fault.delay_ms or _REBOOT_MS) / 1000)
            self._fault = None
        delay_ns = round(fault.delay_ms * 1e6) if fault.kind == "delay" and said.exception is None else 0
        # An exception has nothing that could be forged.
        kind = None if said.exception is not None and fault.kind in forgery.KINDS else fault.kind
        return Reply(request, said.payload, said.exception, {} if kind in _NO_ANSWER else said.values, kind, delay_ns)

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

    def _obey(self, request: Request) -> Said | None:
        """Switches a relay of its own; None where there is nothing to switch."""
        written = self.image.written(request) if isinstance(self.image, Image) else None
        if written is None:
            return None
        self._outputs = {**self._outputs, written[0]: written[1]}
        return Said(frames.written_pdu(request), {})

    def _moved(self, measured: Mapping[str, Physical]) -> Mapping[str, Physical]:
        """What the station measures, with the registers that were put elsewhere; they begin anew at their end."""
        moved = {point: _wrapped(float(measured[point]) + shift, self.image.width(point)) for point, shift in self._shifts.items()}
        return {**measured, **moved, **self._outputs} if moved or self._outputs else measured

    def _drawn_fault(self) -> SwitchedFault | None:
        fault = self._fault
        return fault if fault and self._random.random() < fault.probability else None


def _wrapped(value: float, width: float | None) -> float:
    return value % width if width else value
