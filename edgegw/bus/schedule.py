"""What is due on one bus, and what of it comes first. Pure: times come in, in ms of the daemon's monotonic clock.

Each source has a grid: start of the bus + n x period. A slot of the grid is polled once; slots that did not fit while others were asked are
counted and skipped, never piled up, so a source is at most one slot behind. First comes what is urgent (at most every second turn), then
what is most overdue. A silent device has no slots, only a probe.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgegw.drivers.base import DevicePlan, PlannedSource

# Promise 5 of the design: a silent device is probed at most this often ...
PROBE_INTERVAL_MS = 10_000
# ... where one probe costs more than this (2 % of the interval), all silent devices of the bus share one probe each interval ...
PROBE_COST_MS_MAX = 200
# ... and where nobody answers there is nobody to disturb: in turn, once a second.
PROBE_ALL_SILENT_MS = 1000
# One lost answer is noise, three in a row are a silence.
FAILURES_MAX = 3


class Slot:
    """One source and its next due time."""

    __slots__ = ("_origin_ms", "_period_ms", "due_ms", "link", "offline", "planned", "refused")

    def __init__(self, planned: PlannedSource, link: Link, now_ms: int) -> None:
        self.planned = planned
        self.link = link
        self._origin_ms = now_ms
        self._period_ms = planned.source.period_ms
        self.due_ms = now_ms
        self.offline = False
        """The last reading said so."""
        self.refused = False
        """The last reading said so."""

    def advance(self, now_ms: int, least_ms: int = 0) -> int:
        """To the next slot of the grid, at least `least_ms` away; returns how many were skipped because they are over already."""
        period_ms = self._period_ms
        ahead_ms = self._origin_ms + ((self.due_ms - self._origin_ms) // period_ms + 1) * period_ms
        skipped = max(0, (now_ms - ahead_ms) // period_ms)
        self.due_ms = ahead_ms + skipped * period_ms
        if least_ms and self.due_ms < now_ms + least_ms:
            self.due_ms += -(-(now_ms + least_ms - self.due_ms) // period_ms) * period_ms
        return skipped

    def hold(self, until_ms: int) -> int:
        """Not before this time, which is off the grid; returns how many slots that costs."""
        skipped = max(0, (until_ms - self.due_ms) // self._period_ms)
        self.due_ms = until_ms
        return skipped


class Link:
    """One device on the bus, and whether it answers. Keyed by itself: the same unit id on another bus is another device."""

    __slots__ = ("failures", "last_probe_ms", "plan", "probe_cost_ms", "probes", "silent", "silent_since_ms", "slots")

    def __init__(self, plan: DevicePlan, now_ms: int) -> None:
        self.plan = plan
        self.slots = [Slot(planned, self, now_ms) for planned in plan.sources]
        self.failures = 0
        self.silent = False
        self.silent_since_ms = now_ms
        """First failed question of the silence."""
        self.last_probe_ms = now_ms
        self.probe_cost_ms = 0
        self.probes = 0

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

    def __init__(self, plans: Sequence[DevicePlan], now_ms: int) -> None:
        self.links = [Link(plan, now_ms) for plan in plans]
        self.slots = [slot for link in self.links for slot in link.slots]
        self._urgent_last = False
        self._shared_probe_ms = now_ms - PROBE_INTERVAL_MS

    @property
    def all_silent(self) -> bool:
        return bool(self.links) and all(link.silent for link in self.links)

    def restart(self, now_ms: int) -> None:
        """The line is back: whoever was silent may have been so because of it."""
        for link in self.links:
            link.silent, link.failures = False, 0
        for slot in self.slots:
            slot.due_ms = now_ms

    def take_slot(self, now_ms: int) -> Slot | None:
        """The slot whose turn it is, None when nothing is due."""
        due = [slot for slot in self.slots if slot.due_ms <= now_ms and not slot.link.silent]
        if not due:
            return None
        urgent = [slot for slot in due if slot.planned.urgent]
        self._urgent_last = bool(urgent) and (len(urgent) == len(due) or not self._urgent_last)
        turn = urgent if self._urgent_last else [slot for slot in due if not slot.planned.urgent]
        return min(turn, key=_due_ms)

    def take_probe(self, now_ms: int) -> Link | None:
        """The silent device whose turn it is to be asked for a sign of life."""
        silent = [link for link in self.links if link.silent]
        silent = [link for link in silent if self._probe_ms(link) <= now_ms]
        if not silent:
            return None
        link = min(silent, key=lambda link: link.last_probe_ms)
        if link.probe_cost_ms > PROBE_COST_MS_MAX or self.all_silent:
            self._shared_probe_ms = now_ms
        return link

    def next_ms(self) -> float:
        """When the next thing is due; infinity when nothing ever is."""
        slots = (slot.due_ms for slot in self.slots if not slot.link.silent)
        probes = (self._probe_ms(link) for link in self.links if link.silent)
        return min(min(slots, default=float("inf")), min(probes, default=float("inf")))

    def _probe_ms(self, link: Link) -> int:
        if self.all_silent:
            return self._shared_probe_ms + PROBE_ALL_SILENT_MS
        own_ms = link.last_probe_ms + PROBE_INTERVAL_MS
        return own_ms if link.probe_cost_ms <= PROBE_COST_MS_MAX else max(own_ms, self._shared_probe_ms + PROBE_INTERVAL_MS)


def _due_ms(slot: Slot) -> int:
    return slot.due_ms
