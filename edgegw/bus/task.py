"""The bus task: the one owner of a line, which asks its devices in turn.

    not open  ->  open it; each failure widens the pause, the first few tell every source offline
    open      ->  order to a relay | technician's question | probe of a silent device | due slot | pause until the next is due

One thing's fault is its own: a silent device costs the others its probe, a dead line costs other buses nothing.
Being cancelled, the task finishes the question under way, closes the line and ends; cancelled again, it ends at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edgegw.bus.asking import FOLLOWS_MAX, Asker
from edgegw.bus.holes import HoleBook, OnLearnt
from edgegw.bus.introducing import Introducer, OnIntroduced
from edgegw.bus.keeper import LineKeeper
from edgegw.bus.line import make_line
from edgegw.bus.origins import Located, locate
from edgegw.bus.outcome import Learning, Outcomes
from edgegw.bus.readings import failed_reading
from edgegw.bus.schedule import FAILURES_MAX, TICK_MS, Link, Schedule, Slot, TechnicianShare
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.streak import PAUSE_MS_MAX, Streak
from edgegw.bus.switching import Orders, Pending
from edgegw.bus.technicians import TECHNICIAN_MAX, Requests
from edgegw.bus.transaction import SILENCE_WAIT_MS_MAX, Transactions
from edgegw.clock import Clock
from edgegw.config.model import Bus
from edgegw.drivers.base import DevicePlan
from edgegw.drivers.permit import Writable
from edgegw.drivers.switching import Switch
from edgegw.errors import EXIT_UNKNOWN, EdgegwError
from edgegw.model import Fault, Quality, Reading

_log = logging.getLogger("edgegw.bus")

# A read that the late-answer guard holds back is tried again this often.
HELD_READ_MS = 50
# A connection on which all are silent may be half open, an adapter may hang: the line is made new after so many probes of one device.
RENEW_EACH = 10


class Extras(NamedTuple):
    """What the daemon knows beside the configuration."""

    grid_shift_ms: int = 0
    """How far this bus's grid of due times is from that of the first one (schedule.grid_shifts)."""
    remembered: Mapping[str, bytes] = {}
    """What was learnt at earlier starts (holes.py)."""
    on_learnt: OnLearnt = lambda _key, _state: None
    on_introduced: OnIntroduced = lambda _device, _introduction: None
    writable: frozenset[Writable] = frozenset()
    """All that may ever be written on this bus; nothing, where no siren is configured."""


NO_EXTRAS = Extras()


