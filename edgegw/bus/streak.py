"""Polls in a row on a Modbus TCP connection, by callbacks: as long as every answer is as expected no task is woken.

    an answer comes      proven, told, and what is due next is asked, all in the callback that brought it
    nothing is due       the line's one timer is set to the next slot
    anything else        the bus task is woken and goes on from there: pieces of an answer, exceptions, late ones, a time-out, a closed
                         connection, a technician, a probe or an introduction that is due, a step of the clock, a source with parts

A question that is under way then is the task's: `TcpExchange.ask` takes it over without sending it again. What is asked, proven, learnt and
counted is the same in both ways; waking a task costs more than all of that.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from edgegw.bus.asking import Asker
from edgegw.bus.outbox import Outbox, outbox_of
from edgegw.bus.outcome import Outcomes
from edgegw.bus.patience import FLOOR_TCP_MS, Lesson
from edgegw.bus.schedule import Schedule, Slot
from edgegw.bus.statistics import Counters
from edgegw.bus.transaction import Transactions
from edgegw.bus.transaction_tcp import may_send
from edgegw.clock import Clock
from edgegw.drivers.base import PlannedSource
from edgegw.model import Answer, Question

# The watchdog looks at the checkpoint: no pause is longer.
PAUSE_MS_MAX = 1000
_MS = 1_000_000

Turn = tuple[Slot, int]
"""A slot that has its turn, and the monotonic ms at which it got it."""


class _Plain(msgspec.Struct):
    """A source that is read with one question, and what a poll of it needs."""

    planned: PlannedSource
    question: Question
    unit: int
    counters: Counters
    lesson: Lesson


class Streak:
    """Of one bus."""

    def __init__(self, transactions: Transactions, asker: Asker, schedule: Schedule, outcomes: Outcomes, clock: Clock) -> None:
        bus = transactions.line.bus
        self.turned_ms = 0
        """Monotonic ms at which it last turned."""
        self._line = transactions.line
        self._exchange = transactions.tcp
        self._statistics = transactions.statistics
        self._asker = asker
        self._schedule = schedule
        self._outcomes = outcomes
        self._clock = clock
        self._least_wait_ns = min(bus.answer_timeout_ms, FLOOR_TCP_MS) * _MS
        """No answer is waited for shorter: until then nobody has to know how long."""
        self._plain: dict[Slot, _Plain] = {}
        self._slot: Slot | None = None
        """Under way, or handed over."""
        self._asked: _Plain | None = None
        """Under way, or about to be sent."""
        self._is_sent = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outbox: Outbox | None = None
        self._due_ms = 0
        """When the slot was due, before it was asked."""
        self._until_ms: float = 0
        self._offset_ms = 0
        self._is_over = True
        self._is_proven = False
        """An answer came in this streak."""
        self._fault: BaseException | None = None

    async def run(self, until_ms: float) -> Turn | None:
        """Polls until then at the longest, or until anything is not as usual. Returns the slot that has its turn then; its question may be under way."""
        line = self._line
        self._until_ms = until_ms
        self._offset_ms = self._clock.offset_ms
        self._is_over = self._is_proven = False
        self._fault = None
        self._loop = loop = asyncio.get_running_loop()
        self._outbox = outbox_of(loop)
        arrival = line.wait(time.monotonic_ns() + PAUSE_MS_MAX * _MS)
        line.taker = self
        try:
            if self._go_on():
                await arrival
        except asyncio.CancelledError:
            self._exchange.forget()
            raise
        finally:
            line.taker = self._asked = None
            self._is_over = True
            self._asker.asking = False
        self._raise_fault()
        if self._slot is None:
            return None
        self._plain.pop(self._slot, None)  # Whatever comes now may change how it is read.
        return self._slot, self.turned_ms

    def _raise_fault(self) -> None:
        if self._fault is not None:
            self._exchange.forget()
            raise self._fault

    def stop(self) -> None:
        """After the question under way, at once where there is none. From anywhere."""
        if not self._is_over:
            self._is_over = True
            if self._asked is None:
                self._line.wake_soon()

    # -- what the line tells

    def take(self, data: bytes) -> bool:
        """An answer, or the task's business."""
        asked = self._asked
        if asked is None or (found := self._exchange.match(data)) is None:
            return False
        try:
            self._answered(asked, found)
            if not self._go_on():
                self._line.wake()
        except BaseException as fault:
            self._fail(fault)
            raise
        return True

    def expire(self) -> bool:
        """The next slot is due, or an answer is."""
        try:
            if self._asked is None:
                return self._go_on()
            if not self._is_sent:
                self._line.wait_until(time.monotonic_ns() + self._least_wait_ns)
                return True
            over_ns = self._exchange.asked_ns + round(self._asker.patience.wait_ms(self._asked.unit, self._asked.question) * _MS)
            if time.monotonic_ns() >= over_ns:
                return False
            self._line.wait_until(over_ns)
        except BaseException as fault:
            self._fail(fault)
            raise
        return True

    def _fail(self, fault: BaseException) -> None:
        """A mistake of ours in a callback: it ends the bus task as any other does."""
        self._fault = fault
        self._line.wake_soon()

    # -- turning

    def _go_on(self) -> bool:
        """Asks what is due, or sets the timer to what is due next. False when the task has to."""
        self._slot = self._asked = None
        clock = self._clock
        self.turned_ms = now_ms = clock.mono_ms()
        if not self._is_over and now_ms < self._until_ms and clock.offset_ms == self._offset_ms and self._line.is_open:
            self._slot = slot = self._schedule.take_slot(now_ms)
            if slot is not None:
                plain = self._plain.get(slot)
                if plain is None or plain.planned is not slot.planned:
                    plain = self._learn(slot)
                return plain is not None and self._ask(slot, plain)
            next_ms = min(self._schedule.slots_ms(), self._until_ms, now_ms + PAUSE_MS_MAX)
            self._line.wait_until(time.monotonic_ns() + max(0, round((next_ms - now_ms) * _MS / clock.speed)), exactly=True)
            self._asker.asking = False
            return True
        return False

    def _ask(self, slot: Slot, plain: _Plain) -> bool:
        self._due_ms = slot.due_ms
        assert self._loop is not None
        assert self._outbox is not None
        self._asked = plain
        self._is_sent = False
        self._asker.asking = True
        self._outbox.add(self._send, self._loop)
        return True

    def _send(self) -> None:
        """The question, unless the task has it by now."""
        plain = self._asked
        if plain is None or self._is_sent or not self._line.is_open:
            return
        try:
            self._exchange.send(plain.question, plain.counters, plain.unit)
            self._is_sent = True
            self._line.wait_until(self._exchange.asked_ns + self._least_wait_ns)
        except BaseException as fault:
            self._fail(fault)
            raise

    def _learn(self, slot: Slot) -> _Plain | None:
        """None where polling it takes more than one question and its answer."""
        planned, plan = slot.planned, slot.link.plan
        if len(planned.questions) != 1 or self._line.bus.gap_ms or plan.gap_ms or not self._asker.holes.of(planned).is_whole:
            return None
        question = planned.questions[0]
        if question.follow is not None or question.fits or not may_send(question):
            return None
        lesson = self._asker.patience.lesson(plan.unit, question)
        plain = self._plain[slot] = _Plain(planned, question, plan.unit, self._statistics.unit(plan.unit), lesson)
        return plain

    def _answered(self, asked: _Plain, data: bytes) -> None:
        slot = self._slot
        assert slot is not None
        self._asked = None
        arrived_ns, asked_ns, counters = self._line.last_byte_ns, self._exchange.asked_ns, asked.counters
        took_us = (arrived_ns - asked_ns) // 1000
        counters.latencies_us.append(took_us)
        counters.answered += 1
        counters.last_answer_ns = arrived_ns
        self._statistics.add_busy(asked_ns, arrived_ns)
        asked.lesson.answered(took_us / 1000, counters)
        if not self._is_proven:
            self._is_proven = True
            self._asker.proven()
        self._outcomes.polled(slot, self.turned_ms, self._due_ms, [Answer(data, arrived_ns)])
        if slot.link.introduce_ms < self._until_ms:
            self._is_over = True
