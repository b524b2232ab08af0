"""How long the answer of a device is waited for, learnt from its own answers. Pure.

    wait = turnaround + time of the answer's own bytes on the line
    turnaround = the slowest of the device's recent answers, doubled, and a margin; never below a floor, never above `answer_timeout_ms`

The full `answer_timeout_ms` holds

    for a question that was not answered a few times yet: registers that a device has to compute take longer than others
    after a wait in vain, until the device answers again: a slower device is no dead one, and its slower answer is learnt from
    for many answers after one that came later than was waited for: doubling was too little for this device

The late-answer guard does not trust what was learnt: it counts from the end of the full wait (transaction.py).
"""

from __future__ import annotations

from collections import deque

from edgegw.bus.statistics import Counters
from edgegw.config.model import Bus
from edgegw.drivers.base import character_ms
from edgegw.model import Answer, Fault, Question

# USB adapters hand bytes over in steps of 16 ms, a busy meter answers after its measuring cycle (20 to 80 ms), the machine has a load.
FLOOR_MS = 100
# One lost segment is sent again after 200 ms, Linux's least.
FLOOR_TCP_MS = 300
# Devices answer between once and twice their usual time while they store or display something.
FACTOR = 2
MARGIN_MS = 50
# Fewer answers say nothing of the slowest.
ANSWERS_MIN = 3
# Of each question: at one poll a second a minute. What is slower only once in more than that is lost once and then known.
ANSWERS_KEPT = 64
# What may have been too short a wait: nothing came, the beginning, or others only. An answer with a wrong check sum came in time.
_IN_VAIN = frozenset({"timeout", "short", "foreign", "noise"})


class Patience:
    """Of one bus. Bounded by the number of different questions in the plan."""

    def __init__(self, bus: Bus) -> None:
        self._ceiling_ms = float(bus.answer_timeout_ms)
        self._floor_ms = FLOOR_MS if bus.kind == "serial" else FLOOR_TCP_MS
        self._character_ms = 0.0 if bus.kind == "tcp" else character_ms(bus)
        self._units: dict[int, _Unit] = {}

    def wait_ms(self, unit: int, question: Question) -> float:
        """For a poll."""
        known = self._units.get(unit)
        if known is None or known.in_vain or known.held or len(known.turnarounds_ms.get(question.payload, ())) < ANSWERS_MIN:
            return self._ceiling_ms
        return self._whole_ms(max(self._floor_ms, known.learnt_ms), question)

    def probe_ms(self, unit: int, probe: Question) -> float:
        """For a sign of life from a silent device: what it took while it lived, in vain or not. A lost segment costs no value here."""
        known = self._units.get(unit)
        return self._ceiling_ms if known is None else self._whole_ms(known.learnt_ms, probe)

    def _whole_ms(self, turnaround_ms: float, question: Question) -> float:
        return min(self._ceiling_ms, turnaround_ms + question.answer_size * self._character_ms)

    def learn(self, question: Question, result: Answer | Fault, unit: int, counters: Counters) -> None:
        """How a question ended."""
        if isinstance(result, Answer):
            self._answered(question, unit, counters, question.answer_size)
        elif result.exception_code is not None:
            self._answered(question, unit, counters, 0)
        elif result.kind in _IN_VAIN and (known := self._units.get(unit)) is not None and not known.in_vain:
            known.in_vain = True
            known.late = counters.late

    def _answered(self, question: Question, unit: int, counters: Counters, size: int) -> None:
        """Its latency is the newest in the counters."""
        known = self._units.get(unit)
        if known is None:
            known = self._units[unit] = _Unit()
        own = known.turnarounds_ms.get(question.payload)
        if own is None:
            own = known.turnarounds_ms[question.payload] = deque(maxlen=ANSWERS_KEPT)
        forgotten_ms = own[0] if len(own) == ANSWERS_KEPT else -1.0
        turnaround_ms = max(0.0, counters.latencies_us[-1] / 1000 - size * self._character_ms)
        own.append(turnaround_ms)
        if known.in_vain or known.held:
            known.held = ANSWERS_KEPT if known.in_vain and counters.late > known.late else max(0, known.held - 1)
            known.in_vain = False
        # The slowest of all is looked for only when it is replaced or forgotten.
        if turnaround_ms > known.slowest_ms:
            known.slowest_ms = turnaround_ms
        elif forgotten_ms >= known.slowest_ms:
            known.slowest_ms = max(map(max, known.turnarounds_ms.values()))
        elif known.learnt_ms:
            return
        known.learnt_ms = max(FLOOR_MS, FACTOR * known.slowest_ms + MARGIN_MS)
        counters.learnt_timeout_ms = round(min(self._ceiling_ms, max(self._floor_ms, known.learnt_ms)))


class _Unit:
    __slots__ = ("held", "in_vain", "late", "learnt_ms", "slowest_ms", "turnarounds_ms")

    def __init__(self) -> None:
        self.in_vain = False
        """The last wait was."""
        self.late = 0
        """Late answers counted when it began to wait in vain."""
        self.held = 0
        """Answers to come before what was learnt is trusted again."""
        self.learnt_ms = 0.0
        self.slowest_ms = 0.0
        """The longest of all that are kept."""
        self.turnarounds_ms: dict[bytes, deque[float]] = {}
        """Of each question, by its bytes."""
