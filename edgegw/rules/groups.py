"""Points of one device that are compared with one another: strings of an inverter, phases of a busbar (pure).

    below_others    value < limit percent of the median, and the median > least
    above_others    value > the lowest of the others + limit

A string input that nothing is connected to reads 0 for ever: of `below_others` a point counts from the time at which it was above `least` itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edgegw.rules.conditions import PERCENT_SCALE, Limits

GROUPED = frozenset({"below_others", "above_others"})
# With two one is compared with the other.
_PEERS_MIN = 2
_WHOLE = 100 * PERCENT_SCALE
_NUMBER = re.compile(r"\d+")


@dataclass(slots=True, eq=False)
class Operand:
    """The last good value of a point that a condition needs beside its own; None while there is none."""

    value: int | None = None
    least: int | None = None
    """Of `below_others`, scaled as the point is."""
    carried: bool = False
    """It was above `least` once."""
    carried_key: str = ""
    """Where that lies in the store (`lasting.py`)."""

    def take(self, value: int | None) -> bool:
        """The newest, None when it is not good; True when it is the first above `least`."""
        self.value = value
        if self.carried or value is None or self.least is None or value <= self.least:
            return False
        self.carried = True
        return True


class Peers(NamedTuple):
    """One point among those that it is compared with, itself included."""

    own: Operand
    members: Sequence[Operand]
    least: int
    """Scaled as the points are."""


def below_others(limits: Limits, peers: Peers, value: int, *, active: bool) -> bool | None:
    """None where it cannot be told: too little light, or a point that never carried anything."""
    values = sorted(member.value for member in peers.members if member.carried and member.value is not None)
    if not peers.own.carried or len(values) < _PEERS_MIN:
        return None
    twice_median = values[len(values) // 2] + values[(len(values) - 1) // 2]
    if twice_median <= 2 * peers.least:
        return None
    return 2 * value * _WHOLE < (limits.hold_limit if active else limits.set_limit) * twice_median


def above_others(limits: Limits, peers: Peers, value: int, *, active: bool) -> bool | None:
    """None while none of the others is known."""
    others = [member.value for member in peers.members if member is not peers.own and member.value is not None]
    if not others:
        return None
    return value - min(others) > (limits.hold_limit if active else limits.set_limit)


def group_of(point: str, size: int) -> int:
    """Which group a point belongs to: `string.3.current` with 2 in a group is of the second, 1."""
    number = _NUMBER.search(point)
    return (int(number.group()) - 1) // size if size and number else 0
