"""What is known of the devices and buses of a station as far as they answer or not, and what their alarms say. The rules over it: silence.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from edgegw.config.model import Device
from edgegw.model import Quality, Reading
from edgegw.rules.episode import Facts, Moment
from edgegw.rules.levels import current_name, rank
from edgegw.rules.text import blind_text, bus_offline_text, device_offline_text

# Names with a space: no configured rule can have them.
DEVICE_OFFLINE = "device offline"
BUS_OFFLINE = "bus offline"
# One or two lost answers are noise of the line.
FAILED_POLLS_MIN = 3
# With one device a dead bus and a dead device look the same.
BUS_DEVICES_MIN = 2
# Polls go round: a device that failed this long before the others fell silent for the same reason.
ATTACH_BEFORE_MS = 10_000

# Without an answer for this long a device is offline, where neither its configuration nor its class says anything.
OFFLINE_AFTER_S = 15.0

_NO_ANSWER = frozenset({Quality.OFFLINE, Quality.MAINTENANCE, Quality.NOT_FITTED})


class Blind(NamedTuple):
    """Safety inputs of a device that cannot be read (inputs.py)."""

    names: tuple[str, ...] = ()
    level: str = ""
    keys: tuple[str, ...] = ()
    """Of their episodes."""


SEEING = Blind()


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
    back_ms: int = 0
    """Monotonic time at which it answered again; 0: before this start."""
    show_ms: int | None = None
    """When its devices that are still silent are shown."""

    @property
    def blind(self) -> list[Link]:
        """Devices whose safety inputs cannot be read, because they are silent."""
        return [link for link in self.links if link.blind.keys and (link.failed or link.down)]

    @property
    def is_presumed_dead(self) -> bool:
        """With safety inputs at stake nobody waits until each device was asked three times: two of them fell silent, and none has answered since."""
        since = self.first_failed
        if since is None or self.down or not self.blind:
            return False
        return sum(link.first_failed is not None and link.first_failed.mono_ms >= since.mono_ms for link in self.links) >= BUS_DEVICES_MIN


@dataclass(slots=True, eq=False)
class Link:
    """One device, as far as it answers or not."""

    device: Device
    level: str
    key: str
    bus: BusLink
    after_s: float = OFFLINE_AFTER_S
    down: bool = False
    failed: int = 0
    good: int = 0
    first_failed: Moment | None = None
    answered_ms: int | None = None
    excused: bool = False
    """Its silence is right."""
    blind: Blind = SEEING

    @property
    def _is_patient(self) -> bool:
        """Its class is given more time than a bus needs to be known as dead."""
        return not self.device.offline_after_s and self.after_s > OFFLINE_AFTER_S

    @property
    def is_gone(self) -> bool:
        """As far as its bus is concerned."""
        return self.down or (self.failed >= FAILED_POLLS_MIN and (self.excused or self._is_patient))


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
    return silent_since_ms + round(link.after_s * 1000)


def device_facts(link: Link, silent_s: float | None) -> Facts:
    """Of its `device offline`. Where it makes blind it is an alarm of safety: no rule hides it.

    `silent_s` counts from the first question without an answer, as `began` does; None: since before this start. There is no limit: `offline_after_s` counts
    from the last answer.
    """
    text, text_zh = blind_text(*device_offline_text(silent_s or 0.0), link.blind.names)
    level = min((level for level in (current_name(link.level), link.blind.level) if level), key=rank)
    return Facts(DEVICE_OFFLINE, level, link.device.code, unit="s", value=silent_s, text=text, text_zh=text_zh, safety=bool(link.blind.keys))


def bus_facts(bus: BusLink) -> Facts:
    """Of its `bus offline`."""
    names = [f"{link.device.code} {name}" for link in bus.blind for name in link.blind.names]
    text, text_zh = blind_text(*bus_offline_text(bus.name, len(bus.links)), names)
    return Facts(BUS_OFFLINE, current_name("critical"), None, bus=bus.name, text=text, text_zh=text_zh, safety=bool(names))


def falls_with(link: Link, bus: BusLink) -> bool:
    """Whether the device fell silent with its bus, and not long before it or before this start."""
    if bus.began is None:
        return True
    return link.first_failed is not None and link.first_failed.mono_ms >= bus.began.mono_ms - ATTACH_BEFORE_MS
