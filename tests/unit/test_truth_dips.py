"""Dips and swells as meters see them: one event when the voltage is back within a minute, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from truth_rig import config, judge, reading

from edgegw.model import ClockTrust, Point, Quality, Reading, Source
from edgegw.truth.dips import TOLD_EVERY_MS, MeterDips

PHASES = tuple(Point(f"phase_voltage.{phase}", 1, "V", "measure") for phase in "abc")
LINES = tuple(Point(f"line_voltage.{pair}", 1, "V", "measure") for pair in ("ab", "bc", "ca"))
THREE = Source(2, "m-01", "electrical", 5_000, PHASES, "meter")
ONE = Source(2, "m-01", "electrical", 5_000, PHASES[:1], "meter")
GONE = Quality.OFFLINE


def told(source, *looks, period_s=5):
    """Events of the meter's looks at its first voltage, one in five seconds; a tuple is all of its voltages."""
    return told_by(judge(config(), sources=(source,)), source, looks, period_s)


def told_by(the_judge, source, looks, period_s=5, first_s=0):
    found = []
    for number, look in enumerate(looks):
        values = look if isinstance(look, tuple) else (look,) * len(source.points)
        verdict = the_judge.judge(reading(source, first_s + number * period_s, *values))
        found += [event for event in verdict.events if event.kind.startswith("voltage")]
    return found


def lines(events):
    """`voltage_dip 132.0 60.0 % 5.0 s a b`"""
    return [f"{e.kind} {e.body['value']} {e.body['percent']} % {e.body['duration_s']} s {' '.join(e.body['phases'])}" for e in events]


@pytest.mark.parametrize(
    ("expected", "looks"),
    [
        ([], [2200, 1980, 2420, 2200]),
        (["voltage_dip 132.0 60.0 % 5.0 s a"], [2200, 1320, 2200]),
        (["voltage_dip 132.0 60.0 % 15.0 s a"], [2200, 1900, 1320, 1800, 2200, 2200]),
        (["voltage_swell 250.0 113.6 % 5.0 s a"], [2200, 2500, 2200]),
        (["voltage_dip 197.9 90.0 % 10.0 s a"], [2200, 1979, 2020, 2024]),
        (["voltage_dip 150.0 68.2 % 60.0 s a"], [2200, *[1500] * 12, 2200]),
        ([], [2200, *[1500] * 13, 2200]),
        ([], [2200, *[1500] * 200, 2200, 2200]),
        (["voltage_dip 150.0 68.2 % 5.0 s a"], [2200, *[1800] * 200, 2200, 1500, 2200]),
        ([], [2200, 1500, GONE, 2200]),
        ([], [2200, 1500, GONE, 1500, 2200]),
        ([], [GONE, 1500, 2200]),
        ([], [1500, 2200]),
        ([], [2200, 1500, 0, 2200]),
        ([], [2200, 0, 1500, 2200]),
        (["voltage_dip 22.0 10.0 % 5.0 s a"], [2200, 220, 2200]),
        ([], [2200, 219, 2200]),
        ([], [100_000] * 3),
    ],
    ids=[
        "on the limits", "one look", "the deepest", "swell", "a little more than back", "a minute", "more than a minute", "long low", "after long low",
        "lost in it", "lost in it and still low", "begun while away", "low from the start", "interrupted", "back from an interruption",
        "just above", "just below", "a meter of 10 kV",
    ],
)  # fmt: skip
def test_a_table_of_looks(expected, looks):
    """
    Below 0.9 or above 1.1 of 220 V, above 0.1, and back within a minute.
    """
    assert expected == lines(told(ONE, *looks))


def test_a_dip_of_three_phases_is_one_event():
    """
    With the deepest voltage of all and every phase that took part; it is over when the last one is back.
    """
    looks = [(2200, 2200, 2200), (1700, 2200, 2200), (1700, 1320, 2200), (2200, 1900, 2200), (2200, 2200, 2200)]
    (event,) = told(THREE, *looks)
    assert ["voltage_dip 132.0 60.0 % 15.0 s a b"] == lines([event])
    assert ("m-01", "phase_voltage.b", "V", 1) == (event.device, event.body["point"], event.body["unit"], event.body["count"])


