"""What came of a poll: the reading that is told, the slot's next due time, and whether its device lives. No I/O, nothing waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from edgegw.bus.holes import Heard, HoleBook
from edgegw.bus.introducing import Introducer
from edgegw.bus.patience import Patience
from edgegw.bus.readings import NOT_ASKED, failed_reading, fault_quality, good_reading, is_alive, late_reading, parted_reading
from edgegw.bus.schedule import ENERGY_LATE_MS, ENERGY_RETRY_MS, Link, Schedule, Slot
from edgegw.bus.transaction import Transactions
from edgegw.clock import Clock
from edgegw.model import Answer, Fault, Quality, Reading

_log = logging.getLogger("edgegw.bus")

# What a device refuses is a fault of the configuration; asking again soon changes nothing.
REFUSED_RETRY_MS = 60_000
# What was learnt of its time (patience.py) may be wrong for a device that comes back slower: each third probe waits the full time.
PROBE_FULL_EACH = 3


class Learning(NamedTuple):
    """What a bus learns of its devices."""

    holes: HoleBook
    introducer: Introducer
    patience: Patience


class Outcomes:
    """Of one bus."""

    def __init__(self, transactions: Transactions, schedule: Schedule, learning: Learning, clock: Clock, on_reading: Callable[[Reading], None]) -> None:
        self._bus = transactions.line.bus
        self._schedule = schedule
        self._holes = learning.holes
        self._introducer = learning.introducer
        self._patience = learning.patience
        self._statistics = transactions.statistics
        self._clock = clock
        self._on_reading = on_reading

    def polled(self, slot: Slot, now_ms: int, due_ms: int, result: list[Answer] | Heard | Fault) -> Reading:
        """A slot that had its turn at `now_ms`, when it was due at `due_ms`: before that it stays due."""
        link = slot.link
        if isinstance(result, list):
            slot.offline = slot.refused = False
            slot.heard = result
            reading = good_reading(slot.planned, result, self._clock)
        else:
            reading = self._reading(slot, result)
        if now_ms >= due_ms:
            self._statistics.lateness_ms.append(now_ms - due_ms)
            if slot.aligned:
                reading = self._told_at_boundary(slot, reading)
            if missed := self._advance(slot) if slot.offline or slot.refused else slot.advance(reading.mono_ms):
                self._statistics.unit(link.plan.unit).missed_slots += missed
        self._on_reading(reading)
        if self._holes.listens:
            self._holes.note(reading)
        if reading.quality and link.plan.introduce is not None:
            self._introducer.doubt(link, reading)
        if isinstance(result, Fault):
            self.judge(link, result)
        elif link.failures or link.silent:
            self.judge(link, None)
        return reading

    def _advance(self, slot: Slot) -> int:
        """Of a source that said nothing."""
        now_ms = self._clock.mono_ms()
        if slot.aligned and slot.offline:
            skew_ms = slot.skew_ms(now_ms)
            if skew_ms is not None and skew_ms + ENERGY_RETRY_MS < ENERGY_LATE_MS:
                return slot.hold(now_ms + ENERGY_RETRY_MS)
        return slot.advance(now_ms, REFUSED_RETRY_MS if slot.refused else 0)

    def _told_at_boundary(self, slot: Slot, reading: Reading) -> Reading:
        """Energy that was read for a boundary of the wall clock, counted, and marked when it came late."""
        skew_ms = None if slot.offline or slot.refused else slot.skew_ms(reading.mono_ms)
        if skew_ms is None:
            return reading
        late = skew_ms > ENERGY_LATE_MS
        self._statistics.add_skew(skew_ms, late=late)
        return late_reading(reading) if late else reading

    def _reading(self, slot: Slot, result: Heard | Fault) -> Reading:
        """Also keeps in mind what the slot said last, and tells the log when that changes."""
        slot.heard = result
        if isinstance(result, Heard):
            slot.offline = slot.refused = False
            return parted_reading(slot.planned, result, self._clock)
        quality = fault_quality(result)
        slot.offline = quality is Quality.OFFLINE
        if quality is Quality.REFUSED and not slot.refused:
            source = slot.planned.source
            _log.warning('bus "%s": %s refuses its points %s: %s; does the profile fit?', self._bus.name, source.device, source.group, result.text)
        slot.refused = quality is Quality.REFUSED
        return failed_reading(slot.planned, quality, self._clock)

    def judge(self, link: Link, fault: Fault | None) -> None:
        """Whether the device lives, silent ones coming back and living ones falling silent."""
        now_ms = self._clock.mono_ms()
        code, unit = link.plan.device, link.plan.unit
        if fault is not None and fault.kind in NOT_ASKED:
            return  # Nothing was asked of the device.
        if fault is None or is_alive(fault):
            since_ms = link.silent_since_ms
            if link.answered(now_ms):
                _log.info('bus "%s": %s (unit %d) answers again after %.0f s', self._bus.name, code, unit, (now_ms - since_ms) / 1000)
                self._holes.retry(code)
                self._introducer.begin(link)
        elif link.failed(now_ms):
            _log.warning('bus "%s": %s (unit %d) stopped answering: %s', self._bus.name, code, unit, fault.text)
            link.probe_cost_ms = round(self.probe_timeout_ms(link) * self._clock.speed)
            self._tell_offline(link)
            if self._schedule.all_silent and len(self._schedule.links) > 1:
                _log.error('bus "%s": no device answers any more; look at %s', self._bus.name, _SUSPECTS[self._bus.kind])

    def probe_timeout_ms(self, link: Link) -> float:
        """How long a sign of life is waited for."""
        if link.probes % PROBE_FULL_EACH == 0:
            return self._bus.answer_timeout_ms
        return self._patience.probe_ms(link.plan.unit, link.probe)

    def _tell_offline(self, link: Link) -> None:
        """Each source of the device that has not said so yet."""
        for slot in link.slots:
            if not slot.offline:
                slot.offline = True
                self._on_reading(failed_reading(slot.planned, Quality.OFFLINE, self._clock))

    def tell_all_offline(self) -> None:
        """A failed poll of every source: the rules count some before they call a device offline."""
        for slot in self._schedule.slots:
            slot.offline = True
            self._on_reading(failed_reading(slot.planned, Quality.OFFLINE, self._clock))


_SUSPECTS = {
    "serial": "speed and parity, A and B swapped, the supply of the line",
    "tcp": "the unit ids, another client on the server, the server itself",
    "rtu-over-tcp": "speed and parity in the serial server, the supply of its line",
}
