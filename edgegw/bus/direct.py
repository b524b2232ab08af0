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
from edgegw.model import Answer, Fault, Reading


async def read_device(bus: Bus, plan: DevicePlan, clock: Clock) -> list[Reading]:
    """A reading of every source. Raises LineError (E-BUS-PORT, E-BUS-HELD, E-BUS-CONNECT) when the line cannot be had."""
    line = make_line(bus)
    await line.open()
    try:
        await asyncio.sleep(max(bus.connect_delay_ms, plan.connect_delay_ms) / 1000)
        transactions = Transactions(bus, line, BusStatistics())
        return [await _read_source(transactions, bus, plan, planned, clock) for planned in plan.sources]
    finally:
        await line.close()


async def _read_source(transactions: Transactions, bus: Bus, plan: DevicePlan, planned: PlannedSource, clock: Clock) -> Reading:
    answers: list[Answer] = []
    for question in planned.questions:
        if transactions.blocked_until_ns(question):
            await asyncio.sleep(bus.late_answer_guard_ms / 1000)
        result = await transactions.ask(question, bus.answer_timeout_ms, plan.unit, plan.gap_ms)
        if isinstance(result, Fault):
            return failed_reading(planned, fault_quality(result), clock)
        answers.append(result)
    return good_reading(planned, answers, clock)
