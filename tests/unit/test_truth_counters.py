"""Registers: what a value that does not go on from the last one is, and when that is decided."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from truth_rig import ELECTRICAL, ENERGY, device, judge, keep, reading, words

from edgegw.model import Quality
from edgegw.truth.counters import READS_AGREEING, READS_MAX, Count, Register, What, allowance, step
from edgegw.truth.flow import Flow

# 7 kW with two decimals of kWh; the reads are a second apart and the slack is a minute: 0.18 kWh may come between two.
RATED = Register(2, 1 << 32, 1, allowance(7.0, 2))
UNRATED = Register(2, 1 << 32, 1)


def run(register: Register, values: list[int], gap_ms: int = 1000) -> tuple[list[str], list[bool], int]:
    """(findings, whether each value was in doubt, the last good value)"""
    count = Count(values[0], 0)
    found, doubts = [], []
    for number, value in enumerate(values[1:], 1):
        count, finding = step(register, count, value, number * gap_ms)
        found += [finding.what.value] if finding else []
        doubts.append(count.doubt is not None)
    return found, doubts, count.value


TABLE = {
    "goes on": (RATED, [100, 100, 101, 110], [], 0),
    "a single zero": (RATED, [50_000, 0, 50_001, 50_002], ["outlier"], 1),
    "a single old value": (RATED, [50_000, 49_000, 50_001], ["outlier"], 1),
    "two zeros": (RATED, [50_000, 0, 0, 50_001], ["outlier"], 2),
    "a single spike": (RATED, [50_000, 90_000, 50_001], ["outlier"], 1),
    "reset": (RATED, [50_000, 0, 0, 1, 2], ["reset"], 2),
    "step back": (RATED, [50_000, 49_000, 49_001, 49_001, 49_002], ["step_back"], 2),
    "large step": (RATED, [50_000, 51_000, 51_000, 51_001, 51_002], ["step_large"], 2),
    "large step with nothing rated": (UNRATED, [50_000, 5_100_000, 5_100_001], [], 0),
    "rollover of eight digits": (RATED, [99_999_995, 4, 9], ["rollover"], 0),
    "rollover of 32 bits": (RATED, [(1 << 32) - 5, 4, 9], ["rollover"], 0),
    "rollover with nothing rated": (UNRATED, [99_999_000, 400, 401, 402], ["rollover"], 2),
    "a zero just before the rollover": (RATED, [99_999_995, 0, 99_999_996], ["outlier"], 1),
    "reset of a small register": (RATED, [999_90, 0, 0, 1], ["reset"], 2),
    "one digit of jitter": (RATED, [50_000, 49_999, 50_000, 49_999], [], 0),
    "creeping back": (RATED, [50_000, 49_999, 49_998, 49_997, 49_996], ["step_back"], 2),
    "combined energy may fall": (Register(2, None, 1, allowance(7.0, 2), may_fall=True), [50_000, 49_990, 49_980], [], 0),
    "combined energy falls too far": (Register(2, None, 1, allowance(7.0, 2), may_fall=True), [50_000, 40_000, 40_001, 40_002], ["step_large"], 2),
    "never the same": (RATED, [50_000, *(value for n in range(20) for value in (900 - n, 40_000 - 7 * n))][:11], ["unsteady"], 9),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_a_register_did(name):
    """
    Each course of a register has its name, and its values are in doubt until two more reads have decided.
    """
    register, values, findings, doubts = TABLE[name]
    found, doubted, _ = run(register, values)
    assert findings == found
    assert doubts == sum(doubted)


def test_a_step_is_large_by_the_time_that_it_took():
    """
    What 7 kW cannot give in a second they give in an hour.
    """
    assert ["step_large"] == run(RATED, [0, 1000, 1001, 1002], gap_ms=1000)[0]
    assert [] == run(RATED, [0, 1000, 1001, 1002], gap_ms=3_600_000)[0]


def test_after_a_time_that_nobody_knows_no_step_is_too_large():
    """
    After a restart without a clock a register may have grown by anything, but not fallen.
    """
    assert None is step(RATED, Count(0, None), 10**6, 0)[1]
    assert What.STEP_BACK is step(RATED, Count(10**6, None), 10**5, 0)[0].doubt.what


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 10**10), st.integers(0, 10**7)), max_size=60), st.integers(0, 10**8), st.booleans(), st.booleans())
def test_no_course_of_values_raises_and_every_doubt_ends(course, steady, rated, may_fall):
    """
    Whatever a register says, nothing fails; as soon as it is steady the doubt is over within two more reads, and none lasts longer than its limit.
    """
    register = Register(2, 1 << 32, 1, allowance(7.0, 2) if rated else None, may_fall)
    count, at_ms, doubted = Count(0, 0), 0, 0
    for value, gap_ms in course:
        at_ms += gap_ms
        count, _ = step(register, count, value, at_ms)
        doubted = doubted + 1 if count.doubt else 0
        assert doubted < READS_MAX
    for _ in range(READS_AGREEING):
        at_ms += 1000
        count, _ = step(register, count, steady, at_ms)
    assert None is count.doubt
    assert abs(steady - count.value) <= register.step


# -- as part of the way


def test_a_value_in_doubt_is_stored_as_it_is_and_asked_again():
    """
    The zero stays a zero, suspect; the source is asked again; the reset is an event with old, new, raw and reason.
    """
    truth = judge()
    verdicts = [truth.judge(reading(ENERGY, second, value)) for second, value in enumerate([50_000, 0, 0, 1])]
    assert [(50_000,), (0,), (0,), (1,)] == [verdict.readings[0].values for verdict in verdicts]
    assert [{}, {0: Quality.SUSPECT}, {0: Quality.SUSPECT}, {}] == [verdict.readings[0].quality for verdict in verdicts]
    assert [False, True, True, False] == [verdict.ask_again for verdict in verdicts]
    body = verdicts[3].events[0].body
    assert ("reset", 500.0, 0.0, 0.01, 0, "kWh") == (body["what"], body["old"], body["new"], body["now"], body["raw"], body["unit"])
    assert "began again" in body["reason"]


def test_a_register_is_remembered_over_a_restart():
    """
    A meter that was exchanged while the gateway was off is recognised by its fall; one that grew as it may is not.
    """
    store: dict[str, bytes] = {}
    keep(store, judge().judge(reading(ENERGY, 0, 50_000)))
    later = [judge(restored=store).judge(reading(ENERGY, 3600, value)).readings[0].quality for value in (50_500, 100, 90_000)]
    assert [{}, {0: Quality.SUSPECT}, {0: Quality.SUSPECT}] == later


def test_registers_are_kept_four_times_an_hour():
    """
    A register that is read every second costs the flash no write a second.
    """
    truth = judge()
    kept = sum(bool(truth.judge(reading(ENERGY, second, 100)).states) for second in range(1801))
    assert 3 == kept


def test_a_meter_that_alternates_does_not_fill_the_store():
    """
    Its outliers are told once an hour, with their number.
    """
    truth = judge()
    events = [event for second in range(3700) for event in truth.judge(reading(ENERGY, second, 0 if second % 2 else 50_000)).events]
    assert ["counter outlier", "counter outlier"] == words(events)
    assert 1 == events[0].body["count"]
    assert 1800 == events[1].body["count"]


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.OFFLINE])
def test_a_value_that_is_none_decides_nothing(quality):
    """
    Between two reads of a doubt the device may be silent.
    """
    truth = judge()
    verdicts = [truth.judge(reading(ENERGY, second, value)) for second, value in enumerate([50_000, 0, quality, 0, quality, 1])]
    assert ["counter reset"] == words([event for verdict in verdicts for event in verdict.events])
    assert quality == verdicts[2].readings[0].quality[0]


# -- frozen


def feed(power_kw: float, minutes: int, move_at: int | None = None) -> list[str]:
    """Power every 5 s, the register every minute."""
    truth = judge()
    events = []
    for second in range(0, 60 * minutes + 1, 5):
        events += truth.judge(reading(ELECTRICAL, second, round(1000 * power_kw))).events
        if second % 60 == 0:
            events += truth.judge(reading(ENERGY, second + 1, 100 if move_at is None or second < 60 * move_at else 110)).events
    return [f"{event.kind} {event.body['edge']} {event.mono_ms // 60_000}" for event in events]


def test_a_register_that_stands_still_while_power_flows_is_frozen():
    """
    After 15 minutes with 2 kW it is told, and again when it moves.
    """
    assert ["frozen raised 15", "frozen cleared 40"] == feed(2.0, 45, move_at=40)


@pytest.mark.parametrize(("power_kw", "minutes"), [(0.04, 60), (2.0, 14), (-2.0, 60), (0.0, 60)])
def test_a_register_that_has_no_reason_to_move_is_not_frozen(power_kw, minutes):
    """
    Below 0.05 kW, for less than 15 minutes, or against its direction.
    """
    assert [] == feed(power_kw, minutes)


def test_a_coarse_register_needs_more_than_three_steps():
    """
    With steps of 1 kWh a quarter hour at 2 kW proves nothing; an hour of 4 kW does.
    """
    flow = Flow(1.0, 7.0, 1)
    told = []
    for second in range(0, 3601, 5):
        flow.power(2.0 if second < 1000 else 4.0, 1000 * second, 5000)
        told.append(flow.register(7, 1000 * second))
    assert "" == told[200]
    assert 1 == told.count("frozen")


def test_a_charge_that_ends_right_behind_a_look_is_no_frozen_register():
    """
    The last power before the end may have flowed for a moment only, however high it was.
    """
    flow = Flow(0.01, 0.0, 0)
    flow.power(60.0, 0, 10_000)
    flow.register(7, 1000)
    for second in range(10, 1000, 10):
        flow.power(0.0, 1000 * second, 10_000)
    assert "" == flow.register(7, 901_000)
    assert 0.0 == flow.flowed_kwh


def test_the_wrong_power_of_a_silent_meter_is_not_counted():
    """
    Power that was not measured did not flow.
    """
    flow = Flow(0.01, 7.0, 1)
    flow.register(7, 0)
    flow.power(2.0, 0, 5000)
    flow.power(2.0, 3_600_000, 5000)
    assert "" == flow.register(7, 3_600_000)
    assert 0.0 == flow.flowed_kwh


def test_registers_of_a_day_or_a_session_begin_anew_without_a_word():
    """
    What falls by its nature is not judged.
    """
    from edgegw.model import Point, Source
    from edgegw.truth.meters import judged_counters

    names = ("energy.yield_today", "gun1.energy_session", "energy.import")
    points = tuple(Point(name, 2, "kWh", "counter") for name in names)
    assert ["energy.import"] == [point.name for _, point in judged_counters(Source(1, device("m").code, "energy", 1000, points))]
