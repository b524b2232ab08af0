"""The bus task: the one owner of a line, which asks its devices in turn.

    not open  ->  open it; each failure widens the pause, the first few tell every source offline
    open      ->  technician's question | probe of a silent device | due slot | pause until the next is due

One thing's fault is its own: a silent device costs the others its probe, a dead line costs other buses nothing.
Being cancelled, the task finishes the question under way, closes the line and ends; cancelled again, it ends at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edgegw.bus.asking import FOLLOWS_MAX, Asker
from edgegw.bus.holes import Heard, HoleBook, OnLearnt
from edgegw.bus.introducing import Introducer, OnIntroduced
from edgegw.bus.keeper import LineKeeper
from edgegw.bus.line import make_line
from edgegw.bus.readings import NOT_ASKED, failed_reading, fault_quality, good_reading, is_alive, late_reading, parted_reading
from edgegw.bus.schedule import ENERGY_LATE_MS, ENERGY_RETRY_MS, FAILURES_MAX, TICK_MS, Link, Schedule, Slot, TechnicianShare
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.technicians import TECHNICIAN_MAX, Requests
from edgegw.bus.transaction import SILENCE_WAIT_MS_MAX, Transactions
from edgegw.clock import Clock
from edgegw.config.model import Bus
from edgegw.drivers.base import DevicePlan
from edgegw.errors import EXIT_UNKNOWN, EdgegwError
from edgegw.model import Answer, Fault, Quality, Reading

_log = logging.getLogger("edgegw.bus")

# What a device refuses is a fault of the configuration; asking again soon changes nothing.
REFUSED_RETRY_MS = 60_000
# The watchdog looks at the checkpoint: no pause is longer.
PAUSE_MS_MAX = 1000
# A read that the late-answer guard holds back is tried again this often.
HELD_READ_MS = 50
# What was learnt of its time (patience.py) may be wrong for a device that comes back slower: each third probe waits the full time.
PROBE_FULL_EACH = 3
# A connection on which all are silent may be half open: it is made new after so many probes of one device.
RENEW_EACH = 10


class Extras(NamedTuple):
    """What the daemon knows beside the configuration."""

    grid_shift_ms: int = 0
    """How far this bus's grid of due times is from that of the first one (schedule.grid_shifts)."""
    remembered: Mapping[str, bytes] = {}
    """What was learnt at earlier starts (holes.py)."""
    on_learnt: OnLearnt = lambda _key, _state: None
    on_introduced: OnIntroduced = lambda _device, _introduction: None


NO_EXTRAS = Extras()


