"""What a value says about a condition: pure, but for the little that a condition must remember of the values before.

    high low equals not_equals    the value against the limit (high, low: moved by the deadband once the alarm is active)
    bit                           bit number `limit` of the value is 1
    rise fall                     against the lowest or highest value of the last `window_s`; where there is a `reference`, of the difference to it
    deviation                     the difference to `reference`, whichever is more, against the limit
    frozen                        the value is the one before it; `limit` seconds of that make the alarm
    missing                       there is no good value; `limit` seconds of that make the alarm
    word                          `word`, or one of `words`, stands in the text, between spaces
    below_others above_others     against the other points of the device (`groups.py`)

With `average_s` high and low look at the mean of that time.

Every probe answers True, False, or None: not to be known now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from edgegw.model import Value
from edgegw.rules.averages import Average
from edgegw.rules.conditions import Limits, holds
from edgegw.rules.groups import Operand, Peers, above_others, below_others

# Ten minutes at half a second; of a faster point the oldest go first, and the window is shorter by that.
_SAMPLES_MAX = 1200
PLAIN = frozenset({"high", "low", "equals"})
"""Conditions that `conditions.holds` decides, and for which a quiet range is known."""


NO_WORDS: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Probe:
    """One condition on one point."""

    limits: Limits
    window_ms: int = 0
    reference: Operand | None = None
    peers: Peers | None = None
    average: Average | None = None
    last: int | None = None
    samples: deque[tuple[int, int]] = field(default_factory=deque)
    """(monotonic ms, value) of the window."""
    blind_until_ms: int = 0
    """What of the window came before its first sample is not known: an alarm that was active then may still be right."""

    def look(self, value: int, mono_ms: int, *, active: bool) -> bool | None:  # noqa: PLR0911 - one return a condition
        """`value` is good and in the point's scaled integers."""
        limits = self.limits
        match limits.condition:
            case "bit":
                return bool(value >> limits.set_limit & 1)
            case "not_equals":
                return value != limits.set_limit
            case "frozen":
                before, self.last = self.last, value
                return None if before is None and active else value == before
            case "missing":
                return False
            case "rise" | "fall" | "deviation":
                return self._compared(value, mono_ms, active=active)
            case "below_others":
                return None if self.peers is None else below_others(limits, self.peers, value, active=active)
            case "above_others":
                return None if self.peers is None else above_others(limits, self.peers, value, active=active)
            case _:
                return holds(limits, value, active=active)

    def lost(self) -> None:
        """The value is not known any more: what it did meanwhile is not, either."""
        self.last = None
        self.samples.clear()
        if self.average is not None:
            self.average.clear()

    def _compared(self, value: int, mono_ms: int, *, active: bool) -> bool | None:
        """With another point; movement also with nothing."""
        other = self.reference.value if self.reference else None
        if self.limits.condition == "deviation":
            return None if other is None else self._beyond(abs(value - other), active=active)
        if self.reference is not None and other is None:
            return None
        if not self.samples:
            self.blind_until_ms = mono_ms + self.window_ms if active else 0
        beyond = self._beyond(self._moved(value - (other or 0), mono_ms), active=active)
        return None if active and not beyond and mono_ms < self.blind_until_ms else beyond

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
    words: AbstractSet[str] = NO_WORDS
    last_key: str = ""
    """A value that is lost goes on to count, over a restart too: where its answer lies in the store while it holds. Empty: it does not."""
    holding: bool | None = None

    def look(self, value: Value) -> bool:
        """Takes the point's newest value, None when it is not good; True when the answer has changed."""
        before = self.holding
        if value is None and self.last_key:
            return False
        self.holding = None if value is None else holds(self.limits, number(value, self.words), active=bool(before))
        return self.holding is not before


@dataclass(slots=True, eq=False)
class AnyOf:
    """Several of which one is enough: points by pattern, devices of a class."""

    terms: tuple[Term, ...]

    @property
    def holding(self) -> bool | None:
        return one_of([term.holding for term in self.terms])


def number(value: Value, words: AbstractSet[str]) -> int:
    """Of a text whether one of the words stands in it; everything else is a scaled integer already."""
    if isinstance(value, str):
        return int(not words.isdisjoint(value.split()))
    assert isinstance(value, int)
    return value


def all_of(answers: Sequence[bool | None]) -> bool | None:
    """One that does not hold decides, one that is not known leaves it open."""
    if False in answers:
        return False
    return None if None in answers else True


def one_of(answers: Sequence[bool | None]) -> bool | None:
    """One that holds decides, one that is not known leaves it open."""
    if True in answers:
        return True
    return None if None in answers else False
