"""What a value says about a condition: pure, but for the little that a condition must remember of the values before.

    high low equals not_equals    the value against the limit (high, low: moved by the deadband once the alarm is active)
    bit                           bit number `limit` of the value is 1
    rise fall                     against the lowest or highest value of the last `window_s`
    deviation                     the difference to `reference`, whichever is more, against the limit
    frozen                        the value is the one before it; `limit` seconds of that make the alarm
    missing                       there is no good value; `limit` seconds of that make the alarm
    word                          `word` stands in the text, between spaces

Every probe answers True, False, or None: not to be known now.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edgegw.model import Value
from edgegw.rules.conditions import Limits, holds

# Ten minutes at half a second; of a faster point the oldest go first, and the window is shorter by that.
_SAMPLES_MAX = 1200
PLAIN = frozenset({"high", "low", "equals"})
"""Conditions that `conditions.holds` decides, and for which a quiet range is known."""


@dataclass(slots=True, eq=False)
class Operand:
    """The last good value of a point that a condition needs beside its own; None while there is none."""

    value: int | None = None


@dataclass(slots=True, eq=False)
class Probe:
    """One condition on one point."""

    limits: Limits
    window_ms: int = 0
    reference: Operand | None = None
    last: int | None = None
    samples: deque[tuple[int, int]] = field(default_factory=deque)
    """(monotonic ms, value) of the window."""

    def look(self, value: int, mono_ms: int, *, active: bool) -> bool | None:  # noqa: PLR0911 - one return a condition
        """`value` is good and in the point's scaled integers."""
        limits = self.limits
        match limits.condition:
            case "bit":
                return bool(value >> limits.set_limit & 1)
            case "not_equals":
                return value != limits.set_limit
            case "frozen":
                same, self.last = value == self.last, value
                return same
            case "missing":
                return False
            case "rise" | "fall":
                return self._beyond(self._moved(value, mono_ms), active=active)
            case "deviation":
                other = self.reference.value if self.reference else None
                return None if other is None else self._beyond(abs(value - other), active=active)
            case _:
                return holds(limits, value, active=active)

    def lost(self) -> None:
        """The value is not known any more: what it did meanwhile is not, either."""
        self.last = None
        self.samples.clear()

    def _beyond(self, amount: int, *, active: bool) -> bool:
        return amount > (self.limits.hold_limit if active else self.limits.set_limit)

    def _moved(self, value: int, mono_ms: int) -> int:
        samples = self.samples
        samples.append((mono_ms, value))
        while samples[0][0] < mono_ms - self.window_ms or len(samples) > _SAMPLES_MAX:
            samples.popleft()
        if self.limits.condition == "rise":
            return value - min(sample for _, sample in samples)
        return max(sample for _, sample in samples) - value


@dataclass(slots=True, eq=False)
class Term:
    """Another condition that must hold too, on a point of the same or another device."""

    limits: Limits
    word: str = ""
    holding: bool | None = None

    def look(self, value: Value) -> bool:
        """Takes the point's newest value, None when it is not good; True when the answer has changed."""
        before = self.holding
        self.holding = None if value is None else holds(self.limits, number(value, self.word), active=bool(before))
        return self.holding is not before


def number(value: Value, word: str) -> int:
    """Of a text whether the word stands in it; everything else is a scaled integer already."""
    if isinstance(value, str):
        return int(bool(word) and word in value.split())
    assert isinstance(value, int)
    return value


def together(terms: tuple[Term, ...]) -> bool | None:
    """All of them: one that does not hold decides, one that is not known leaves it open."""
    known = [term.holding for term in terms]
    if False in known:
        return False
    return None if None in known else True
