"""Power against voltage and current, parts against the whole, and points that no device has."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from truth_rig import ELECTRICAL, ENERGY, INVERTER, SOURCES, config, device, judge, offline, reading, words

from edgegw.config.model import Balance, Computed
from edgegw.model import Point, Quality, Reading, Source, Stream
from edgegw.truth.computed import Formula, Input, compute
from edgegw.truth.electric import compile_checks, fits
from edgegw.truth.sums import make_computers


def meter(*names: str, decimals: int = 1) -> Source:
    return Source(9, "m-01", "all", 1000, tuple(Point(name, decimals, "", "measure") for name in names), "meter")


AC = meter("phase_voltage.a", "current.a", "active_power", "power_factor", decimals=3)
BOUND = meter("phase_voltage.a", "current.a", "active_power", decimals=3)
THREE = meter(*(f"{name}.{x}" for x in "abc" for name in ("phase_voltage", "current")), "active_power", "power_factor", decimals=3)
DC = meter("voltage", "current", "power", decimals=3)
AC_GUN = meter("gun1.voltage", "gun1.current", "gun1.power", decimals=3)
DC_GUN = meter("gun1.voltage", "gun1.current", "gun1.power", "gun1.soc", decimals=3)
PV = Source(9, "pv-01", "all", 1000, AC.points, "inverter")
FITTING = [
    (AC, (230.0, 10.0, 2.3, 1.0), True),
    (AC, (230.0, 10.0, -1.15, -0.5), True),
    (AC, (230.0, 10.0, 2.3, 0.5), False),
    (AC, (230.0, 10.0, 0.0023, 1.0), False),
    (AC, (230.0, 0.2, 0.0, 1.0), True),
    (BOUND, (230.0, 10.0, 1.0), True),
    (BOUND, (230.0, 10.0, 3.0), False),
    (THREE, (230.0, 10.0, 230.0, 20.0, 230.0, 0.0, 6.9, 1.0), True),
    (THREE, (230.0, 10.0, 230.0, 20.0, 230.0, 0.0, 2.3, 1.0), False),
    (DC, (750.0, 160.0, 118.0), True),
    (DC, (750.0, 160.0, 0.118), False),
    (DC, (750.0, None, 0.118), True),
    (DC_GUN, (750.0, 160.0, 118.0, 40), True),
    (DC_GUN, (750.0, 160.0, 1.18, 40), False),
    (AC_GUN, (230.0, 32.0, 21.0), True),
    (AC_GUN, (230.0, 32.0, 210.0), False),
    (PV, (400.0, 10.0, 2.3, 1.0), True),
    (PV, (230.0, 10.0, 23.0, 1.0), False),
]


@pytest.mark.parametrize(("source", "values", "fitting"), FITTING)
def test_a_power_fits_what_is_measured_with_it(source, values, fitting):
    """
    Ten percent of U x I and 0.1 kW are left to the meters; a scale that is wrong by 1000 is not.
    """
    checks = compile_checks(source.points, source.device_class)
    scaled = tuple(None if value is None else round(1000 * value) for value in values)
    assert 1 == len(checks)
    assert fitting == fits(checks[0], scaled)


def test_a_power_that_does_not_fit_is_suspect_from_the_third_time_on():
    """
    The edge of a switched load is one reading; what does not fit three times is told once and suspect until it fits.
    """
    truth = judge(sources=[DC])
    verdicts = [truth.judge(reading(DC, second, 750_000, 160_000, power)) for second, power in enumerate([120_000, 120, 120, 120, 120, 120_000])]
    assert ["implausible raised", "implausible cleared"] == words([event for verdict in verdicts for event in verdict.events])
    assert [{}, {}, {}, {2: Quality.SUSPECT}, {2: Quality.SUSPECT}, {}] == [verdict.readings[0].quality for verdict in verdicts]
    assert (0.12, 120.0) == (verdicts[3].events[0].body["value"], verdicts[3].events[0].body["expected"])


SPLIT = [
    Source(20 + n, "dc-01", name, 5000, (Point(name, 3, "kW" if name == "power" else "", "measure"),), "meter")
    for n, name in enumerate(("voltage", "current", "power"))
]


@pytest.mark.parametrize(("power", "told"), [(118.0, []), (60.0, []), (0.118, ["implausible raised"]), (118_000.0, ["implausible raised"])])
def test_a_scale_that_is_wrong_shows_over_answers_of_their_own(power, told):
    """
    A DC meter that tells each value by itself: a load that doubled between two answers is nothing, a factor of 1000 is suspect from the third time on.
    """
    truth = judge(msgspec.structs.replace(config(), device=[device("dc-01")]), sources=SPLIT)
    verdicts = [
        truth.judge(reading(source, 5 * turn + number, round(1000 * value)))
        for turn in range(5)
        for number, (source, value) in enumerate(zip(SPLIT, (750.0, 160.0, power), strict=True))
    ]
    assert told == words([event for verdict in verdicts for event in verdict.events])
    assert (3 if told else 0) == sum(Quality.SUSPECT in verdict.readings[0].quality.values() for verdict in verdicts)


# -- computed points

FORMULAS = [
    ("sum", (1, 2), 2, [100, 1234], 2234),
    ("difference", (2, 2, 2), 2, [1000, 100, 250], 650),
    ("ratio", (0, 1), 3, [1, 30], 333),
    ("ratio", (0, 1), 3, [1, 0], None),
    ("sum", (0, 0), 0, [70_000, 70_000], None),
]


@pytest.mark.parametrize(("operation", "decimals", "own", "values", "expected"), FORMULAS)
def test_a_computed_point_is_exact(operation, decimals, own, values, expected):
    """
    Digits of different places are added as they are; nothing is divided by zero, and what is out of range has no value.
    """
    formula = Formula(operation, decimals, own, low=-100_000, high=100_000)
    assert expected == compute(formula, [Input(value, Quality.GOOD) for value in values])[0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(Quality), min_size=2, max_size=6), st.sampled_from(["sum", "difference"]))
def test_a_computed_point_is_as_good_as_its_worst_input(qualities, operation):
    """
    It has no value when one of them has none, and never a better quality than any.
    """
    inputs = [Input(1 if quality.has_value else None, quality) for quality in qualities]
    value, quality = compute(Formula(operation, (0,) * len(inputs), 0), inputs)
    assert quality in qualities
    assert (value is None) == (not quality.has_value) == any(not given.has_value for given in qualities)
    assert quality is not Quality.GOOD or {Quality.GOOD} == set(qualities)


STATION = Computed(code="STATION", point="active_power", operation="sum", inputs=["m-01.active_power", "pv-01.active_power"], period_s=5)
TOTAL = Computed(code="STATION", point="energy.import", operation="sum", inputs=["m-01.energy.import", "m-01.energy.import"])


def test_computed_points_have_sources_of_their_own():
    """
    Registers go with the energy, the rest with the telemetry; ids follow those of the devices.
    """
    sources = [computer.source for computer in make_computers([STATION, TOTAL], SOURCES, 100)]
    assert [(100, "STATION", "computed", Stream.TELEMETRY), (101, "STATION", "energy", Stream.ENERGY)] == [
        (source.source_id, source.device, source.group, source.stream) for source in sources
    ]
    assert [(3, "kW"), (2, "kWh")] == [(source.points[0].decimals, source.points[0].unit) for source in sources]


def computed(verdict) -> list[Reading]:
    return list(verdict.readings[1:])


def test_a_computed_point_comes_with_its_inputs():
    """
    The first time when all are known, then at its period, at the time of the input that brought it; with an input that is offline it has no value.
    """
    truth = judge(config(computed=[STATION]))
    assert [] == computed(truth.judge(reading(ELECTRICAL, 0, 1000)))
    first = computed(truth.judge(reading(INVERTER, 1, 500, 1)))
    assert [((1500,), 1000)] == [(made.values, made.mono_ms) for made in first]
    assert [] == computed(truth.judge(reading(ELECTRICAL, 5, 1100)))
    assert [(1600,)] == [made.values for made in computed(truth.judge(reading(INVERTER, 6, 500, 1)))]
    gone = computed(truth.judge(offline(INVERTER, 11)))
    assert [((None,), {0: Quality.OFFLINE})] == [(made.values, made.quality) for made in gone]


def test_a_computed_point_is_suspect_with_its_input():
    """
    What truth finds out about an input counts for what is made of it.
    """
    truth = judge(config(computed=[TOTAL]))
    truth.judge(reading(ENERGY, 0, 50_000))
    made = computed(truth.judge(reading(ENERGY, 900, 0)))
    assert [((0,), {0: Quality.SUSPECT})] == [(each.values, each.quality) for each in made]


# -- balances


def registers(*codes: str) -> list[Source]:
    return [Source(number, code, "energy", 60_000, (Point("energy.import", 2, "kWh", "counter"),), "meter") for number, code in enumerate(codes, 1)]


def weigh(rates: dict[str, float], *, less: bool, minutes: int = 125) -> list[str]:
    """Registers that grow by so many kWh a minute; the first is the whole."""
    sources = registers(*rates)
    parts = [f"{source.device}.energy.import" for source in sources[1:]]
    balance = Balance(name="piles", total=f"{sources[0].device}.energy.import", parts=parts, window_s=3600, parts_may_be_less=less)
    settings_ = config(balance=[balance])
    truth = judge(settings_, sources=sources)
    events = []
    for minute in range(minutes):
        for number, source in enumerate(sources):
            value = 1000 + round(100 * minute * rates[source.device])
            events += truth.judge(reading(source, 60 * minute + number, value)).events
    return [f"{event.body['edge']} {event.body['difference_percent']}" for event in events if event.kind == "balance"]


@pytest.mark.parametrize(
    ("rates", "less", "told"),
    [
        ({"main": 2.0, "ac-1": 1.0, "ac-2": 1.0}, False, []),
        ({"main": 2.0, "ac-1": 1.0, "ac-2": 0.96}, False, []),
        ({"main": 2.0, "ac-1": 1.0, "ac-2": 0.5}, False, ["raised -25.0", "raised -25.0"]),
        ({"main": 2.0, "ac-1": 1.0, "ac-2": 0.5}, True, []),
        ({"main": 2.0, "ac-1": 1.0, "ac-2": 1.5}, True, ["raised 25.0", "raised 25.0"]),
    ],
)
def test_parts_must_add_up_to_the_whole(rates, less, told):
    """
    Five percent may be lost on the way; where the whole has other loads only too much is told.
    """
    assert told == weigh(rates, less=less)


# -- everything at once

_VALUES = st.one_of(st.integers(-10, 10**9), st.sampled_from([*(quality for quality in Quality if not quality.has_value)]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SOURCES), st.lists(_VALUES, min_size=2, max_size=2), st.integers(1, 10**6)), max_size=40))
def test_no_sequence_of_readings_raises_and_no_value_is_changed(course):
    """
    What comes out is what went in, save for the marks of doubt and the contact that is turned round.
    """
    truth = judge(config(computed=[STATION, TOTAL], m_01={"rated_kw": 7.0, "serial_number": "A1"}))
    at_s = 0.0
    for source, values, gap_ms in course:
        at_s += gap_ms / 1000
        given_ = reading(source, at_s, *values[: len(source.points)])
        verdict = truth.judge(given_)
        told = verdict.readings[0]
        turned = [1 - v if source.device == "di-01" and i == 1 and v in (0, 1) else v for i, v in enumerate(given_.values)]
        assert turned == list(told.values)
        assert set(told.quality.items()) - set(given_.quality.items()) <= {(i, Quality.SUSPECT) for i in range(len(source.points))}
        assert all((value is None) != made.quality_of(i).has_value for made in verdict.readings for i, value in enumerate(made.values))
