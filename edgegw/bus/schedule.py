"""What is due on one bus, and what of it comes first. Pure: times come in, in ms of the daemon's monotonic clock.

Each source has a grid: origin + n x period; the first poll of everything is at the start. A slot of the grid is polled once; slots that did not
fit while others were asked are counted and skipped, never piled up, so a source is at most one slot behind. First comes what is urgent (at
most every second turn), then what is most overdue. A silent device has no slots, only a probe.

Energy whose period divides the hour has the wall clock's grid (quarter hours), computed from the offset of the daemon's clock: when
that moves, the next boundary moves with it and nothing else. Energy that waited for ENERGY_PATIENCE_MS comes before everything but what is
urgent, so that all meters are read within half a minute of the boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgegw.bus.holes import Heard
from edgegw.drivers.base import DevicePlan, PlannedSource
from edgegw.model import Answer, Fault, Stream

# Promise 5 of the design: a silent device is probed at most this often ...
PROBE_INTERVAL_MS = 10_000
# ... where one probe costs more than this (2 % of the interval), all silent devices of the bus share one probe each interval ...
PROBE_COST_MS_MAX = 200
# ... and where nobody answers there is nobody to disturb: in turn, once a second.
PROBE_ALL_SILENT_MS = 1000
# One lost answer is noise, three in a row are a silence.
FAILURES_MAX = 3
# Energy is aligned to the wall clock when its period divides the hour and is no shorter than what counts as late.
HOUR_MS = 3_600_000
ALIGNED_PERIOD_MS_MIN = 60_000
# Read later after its boundary than this, energy is late (station rule: within 30 s; marked from 60 s on).
ENERGY_LATE_MS = 60_000
# Of the 30 s in which all meters shall be read: so long energy takes its turn among the rest, then it goes first.
ENERGY_PATIENCE_MS = 10_000
# A meter that did not answer at its boundary is asked again so soon, until it would be late.
ENERGY_RETRY_MS = 5_000
# A boundary that a small step of the clock brings back so soon after its poll was served by that poll.
BOUNDARY_SERVED_MS = 30_000
# TCP sources of one period share these ticks: the loop wakes once for all of them.
TICK_MS = 100
# Buses start at most this far apart within their shortest period.
STAGGER_MS_MAX = 1000
# While others wait, the technician gets one part of bus time for four of theirs: 20 %.
OTHERS_TO_TECHNICIAN = 4
# An extra read of a source that seems wrong comes at most this often: it is part of bus time, and a second look soon after says no more.
AGAIN_MS_MIN = 1000
# What is saved up for the technician: a read is not much quicker after a quiet hour than after a quiet second.
CREDIT_NS_MAX = 250_000_000


def grid_shifts(buses: Sequence[tuple[bool, int]]) -> list[int]:
    """For each bus (is a serial one, its shortest period in ms) how far its grid is shifted, the same at every start.

    Serial buses spread over their shortest period. The others share their ticks: what is read in one tick is one waking and one commit;
    spread over the ticks of a second, 20 devices cost twice the CPU (measured).
    """
    serial = sum(is_serial for is_serial, _ in buses)
    shifts, seen = [], 0
    for is_serial, period_ms in buses:
        shifts.append(seen * min(STAGGER_MS_MAX, period_ms) // serial if is_serial else 0)
        seen += is_serial
    return shifts


class TechnicianShare:
    """Bus time that a technician's questions may take while others wait."""

    def __init__(self) -> None:
        self._credit_ns = 0

    @property
    def may_ask(self) -> bool:
        return self._credit_ns >= 0

    def others_took(self, busy_ns: int) -> None:
        self._credit_ns = min(CREDIT_NS_MAX, self._credit_ns + busy_ns // OTHERS_TO_TECHNICIAN)

    def technician_took(self, busy_ns: int) -> None:
        self._credit_ns -= busy_ns


class Slot:
    """One source and its next due time."""

    __slots__ = (
        "_again_ms",
        "_boundary_ms",
        "_offset_ms",
        "_origin_ms",
        "_period_ms",
        "_served_ms",
        "aligned",
        "due_ms",
        "heard",
        "link",
        "offline",
        "planned",
        "refused",
    )

    def __init__(self, planned: PlannedSource, link: Link, now_ms: int, origin_ms: int, offset_ms: int) -> None:
        source = planned.source
        self.planned = planned
        self.link = link
        self.aligned = source.stream is Stream.ENERGY and source.period_ms >= ALIGNED_PERIOD_MS_MIN and HOUR_MS % source.period_ms == 0
        self._origin_ms = origin_ms
        self._offset_ms = offset_ms
        """Of the wall clock, added to monotonic times."""
        self._period_ms = source.period_ms
        self._boundary_ms: int | None = None
        """Of an aligned slot: the boundary that is to be served, on the monotonic clock; None before the first poll."""
        self._served_ms = now_ms - HOUR_MS
        """When a boundary was last served."""
        self._again_ms = now_ms - AGAIN_MS_MIN
        """When an extra read was last asked for."""
        self.due_ms = now_ms
        self.heard: list[Answer] | Heard | Fault | None = None
        """What came of its last poll: kept for people who want to see the registers (origins.py)."""
        self.offline = False
        """The last reading said so."""
        self.refused = False
        """The last reading said so."""

    def advance(self, now_ms: int, least_ms: int = 0) -> int:
        """To the next slot of the grid, at least `least_ms` away; returns how many were skipped because they are over already."""
        period_ms = self._period_ms
        if self.aligned:
            if self._boundary_ms is not None and self._boundary_ms <= now_ms:
                self._served_ms = now_ms
            skipped = 0 if self._boundary_ms is None else max(0, (now_ms - self._boundary_ms) // period_ms)
            self.due_ms = self._boundary_ms = self._boundary_after(now_ms + least_ms)
            return skipped
        ahead_ms = self._origin_ms + ((self.due_ms - self._origin_ms) // period_ms + 1) * period_ms
        skipped = max(0, (now_ms - ahead_ms) // period_ms)
        self.due_ms = ahead_ms + skipped * period_ms
        if least_ms and self.due_ms < now_ms + least_ms:
            self.due_ms += -(-(now_ms + least_ms - self.due_ms) // period_ms) * period_ms
        return skipped

    def follow(self, now_ms: int, offset_ms: int) -> int:
        """The wall clock was moved: the boundary ahead moves. Returns how many boundaries the clock jumped over."""
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        if self._boundary_ms is None or self._boundary_ms <= now_ms:
            return 0  # The poll under way or overdue stays what it was.
        jumped_over = self._boundary_ms + before_ms <= now_ms + offset_ms
        self.due_ms = self._boundary_ms = self._boundary_after(now_ms)
        return int(jumped_over)

    def skew_ms(self, at_ms: int) -> int | None:
        """How long after its boundary an aligned slot was read; None where there is no such boundary."""
        if self._boundary_ms is None or at_ms < self._boundary_ms:
            return None
        return (at_ms - self._boundary_ms) % self._period_ms

    def _boundary_after(self, at_ms: int) -> int:
        period_ms = self._period_ms
        ahead_ms = ((at_ms + self._offset_ms) // period_ms + 1) * period_ms - self._offset_ms
        return ahead_ms if ahead_ms - self._served_ms >= BOUNDARY_SERVED_MS else ahead_ms + period_ms

    def again(self, now_ms: int) -> bool:
        """Due now, beside the grid; False when that was asked for a moment ago or it is due anyway."""
        if now_ms < self._again_ms + AGAIN_MS_MIN or self.due_ms <= now_ms:
            return False
        self._again_ms = self.due_ms = now_ms
        return True

    def hold(self, until_ms: int) -> int:
        """Not before this time, which is off the grid; returns how many slots that costs."""
        skipped = max(0, (until_ms - self.due_ms) // self._period_ms)
        self.due_ms = until_ms
        return skipped


class Link:
    """One device on the bus, and whether it answers. Keyed by itself: the same unit id on another bus is another device."""

    __slots__ = ("failures", "introduce_ms", "last_probe_ms", "plan", "probe", "probe_cost_ms", "probes", "silent", "silent_since_ms", "slots", "waits")

    def __init__(self, plan: DevicePlan, now_ms: int, origin_ms: int, offset_ms: int) -> None:
        self.plan = plan
        self.probe = plan.probe
        """The shortest question that it answers when it lives, as far as that is known."""
        self.slots = [Slot(planned, self, now_ms, origin_ms, offset_ms) for planned in plan.sources]
        self.failures = 0
        self.silent = False
        self.silent_since_ms = now_ms
        """First failed question of the silence."""
        self.last_probe_ms = now_ms
        self.probe_cost_ms = 0
        self.probes = 0
        self.waits = plan.introduce is not None
        """It is not polled before it was introduced."""
        self.introduce_ms: float = now_ms if self.waits else float("inf")
        """When the next question of its introduction is due."""

    @property
    def is_resolved(self) -> bool:
        """Whether it is known how all its sources are read."""
        return all(slot.planned.questions for slot in self.slots)

    def resolve(self, sources: Sequence[PlannedSource]) -> None:
        """How its sources are read from now on; ids and layouts stay."""
        assert [planned.source for planned in sources] == [slot.planned.source for slot in self.slots], self.plan.device
        for slot, planned in zip(self.slots, sources, strict=True):
            slot.planned = planned
            slot.heard = None
            slot.refused = False

    def failed(self, now_ms: int) -> bool:
        """A question got no answer. True when that makes the device silent."""
        if self.failures == 0:
            self.silent_since_ms = now_ms
        self.failures += 1
        self.last_probe_ms = now_ms
        if self.silent or self.failures < FAILURES_MAX:
            return False
        self.silent = True
        self.probes = 0
        return True

    def answered(self, now_ms: int) -> bool:
        """The device gave a sign of life. True when that ends a silence: then everything of it is due at once."""
        self.failures = 0
        if not self.silent:
            return False
        self.silent = False
        for slot in self.slots:
            slot.due_ms = now_ms
        return True


class Schedule:
    """Of one bus."""

    def __init__(self, plans: Sequence[DevicePlan], now_ms: int, origin_ms: int | None = None, offset_ms: int = 0) -> None:
        """`origin_ms`: where the grid begins (default now); `offset_ms`: of the wall clock."""
        self.links = [Link(plan, now_ms, now_ms if origin_ms is None else origin_ms, offset_ms) for plan in plans]
        self.slots = [slot for link in self.links for slot in link.slots]
        self._only = self.slots[0] if len(self.slots) == 1 else None
        """Most TCP servers have one source, and it has every turn."""
        self._offset_ms = offset_ms
        self._aligned = [slot for slot in self.slots if slot.aligned]
        self._introducible = [link for link in self.links if link.plan.introduce is not None]
        self._introduced_last = False
        self._urgent_last = False
        self._shared_probe_ms = now_ms - PROBE_INTERVAL_MS
        self._owed: set[Link] = set()
        """Of a bus that was wholly silent: that was one fault, so when it is over the others have one probe each without waiting for 10 s."""

    @property
    def all_silent(self) -> bool:
        return bool(self.links) and all(link.silent for link in self.links)

    def follow(self, now_ms: int, offset_ms: int) -> list[Slot]:
        """The wall clock's offset as it is now; returns the slots that a step cost a boundary."""
        if offset_ms == self._offset_ms:
            return []
        self._offset_ms = offset_ms
        return [slot for slot in self._aligned if slot.follow(now_ms, offset_ms)]

    def restart(self, now_ms: int) -> None:
        """The line is back: whoever was silent may have been so because of it."""
        for link in self.links:
            link.silent, link.failures = False, 0
        for slot in self.slots:
            slot.due_ms = now_ms

    def ask_again(self, source_id: int, now_ms: int) -> bool:
        """Makes a source due now. False when it is not to be."""
        slot = next((slot for slot in self.slots if slot.planned.source.source_id == source_id), None)
        return slot is not None and not slot.link.silent and not slot.link.waits and slot.again(now_ms)

    def take_slot(self, now_ms: int) -> Slot | None:
        """The slot whose turn it is, None when nothing is due."""
        if self._only is not None:
            return self._only if self._only.due_ms <= now_ms and not self._only.link.silent and not self._only.link.waits else None
        due = [slot for slot in self.slots if slot.due_ms <= now_ms and not slot.link.silent and not slot.link.waits]
        if len(due) <= 1:
            self._urgent_last = bool(due) and due[0].planned.urgent
            return due[0] if due else None
        urgent = [slot for slot in due if slot.planned.urgent]
        self._urgent_last = bool(urgent) and (len(urgent) == len(due) or not self._urgent_last)
        turn = urgent if self._urgent_last else [slot for slot in due if not slot.planned.urgent]
        pressing = [slot for slot in turn if slot.aligned and now_ms - slot.due_ms >= ENERGY_PATIENCE_MS]
        return min(pressing or turn, key=_due_ms)

    def take_probe(self, now_ms: int) -> Link | None:
        """The silent device whose turn it is to be asked for a sign of life."""
        silent = [link for link in self.links if link.silent]
        if len(silent) == len(self.links):
            self._owed = set(silent)
        due = [link for link in silent if self._probe_ms(link) <= now_ms]
        if not due:
            return None
        link = min(due, key=lambda link: link.last_probe_ms)
        if link.probe_cost_ms > PROBE_COST_MS_MAX or link in self._owed:
            self._shared_probe_ms = now_ms
        self._owed.discard(link)
        return link

    def take_introduction(self, now_ms: int) -> Link | None:
        """The device that has the next question of its introduction; others that are due have every second turn."""
        due = [link for link in self._introducible if link.introduce_ms <= now_ms and not link.silent]
        if not due or (self._introduced_last and self.slots_ms() <= now_ms):
            self._introduced_last = False
            return None
        self._introduced_last = True
        return min(due, key=_introduce_ms)

    def next_ms(self) -> float:
        """When the next thing is due; infinity when nothing ever is."""
        return min(self.slots_ms(), self.others_ms())

    def others_ms(self) -> float:
        """When the next probe or question of an introduction is due."""
        next_ms = float("inf")
        for link in self.links:
            if link.silent:
                next_ms = min(next_ms, self._probe_ms(link))
            elif link.introduce_ms < next_ms:
                next_ms = link.introduce_ms
        return next_ms

    def slots_ms(self) -> float:
        """When the next slot is due."""
        if self._only is not None and not self._only.link.silent and not self._only.link.waits:
            return self._only.due_ms
        next_ms = float("inf")
        for slot in self.slots:
            if slot.due_ms < next_ms and not slot.link.silent and not slot.link.waits:
                next_ms = slot.due_ms
        return next_ms

    def _probe_ms(self, link: Link) -> int:
        if link in self._owed or self.all_silent:
            return self._shared_probe_ms + PROBE_ALL_SILENT_MS
        own_ms = link.last_probe_ms + PROBE_INTERVAL_MS
        return own_ms if link.probe_cost_ms <= PROBE_COST_MS_MAX else max(own_ms, self._shared_probe_ms + PROBE_INTERVAL_MS)


def _due_ms(slot: Slot) -> int:
    return slot.due_ms


def _introduce_ms(link: Link) -> float:
    return link.introduce_ms
