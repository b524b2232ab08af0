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
# Of each question at least so many, twice as many at most: at one poll a second one to two minutes. What is slower only once in more than that is
# lost once and then known.
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
        lesson = None if known is None or known.in_vain or known.held else known.lessons.get(question.payload)
        if known is None or lesson is None or lesson.answers < ANSWERS_MIN:
            return self._ceiling_ms
        return self._whole_ms(max(self._floor_ms, known.learnt_ms), question)

    def probe_ms(self, unit: int, probe: Question) -> float:
        """For a sign of life from a silent device: what it took while it lived, in vain or not. A lost segment costs no value here."""
        known = self._units.get(unit)
        return self._whole_ms(known.learnt_ms, probe) if known is not None and known.learnt_ms else self._ceiling_ms

    def _whole_ms(self, turnaround_ms: float, question: Question) -> float:
        return min(self._ceiling_ms, turnaround_ms + question.answer_size * self._character_ms)

    def learn(self, question: Question, result: Answer | Fault, unit: int, counters: Counters) -> None:
        """How a question ended."""
        if isinstance(result, Answer):
            self._answered(question, unit, counters, question.answer_size)
        elif result.exception_code is not None:
            self._answered(question, unit, counters, 0)
        elif result.kind in _IN_VAIN and (known := self._units.get(unit)) is not None and known.learnt_ms and not known.in_vain:
            known.in_vain = True
            known.late = counters.late

    def _answered(self, question: Question, unit: int, counters: Counters, size: int) -> None:
        """Its latency is the newest in the counters."""
        self.lesson(unit, question).answered(max(0.0, counters.latencies_us[-1] / 1000 - size * self._character_ms), counters)

    def lesson(self, unit: int, question: Question) -> Lesson:
        """What is learnt from the answers to this question."""
        known = self._units.get(unit)
        if known is None:
            known = self._units[unit] = _Unit(self._floor_ms, self._ceiling_ms)
        lesson = known.lessons.get(question.payload)
        if lesson is None:
            lesson = known.lessons[question.payload] = Lesson(known)
        return lesson


class Lesson:
    """Of one question to one unit: the slowest of its last answers, in two numbers instead of a list."""

    __slots__ = ("_before_ms", "_unit", "_worst_ms", "answers")

    def __init__(self, unit: _Unit) -> None:
        self._unit = unit
        self.answers = 0
        self._worst_ms = 0.0
        """Since the count was last a multiple of ANSWERS_KEPT."""
        self._before_ms = 0.0
        """Of the ANSWERS_KEPT answers before."""

    @property
    def slowest_ms(self) -> float:
        """Of the last ANSWERS_KEPT answers, and up to as many before."""
        return max(self._worst_ms, self._before_ms)

    def answered(self, turnaround_ms: float, counters: Counters) -> None:
        """An answer came after so long, without the time of its own bytes."""
        unit = self._unit
        self.answers += 1
        if turnaround_ms > self._worst_ms:  # noqa: PLR1730 - for each answer, and max is a call
            self._worst_ms = turnaround_ms
        forgets = not self.answers % ANSWERS_KEPT
        if forgets:
            self._before_ms, self._worst_ms = self._worst_ms, 0.0
        if forgets or turnaround_ms > unit.slowest_ms or unit.in_vain or unit.held or not unit.learnt_ms:
            unit.learn(counters)


class _Unit:
    __slots__ = ("_ceiling_ms", "_floor_ms", "held", "in_vain", "late", "learnt_ms", "lessons", "slowest_ms")

    def __init__(self, floor_ms: float, ceiling_ms: float) -> None:
        self._floor_ms = floor_ms
        self._ceiling_ms = ceiling_ms
        self.in_vain = False
        """The last wait was."""
        self.late = 0
        """Late answers counted when it began to wait in vain."""
        self.held = 0
        """Answers to come before what was learnt is trusted again."""
        self.learnt_ms = 0.0
        """0: nothing yet."""
        self.slowest_ms = 0.0
        """Of all its questions."""
        self.lessons: dict[bytes, Lesson] = {}
        """Of each question, by its bytes."""

    def learn(self, counters: Counters) -> None:
        """From an answer that may change what is known."""
        if self.in_vain or self.held:
            self.held = ANSWERS_KEPT if self.in_vain and counters.late > self.late else max(0, self.held - 1)
            self.in_vain = False
        self.slowest_ms = max(lesson.slowest_ms for lesson in self.lessons.values())
        self.learnt_ms = max(FLOOR_MS, FACTOR * self.slowest_ms + MARGIN_MS)
        counters.learnt_timeout_ms = round(min(self._ceiling_ms, max(self._floor_ms, self.learnt_ms)))
