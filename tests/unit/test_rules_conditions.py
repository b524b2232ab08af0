"""The pure steps of a condition, against a second definition of the same words and against tables."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.rules.conditions import Condition, Edge, Limits, State, holds, lose, quiet_range, run_out, sample, scale

QUANTUM_MS = 500


def limits(condition: str = "high", set_limit: int = 450, hold_limit: int = 430, on_ms: int = 3000, off_ms: int = 2000) -> Limits:
    return Limits(condition, set_limit, hold_limit, on_ms, off_ms, stale_ms=15_000)


@pytest.mark.parametrize(
    ("expected", "condition", "limit", "deadband", "decimals"),
    [
        ((2354, 2330), "high", 235.4, 2.4, 1),
        ((2354, 2334), "high", 235.45, 2.0, 1),
        ((1980, 2000), "low", 198.0, 2.0, 1),
        ((1981, 2001), "low", 198.05, 2.0, 1),
        ((-200, -170), "low", -20.0, 3.0, 1),
        ((110, 100), "high", 0.11, 0.01, 3),
        ((1, 1), "equals", 1.0, 0.0, 0),
        (None, "equals", 0.5, 0.0, 0),
    ],
)
def test_limits_are_scaled_without_rounding_errors(expected, condition, limit, deadband, decimals):
    """
    Limits become integers of the point's digits that decide as the decimal numbers would.
    """
    assert expected == scale(condition, limit, deadband, decimals)


@given(
    st.sampled_from(["high", "low"]),
    st.decimals(-1000, 1000, places=3),
    st.decimals(0, 50, places=3),
    st.integers(0, 4),
    st.integers(-(10**7), 10**7),
    st.booleans(),
)
def test_scaled_limits_decide_as_decimal_numbers_do(condition, limit, deadband, decimals, value, active):
    """
    For every value the integer comparison says what exact decimal arithmetic says.
    """
    set_limit, hold_limit = scale(condition, float(limit), float(deadband), decimals)
    exact = Decimal(value).scaleb(-decimals)
    back = (deadband if condition == "low" else -deadband) if active else 0
    expected = exact > limit + back if condition == "high" else exact < limit + back
    assert expected == holds(Limits(condition, set_limit, hold_limit, 0, 0, 0), value, active=active)


@pytest.mark.parametrize("rules", [limits(), limits("low", 100, 120), limits("equals", 1, 1)])
@pytest.mark.parametrize("condition", [Condition.NORMAL, Condition.ACTIVE])
def test_quiet_range_holds_exactly_what_changes_nothing(rules, condition):
    """
    Every value for which the quick comparison says "nothing" does nothing in the full step, and every other one does something.
    """
    state = State(condition)
    settled = [last for last in range(-5, 601) if holds(rules, last, active=state.is_active) == state.is_active]
    for last in (settled[0], settled[-1]):
        low, high = quiet_range(rules, state, last)
        for value in range(-5, 601):
            changed = sample(rules, state, 1000, value)[0].condition != condition
            quiet = low <= value <= high
            assert not (quiet and changed)
            assert rules.condition == "equals" or quiet != changed


def edges_by_definition(rules: Limits, samples: list[tuple[int, int | None]], end_ms: int) -> list[tuple[int, str]]:
    """Looks back from every instant: an edge is there when an unbroken run of good samples since the last edge has spoken for it as long as its delay."""
    found: list[tuple[int, str]] = []
    active = False
    since = 0
    for now in range(0, end_ms + 1, QUANTUM_MS):
        for _ in range(2):
            delay = rules.off_delay_ms if active else rules.on_delay_ms
            run: list[int] = []
            for at, value in reversed([item for item in samples if since <= item[0] < now or (since <= item[0] == now and delay == 0)]):
                if value is None or holds(rules, value, active=active) == active:
                    break
                run.append(at)
            if run and run[-1] + delay <= now:
                active = not active
                since = now if delay else now + 1
                found.append((now, "raised" if active else "cleared"))
    return found


steps = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([None, 425, 431, 440, 451, 460])), max_size=25)


@given(steps, st.sampled_from([0, 500, 1500, 3000]), st.sampled_from([0, 1000, 2000]), st.booleans())
def test_edges_come_when_the_definition_says(gaps, on_ms, off_ms, with_ticks):
    """
    Whatever values, bad qualities and ticks come, alarms begin and end exactly at the times that a look back over the samples gives.
    """
    rules = limits(on_ms=on_ms, off_ms=off_ms)
    samples: list[tuple[int, int | None]] = []
    now = 0
    for gap, value in gaps:
        now += gap * QUANTUM_MS
        samples.append((now, value))
    end = now + 5000
    by_time = dict(samples)
    found: list[tuple[int, str]] = []
    state = State()
    for at in range(0, end + 1, QUANTUM_MS):
        if at in by_time or with_ticks or at == end:
            due = state.since_ms + (rules.off_delay_ms if state.is_active else rules.on_delay_ms)
            state, edge = run_out(rules, state, at)
            found += [(due, edge.value)] if edge else []
        if at in by_time:
            value = by_time[at]
            state, edge = (lose(state), None) if value is None else sample(rules, state, at, value)
            found += [(at, edge.value)] if edge else []
    assert edges_by_definition(rules, samples, end) == found


def test_a_delay_does_not_end_on_a_value_that_nothing_has_confirmed():
    """
    When no reading has come for the stale time before the delay ends, the alarm is not raised, and not cleared either.
    """
    slow = limits(on_ms=60_000, off_ms=60_000)
    waiting = State(Condition.PENDING_ON, since_ms=0, seen_ms=10_000)
    leaving = State(Condition.PENDING_OFF, since_ms=0, seen_ms=10_000)
    assert (Condition.NORMAL, None) == (run_out(slow, waiting, 60_000)[0].condition, run_out(slow, waiting, 60_000)[1])
    assert (Condition.ACTIVE, None) == (run_out(slow, leaving, 60_000)[0].condition, run_out(slow, leaving, 60_000)[1])
    fresh = State(Condition.PENDING_ON, since_ms=0, seen_ms=50_000)
    assert Edge.RAISED == run_out(slow, fresh, 60_000)[1]
