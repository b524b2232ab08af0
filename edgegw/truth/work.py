"""One reading on its way through what judges it, and what came out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from edgegw.model import ClockTrust, Event, Point, Quality, Reading, Value

_log = logging.getLogger("edgegw.truth")

KEY_PREFIX = "truth/"
"""Of everything that is kept for the next start."""
# What the wrong device says may be booked on the right one.
REPORT_LEVEL = "major"
NO_STATES: Mapping[str, bytes | None] = MappingProxyType({})


class Moment(NamedTuple):
    """One instant on both clocks, with the trust of its wall label."""

    mono_ms: int
    wall_ms: int
    clock: ClockTrust


class Report(NamedTuple):
    """An alarm that begins (`raised`) or ends, for the rules engine."""

    rule: str
    device: str
    raised: bool
    text: str = ""
    text_zh: str = ""
    level: str = REPORT_LEVEL


class Verdict(NamedTuple):
    """What a reading, a device's word or a tick came to."""

    readings: tuple[Reading, ...] = ()
    """The reading as it is stored, and the computed ones that it made."""
    events: tuple[Event, ...] = ()
    states: Mapping[str, bytes | None] = NO_STATES
    ask_again: bool = False
    """A value is in doubt: the source is asked again soon."""
    reports: tuple[Report, ...] = ()
    excused: Mapping[str, bool] = MappingProxyType({})
    """Devices whose silence is right from now on, or no longer."""


class Work:
    """What is known of one reading while it is judged. Values are changed by nothing but an input that is declared as normally closed."""

    __slots__ = ("_events", "_quality", "_values", "again", "excused", "more", "now", "reading", "reports", "states", "wrong")

    def __init__(self, now: Moment, reading: Reading | None = None) -> None:
        self.now = now
        self.reading = reading
        self.wrong = False
        """Another device than the configured one answered."""
        self.again = False
        self.states: dict[str, bytes | None] = {}
        self.excused: dict[str, bool] = {}
        self.reports: list[Report] = []
        self.more: list[Reading] = []
        self._events: list[Event] = []
        self._values: list[Value] | None = None
        self._quality: dict[int, Quality] | None = None

    def value(self, position: int) -> Value:
        assert self.reading is not None
        return (self.reading.values if self._values is None else self._values)[position]

    def values(self) -> list[Value] | tuple[Value, ...]:
        assert self.reading is not None
        return self.reading.values if self._values is None else self._values

    def quality(self, position: int) -> Quality:
        assert self.reading is not None
        return (self.reading.quality if self._quality is None else self._quality).get(position, Quality.GOOD)

    @property
    def is_all_good(self) -> bool:
        """Whether no value of it has any other quality."""
        assert self.reading is not None
        return not (self.reading.quality if self._quality is None else self._quality)

    def suspect(self, position: int) -> None:
        """A value that may be wrong; where there is none nothing changes."""
        assert self.reading is not None
        if self.quality(position).has_value:
            if self._quality is None:
                self._quality = dict(self.reading.quality)
            self._quality[position] = Quality.SUSPECT

    def turn_round(self, position: int, value: int) -> None:
        """The meaning of a normally closed contact."""
        assert self.reading is not None
        if self._values is None:
            self._values = list(self.reading.values)
        self._values[position] = value

    def tell(self, kind: str, device: str | None, body: Mapping[str, object]) -> None:
        self._events.append(Event(kind, self.now.wall_ms, self.now.mono_ms, self.now.clock, device, body))
        _log.info("%s %s: %s", device, kind, ", ".join(f"{key} {value}" for key, value in body.items() if value not in ("", None)))

    def judged(self) -> Reading:
        """The reading as far as it is judged."""
        assert self.reading is not None
        if self._values is None and self._quality is None:
            return self.reading
        values = self.reading.values if self._values is None else tuple(self._values)
        return msgspec.structs.replace(self.reading, values=values, quality=self.reading.quality if self._quality is None else self._quality)

    def verdict(self) -> Verdict:
        readings = () if self.reading is None else (self.judged(), *self.more)
        return Verdict(readings, tuple(self._events), self.states, self.again, tuple(self.reports), self.excused)


Step = Callable[[Work], None]
"""One judgement of the readings of one source."""


def suspect_all(work: Work) -> None:
    """The values of the wrong device."""
    work.wrong = True
    assert work.reading is not None
    for position in range(len(work.reading.values)):
        work.suspect(position)


def in_unit(value: int, point: Point) -> float:
    """A scaled integer as the number that people and the cloud see."""
    return value / 10**point.decimals if point.decimals else value


def encode(kept: object) -> bytes:
    """For the next start; JSON, so that a technician can read the store."""
    return msgspec.json.encode(kept)


def recall(restored: Mapping[str, bytes], key: str, kind: type[msgspec.Struct] | object) -> object | None:
    """What an earlier start kept; what cannot be read was never kept."""
    data = restored.get(key)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
