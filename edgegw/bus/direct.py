"""Reads one device without the daemon: opens the line itself, under the same lock, asks everything once, closes it."""

from __future__ import annotations

import asyncio

from edgegw.bus.line import make_line
from edgegw.bus.readings import failed_reading, fault_quality, good_reading
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.clock import Clock
from edgegw.config.model import Bus
from edgegw.drivers.base import DevicePlan, PlannedSource
from edgegw.model import Answer, Fault, Question, Reading


async def read_device(bus: Bus, plan: DevicePlan, clock: Clock) -> list[Reading]:
    """A reading of every source. Raises LineError (E-BUS-PORT, E-BUS-HELD, E-BUS-CONNECT) when the line cannot be had."""
    transactions = Transactions(bus, make_line(bus), BusStatistics())
    try:
        await _open(transactions, bus, plan)
        return [await _read_source(transactions, bus, plan, planned, clock) for planned in plan.sources]
    finally:
        await transactions.line.close()


async def _open(transactions: Transactions, bus: Bus, plan: DevicePlan) -> None:
    await transactions.line.open()
    await asyncio.sleep(max(bus.connect_delay_ms, plan.connect_delay_ms) / 1000)


async def _read_source(transactions: Transactions, bus: Bus, plan: DevicePlan, planned: PlannedSource, clock: Clock) -> Reading:
    answers: list[Answer] = []
    for question in planned.questions:
        result = await _ask(transactions, bus, plan, question)
        if isinstance(result, Fault) and result.kind == "closed":  # Some servers close after each answer, and it shows in the next question.
            result = await _ask(transactions, bus, plan, question)
        if isinstance(result, Fault):
            return failed_reading(planned, fault_quality(result), clock)
        answers.append(result)
    return good_reading(planned, answers, clock)


async def _ask(transactions: Transactions, bus: Bus, plan: DevicePlan, question: Question) -> Answer | Fault:
    if not transactions.line.is_open:
        await _open(transactions, bus, plan)
    while transactions.blocked_until_ns(question):  # noqa: ASYNC110 - a time is awaited
        await asyncio.sleep(bus.late_answer_guard_ms / 1000)
    return await transactions.ask(question, bus.answer_timeout_ms, plan.unit, plan.gap_ms)