def test_phases_that_part_are_told_by_the_one_farther_away():
    """
    Without the neutral one phase rises while another falls.
    """
    assert ["voltage_swell 300.0 136.4 % 5.0 s a b"] == lines(told(THREE, (2200,) * 3, (1760, 3000, 2200), (2200,) * 3))


def test_line_voltages_of_a_meter_without_phases():
    """
    380 V is their nominal voltage; beside phase voltages they are not looked at.
    """
    lines_only = Source(2, "m-01", "electrical", 5_000, LINES, "meter")
    both = Source(2, "m-01", "electrical", 5_000, (*LINES, *PHASES), "meter")
    assert ["voltage_dip 228.0 60.0 % 5.0 s bc"] == lines(told(lines_only, 3800, (3800, 2280, 3800), 3800))
    assert [] == told(both, (*[3800] * 3, *[2200] * 3), (*[2280] * 3, *[2200] * 3), (*[3800] * 3, *[2200] * 3))


def test_phases_that_come_in_answers_of_their_own():
    """
    A meter that is asked phase by phase has one dip, from the first look at it to the last voltage that is back.
    """
    sources = [Source(2 + n, "m-01", f"electrical.{n}", 5_000, (point,), "meter") for n, point in enumerate(PHASES)]
    the_judge = judge(config(), sources=sources)
    found = []
    for second, volts in ((0, 2200), (5, 1320), (10, 2200), (15, 2200)):
        for number, source in enumerate(sources):
            found += told_by(the_judge, source, [volts], first_s=second + number / 10)
    assert ["voltage_dip 132.0 60.0 % 5.2 s a b c"] == lines(found)


def test_a_voltage_that_is_never_good_harms_no_other():
    """
    A three-phase profile on a single-phase meter.
    """
    looks = [(volts, Quality.NOT_FITTED, Quality.BAD) for volts in (2200, 1320, 2200)]
    assert ["voltage_dip 132.0 60.0 % 5.0 s a"] == lines(told(THREE, *looks))


def test_a_doubtful_voltage_is_not_known():
    """
    It ends the watch, though it has a value.
    """
    the_judge = judge(config(), sources=(ONE,))
    found = []
    for second, volts, quality in ((0, 2200, {}), (5, 1320, {}), (10, 1320, {0: Quality.SUSPECT}), (15, 2200, {})):
        found += the_judge.judge(Reading(ONE, second * 1000, second * 1000, ClockTrust.SYNCHRONISED, (volts,), quality)).events
    assert [] == found


def test_a_load_that_flickers_is_told_once_a_minute():
    """
    With the number of dips since the last one that was told.
    """
    events = told(ONE, *[2200, 1320] * 600)
    assert [1, *[6] * 99] == [event.body["count"] for event in events]
    assert all(later.mono_ms - before.mono_ms >= TOLD_EVERY_MS for before, later in pairwise(events))


@pytest.mark.parametrize(
    ("device_class", "period_ms", "expected"), [("meter", 5_000, [2]), ("inverter", 5_000, []), ("pile", 1_000, []), ("meter", 900_000, [])]
)
def test_only_quick_looks_of_meters_are_watched(device_class, period_ms, expected):
    """
    An inverter's voltage is its own while it starts, and a quarter hour shows no dip.
    """
    assert expected == MeterDips([Source(2, "m-01", "all", period_ms, PHASES, device_class)]).source_ids


def test_what_is_kept_is_forgotten_when_all_is_usual():
    """
    However often it dips.
    """
    dips = judge(config(), sources=(THREE,))
    told_by(dips, THREE, [2200, 1320, 2200, 2600, 2200] * 200)
    (step,) = [step for step in dips.concerned[THREE.source_id] if isinstance(step, MeterDips)]
    assert (set(), None, {THREE.source_id}, 3) == (step._away, step._episode, step._calm, len(step._usual))
