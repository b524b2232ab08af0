"""Whether a power fits the voltages and currents of the same answer (pure).

AC: |P| = sum of U x I x |PF|; where the power factor is not known it is at most sum of U x I. DC: |P| = |U x I|.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgegw.model import Point

# Voltage, current and power of one answer are means over cycles of up to a second that are not the same: a load that ramps moves the product by some
# percent; transformers of class 1 and a power factor of three digits add the rest. A wrong scale or phase is off by far more.
TOLERANCE = 0.10
# A few hundred watts on a large meter are below the starting current of its transformers.
FLOOR_KW = 0.1
# One answer may hold the edge of a load that was switched.
READINGS_MIN = 3


# Whose voltage, current and power are measured for their own sake.
_EXACT = frozenset({"meter", "pile"})


class Check(msgspec.Struct, frozen=True):
    """Positions in a source's values, and what makes kW of them."""

    power: int
    pairs: tuple[tuple[int, int], ...]
    """(voltage, current)"""
    factor: int | None
    """Power factor."""
    power_unit: float
    pair_unit: float
    factor_unit: float
    equal: bool
    """The product is the power; else its upper bound."""


def compile_checks(points: Sequence[Point], device_class: str) -> tuple[Check, ...]:
    """What can be checked in one source: each phase, the total, DC, each gun of a pile. What is no meter may call a line voltage a phase's: an upper bound."""
    at = {point.name: position for position, point in enumerate(points)}
    phases = [phase for phase in "abc" if {f"phase_voltage.{phase}", f"current.{phase}"} <= at.keys()]
    found = [
        _check(points, at, f"active_power.{phase}", [(f"phase_voltage.{phase}", f"current.{phase}")], f"power_factor.{phase}", dc=False) for phase in phases
    ]
    whole = phases == ["a", "b", "c"] or (phases == ["a"] and not any(name.startswith(("current.b", "phase_voltage.b", "line_voltage")) for name in at))
    if whole:
        found.append(_check(points, at, "active_power", [(f"phase_voltage.{phase}", f"current.{phase}") for phase in phases], "power_factor", dc=False))
    found.append(_check(points, at, "power", [("voltage", "current")], "", dc=True))
    for gun in [name.removesuffix(".power") for name in at if name.startswith("gun") and name.endswith(".power")]:
        # Only a DC gun knows the state of charge. Behind one voltage and one current of another there may be three phases.
        dc = f"{gun}.soc" in at
        found.append(_check(points, at, f"{gun}.power", [(f"{gun}.voltage", f"{gun}.current")] * (1 if dc else 3), "", dc=dc))
    checks = [check for check in found if check is not None]
    return tuple(check if device_class in _EXACT else msgspec.structs.replace(check, equal=False) for check in checks)


def _check(points: Sequence[Point], at: Mapping[str, int], power: str, pairs: Sequence[tuple[str, str]], factor: str, *, dc: bool) -> Check | None:  # noqa: PLR0913
    if power not in at or not all(name in at for pair in pairs for name in pair):
        return None
    positions = tuple((at[voltage], at[current]) for voltage, current in pairs)
    decimals = {points[voltage].decimals + points[current].decimals for voltage, current in positions}
    if len(decimals) != 1:
        return None
    known = at.get(factor)
    return Check(
        power=at[power],
        pairs=positions,
        factor=known,
        power_unit=10.0 ** -points[at[power]].decimals,
        pair_unit=10.0 ** -(decimals.pop() + 3),
        factor_unit=1.0 if known is None else 10.0 ** -points[known].decimals,
        equal=dc or known is not None,
    )


def expected_kw(check: Check, values: Sequence[object]) -> tuple[float, float] | None:
    """(U x I x PF, U x I) in kW; None when a value is missing."""
    product = 0
    for voltage, current in check.pairs:
        u, i = values[voltage], values[current]
        if not isinstance(u, int) or not isinstance(i, int):
            return None
        product += abs(u * i)
    apparent_kw = product * check.pair_unit
    if check.factor is None:
        return apparent_kw, apparent_kw
    factor = values[check.factor]
    return (apparent_kw * abs(factor) * check.factor_unit, apparent_kw) if isinstance(factor, int) else None


def fits(check: Check, values: Sequence[object]) -> bool:
    """True also when it cannot be known."""
    power, expected = values[check.power], expected_kw(check, values)
    if not isinstance(power, int) or expected is None:
        return True
    off_kw = abs(power) * check.power_unit - expected[0]
    return (abs(off_kw) if check.equal else off_kw) <= FLOOR_KW + TOLERANCE * expected[1]
