"""The gateway as a device of its own, and the link of every device: statistics that a person in an office wants to look back at.

    gateway     its points of class "gateway", once a minute, under the gateway's own code: can it go on like this?
    link        for each device whether it answers, and how many of its questions went wrong in that minute

All of stream 4 (record): kept for years, sent behind everything else. Nothing here is asked of a device.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from edgegw.clock import Clock
from edgegw.model import ClockTrust, Point, Quality, Reading, Source, Stream, Value
from edgegw.points import LINK_CLASS, LINK_POINTS, lookup, wants

PERIOD_MS = 60_000
# Source ids of the devices count from 1 through the configuration; these stand above all that it can hold.
FIRST_SOURCE_ID = 1_000_000
GATEWAY_POINTS = (
    "cpu.load",
    "memory.used",
    "disk.free",
    "temperature.internal",
    "uptime",
    "process.rss",
    "process.cpu",
    "buffer.waiting",
    "buffer.oldest_age",
    "buffer.size",
    "buffer.used",
    "buffer.dropped",
    "clock.state",
    "clock.offset",
    "uplink.connected",
    "uplink.age",
    "uplink.sent",
    "devices.online",
    "devices.offline",
    "alarms.open",
)

_MIB = 1024 * 1024
_CLOCK_STATES = {ClockTrust.UNSET: 0, ClockTrust.HELD: 1, ClockTrust.SYNCHRONISED: 2, ClockTrust.CORRECTED: 3}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")

Number = float | None
"""In the dictionary's unit; None where this gateway has no such thing."""


class Facts(NamedTuple):
    """What the other parts say of themselves."""

    waiting: int
    oldest_age_s: float
    size_bytes: int
    bytes_max: int
    """That the store may take; 0: not known."""
    dropped: int
    connected: bool | None
    """All uplinks; None without one."""
    receipt_age_s: Number
    sent_bytes: Number
    online: int
    offline: int
    alarms: int
    clock_offset_s: Number = None
    """Against the cloud's clock, without a sign."""


class LinkCounts(NamedTuple):
    """Of one device, since the start."""

    answers: bool
    asked: int
    wrong: int


class OwnPoints:
    """Makes the readings. `device` is the gateway's own code; link points are those of every device."""

    def __init__(self, device: str, devices: Mapping[str, Sequence[str]], state_dir: Path, clock: Clock) -> None:
        """`devices`: code to the patterns of the points that are wanted of it (all where there are none)."""
        self._clock = clock
        self._state_dir = state_dir
        self._started_s = time.monotonic()
        self._cpu = _cpu_ticks()
        self.gateway = _source(FIRST_SOURCE_ID, device, "own", GATEWAY_POINTS, "gateway")
        wanted = {code: [name for name in LINK_POINTS if wants(patterns, name)] for code, patterns in devices.items()}
        self.links = {
            code: _source(FIRST_SOURCE_ID + number, code, "link", names, LINK_CLASS) for number, (code, names) in enumerate(wanted.items(), 1) if names
        }
        self._before: dict[str, LinkCounts] = {}

    @property
    def sources(self) -> list[Source]:
        return [self.gateway, *self.links.values()]

    def gateway_reading(self, facts: Facts) -> Reading:
        """How the gateway is now."""
        disk = os.statvfs(self._state_dir)
        load, self._cpu = _cpu_percent(self._cpu, _cpu_ticks())
        numbers: dict[str, Number] = {
            "cpu.load": load,
            "memory.used": _memory_percent(),
            "disk.free": disk.f_bavail * disk.f_frsize / _MIB,
            "temperature.internal": _board_c(),
            "uptime": time.monotonic() - self._started_s,
            "process.rss": _rss_bytes() / _MIB,
            "process.cpu": time.process_time(),
            "buffer.waiting": facts.waiting,
            "buffer.oldest_age": facts.oldest_age_s,
            "buffer.size": facts.size_bytes / _MIB,
            "buffer.used": 100 * facts.size_bytes / facts.bytes_max if facts.bytes_max else None,
            "buffer.dropped": facts.dropped,
            "clock.state": _CLOCK_STATES[self._clock.trust],
            "clock.offset": facts.clock_offset_s,
            "uplink.connected": facts.connected,
            "uplink.age": facts.receipt_age_s,
            "uplink.sent": None if facts.sent_bytes is None else facts.sent_bytes / _MIB,
            "devices.online": facts.online,
            "devices.offline": facts.offline,
            "alarms.open": facts.alarms,
        }
        return self._reading(self.gateway, numbers)

    def link_readings(self, counts: Callable[[str], LinkCounts]) -> list[Reading]:
        """
        One for each device: the share of its questions that went wrong since the last time. Of a device that is silent, or was at the last
        look, it says nothing of the line.
        """
        readings = []
        for code, source in self.links.items():
            now = counts(code)
            before = self._before.get(code, LinkCounts(now.answers, 0, 0))
            asked = now.asked - before.asked
            self._before[code] = now
            errors = 100 * (now.wrong - before.wrong) / asked if asked and now.answers and before.answers else None
            numbers: dict[str, Number] = {"link.state": now.answers, "link.error_rate": errors}
            readings.append(self._reading(source, numbers, Quality.NOT_FITTED if now.answers else Quality.OFFLINE))
        return readings

    def _reading(self, source: Source, numbers: dict[str, Number], without: Quality = Quality.NOT_FITTED) -> Reading:
        mono_ms = self._clock.mono_ms()
        values: list[Value] = []
        quality: dict[int, Quality] = {}
        for position, point in enumerate(source.points):
            number = numbers[point.name]
            values.append(None if number is None else round(number * 10**point.decimals))
            if number is None:
                quality[position] = without
        return Reading(source, self._clock.wall_ms(mono_ms), mono_ms, self._clock.trust, tuple(values), quality)


def _source(source_id: int, device: str, group: str, names: Sequence[str], device_class: str) -> Source:
    return Source(source_id, device, group, PERIOD_MS, tuple(_point(name) for name in names), device_class, Stream.RECORD)


@cache
def _point(name: str) -> Point:
    entry = lookup(name)
    assert entry is not None, name
    return Point(name, entry.decimals, entry.unit, entry.kind)


# -- what Linux says


def _cpu_ticks() -> tuple[int, int]:
    """(busy, all) ticks of all cores since the start of the machine: proc(5), /proc/stat."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _cpu_percent(before: tuple[int, int], now: tuple[int, int]) -> tuple[Number, tuple[int, int]]:
    passed = now[1] - before[1]
    return (100 * (now[0] - before[0]) / passed if passed > 0 else None), now


def _memory_percent() -> float:
    """What is neither free nor can be freed: proc(5), /proc/meminfo."""
    rows = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    kib = {row[0]: int(row[1]) for row in rows if row[0] in ("MemTotal:", "MemAvailable:")}
    return 100 * (1 - kib["MemAvailable:"] / kib["MemTotal:"])


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def _board_c() -> Number:
    """Of the first thermal zone; None on a machine without one."""
    try:
        return int(_THERMAL.read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None
