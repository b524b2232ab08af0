"""Points that no device has: the sum, difference or ratio of others, the unbalance of three voltages, the dew point (pure).

The result carries the worst quality of its inputs and the time of the newest; it has no value when an input has none.
Sum and difference are exact, in scaled integers; everything else is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import log, sqrt
from typing import NamedTuple

import msgspec

from edgegw.model import Quality, Value

# Magnus formula over water with the coefficients of Alduchov and Eskridge (1996): within 0.1 K from -40 to 50 C.
_MAGNUS_A, _MAGNUS_B_C = 17.625, 243.04

# The worst first. Without a value: the device is gone, says no, says nonsense, is left alone, is not there; with one: doubt, estimate, age.
_WORST = (
    Quality.OFFLINE,
    Quality.REFUSED,
    Quality.BAD,
    Quality.MAINTENANCE,
    Quality.NOT_FITTED,
    Quality.SUSPECT,
    Quality.ESTIMATED,
    Quality.LATE,
    Quality.GOOD,
)
_RANK = {quality: rank for rank, quality in enumerate(_WORST)}


class Formula(msgspec.Struct, frozen=True):
    """One computed point."""

    operation: str
    """sum, difference (the first less all others), ratio (the first over the second), unbalance, dew_point or dew_margin"""
    decimals: tuple[int, ...]
    """Of the inputs."""
    result_decimals: int
    percent: bool = False
    """A ratio is told in hundredths."""
    low: float | None = None
    high: float | None = None
    """What is plausible, in the point's unit."""


class Input(NamedTuple):
    """The newest value of one input."""

    value: Value
    quality: Quality


def compute(formula: Formula, inputs: Sequence[Input]) -> tuple[int | None, Quality]:
    """The result as a scaled integer, None exactly when its quality has no value."""
    quality = min((given.quality for given in inputs), key=_RANK.__getitem__)
    if not quality.has_value:
        return None, quality
    # Only numbers can be named as inputs: the check of the configuration refuses text.
    numbers = [Fraction(int(given.value or 0), 10**decimals) for given, decimals in zip(inputs, formula.decimals, strict=True)]
    result = _apply(formula, numbers)
    if result is None or (formula.low is not None and formula.high is not None and not formula.low <= result <= formula.high):
        return None, Quality.BAD
    return round(result * 10**formula.result_decimals), quality


def _apply(formula: Formula, numbers: Sequence[Fraction]) -> Fraction | None:
    if formula.operation == "sum":
        return sum(numbers, Fraction())
    if formula.operation == "difference":
        return numbers[0] - sum(numbers[1:], Fraction())
    if formula.operation in _PHYSICS:
        found = _PHYSICS[formula.operation](*map(float, numbers))
        return None if found is None else Fraction(found)
    if not numbers[1]:
        return None
    return numbers[0] / numbers[1] * (100 if formula.percent else 1)


def dew_point_c(temperature_c: float, humidity_percent: float) -> float | None:
    """Of air; None for air without any water."""
    if humidity_percent <= 0:
        return None
    gamma = log(humidity_percent / 100) + _MAGNUS_A * temperature_c / (_MAGNUS_B_C + temperature_c)
    return _MAGNUS_B_C * gamma / (_MAGNUS_A - gamma)


def dew_margin_k(temperature_c: float, humidity_percent: float, surface_c: float) -> float | None:
    """How far a surface is above the dew point of the air around it."""
    dew_c = dew_point_c(temperature_c, humidity_percent)
    return None if dew_c is None else surface_c - dew_c


def unbalance_percent(ab_v: float, bc_v: float, ca_v: float) -> float | None:
    """Negative over positive sequence of three line voltages, from their magnitudes alone (IEC 61000-4-30, 5.7); None without voltage."""
    squares = ab_v**2 + bc_v**2 + ca_v**2
    if not squares:
        return None
    # Rounding may bring three equal voltages a little above the largest that the root can have.
    root = sqrt(max(0.0, 3 - 6 * (ab_v**4 + bc_v**4 + ca_v**4) / squares**2))
    return 100 * sqrt(max(0.0, (1 - root) / (1 + root)))


_PHYSICS: Mapping[str, Callable[..., float | None]] = {"dew_point": dew_point_c, "dew_margin": dew_margin_k, "unbalance": unbalance_percent}