class BusTask:
    """Polls one bus. `run()` until cancelled; everything else may be called from the same loop at any time."""

    def __init__(self, bus: Bus, plans: Sequence[DevicePlan], clock: Clock, on_reading: Callable[[Reading], None], extras: Extras = NO_EXTRAS) -> None:
        self.bus = bus
        self.statistics = BusStatistics()
        self.checkpoint_ms = clock.mono_ms()
        """Monotonic ms at which the loop last turned."""
        self.line = make_line(bus)
        self._clock = clock
        self._on_reading = on_reading
        self._transactions = Transactions(bus, self.line, self.statistics)
        connect_delay_ms = max([bus.connect_delay_ms, *(plan.connect_delay_ms for plan in plans)])
        self._keeper = LineKeeper(self.line, clock, self.statistics, connect_delay_ms)
        self._schedule = Schedule(plans, self.checkpoint_ms, self._grid_ms(extras.grid_shift_ms), clock.offset_ms)
        self._holes = HoleBook(bus.name, plans, extras.remembered, extras.on_learnt, self.checkpoint_ms)
        self._asker = Asker(self._transactions, self._keeper, self._holes, clock)
        self._introducer = Introducer(self._asker, self._holes, clock, extras.on_introduced)
        self._requests = Requests(lambda slot: failed_reading(slot.planned, Quality.OFFLINE, clock))
        self._technicians = TechnicianShare()
        self._accounted_ns = 0
        """Of the line's busy time: so much is in the technician's share."""
        self._wake = asyncio.Event()
        self._ending = False

    # -- from outside

    async def run(self) -> None:
        """Polls until cancelled."""
        self._ending = False
        turning = asyncio.ensure_future(self._turn_until_ended())
        try:
            await asyncio.shield(turning)
        except asyncio.CancelledError:
            self._ending = True
            if not self._asker.asking:
                turning.cancel()
            await asyncio.wait([turning])
            raise
        finally:
            turning.cancel()
            self._requests.cancel_all()
            await self.line.close()

    async def ask_now(self, device: str) -> list[Reading]:
        """Asks every source of the device ahead of the queue. Raises EdgegwError when there is no such device or too many reads wait."""
        link = next((link for link in self._schedule.links if link.plan.device == device), None)
        if link is None:
            raise EdgegwError("E-BUS-DEVICE", f'bus "{self.bus.name}" has no device "{device}"', "`edgegw status` lists them", EXIT_UNKNOWN)
        if self._requests.is_full:
            raise EdgegwError("E-BUS-BUSY", f'bus "{self.bus.name}": {TECHNICIAN_MAX} reads wait already', "wait for them to end")
        done = self._requests.add(link)
        self._wake.set()
        return await done

    def ask_again_soon(self, source_id: int) -> bool:
        """Makes a source due now, beside its grid, in the order of what else is due. False when that was done a moment ago or its device is silent."""
        soon = self._schedule.ask_again(source_id, self._clock.mono_ms())
        if soon:
            self._wake.set()
        return soon

    @property
    def silent_devices(self) -> list[str]:
        return [link.plan.device for link in self._schedule.links if link.silent]

    @property
    def refused_points(self) -> dict[str, list[str]]:
        """Device to the points that it refuses while it answers others."""
        return self._holes.refused_points()

    @property
    def line_fault(self) -> EdgegwError | None:
        """Why the line cannot be opened; None while it is open or not tried yet."""
        return self._keeper.fault

    @property
    def turn_ms_max(self) -> int:
        """Longest time between two checkpoints that the configuration itself asks for: a part, the question, each with one new connection."""
        gap_ms = max([self.bus.gap_ms, *(link.plan.gap_ms for link in self._schedule.links)])
        questions = FOLLOWS_MAX if any(question.follow for slot in self._schedule.slots for question in slot.planned.questions) else 4
        return questions * (SILENCE_WAIT_MS_MAX + gap_ms + 2 * self.bus.answer_timeout_ms) + 2 * self._keeper.open_ms_max

    @property
    def is_up(self) -> bool:
        """Whether the line is open."""
        return not self._keeper.is_down

    # -- turning

    async def _turn_until_ended(self) -> None:
        while not self._ending:
            self.checkpoint_ms = now_ms = self._clock.mono_ms()
            if self.line.is_open:
                await self._turn(now_ms)
            elif now_ms < self._keeper.retry_ms:
                self._requests.refuse_all()
                await self._pause(self._keeper.retry_ms)
            else:
                await self._open()

    async def _open(self) -> None:
        was_down = self._keeper.is_down
        if not await self._keeper.open():
            if self._keeper.failures <= FAILURES_MAX:
                self._tell_all_offline()
        elif was_down:
            self._schedule.restart(self._clock.mono_ms())
            for back in self._schedule.links:
                self._introducer.begin(back)

    async def _turn(self, now_ms: int) -> None:
        schedule = self._schedule
        for stepped_over in schedule.follow(now_ms, self._clock.offset_ms):
            self.statistics.unit(stepped_over.link.plan.unit).missed_slots += 1
        if self._requests and await self._serve(now_ms):
            return
        if link := schedule.take_probe(now_ms):
            await self._probe(link)
        elif link := schedule.take_introduction(now_ms):
            await self._introduce(link)
        elif (slot := schedule.take_slot(now_ms)) is not None:
            await self._poll(slot, now_ms)
        else:
            await self._pause(schedule.next_ms())

    async def _serve(self, now_ms: int) -> bool:
        """A technician's question, when one may be asked and its share is not used up; else the others have the turn."""
        busy_ns = self.statistics.busy_ns
        self._technicians.others_took(busy_ns - self._accounted_ns)
        self._accounted_ns = busy_ns
        others_wait = self._schedule.next_ms() <= now_ms
        request = self._requests.askable(self._is_held) if self._technicians.may_ask or not others_wait else None
        if request is None:
            return False
        slot = request.slots.popleft()
        self._requests.served(request, slot, await self._poll(slot, now_ms))
        self._accounted_ns = self.statistics.busy_ns
        if others_wait:
            self._technicians.technician_took(self._accounted_ns - busy_ns)
        return True

    def _grid_ms(self, shift_ms: int) -> int:
        now_ms = self.checkpoint_ms
        return shift_ms + (now_ms if self.bus.kind == "serial" else now_ms // TICK_MS * TICK_MS)

    async def _pause(self, until_ms: float) -> None:
        """Until then or until woken, never longer than the watchdog likes. Timers come early: the caller looks at the clock again."""
        left_ms = min(until_ms - self._clock.mono_ms(), HELD_READ_MS if self._requests else PAUSE_MS_MAX)
        self._wake.clear()
        if left_ms <= 0 or self._ending:
            return
        timer = asyncio.get_running_loop().call_later(left_ms / 1000 / self._clock.speed, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    # -- asking

    async def _poll(self, slot: Slot, now_ms: int) -> Reading | None:
        """One slot of the grid, asked and told. None when the late-answer guard holds it back."""
        link, due_ms = slot.link, slot.due_ms
        result = await self._asker.ask_source(slot)
        if result is None:
            self.statistics.unit(link.plan.unit).missed_slots += slot.hold(self._asker.held_until_ms(slot))
            return None
        reading = self._reading(slot, result)
        if now_ms >= due_ms:
            self.statistics.lateness_ms.append(now_ms - due_ms)
            if slot.aligned:
                reading = self._told_at_boundary(slot, reading)
            if missed := self._advance(slot):
                self.statistics.unit(link.plan.unit).missed_slots += missed
        self._on_reading(reading)
        self._holes.note(reading)
        if reading.quality and link.plan.introduce is not None:
            self._introducer.doubt(link, reading)
        if isinstance(result, Fault):
            self._judge(link, result)
        elif link.failures or link.silent:
            self._judge(link, None)
        return reading

    def _advance(self, slot: Slot) -> int:
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
        self.statistics.add_skew(skew_ms, late=late)
        return late_reading(reading) if late else reading

    def _is_held(self, slot: Slot) -> bool:
        """Not to be asked yet, whoever wants it."""
        return (slot.link.waits and not slot.link.silent) or self._asker.is_held(slot)

    async def _introduce(self, link: Link) -> None:
        result = await self._introducer.step(link)
        if result is not None:
            self._judge(link, result if isinstance(result, Fault) else None)

    async def _probe(self, link: Link) -> None:
        """Asks a silent device for a sign of life. What it says is no value: it may be the answer to an older probe."""
        link.probes += 1
        start_ms = self._clock.mono_ms()
        result = await self._asker.ask(link, link.probe, self._probe_timeout_ms(link))
        link.probe_cost_ms = round((self._clock.mono_ms() - start_ms) / self._clock.speed)
        self._judge(link, result if isinstance(result, Fault) else None)
        if self._schedule.all_silent and self.bus.kind != "serial" and link.probes % RENEW_EACH == 0:
            await self._keeper.renew()

    def _probe_timeout_ms(self, link: Link) -> float:
        if link.probes % PROBE_FULL_EACH == 0:
            return self.bus.answer_timeout_ms
        return self._asker.patience.probe_ms(link.plan.unit, link.probe)

    # -- what an answer or its absence means

    def _reading(self, slot: Slot, result: list[Answer] | Heard | Fault) -> Reading:
        """Also keeps in mind what the slot said last, and tells the log when that changes."""
        if not isinstance(result, Fault):
            slot.offline = slot.refused = False
            return parted_reading(slot.planned, result, self._clock) if isinstance(result, Heard) else good_reading(slot.planned, result, self._clock)
        quality = fault_quality(result)
        slot.offline = quality is Quality.OFFLINE
        if quality is Quality.REFUSED and not slot.refused:
            source = slot.planned.source
            _log.warning('bus "%s": %s refuses its points %s: %s; does the profile fit?', self.bus.name, source.device, source.group, result.text)
        slot.refused = quality is Quality.REFUSED
        return failed_reading(slot.planned, quality, self._clock)

    def _judge(self, link: Link, fault: Fault | None) -> None:
        """Whether the device lives, silent ones coming back and living ones falling silent."""
        now_ms = self._clock.mono_ms()
        code, unit = link.plan.device, link.plan.unit
        if fault is not None and fault.kind in NOT_ASKED:
            return  # Nothing was asked of the device.
        if fault is None or is_alive(fault):
            since_ms = link.silent_since_ms
            if link.answered(now_ms):
                _log.info('bus "%s": %s (unit %d) answers again after %.0f s', self.bus.name, code, unit, (now_ms - since_ms) / 1000)
                self._holes.retry(code)
                self._introducer.begin(link)
        elif link.failed(now_ms):
            _log.warning('bus "%s": %s (unit %d) stopped answering: %s', self.bus.name, code, unit, fault.text)
            link.probe_cost_ms = round(self._probe_timeout_ms(link))
            self._tell_offline(link)
            if self._schedule.all_silent and len(self._schedule.links) > 1:
                _log.error('bus "%s": no device answers any more; look at %s', self.bus.name, _SUSPECTS[self.bus.kind])

    def _tell_offline(self, link: Link) -> None:
        """Each source of the device that has not said so yet."""
        for slot in link.slots:
            if not slot.offline:
                slot.offline = True
                self._on_reading(failed_reading(slot.planned, Quality.OFFLINE, self._clock))

    def _tell_all_offline(self) -> None:
        """A failed poll of every source: the rules count some before they call a device offline."""
        for slot in self._schedule.slots:
            slot.offline = True
            self._on_reading(failed_reading(slot.planned, Quality.OFFLINE, self._clock))


_SUSPECTS = {
    "serial": "speed and parity, A and B swapped, the supply of the line",
    "tcp": "the unit ids, another client on the server, the server itself",
    "rtu-over-tcp": "speed and parity in the serial server, the supply of its line",
}
