"""Whether parts add up to the whole: the energy or the mean power of some points against that of another, over a window (pure).

Registers count by their difference over the window, powers by their mean. A window in which a term was not known throughout says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

# A term whose newest value is older than so many periods is not known.
FRESH_PERIODS = 2
FRESH_MS_MIN = 15_000
# Of the window, so much of a power must have been measured.
COVERAGE_MIN = 0.9
# Registers move in steps and are read one after the other: so many steps of each term are no difference.
STEPS = 3


@dataclass(slots=True, eq=False)
class Term:
    """One point of a balance, in its unit."""

    sign: int
    counter: bool
    period_ms: int
    step: float
    value: float | None = None
    at_ms: int = 0
    begin: float = 0.0
    area: float = 0.0
    covered_ms: int = 0

    def see(self, value: float, at_ms: int) -> None:
        passed_ms = at_ms - self.at_ms
        if self.value is not None and 0 < passed_ms <= self.fresh_ms:
            self.area += self.value * passed_ms
            self.covered_ms += passed_ms
        self.value, self.at_ms = value, at_ms

    def miss(self) -> None:
        """A poll without a value that can be believed."""
        if not self.counter:
            self.value = None

    @property
    def fresh_ms(self) -> int:
        return max(FRESH_PERIODS * self.period_ms, FRESH_MS_MIN)

    def is_fresh(self, now_ms: int) -> bool:
        return self.value is not None and now_ms - self.at_ms <= self.fresh_ms

    def restart(self) -> None:
        self.begin, self.area, self.covered_ms = self.value or 0.0, 0.0, 0

    def amount(self, window_ms: int) -> float | None:
        """Of the window that ends; None when it is not known."""
        if self.counter:
            grown = (self.value or 0.0) - self.begin
            return grown if grown >= 0 else None
        return self.area / self.covered_ms if self.covered_ms >= COVERAGE_MIN * window_ms else None


class Sum(NamedTuple):
    """How a window ended."""

    total: float
    parts: float
    percent: float
    fits: bool


@dataclass(slots=True, eq=False)
class Balance:
    """One comparison; the first term is the whole."""

    terms: Sequence[Term]
    window_ms: int
    tolerance_percent: float
    less_is_right: bool
    """The parts may be less than the whole: it has other loads."""
    began_ms: int | None = None

    def look(self, now_ms: int) -> Sum | None:
        """To be called when a term has a new value. The sum of a window that has ended, None where there is none."""
        if self.began_ms is not None and now_ms - self.began_ms < self.window_ms:
            return None
        if not all(term.is_fresh(now_ms) for term in self.terms):
            # Terms of one period come one after the other: the window ends with the last of them, or begins anew when one stays away.
            if self.began_ms is not None and now_ms - self.began_ms > self.window_ms + 2 * max(term.fresh_ms for term in self.terms):
                self.began_ms = None
            return None
        found = None if self.began_ms is None else self._sum(now_ms - self.began_ms)
        for term in self.terms:
            term.restart()
        self.began_ms = now_ms
        return found

    def _sum(self, window_ms: int) -> Sum | None:
        amounts = [term.amount(window_ms) for term in self.terms]
        if None in amounts:
            return None
        total, *parts = (amount for amount in amounts if amount is not None)
        added = sum(term.sign * amount for term, amount in zip(self.terms[1:], parts, strict=True))
        off = added - total
        allowed = abs(total) * self.tolerance_percent / 100 + STEPS * sum(term.step for term in self.terms)
        fits = off <= allowed and (self.less_is_right or off >= -allowed)
        return Sum(total, added, round(100 * off / abs(total), 2) if total else 0.0, fits)
