"""A register that stands still while power flows through its meter (pure).

Frozen: unchanged for 15 minutes, while the mean power of the same meter was above 1 % of its rated power and above 0.05 kW, and what flowed is more than
three steps of the register. It is over when the register moves.
"""

from __future__ import annotations

from dataclasses import dataclass

# A quarter hour; registers that are read at quarter hours are read within half a minute behind each.
FROZEN_MS = 15 * 60_000 - 30_000
# Below this a meter may owe nothing: its starting current, and the noise of its transformers.
POWER_KW_MIN = 0.05
POWER_SHARE_MIN = 0.01
# The register moves in steps: with less than this it may just not have come to the next one.
STEPS_MIN = 3
# Power that was not measured for longer than this many periods is not known to have flowed on.
GAP_PERIODS = 3
# Of the time, so much must have been measured.
COVERAGE_MIN = 0.8

_HOUR_MS = 3_600_000


@dataclass(slots=True, eq=False)
class Flow:
    """One register and the power that should move it."""

    step_kwh: float
    rated_kw: float
    sign: int
    """1: what is taken moves it, -1: what is given; 0: both."""
    value: int | None = None
    since_ms: int = 0
    flowed_kwh: float = 0.0
    covered_ms: int = 0
    frozen: bool = False
    _power_kw: float = 0.0
    _power_ms: int | None = None

    def power(self, power_kw: float, at_ms: int, period_ms: int) -> None:
        """One measured value. Between two of them the lesser one has flowed at least: a charge that ends right behind a look at the register moves it no more."""
        before_kw, self._power_kw = self._power_kw, abs(power_kw) if not self.sign else max(0.0, power_kw * self.sign)
        if self._power_ms is not None and 0 < at_ms - self._power_ms <= GAP_PERIODS * period_ms:
            self.covered_ms += at_ms - self._power_ms
            self.flowed_kwh += min(before_kw, self._power_kw) * (at_ms - self._power_ms) / _HOUR_MS
        self._power_ms = at_ms

    def no_power(self) -> None:
        """A poll without a value that can be believed."""
        self._power_ms = None

    def register(self, value: int, at_ms: int) -> str:
        """One value of the register; `frozen` or `moving` when that has just become so, else empty."""
        if value != self.value:
            told = "moving" if self.frozen else ""
            self.value, self.since_ms, self.flowed_kwh, self.covered_ms, self.frozen = value, at_ms, 0.0, 0, False
            return told
        if self.frozen or not self._stands(at_ms - self.since_ms):
            return ""
        self.frozen = True
        return "frozen"

    def _stands(self, elapsed_ms: int) -> bool:
        if elapsed_ms < FROZEN_MS or self.covered_ms < COVERAGE_MIN * elapsed_ms:
            return False
        mean_kw = self.flowed_kwh * _HOUR_MS / self.covered_ms
        return mean_kw > max(POWER_SHARE_MIN * self.rated_kw, POWER_KW_MIN) and self.flowed_kwh > STEPS_MIN * self.step_kwh
