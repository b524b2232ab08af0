"""The compressed day through the real judgement chain, without waiting: what is told, below which root the rest is written down, and that calm days are calm."""

from __future__ import annotations

import pytest

from edgegw.sim.scenario import Scenario, load_scenario
from tests.day_rig import BELOW_COM4, BELOW_MAINS, COM4, EXPECTED, MAINS_FED, MAINS_FED_BUSES, Day, day_station, expected

# Before the first of its events, and behind the last.
FROM_HOUR, TO_HOUR = 11.5, 22.25
DAY = load_scenario("day")
# Water, smoke, emergency stop, breaker.
FAIL_SAFE = 4


@pytest.fixture(scope="module")
def reference():
    return Day(day_station(FROM_HOUR, seed=10), DAY).run_until(TO_HOUR)


def test_the_day_tells_seven_things_in_this_order(reference):
    """
    Mains lost, low battery, string fault, meter frozen, busbar high, uplink lost, bus offline, and nothing else.
    """
    assert (len(EXPECTED), expected(FROM_HOUR, TO_HOUR)) == (7, reference.called)


def test_all_of_the_mains_failure_is_written_down_below_it(reference):
    """
    The UPS on battery, the inverter's grid-side trip, and each silence of a device or bus that the mains feed.
    """
    below = reference.below("mains-lost")
    assert set() == BELOW_MAINS - below
    assert (MAINS_FED, MAINS_FED_BUSES) == tuple({who for rule, who in below if rule == silent} for silent in ("device offline", "bus offline"))


def test_all_of_the_dead_line_is_written_down_below_it(reference):
    """
    Its nine devices and its four fail-safe inputs; nothing else.
    """
    assert BELOW_COM4 == {found for found in reference.below("bus offline") if found[1] in COM4}
    lost = [event for _, event in reference.events if event.kind == "alarm" and event.body["rule"] == "input lost" and event.body["edge"] == "raised"]
    assert FAIL_SAFE == len(lost)
    assert all(event.body["suppressed_by"] for event in lost)


def test_the_dip_is_an_event_and_no_alarm(reference):
    """
    At 11:40 the UPS has seen 0.6 of the voltage for 300 ms; it is written down, and no rule says a word until 15:20.
    """
    dips = [(at[:5], event.device) for at, event in reference.events if event.kind == "voltage_dip"]
    assert ("11:40", "UPS-01") == dips[0]
    assert "15:20" == min(at for at, event in reference.events if event.kind == "alarm")[:5]


def test_the_same_day_with_other_chances_and_other_polls():
    """
    Another seed, other polls and at other moments: the same list.
    """
    other = Day(day_station(15.1048, seed=23, slow=1.3), DAY).run_until(TO_HOUR)
    assert expected(FROM_HOUR, TO_HOUR) == other.called
    assert set() == BELOW_MAINS - other.below("mains-lost")


@pytest.mark.parametrize("late_s", range(0, 60, 13))
def test_the_mains_failure_at_any_moment_of_the_polls(late_s):
    """
    Wherever in its polls and its looks at itself the gateway is when it happens: two alarms, and later nothing of it.
    """
    day = Day(day_station(15.1 + late_s / 3600, seed=late_s), DAY).run_until(15.6)
    assert expected(15.1, 15.6) == day.called
    assert set() == BELOW_MAINS - day.below("mains-lost")


def test_a_calm_night_has_no_alarm():
    """
    Nothing happens from the late afternoon over a night, in which the inverter sleeps, to the morning: no alarm, told or not.
    """
    calm = Day(day_station(16.5, seed=3, slow=3.0), Scenario()).run_until(24 + 7.75)
    assert [] == calm.called
    assert [] == [event.body for _, event in calm.events if event.kind == "alarm"]
    assert ["raised", "cleared"] == [event.body["edge"] for _, event in calm.events if event.kind == "asleep"]
