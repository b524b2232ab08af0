"""The two rules that nobody has to write: `device offline` and `bus offline`.

A device is offline after 3 failed polls in a row without any answer for its `offline_after_s`; two good polls bring it back. An answer
that refuses is an answer. When every device of a bus with two or more is offline, the bus is: one critical alarm, and the alarms of the
devices that fell silent with it are hidden below it. With the first device that answers again the bus is back; a device that is still
silent a minute later is shown as itself. On a bus of one device nobody can tell the two apart, and the device's own alarm says it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from edgegw.config.model import Device
from edgegw.model import Quality, Reading, Source
from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Facts, Moment, episode_key
from edgegw.rules.journal import Journal
from edgegw.rules.text import bus_offline_text, device_offline_text

# Names with a space: no configured rule can have them.
DEVICE_OFFLINE = "device offline"
BUS_OFFLINE = "bus offline"
# One or two lost answers are noise of the line.
FAILED_POLLS_MIN = 3
# One answer may be the last gasp of a device that restarts.
GOOD_POLLS_MIN = 2
# With one device a dead bus and a dead device look the same.
BUS_DEVICES_MIN = 2
# Polls go round: a device that failed this long before the others fell silent for the same reason.
ATTACH_BEFORE_MS = 10_000
# Silent devices are probed in turn: one that the returned bus has not reached by then is silent on its own.
SHOW_AFTER_MS = 60_000
# A temperature that is not read harms nobody for a while.
_LEVELS = {"sensor": "minor"}

_NO_ANSWER = frozenset({Quality.OFFLINE, Quality.MAINTENANCE, Quality.NOT_FITTED})


@dataclass(slots=True, eq=False)
class BusLink:
    """One bus and the devices that are polled on it."""

    name: str
    key: str
    links: list[Link] = field(default_factory=list)
    down: bool = False
    first_failed: Moment | None = None
    """First failed poll of any of its devices since the last answer of one."""
    began: Moment | None = None
    """First failed poll of the open alarm; None when that was before this start."""
    show_ms: int | None = None
    """When its devices that are still silent are shown."""


@dataclass(slots=True, eq=False)
class Link:
    """One device, as far as it answers or not."""

    device: Device
    level: str
    key: str
    bus: BusLink
    down: bool = False
    failed: int = 0
    good: int = 0
    first_failed: Moment | None = None
    answered_ms: int | None = None
    excused: bool = False
    """Its silence is right."""

    @property
    def is_gone(self) -> bool:
        """As far as its bus is concerned."""
        return self.down or (self.excused and self.failed >= FAILED_POLLS_MIN)


def has_failed(reading: Reading) -> bool | None:
    """True: no answer; False: an answer, be it a refusal; None: not asked (maintenance)."""
    if len(reading.quality) < len(reading.values) or not _NO_ANSWER.issuperset(reading.quality.values()):
        return False
    return True if Quality.OFFLINE in reading.quality.values() else None


def offline_ms(link: Link) -> int | None:
    """When this device has been silent for long enough; None while too few polls have failed or it is offline already."""
    if link.down or link.excused or link.failed < FAILED_POLLS_MIN or link.first_failed is None:
        return None
    silent_since_ms = link.first_failed.mono_ms if link.answered_ms is None else link.answered_ms
    return silent_since_ms + round(link.device.offline_after_s * 1000)


class Silence:
    """Watches answers and their absence; writes its alarms into the journal."""

    def __init__(self, journal: Journal, devices: Sequence[Device], sources: Sequence[Source]) -> None:
        self._journal = journal
        self._buses: dict[str, BusLink] = {}
        self._links: dict[str, Link] = {}
        self._failing: dict[Link, None] = {}
        self.due_ms: int = FAR
        """Nothing can happen by time alone before this."""
        classes = {source.device: source.device_class for source in sources}
        for device in devices:
            if device.code in classes:
                self._add(device, classes[device.code])
        for bus in self._buses.values():
            self._restore(bus)

    def _add(self, device: Device, device_class: str) -> None:
        bus = self._buses.setdefault(device.bus, BusLink(device.bus, episode_key(BUS_OFFLINE, device.bus, "")))
        key = episode_key(DEVICE_OFFLINE, device.code, "")
        link = Link(device, _LEVELS.get(device_class, "major"), key, bus, down=key in self._journal.open)
        bus.links.append(link)
        self._links[device.code] = link

    def _restore(self, bus: BusLink) -> None:
        bus.down = bus.key in self._journal.open and len(bus.links) >= BUS_DEVICES_MIN
        if not bus.down and any(self._is_hidden(link) for link in bus.links):
            self._show_later(bus, SHOW_AFTER_MS)

    def keys(self) -> set[str]:
        """Of every episode that these rules can have."""
        buses = {bus.key for bus in self._buses.values() if len(bus.links) >= BUS_DEVICES_MIN}
        return buses | {link.key for link in self._links.values()}

    def reading(self, reading: Reading) -> None:
        """Takes one poll. What is due before it must have been taken from `jobs`."""
        link = self._links.get(reading.source.device)
        if link is None:
            return  # of no bus
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
        silent_s = (at.mono_ms - (began.mono_ms if link.answered_ms is None else link.answered_ms)) / 1000
        text, text_zh = device_offline_text(silent_s)
        self._failing.pop(link, None)
        link.down, link.good = True, 0
        facts = Facts(DEVICE_OFFLINE, link.level, link.device.code, unit="s", value=silent_s, limit=link.device.offline_after_s, text=text, text_zh=text_zh)
        root = self._root(link.bus, at)
        self._journal.raise_(facts, began, at, suppressed_by=root.alarm_id if root and _falls_with(link, link.bus) else None)

    def _root(self, bus: BusLink, at: Moment) -> Episode | None:
        """The bus's open alarm, raised now when this was its last device that still answered."""
        if not bus.down and len(bus.links) >= BUS_DEVICES_MIN and all(link.is_gone for link in bus.links):
            self._raise_bus(bus, at)
        return self._journal.open[bus.key] if bus.down else None

    def _raise_bus(self, bus: BusLink, at: Moment) -> None:
        bus.down, bus.show_ms, bus.began = True, None, bus.first_failed or at
        text, text_zh = bus_offline_text(bus.name, len(bus.links))
        facts = Facts(BUS_OFFLINE, "critical", None, bus=bus.name, text=text, text_zh=text_zh)
        below = [link.key for link in bus.links if link.key in self._journal.open and (_falls_with(link, bus) or self._is_hidden(link))]
        children = tuple(self._journal.open[key].alarm_id for key in below)
        root = self._journal.raise_(facts, bus.began, at, children=children)
        for key in below:
            self._journal.hide(key, root.alarm_id)

    def _bus_is_back(self, bus: BusLink, at: Moment) -> None:
        bus.down, bus.began = False, None
        self._journal.clear(bus.key, at)
        if any(self._is_hidden(link) for link in bus.links):
            self._show_later(bus, at.mono_ms + SHOW_AFTER_MS)

    def _show_later(self, bus: BusLink, at_ms: int) -> None:
        bus.show_ms = at_ms
        self.due_ms = min(self.due_ms, at_ms)

    def _show(self, bus: BusLink, at: Moment) -> None:
        if bus.show_ms is None:
            return  # the bus fell silent again at this very moment
        bus.show_ms = None
        for link in bus.links:
            if self._is_hidden(link):
                self._journal.show(link.key, at)

    def _is_hidden(self, link: Link) -> bool:
        """Below its bus, now or before: what another alarm explains that is still open is that one's business."""
        root = self._journal.open[link.key].suppressed_by if link.key in self._journal.open else None
        return root is not None and self._journal.keys.get(root, link.bus.key) == link.bus.key


def _falls_with(link: Link, bus: BusLink) -> bool:
    """Whether the device fell silent with its bus, and not long before it or before this start."""
    if bus.began is None:
        return True
    return link.first_failed is not None and link.first_failed.mono_ms >= bus.began.mono_ms - ATTACH_BEFORE_MS
