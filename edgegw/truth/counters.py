"""Whether an energy register goes on as it should: pure steps on (state, value, monotonic time).

    steady ──a fall, or more than the rated power allows──► doubt ──goes on from the old value──► steady    the outlier was one
       ▲                                                     │  ▲
       └───── three reads agree on the new value ────────────┘  └─ neither: the newest value is the one in doubt

The value is never changed. While in doubt it is suspect and the device is asked again soon; two more reads decide. A rollover that the rated power
explains is no doubt. Values are scaled integers of the point (10**-decimals units).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

# Charging meters swing around their rated power; what is half as much again is no load.
POWER_MARGIN = 1.5
# Meters bring their register up to date once a second to once a minute: a step may hold so much more time than lies between two reads.
UPDATE_SLACK_MS = 60_000
# The first read and two more that agree with it.
READS_AGREEING = 3
# A register that agrees with nothing for so many reads is unsteady: its newest value is taken, so that no doubt lasts for ever.
READS_MAX = 10
# The smallest register that rolls over in decimal digits has five before the point (DL/T 645-2007: six and two behind it).
DIGITS_MIN = 5
# Without a rated power a rollover must end in the first hundredth of the register and begin in the last.
SHARE = 100

_HOUR_MS = 3_600_000


class What(StrEnum):
    """What happened to a register, as its event names it."""

    ROLLOVER = "rollover"
    RESET = "reset"
    STEP_BACK = "step_back"
    STEP_LARGE = "step_large"
    OUTLIER = "outlier"
    UNSTEADY = "unsteady"


class Register(msgspec.Struct, frozen=True):
    """What is known of one register before its first value."""

    decimals: int
    modulus: int | None = None
    """Where its binary width ends, in scaled integers; decimal widths are tried by themselves."""
    step: int = 1
    """Its smallest change."""
    per_ms: float | None = None
    """Most that the rated power adds in a millisecond, margin included; None: not judged."""
    may_fall: bool = False
    """A sum of both directions."""


class Doubt(msgspec.Struct, frozen=True):
    """A value that did not go on from the last good one."""

    what: What
    first: int
    """The value that opened it."""
    value: int
    """The value that the next one must go on from."""
    at_ms: int
    agreeing: int = 1
    reads: int = 1


class Count(msgspec.Struct, frozen=True):
    """Where a register stands."""

    value: int
    """Last value that is beyond doubt."""
    at_ms: int | None
    """Monotonic time of it; None when nobody knows how long ago it was read."""
    doubt: Doubt | None = None


class Finding(msgspec.Struct, frozen=True):
    """How a doubt ended."""

    what: What
    old: int
    """Last value before it."""
    new: int
    """The value that opened it."""
    now: int
    """The value that ended it."""
    reads: int


def allowance(rated_kw: float, decimals: int) -> float | None:
    """`Register.per_ms` of a rated power."""
    return rated_kw * POWER_MARGIN * 10**decimals / _HOUR_MS if rated_kw > 0 else None


def step(register: Register, count: Count, value: int, at_ms: int) -> tuple[Count, Finding | None]:
    """One value with a quality that has one. It is in doubt exactly while the state has a `doubt`."""
    what = classify(register, count.value, None if count.at_ms is None else at_ms - count.at_ms, value)
    if count.doubt is not None:
        return _decide(register, count, count.doubt, what, value, at_ms)
    if what is None:
        # A value of floating point may come back by its last digit; a register that creeps back by one digit each time may not.
        return Count(value if value > count.value or register.may_fall else count.value, at_ms), None
    if what is What.ROLLOVER and register.per_ms is not None and value:
        return Count(value, at_ms), Finding(what, count.value, value, value, 1)
    return Count(count.value, count.at_ms, Doubt(what, value, value, at_ms)), None


def classify(register: Register, old: int, elapsed_ms: int | None, value: int) -> What | None:
    """None when `value` goes on from `old` as it should, else what it looks like."""
    most = None if register.per_ms is None or elapsed_ms is None else register.per_ms * (max(elapsed_ms, 0) + UPDATE_SLACK_MS) + 2 * register.step
    change = value - old
    if change >= -register.step or register.may_fall:
        return None if most is None or abs(change) <= most else What.STEP_LARGE
    if any(0 <= value < modulus > old and value + modulus - old <= (modulus // SHARE if most is None else most) for modulus in _moduli(register, old)):
        return What.ROLLOVER
    return What.RESET if 0 <= value <= (old // SHARE if most is None else most) else What.STEP_BACK


def _moduli(register: Register, old: int) -> tuple[int, ...]:
    digits = len(str(abs(old)))
    decimal = (10**digits,) if digits >= register.decimals + DIGITS_MIN else ()
    return decimal if register.modulus is None else (register.modulus, *decimal)


def _decide(register: Register, count: Count, doubt: Doubt, what: What | None, value: int, at_ms: int) -> tuple[Count, Finding | None]:  # noqa: PLR0913, PLR0917 - one value and all that is known
    reads = doubt.reads + 1
    # A step that only time explains is no return to the old value.
    if what is None and not (doubt.what is What.STEP_LARGE and value >= doubt.first >= count.value):
        return Count(value, at_ms), Finding(What.OUTLIER, count.value, doubt.first, value, reads)
    agrees = classify(register, doubt.value, at_ms - doubt.at_ms, value) is None
    agreeing = doubt.agreeing + 1 if agrees else 1
    if agreeing >= READS_AGREEING:
        return Count(value, at_ms), Finding(doubt.what, count.value, doubt.first, value, reads)
    if reads >= READS_MAX:
        return Count(value, at_ms), Finding(What.UNSTEADY, count.value, doubt.first, value, reads)
    kind, first = (doubt.what, doubt.first) if agrees else (what or doubt.what, value)
    return Count(count.value, count.at_ms, Doubt(kind, first, value, at_ms, agreeing, reads)), None
