"""The two rules that nobody has to write: `device offline` and `bus offline`.

A device is offline after 3 failed polls in a row without any answer for its `offline_after_s`; two good polls bring it back. An answer
that refuses is an answer. When every device of a bus with two or more is offline, the bus is: one critical alarm, and the alarms of the
devices that fell silent with it are hidden below it. With the first device that answers again the bus is back; a device that is still
silent a minute later is shown as itself. On a bus of one device nobody can tell the two apart, and the device's own alarm says it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from edgegw.config.model import Device
from edgegw.model import Reading, Source
from edgegw.points import LINK_CLASS
from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Facts, Moment, episode_key
from edgegw.rules.journal import Journal
from edgegw.rules.links import (
    BUS_DEVICES_MIN,
    BUS_OFFLINE,
    DEVICE_OFFLINE,
    FAILED_POLLS_MIN,
    OFFLINE_AFTER_S,
    Blind,
    BusLink,
    Link,
    bus_facts,
    device_facts,
    falls_with,
    has_failed,
    offline_ms,
)

# One answer may be the last gasp of a device that restarts.
GOOD_POLLS_MIN = 2
# Silent devices are probed in turn: one that the returned bus has not reached by then is silent on its own.
SHOW_AFTER_MS = 60_000
# One that watches for fire is not waited for that long: as long as a device may be silent without an alarm.
SHOW_BLIND_AFTER_MS = 15_000
# Slow sensors fail their third poll half a minute after the first: so long it is not known whether a device or its bus is silent.
DOUBT_MS_MAX = 45_000
# A temperature that is not read harms nobody for a while.
_LEVELS = {"sensor": "minor"}
# The same for a class: an inverter restarts by itself in the morning and after a grid fault.
_OFFLINE_AFTER_S = {"inverter": 60.0}


class Silence:
    """Watches answers and their absence; writes its alarms into the journal."""

    def __init__(self, journal: Journal, devices: Sequence[Device], sources: Sequence[Source]) -> None:
        self._journal = journal
        self._buses: dict[str, BusLink] = {}
        self._links: dict[str, Link] = {}
        self._failing: dict[Link, None] = {}
        self.due_ms: int = FAR
        """Nothing can happen by time alone before this."""
        classes = {source.device: source.device_class for source in sources if source.device_class != LINK_CLASS}
        for device in devices:
            if device.code in classes:
                self._add(device, classes[device.code])
        for bus in self._buses.values():
            self._restore(bus)

    def _add(self, device: Device, device_class: str) -> None:
        bus = self._buses.setdefault(device.bus, BusLink(device.bus, episode_key(BUS_OFFLINE, device.bus, "")))
        key = episode_key(DEVICE_OFFLINE, device.code, "")
        after_s = device.offline_after_s or _OFFLINE_AFTER_S.get(device_class, OFFLINE_AFTER_S)
        link = Link(device, _LEVELS.get(device_class, "major"), key, bus, after_s, down=self._is_down(key))
        bus.links.append(link)
        self._links[device.code] = link

    def _restore(self, bus: BusLink) -> None:
        bus.down = self._is_down(bus.key) and len(bus.links) >= BUS_DEVICES_MIN
        if not bus.down:
            self._show_later(bus, 0)

    def _is_down(self, key: str) -> bool:
        """As the last start left it; one that is kept open because it comes and goes had answered."""
        return key in self._journal.open and not self._journal.open[key].held

    def is_possible(self, facts: Facts) -> bool:
        """Whether a dead bus could explain such an alarm, now or in a moment."""
        link = self._links.get(facts.device or "") if facts.rule == DEVICE_OFFLINE else None
        return link is not None and len(link.bus.links) >= BUS_DEVICES_MIN

    def is_in_doubt(self, facts: Facts, now_ms: int) -> bool:
        """Nobody on the bus of this silent device has answered since, and each has been asked: it may be the bus, which is known in a moment."""
        bus = self._links[facts.device or ""].bus if self.is_possible(facts) else None
        if bus is None or bus.down or bus.blind or bus.first_failed is None or now_ms - bus.first_failed.mono_ms > DOUBT_MS_MAX:
            return False
        return all(link.failed or link.is_gone for link in bus.links)

    def blind_since_ms(self, facts: Facts) -> int | None:
        """Where safety inputs cannot be read because of it: monotonic time of the first failed poll, 0 when that was before this start. Else None."""
        bus = self._buses.get(facts.bus or "") if facts.rule == BUS_OFFLINE else None
        link = self._links.get(facts.device or "") if facts.rule == DEVICE_OFFLINE else None
        found = bus.blind if bus else [link] if link and link.blind.keys else []
        if not found:
            return None
        return min((link.first_failed.mono_ms for link in found if link.first_failed), default=0)

    def recall_blind(self, device: str, blind: Blind) -> None:
        """What is known of its inputs now."""
        if device in self._links:
            self._links[device].blind = blind

    def set_blind(self, device: str, blind: Blind, at: Moment) -> str | None:
        """Safety inputs were lost just now: the id of the alarm that explains it, raised or told anew at once; None while the device answers."""
        self.recall_blind(device, blind)
        link = self._links.get(device)
        if link is None or not (link.failed or link.down):
            return None
        if link.bus.down:
            return self._tell_anew(link.bus.key, bus_facts(link.bus), at)
        if link.down:
            return self._tell_anew(link.key, device_facts(link, self._journal.open[link.key].facts.value), at)
        if link.bus.is_presumed_dead:
            self._raise_bus(link.bus, at)
        else:
            self._raise(link, at)
        root = self._journal.open[link.bus.key if link.bus.down else link.key]
        return root.suppressed_by or root.alarm_id

    def _tell_anew(self, key: str, facts: Facts, at: Moment) -> str:
        """An alarm that is open names what is blind now too."""
        self._journal.change_level(key, facts, at)
        root = self._journal.open[key]
        return root.suppressed_by or root.alarm_id

    def keys(self) -> set[str]:
        """Of every episode that these rules can have."""
        buses = {bus.key for bus in self._buses.values() if len(bus.links) >= BUS_DEVICES_MIN}
        return buses | {link.key for link in self._links.values()}

    def reading(self, reading: Reading) -> None:
        """Takes one poll. What is due before it must have been taken from `jobs`."""
        link = self._links.get(reading.source.device)
        if link is None or reading.source.device_class == LINK_CLASS:
            return  # of no bus, or not asked of the device
        failed = has_failed(reading) if reading.quality else False
        if failed:
            self._failed(link, Moment(reading.mono_ms, reading.read_at_ms, reading.clock))
        elif failed is False:
            link.answered_ms = reading.mono_ms
            link.bus.first_failed = None
            if link.failed or link.down or link.bus.down:
                self._answered(link, Moment(reading.mono_ms, reading.read_at_ms, reading.clock))

    def excuse(self, device: str, *, excused: bool) -> None:
        """A device that is still silent when its excuse ends is offline at once, or when it has been silent for long enough."""
        link = self._links.get(device)
        if link is not None:
            link.excused = excused
            self.find_due()

    def jobs(self, now_ms: int) -> list[tuple[int, Callable[[Moment], None]]]:
        """What is due at `now_ms`: its time and the deed."""
        links = [(offline_ms(link), partial(self._raise, link)) for link in self._failing]
        buses = [(bus.show_ms, partial(self._show, bus)) for bus in self._buses.values()]
        return [(at_ms, deed) for at_ms, deed in (*links, *buses) if at_ms is not None and at_ms <= now_ms]

    def find_due(self) -> None:
        """Looks again for the next time at which something is due."""
        times = [offline_ms(link) for link in self._failing] + [bus.show_ms for bus in self._buses.values()]
        self.due_ms = min((time for time in times if time is not None), default=FAR)

    def _failed(self, link: Link, at: Moment) -> None:
        link.failed += 1
        link.good = 0
        link.bus.first_failed = link.bus.first_failed or at
        if link.down:
            return
        if link.failed == 1:
            link.first_failed = at
            if link.bus.is_presumed_dead:
                self._raise_bus(link.bus, at)
        elif link.failed == FAILED_POLLS_MIN:
            self._failing[link] = None
        due = offline_ms(link)
        if due is not None and due <= at.mono_ms:
            self._raise(link, at)
        elif due is not None:
            self.due_ms = min(self.due_ms, due)

    def _answered(self, link: Link, at: Moment) -> None:
        self._failing.pop(link, None)
        link.failed = 0
        link.good += 1
        if link.down and link.good < GOOD_POLLS_MIN:
            return
        if link.down:
            self._journal.clear(link.key, at)
        link.down, link.good, link.first_failed = False, 0, None
        if link.bus.down:
            self._bus_is_back(link.bus, at)

    def _raise(self, link: Link, at: Moment) -> None:
        began = link.first_failed or at
        silent_s = float(round((at.mono_ms - began.mono_ms) / 1000))  # since nobody answers: before the first such question nobody had asked
        self._failing.pop(link, None)
        link.down, link.good = True, 0
        root = self._root(link.bus, at)
        above = root.alarm_id if root and falls_with(link, link.bus) else None
        inputs = [key for key in link.blind.keys if key in self._journal.open] if root is None else []
        children = tuple(self._journal.open[key].alarm_id for key in inputs)
        found = self._journal.raise_(device_facts(link, silent_s), began, at, suppressed_by=above, children=children)
        for key in inputs:
            self._journal.hide(key, found.suppressed_by or found.alarm_id)

    def _root(self, bus: BusLink, at: Moment) -> Episode | None:
        """The bus's open alarm, raised now when this was its last device that still answered."""
        if not bus.down and len(bus.links) >= BUS_DEVICES_MIN and all(link.is_gone for link in bus.links):
            self._raise_bus(bus, at)
        return self._journal.open[bus.key] if bus.down else None

    def _raise_bus(self, bus: BusLink, at: Moment) -> None:
        bus.down, bus.show_ms, bus.began = True, None, bus.first_failed or at
        alone = [link for link in bus.links if link.key in self._journal.open and not (falls_with(link, bus) or self._is_hidden(link))]
        below = [link.key for link in bus.links if link.key in self._journal.open and link not in alone]
        below += [key for link in bus.blind if link not in alone for key in link.blind.keys if key in self._journal.open]
        children = tuple(self._journal.open[key].alarm_id for key in below)
        root = self._journal.raise_(bus_facts(bus), bus.began, at, children=children)
        for key in below:
            self._journal.hide(key, root.alarm_id)

    def _bus_is_back(self, bus: BusLink, at: Moment) -> None:
        bus.down, bus.began = False, None
        self._journal.clear(bus.key, at)
        self._show_later(bus, at.mono_ms)

    def _show_later(self, bus: BusLink, back_ms: int) -> None:
        hidden = [link for link in bus.links if self._is_hidden(link)]
        if hidden:
            bus.back_ms = back_ms
            bus.show_ms = back_ms + (SHOW_BLIND_AFTER_MS if any(link.blind.keys for link in hidden) else SHOW_AFTER_MS)
            self.due_ms = min(self.due_ms, bus.show_ms)

    def _show(self, bus: BusLink, at: Moment) -> None:
        """First those that watch for fire, the others when their time has come too."""
        if bus.show_ms is None:
            return  # the bus fell silent again at this very moment
        all_ms = bus.back_ms + SHOW_AFTER_MS
        bus.show_ms = all_ms if at.mono_ms < all_ms else None
        for link in [link for link in bus.links if self._is_hidden(link) and (bus.show_ms is None or link.blind.keys)]:
            self._journal.show(link.key, at)
            shown = self._journal.open[link.key].alarm_id
            for key in [key for key in link.blind.keys if key in self._journal.open]:
                self._journal.hide(key, shown)

    def _is_hidden(self, link: Link) -> bool:
        """Below its bus, now or before: what another alarm explains that is still open is that one's business."""
        root = self._journal.open[link.key].suppressed_by if link.key in self._journal.open else None
        return root is not None and self._journal.keys.get(root, link.bus.key) == link.bus.key
