"""Report by exception: what says nothing new is not stored, what does is, and nothing is ever made up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegw.config.model import Deadband
from edgegw.deadband import Deadbands
from edgegw.model import ClockTrust, Event, Point, Quality, Reading, Source, Stream

SENSOR = Source(1, "T-01", "air", 1000, (Point("temperature", 1, "C", "measure"), Point("state", 0, "1", "state")), "sensor")
METER = Source(2, "M-01", "energy", 1000, (Point("energy.import", 2, "kWh", "counter"),), "meter", Stream.ENERGY)
MIXED = Source(3, "M-01", "mixed", 1000, (Point("voltage", 1, "V", "measure"), Point("energy.import", 2, "kWh", "counter")), "meter")
HALF_DEGREE = Deadband(point="temperature", absolute=0.5)


def reading(source, second, *values, quality=None, clock=ClockTrust.SYNCHRONISED):
    return Reading(source, 1_800_000_000_000 + second * 1000, second * 1000, clock, values, quality or {})


def kept(bands, readings, events=()):
    return [one.mono_ms // 1000 for one in readings if bands.keep((one,), events)]


def test_small_changes_are_spared_and_large_ones_go():
    """
    Values within the band of the last one that went are spared, also while they creep; what leaves the band goes and is the new centre.
    """
    bands = Deadbands([HALF_DEGREE], [SENSOR])
    creeping = [reading(SENSOR, second, 200 + value, 0) for second, value in enumerate([0, 3, 5, 6, 5, 1, 0, 12])]
    assert [0, 3, 6, 7] == kept(bands, creeping)
    assert 4 == bands.spared


def test_a_percentage_is_of_the_last_value_that_went():
    """
    One percent of 220.0 V is 2.2 V, of 0 V nothing.
    """
    bands = Deadbands([Deadband(point="volt*", percent=1.0)], [MIXED])
    assert [0, 2] == kept(bands, [reading(MIXED, second, value, 5) for second, value in enumerate([2200, 2222, 2223])])
    assert [10, 11] == kept(Deadbands([Deadband(point="volt*", percent=1.0)], [MIXED]), [reading(MIXED, 10, 0, 5), reading(MIXED, 11, 1, 5)])


@pytest.mark.parametrize(
    "second",
    [
        reading(SENSOR, 1, 201, 1),
        reading(SENSOR, 1, None, 0, quality={0: Quality.OFFLINE}),
        reading(SENSOR, 1, 200, 0, quality={0: Quality.SUSPECT}),
        reading(SENSOR, 1, 200, 0, clock=ClockTrust.HELD),
        reading(SENSOR, 60, 200, 0),
    ],
)
def test_what_is_new_besides_the_value_goes(second):
    """
    A state that changed, another quality, doubt, another trust in the clock, and a heartbeat go, however small the change.
    """
    bands = Deadbands([HALF_DEGREE], [SENSOR])
    assert 2 == len(kept(bands, [reading(SENSOR, 0, 200, 0), second]))


def test_energy_counters_and_what_comes_with_an_event_always_go():
    """
    No band holds a reading of energy, a counter that counted, or a reading that belongs to an event.
    """
    bands = Deadbands([Deadband(point="*", absolute=1000.0)], [SENSOR, METER, MIXED])
    assert [0, 1, 2] == kept(bands, [reading(METER, second, 5) for second in range(3)])
    assert [0, 2] == kept(bands, [reading(MIXED, second, 2200 + second, count) for second, count in enumerate([7, 7, 8])])
    alarm = Event("alarm", 1, 1, ClockTrust.SYNCHRONISED, "T-01", {})
    assert [0, 1] == kept(bands, [reading(SENSOR, second, 200, 0) for second in range(2)], (alarm,))


def test_without_a_table_everything_goes():
    """
    Nothing is spared unless the configuration says so, and a device that no table names keeps all.
    """
    readings = tuple(reading(SENSOR, second, 200, 0) for second in range(5))
    assert readings == Deadbands([], [SENSOR]).keep(readings, ())
    assert readings == Deadbands([Deadband(point="temperature", device="X*", absolute=9.0)], [SENSOR]).keep(readings, ())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-500, 500), min_size=1, max_size=60), st.integers(1, 40))
def test_no_value_is_ever_further_from_what_was_stored_than_the_band(values, tenths):
    """
    Whatever the values do, each lies within the band of the last stored one, or was stored itself.
    """
    bands = Deadbands([Deadband(point="temperature", absolute=tenths / 10)], [SENSOR])
    last = None
    for second, value in enumerate(values):
        one = reading(SENSOR, second, value, 0)
        if bands.keep((one,), ()):
            last = value
        assert last is not None
        assert abs(value - last) <= tenths + 1e-9
