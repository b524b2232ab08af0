"""Introductions: a device says what it is before it is polled, one question a turn, so that the others of its bus are served between.

When the line is opened for the first time or after it could not be opened, and when a device comes back from a silence:

    answer, refusal             handed to the driver's generator, which yields the next question or returns what the device is
    nothing, or nothing proven  the same question again, a few times; then a device whose questions are known and that answered none
                                is polled as planned; of any other one the generator is told, and may ask elsewhere or be content with
                                what it has learnt; a device that is silent all the same is asked again when it gives a sign of life

While it lasts the device is not polled. What could not be found out is tried again every minute; until then sources without questions are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

from edgegw.bus.asking import Asker
from edgegw.bus.holes import HoleBook
from edgegw.bus.readings import DECODE_FAULTS, is_alive
from edgegw.bus.schedule import Link
from edgegw.clock import Clock
from edgegw.drivers.base import Introduction
from edgegw.model import Answer, Fault, Quality, Question, Reading

_log = logging.getLogger("edgegw.bus")

# The longest chain of models has some 64, each with a header; identity and repairs come to it.
INTRODUCTION_QUESTIONS_MAX = 160
# A question without an answer is asked so often: one lost answer is noise, and some devices never answer what they do not know.
INTRODUCTION_TRIES = 2
# What a device refuses it may have when it has started or was set up; a walk takes some seconds of the line.
INTRODUCTION_RETRY_MS = 60_000
# A question that the late-answer guard holds back is tried again this often.
_HELD_MS = 50

# Qualities that say nothing against what was learnt.
_EXPECTED = frozenset({Quality.OFFLINE, Quality.MAINTENANCE, Quality.NOT_FITTED})

OnIntroduced = Callable[[str, Introduction], None]
"""Device and what it said."""


class _Run:
    """One introduction under way."""

    __slots__ = ("asked", "generator", "heard", "in_vain", "question")

    def __init__(self, generator: Generator[Question, Answer | Fault, Introduction], question: Question) -> None:
        self.generator = generator
        self.question = question
        self.asked = 0
        self.heard = False
        """Whether it answered anything."""
        self.in_vain = 0
        """Times in a row that this question was asked for nothing."""


class Introducer:
    """Of one bus."""

    def __init__(self, asker: Asker, holes: HoleBook, clock: Clock, on_introduced: OnIntroduced) -> None:
        self._asker = asker
        self._holes = holes
        self._clock = clock
        self._on_introduced = on_introduced
        self._runs: dict[Link, _Run] = {}
        self._resolved: set[Link] = set()
        """Devices whose questions are known from their introduction alone."""

    def begin(self, link: Link) -> None:
        """At the device's next turn, from the beginning."""
        if link.plan.introduce is not None:
            self._runs.pop(link, None)
            link.waits, link.introduce_ms = True, self._clock.mono_ms()

    def doubt(self, link: Link, reading: Reading) -> None:
        """A source without one good word may be elsewhere by now: the device is asked again in a minute, and polled until then."""
        if link in self._resolved and not link.waits and link not in self._runs and len(reading.quality) == len(reading.values):
            moved = not any(quality.has_value or quality in _EXPECTED for quality in reading.quality.values())
            if moved:
                link.introduce_ms = min(link.introduce_ms, self._clock.mono_ms() + INTRODUCTION_RETRY_MS)

    async def step(self, link: Link) -> Answer | Fault | None:
        """One question; what came of it. None when none could be asked, or when a device that has just answered others does not know this one."""
        run = self._runs.get(link) or self._start(link)
        if run is None:
            return None
        result = await self._asker.ask_one(link, run.question)
        if link not in self._runs:
            return result  # The line was opened anew meanwhile.
        link.introduce_ms = self._clock.mono_ms() + (_HELD_MS if result is None else 0)
        if result is None:
            return None
        run.asked += 1
        if run.asked > INTRODUCTION_QUESTIONS_MAX:
            self._end(link, Introduction(note=f"its introduction did not end within {INTRODUCTION_QUESTIONS_MAX} questions"))
        elif isinstance(result, Answer) or is_alive(result) or result.kind == "permit":
            self._go_on(link, run, result)
        else:
            run.in_vain += 1
            if run.in_vain >= INTRODUCTION_TRIES and link.is_resolved and not run.heard:
                self._give_up(link)
            elif run.in_vain >= INTRODUCTION_TRIES:
                self._tell_silence(link, run, result)
            return None if run.heard else result
        return result

    def _start(self, link: Link) -> _Run | None:
        assert link.plan.introduce is not None
        generator = link.plan.introduce()
        try:
            question = next(generator)
        except StopIteration as end:
            self._end(link, end.value)
            return None
        run = self._runs[link] = _Run(generator, question)
        return run

    def _go_on(self, link: Link, run: _Run, result: Answer | Fault) -> None:
        run.heard = run.heard or isinstance(result, Answer)
        try:
            run.question = run.generator.send(result)
            run.in_vain = 0
        except StopIteration as end:
            self._end(link, end.value)
        except DECODE_FAULTS:
            _log.exception("%s: what it says of itself cannot be understood", link.plan.device)
            self._end(link, Introduction(note="what it says of itself cannot be understood"))

    def _tell_silence(self, link: Link, run: _Run, fault: Fault) -> None:
        """Some devices never answer what they do not have: the driver may ask elsewhere, or have learnt enough. When it has not, all is asked again."""
        try:
            run.question, run.in_vain = run.generator.send(fault), 0
        except StopIteration as end:
            learnt: Introduction = end.value
            if run.heard and (learnt.identity or learnt.sources is not None):
                self._end(link, learnt)
            elif link.is_resolved:
                self._give_up(link)
            else:
                self._runs.pop(link)

    def _give_up(self, link: Link) -> None:
        """Polled as planned, and asked again in a minute."""
        self._runs.pop(link).generator.close()
        link.waits = False
        link.introduce_ms = self._clock.mono_ms() + INTRODUCTION_RETRY_MS

    def _end(self, link: Link, introduction: Introduction) -> None:
        run = self._runs.pop(link, None)
        if run is not None:
            run.generator.close()
        link.waits = False
        if introduction.sources is not None:
            link.resolve(introduction.sources)
            link.probe = introduction.probe or link.plan.probe
            self._resolved.add(link)
            self._holes.resolve(link.plan.device, introduction.sources)
        again = introduction.sources is None and not link.is_resolved
        link.introduce_ms = self._clock.mono_ms() + INTRODUCTION_RETRY_MS if again else float("inf")
        if introduction.note:
            _log.log(logging.WARNING if again else logging.INFO, "%s: %s", link.plan.device, introduction.note)
        self._on_introduced(link.plan.device, introduction)
