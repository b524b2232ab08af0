"""Points that no device has: the sum, difference or ratio of others (pure).

The result carries the worst quality of its inputs and the time of the newest; it has no value when an input has none.
Sum and difference are exact, in scaled integers; a ratio is rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from edgegw.model import Quality, Value

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
    """sum, difference (the first less all others) or ratio (the first over the second)"""
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
    if not numbers[1]:
        return None
    return numbers[0] / numbers[1] * (100 if formula.percent else 1)
