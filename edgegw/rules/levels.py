"""The levels of alarms: their ranks, what they want of people, and what was promised for each.

They are data (`[[level]]`), the same for the whole program: `use` takes a station's own at the start. A level that nobody knows, of an alarm
that was stored under another configuration, counts as the most severe: to tell too much is the safe side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from edgegw.config.level_model import SHIPPED_LEVELS, Level
from edgegw.config.model import Rule

_HOUR_MS: Final = 3_600_000

LEVELS: Final = tuple(level.name for level in SHIPPED_LEVELS)
"""Names of the levels that are there without a `[[level]]`, most severe first. edgegw's own rules raise alarms of these."""


class Deadline(NamedTuple):
    """By when something was to be done; wall time."""

    what: str
    at_ms: int


class _Table:
    """The levels in use."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = tuple(levels)
        self.places: Mapping[str, int] = {
            **{name: number for number, level in enumerate(levels) for name in level.formerly},
            **{level.name: number for number, level in enumerate(levels)},
        }
        self.promised = [sorted(((what, round(hours * _HOUR_MS)) for what, hours in level.deadlines_h.items()), key=lambda pair: pair[1]) for level in levels]


_tables = [_Table(SHIPPED_LEVELS)]


def use(levels: Sequence[Level]) -> None:
    """The station's own; none: those that are shipped."""
    _tables[0] = _Table(levels or SHIPPED_LEVELS)


def in_use() -> tuple[Level, ...]:
    """Most severe first."""
    return _tables[0].levels


def level_of(name: str) -> Level:
    """The level that a name stands for, also a former one; an unknown name stands for the most severe."""
    return _tables[0].levels[rank(name)]


def is_known(name: str) -> bool:
    return name in _tables[0].places


def rank(name: str) -> int:
    """0 is the most severe."""
    return _tables[0].places.get(name, 0)


def current_name(name: str) -> str:
    """What a level is called now; an unknown one keeps its name, so that people see what was stored."""
    return level_of(name).name if is_known(name) else name


def name_zh(name: str) -> str:
    """Empty where there is none."""
    return level_of(name).name_zh if is_known(name) else ""


def wants_acknowledgement(name: str) -> bool:
    """An alarm of it that ended before anybody had seen it is kept until somebody has."""
    return level_of(name).acknowledge


def promised(level: str) -> Sequence[tuple[str, int]]:
    """What, and how long after the raise in ms; the earliest first. Empty for a level without promises."""
    return _tables[0].promised[rank(level)]


def deadlines(level: str, raised_at_ms: int) -> tuple[Deadline, ...]:
    """None for a level without promises; the earliest first."""
    return tuple([Deadline(what, raised_at_ms + after_ms) for what, after_ms in promised(level)])


def overdue(due: tuple[Deadline, ...], now_ms: int, *, acknowledged: bool, ended: bool) -> str:
    """What was to be done and was not: the first promise is kept by who acknowledges, the others by the end of the alarm. Empty: nothing."""
    if ended:
        return ""
    late = [deadline.what for number, deadline in enumerate(due) if now_ms > deadline.at_ms and not (acknowledged and number == 0)]
    return late[-1] if late else ""


def with_current_levels(rules: Sequence[Rule]) -> list[Rule]:
    """Rules that name a level by a former name get the one that it has now."""
    return [rule if rule.level == current_name(rule.level) else msgspec.structs.replace(rule, level=current_name(rule.level)) for rule in rules]