class BusTask:
    """Polls one bus. `run()` until cancelled; everything else may be called from the same loop at any time."""

    def __init__(self, bus: Bus, plans: Sequence[DevicePlan], clock: Clock, on_reading: Callable[[Reading], None], extras: Extras = NO_EXTRAS) -> None:
        self.bus = bus
        self.statistics = BusStatistics()
        self._turned_ms = clock.mono_ms()
        self.line = make_line(bus)
        self._clock = clock
        self._transactions = Transactions(bus, self.line, self.statistics, extras.writable)
        connect_delay_ms = max([bus.connect_delay_ms, *(plan.connect_delay_ms for plan in plans)])
        self._keeper = LineKeeper(self.line, clock, self.statistics, connect_delay_ms)
        self._schedule = Schedule(plans, self._turned_ms, self._grid_ms(extras.grid_shift_ms), clock.offset_ms)
        self._holes = HoleBook(bus.name, plans, extras.remembered, extras.on_learnt, self._turned_ms)
        self._asker = Asker(self._transactions, self._keeper, self._holes, clock)
        self._introducer = Introducer(self._asker, self._holes, clock, extras.on_introduced)
        learning = Learning(self._holes, self._introducer, self._asker.patience)
        self._outcomes = Outcomes(self._transactions, self._schedule, learning, clock, on_reading)
        self._streak = Streak(self._transactions, self._asker, self._schedule, self._outcomes, clock) if bus.kind == "tcp" else None
        self._requests = Requests(lambda slot: failed_reading(slot.planned, Quality.OFFLINE, clock))
        self._technicians = TechnicianShare()
        self._orders = Orders()
        self._accounted_ns = 0
        """Of the line's busy time: so much is in the technician's share."""
        self._pausing: asyncio.Future[None] | None = None
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
            if self._streak is not None:
                self._streak.stop()
            if not self._asker.asking:
                turning.cancel()
            await asyncio.wait([turning])
            raise
        finally:
            turning.cancel()
            self._requests.cancel_all()
            self._orders.refuse_all()
            await self.line.close()

    async def ask_now(self, device: str) -> list[Reading]:
        """Asks every source of the device ahead of the queue. Raises EdgegwError when there is no such device or too many reads wait."""
        link = self._link(device)
        if self._requests.is_full:
            raise EdgegwError("E-BUS-BUSY", f'bus "{self.bus.name}": {TECHNICIAN_MAX} reads wait already', "wait for them to end")
        done = self._requests.add(link)
        self._wake_up()
        return await done

    async def switch(self, switch: Switch, *, on: bool | None) -> int:
        """Switches a relay, or with None reads it, ahead of the queue; what it was then read as. Raises EdgegwError when it is not provably so.

        Waits for the line: the caller gives it a time. What was not sent when that is over is never sent.
        """
        pending = Pending(self._link(switch.device), switch, None if on is None else switch.on if on else switch.off)
        self._orders.add(pending)
        self._wake_up()
        return await pending.done

    def _link(self, device: str) -> Link:
        link = next((link for link in self._schedule.links if link.plan.device == device), None)
        if link is None:
            raise EdgegwError("E-BUS-DEVICE", f'bus "{self.bus.name}" has no device "{device}"', "`edgegw status` lists them", EXIT_UNKNOWN)
        return link

    def ask_again_soon(self, source_id: int) -> bool:
        """Makes a source due now, beside its grid, in the order of what else is due. False when that was done a moment ago or its device is silent."""
        soon = self._schedule.ask_again(source_id, self._clock.mono_ms())
        if soon:
            self._wake_up()
        return soon

    def _wake_up(self) -> None:
        _end(self._pausing)
        if self._streak is not None:
            self._streak.stop()

    def located(self, device: str) -> dict[int, Located]:
        """Source id to where the values of its last answer stood in it."""
        slots = [slot for slot in self._schedule.slots if slot.link.plan.device == device]
        return {slot.planned.source.source_id: found for slot in slots if (found := locate(slot.planned, slot.heard)) is not None}

    @property
    def checkpoint_ms(self) -> int:
        """Monotonic ms at which the bus last turned."""
        return self._turned_ms if self._streak is None else max(self._turned_ms, self._streak.turned_ms)

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
            self._turned_ms = now_ms = self._clock.mono_ms()
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
                self._outcomes.tell_all_offline()
        elif was_down:
            self._schedule.restart(self._clock.mono_ms())
            for back in self._schedule.links:
                self._introducer.begin(back)

    async def _turn(self, now_ms: int) -> None:
        schedule = self._schedule
        for stepped_over in schedule.follow(now_ms, self._clock.offset_ms):
            self.statistics.unit(stepped_over.link.plan.unit).missed_slots += 1
        if self._orders and await self._obey():
            return
        if self._requests and await self._serve(now_ms):
            return
        if link := schedule.take_probe(now_ms):
            await self._probe(link)
        elif link := schedule.take_introduction(now_ms):
            await self._introduce(link)
        elif self._streak is not None and not (self._requests or self._orders or self.line.received) and (until_ms := schedule.others_ms()) > now_ms:
            if turn := await self._streak.run(until_ms):
                await self._poll(*turn)
        elif (slot := schedule.take_slot(now_ms)) is not None:
            await self._poll(slot, now_ms)
        else:
            await self._pause(schedule.next_ms())

    async def _obey(self) -> bool:
        """The next question of an order to a relay; False when the late-answer guard holds it back."""
        pending = self._orders.first()
        result = None if pending is None else await self._asker.ask_one(pending.link, pending.question)
        if pending is None or result is None:
            return False
        pending.heard(result)
        return True

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
        now_ms = self._turned_ms
        return shift_ms + (now_ms if self.bus.kind == "serial" else now_ms // TICK_MS * TICK_MS)

    async def _pause(self, until_ms: float) -> None:
        """Until then or until woken, never longer than the watchdog likes. Timers come early: the caller looks at the clock again."""
        left_ms = min(until_ms - self._clock.mono_ms(), HELD_READ_MS if self._requests or self._orders else PAUSE_MS_MAX)
        if left_ms <= 0 or self._ending:
            return
        loop = asyncio.get_running_loop()
        self._pausing = pausing = loop.create_future()
        timer = loop.call_later(left_ms / 1000 / self._clock.speed, _end, pausing)
        try:
            await pausing
        finally:
            timer.cancel()
            self._pausing = None

    # -- asking

    async def _poll(self, slot: Slot, now_ms: int) -> Reading | None:
        """One slot of the grid, asked and told. None when the late-answer guard holds it back."""
        link, due_ms = slot.link, slot.due_ms
        result = await self._asker.ask_source(slot)
        if result is None:
            self.statistics.unit(link.plan.unit).missed_slots += slot.hold(self._asker.held_until_ms(slot))
            return None
        return self._outcomes.polled(slot, now_ms, due_ms, result)

    def _is_held(self, slot: Slot) -> bool:
        """Not to be asked yet, whoever wants it."""
        return (slot.link.waits and not slot.link.silent) or self._asker.is_held(slot)

    async def _introduce(self, link: Link) -> None:
        result = await self._introducer.step(link)
        if result is not None:
            self._outcomes.judge(link, result if isinstance(result, Fault) else None)

    async def _probe(self, link: Link) -> None:
        """Asks a silent device for a sign of life. What it says is no value: it may be the answer to an older probe."""
        link.probes += 1
        start_ms = self._clock.mono_ms()
        result = await self._asker.ask(link, link.probe, self._outcomes.probe_timeout_ms(link))
        link.probe_cost_ms = self._clock.mono_ms() - start_ms
        self._outcomes.judge(link, result if isinstance(result, Fault) else None)
        if self._schedule.all_silent and link.probes % RENEW_EACH == 0:
            await self._keeper.renew()


def _end(pausing: asyncio.Future[None] | None) -> None:
    if pausing is not None and not pausing.done():
        pausing.set_result(None)
