"""When a condition begins and when it ends: pure steps on (state, sample, monotonic time).

    NORMAL ──set──► PENDING_ON ──on-delay──► ACTIVE ──back──► PENDING_OFF ──off-delay──► NORMAL
       ▲               │   ▲                   ▲                   │
       └──not set──────┘   └ good values only ─┴───set again───────┘

A delay of 0 skips its pending state. Only ACTIVE is an alarm. A value whose quality is not good freezes: it raises nothing, it clears
nothing, and a delay that was running starts again with the next good value. A value that nothing has confirmed for `stale_ms` counts
the same when a delay runs out. Values and limits are scaled integers of the point (10**-decimals units): no float is ever compared.
"""

from __future__ import annotations

import math
from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec

# Beyond any value that a register of 64 bits can hold: the open end of a range.
FAR = 1 << 100
# Limits of `below_others` are hundredths of a percent.
PERCENT_SCALE = 100


class Condition(IntEnum):
    """How far one rule is on one point."""

    NORMAL = 0
    PENDING_ON = 1
    ACTIVE = 2
    PENDING_OFF = 3


# Members of an enumeration are looked up slowly, and this is done for each value in a storm.
_NORMAL, _PENDING_ON, _ACTIVE, _PENDING_OFF = Condition


class Edge(StrEnum):
    """What an alarm event reports (docs/alarms.md)."""

    RAISED = "raised"
    CLEARED = "cleared"
    SHOWN = "shown"
    """The alarm it was hidden below has ended, this one goes on."""
    LEVEL = "level"
    """Another rule of the same episode decides about it now."""
    RETURNED = "returned"
    """The condition of a latched alarm has ended; it waits for its reset."""
    AGAIN = "again"
    """The condition of one that waits has come back."""
    ACKNOWLEDGED = "acknowledged"
    RESET = "reset"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    CLOSED = "closed"
    """Nobody acknowledged it, and there are too many like it."""
    CHATTERING = "chattering"
    """One that comes and goes has come again, with alarms that are hidden below it."""
    SETTLED = "settled"
    """It goes on, and does not come and go any more."""


class Limits(msgspec.Struct, frozen=True):
    """What one rule asks of one point, in the point's scaled integers."""

    condition: str
    """high, low, equals, or one of those that `probes.py` decides"""
    set_limit: int
    """high: set above it; low: set below it; equals: set at it."""
    hold_limit: int
    """The same for an alarm that is active: the limit moved by the deadband."""
    on_delay_ms: int
    off_delay_ms: int
    stale_ms: int


# It refers to nothing that refers back: the collector need not look at what a storm makes of them.
class State(msgspec.Struct, frozen=True, gc=False):
    """Where one rule stands on one point. Times are monotonic; `since_ms` is the first sample of a pending state."""

    condition: Condition = _NORMAL
    since_ms: int = 0
    seen_ms: int = 0

    @property
    def is_active(self) -> bool:
        return self.condition is _ACTIVE or self.condition is _PENDING_OFF


def scale(condition: str, limit: float, deadband: float, decimals: int) -> tuple[int, int] | None:
    """Set and hold limit as scaled integers that decide exactly as the decimal limits would, or None where no value can ever be equal to the limit."""
    exact = Decimal(repr(limit)).scaleb(decimals)
    band = Decimal(repr(deadband)).scaleb(decimals)
    if condition in ("high", "rise", "fall", "deviation", "above_others"):
        return math.floor(exact), math.floor(exact - band)
    if condition == "below_others":  # percent, whatever the point's digits are
        return round(limit * PERCENT_SCALE), round((limit + deadband) * PERCENT_SCALE)
    if condition in ("bit", "frozen", "missing"):
        return int(limit), int(limit)
    if condition == "word":
        return 1, 1
    if condition == "low":
        return math.ceil(exact), math.ceil(exact + band)
    return (int(exact), int(exact)) if exact == exact.to_integral_value() else None


def holds(limits: Limits, value: int, *, active: bool) -> bool:
    """Whether the condition is set by this value, or still set when it was."""
    limit = limits.hold_limit if active else limits.set_limit
    if limits.condition == "high":
        return value > limit
    return value < limit if limits.condition == "low" else value == limit  # equals; word: whether it is there


def sample(limits: Limits, state: State, mono_ms: int, value: int) -> tuple[State, Edge | None]:
    """One good value. Delays that ran out before `mono_ms` must have been taken with `run_out` first."""
    return step(limits, state, mono_ms, holding=holds(limits, value, active=state.is_active))


def step(limits: Limits, state: State, mono_ms: int, *, holding: bool) -> tuple[State, Edge | None]:
    """The same for a condition that was decided already."""
    condition = state.condition
    is_active = condition is _ACTIVE or condition is _PENDING_OFF
    if holding == is_active:
        return State(_ACTIVE if is_active else _NORMAL, mono_ms, mono_ms), None
    pending = _PENDING_OFF if is_active else _PENDING_ON
    if condition is pending:
        return State(pending, state.since_ms, mono_ms), None
    if limits.off_delay_ms if is_active else limits.on_delay_ms:
        return State(pending, mono_ms, mono_ms), None
    return (State(_NORMAL, mono_ms, mono_ms), Edge.CLEARED) if is_active else (State(_ACTIVE, mono_ms, mono_ms), Edge.RAISED)


def due_ms(limits: Limits, state: State) -> int | None:
    """When the running delay ends, None when none runs."""
    if state.condition is _PENDING_ON:
        return state.since_ms + limits.on_delay_ms
    if state.condition is _PENDING_OFF:
        return state.since_ms + limits.off_delay_ms
    return None


def run_out(limits: Limits, state: State, now_ms: int) -> tuple[State, Edge | None]:
    """Ends the delay that is over at `now_ms`; the edge belongs to the time of `due_ms`, however late the call comes."""
    due = due_ms(limits, state)
    if due is None or now_ms < due:
        return state, None
    is_missed = limits.condition == "missing" and state.condition is _PENDING_ON  # a silent device is probed and not read: that nothing comes is no doubt
    if due - state.seen_ms > limits.stale_ms and not is_missed:
        return lose(state), None
    if state.condition is _PENDING_ON:
        return State(_ACTIVE, due, state.seen_ms), Edge.RAISED
    return State(_NORMAL, due, state.seen_ms), Edge.CLEARED


def lose(state: State) -> State:
    """The value's quality is not good any more: what was decided stays, what was pending starts again."""
    settled = _ACTIVE if state.is_active else _NORMAL
    return state if state.condition is settled else State(settled, state.since_ms, state.seen_ms)


def quiet_range(limits: Limits, state: State, value: int | None) -> tuple[int, int]:
    """Values, both ends included, that would change nothing: the one comparison that most values cost. Empty (1, 0) while a delay runs."""
    if state.condition is _PENDING_ON or state.condition is _PENDING_OFF or value is None:
        return (1, 0)
    is_active = state.condition is _ACTIVE
    limit = limits.hold_limit if is_active else limits.set_limit
    if limits.condition == "high":
        return (limit + 1, FAR) if is_active else (-FAR, limit)
    if limits.condition == "low":
        return (-FAR, limit - 1) if is_active else (limit, FAR)
    return (value, value)  # equals
