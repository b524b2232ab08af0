"""Reads one device without the daemon: opens the line itself, under the same lock, asks everything once as the bus does, closes it."""

from __future__ import annotations

from typing import NamedTuple

from edgegw.bus.asking import Asker
from edgegw.bus.holes import HoleBook
from edgegw.bus.introducing import INTRODUCTION_QUESTIONS_MAX, INTRODUCTION_TRIES, Introducer
from edgegw.bus.keeper import LineKeeper
from edgegw.bus.line import make_line
from edgegw.bus.origins import Located, locate
from edgegw.bus.readings import failed_reading, fault_quality, good_reading, is_alive, parted_reading
from edgegw.bus.schedule import Link, Slot
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.clock import Clock
from edgegw.config.model import Bus
from edgegw.drivers.base import DevicePlan
from edgegw.model import Fault, Quality, Reading


class Told(NamedTuple):
    """What one source said."""

    reading: Reading
    located: Located | None
    """Where its values stood; None where there was no answer, or nobody knows."""


async def read_device(bus: Bus, plan: DevicePlan, clock: Clock) -> list[Told]:
    """What every source said. Raises LineError (E-BUS-PORT, E-BUS-HELD, E-BUS-CONNECT) when the line cannot be had."""
    statistics = BusStatistics()
    transactions = Transactions(bus, make_line(bus), statistics)
    keeper = LineKeeper(transactions.line, clock, statistics, max(bus.connect_delay_ms, plan.connect_delay_ms))
    holes = HoleBook(bus.name, [plan], {}, lambda _key, _state: None, clock.mono_ms())
    asker = Asker(transactions, keeper, holes, clock)
    link = Link(plan, clock.mono_ms(), clock.mono_ms(), clock.offset_ms)
    try:
        if not await keeper.open() and keeper.fault is not None:
            raise keeper.fault
        absent = await _introduced(link, asker, holes, clock)
        return [
            await _read(slot, asker, keeper, clock) if slot.planned.questions else Told(failed_reading(slot.planned, absent, clock), None)
            for slot in link.slots
        ]
    finally:
        await transactions.line.close()


async def _introduced(link: Link, asker: Asker, holes: HoleBook, clock: Clock) -> Quality:
    """The device says what it is. Returns the quality of the sources that nobody knows how to read then."""
    introducer = Introducer(asker, holes, clock, lambda _device, _introduction: None)
    in_vain = 0
    for _ in range(INTRODUCTION_QUESTIONS_MAX):
        if not link.waits:
            return Quality.REFUSED
        result = await introducer.step(link)
        if result is None:
            await clock.sleep_until(min(link.introduce_ms, clock.mono_ms() + 1000))
        else:
            in_vain = in_vain + 1 if isinstance(result, Fault) and not is_alive(result) else 0
        if in_vain > INTRODUCTION_TRIES:
            return Quality.OFFLINE
    return Quality.REFUSED


async def _read(slot: Slot, asker: Asker, keeper: LineKeeper, clock: Clock) -> Told:
    result = await asker.ask_source(slot)
    while result is None:
        await clock.sleep_until(asker.held_until_ms(slot))
        result = await asker.ask_source(slot)
    if isinstance(result, Fault) and result.kind == "closed":  # Some servers close after each answer, and it shows in the next question.
        result = await asker.ask_source(slot) if await keeper.open() else result
    if result is None or isinstance(result, Fault):
        return Told(failed_reading(slot.planned, Quality.OFFLINE if result is None else fault_quality(result), clock), None)
    reading = good_reading(slot.planned, result, clock) if isinstance(result, list) else parted_reading(slot.planned, result, clock)
    return Told(reading, locate(slot.planned, result))
