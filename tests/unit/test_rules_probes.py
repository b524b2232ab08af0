"""Conditions beyond a limit: bits, movement, difference, standstill, absence, and what must hold beside them."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, device, edges, engine, reading, rule, run, source, tick

from edgegw.config.model import Term
from edgegw.model import Point, Quality
from edgegw.rules.engine import Engine

FLAGS = Point("fault.bits", 0, "1", "flag")
POWER = Point("active_power", 1, "kW", "measure")
OTHER = Point("charge", 0, "%", "measure")
OFFLINE = Quality.OFFLINE


def told(chosen, script, points=None):
    """Edges of a rule on the temperature (or these points) of one device."""
    at = source(points=points) if points else source()
    return edges(run(Engine([chosen], [device()], [at], EPOCH, {}), at, script))


def several(rules, sources, script):
    """Edges of rules over several sources: (second, source, values...)."""
    judge = Engine(rules, [device(item.device) for item in sources], sources, EPOCH, {})
    return edges([event for second, at, *values in script for event in judge.evaluate(reading(at, second, *values)).events])


def test_a_bit_is_looked_at_alone():
    """Bit 3 of a word raises and clears, whatever the other bits do."""
    chosen = rule(condition="bit", point="fault.bits", limit=3)
    assert ["2.0 raised hot th-01", "4.0 cleared hot th-01"] == told(chosen, [(1, 0b0111), (2, 0b1000), (3, 0b1111), (4, 0b0111)], (FLAGS,))


def test_anything_but_the_right_state_is_an_alarm():
    """not_equals raises on every other value."""
    chosen = rule(condition="not_equals", point="fault.bits", limit=2)
    assert ["2.0 raised hot th-01", "4.0 cleared hot th-01"] == told(chosen, [(1, 2), (2, 1), (3, 7), (4, 2)], (FLAGS,))


@pytest.mark.parametrize(("condition", "sign"), [("rise", 1), ("fall", -1)])
def test_movement_is_measured_within_its_window(condition, sign):
    """11 K within 10 minutes raise, 9 K do not, and 20 K in an hour do not either."""
    chosen = rule(condition=condition, limit=10.0, window_s=600.0)
    fast = [(0, 300), (300, 300 + sign * 90), (590, 300 + sign * 110)]
    slow = [(minute * 60, 300 + sign * minute * 200 // 60) for minute in range(61)]
    assert ["590.0 raised hot th-01"] == told(chosen, fast)
    assert [] == told(chosen, slow)


def test_movement_across_a_gap_is_not_known():
    """A value that came back after it was lost begins a new window."""
    assert [] == told(rule(condition="rise", limit=10.0), [(0, 300), (1, OFFLINE), (2, 500)])


def test_deviation_compares_two_points_of_a_device():
    """Current power against the meter's: more than the limit in either direction, back by the deadband."""
    both = source(points=(POWER, Point("dc.power", 1, "kW", "measure")))
    chosen = rule(condition="deviation", point="active_power", reference="dc.power", limit=5.0, deadband=1.0)
    script = [(1, both, 1000, 960), (2, both, 1000, 940), (3, both, 1000, 955), (4, both, 1000, 970), (5, both, 900, 1000)]
    assert ["2.0 raised hot th-01", "4.0 cleared hot th-01", "5.0 raised hot th-01"] == several([chosen], [both], script)


def test_deviation_against_another_device_freezes_when_that_is_lost():
    """The point of another device is named CODE.point; while it is not known nothing is decided."""
    here, there = source(1, "a", (POWER,)), source(2, "b", (POWER,))
    chosen = rule(condition="deviation", point="active_power", reference="b.active_power", limit=5.0, devices=["a"])
    script = [(1, here, 1000), (2, there, 1000), (3, there, OFFLINE), (4, here, 2000), (5, there, 1000), (6, here, 2000)]
    assert ["6.0 raised hot a"] == several([chosen], [here, there], script)


def test_a_value_that_never_moves_is_frozen():
    """After 60 s of the same value; the first other value ends it, and a lost one begins the time anew."""
    chosen = rule(condition="frozen", limit=60)
    same = [(second, 300) for second in range(0, 80, 5)]
    assert ["65.0 raised hot th-01", "80.0 cleared hot th-01"] == told(chosen, [*same, (80, 301)])
    assert [] == told(chosen, [*same[:6], (30, OFFLINE), *[(second, 300) for second in range(31, 90, 5)]])


def test_data_that_is_missing_is_an_alarm_of_its_own():
    """30 s without a good value; a device in maintenance is not missed."""
    chosen = rule(condition="missing", limit=30)
    gone = [(second, Quality.BAD) for second in range(1, 40, 5)]
    assert ["31.0 raised hot th-01", "40.0 cleared hot th-01"] == told(chosen, [(0, 300), *gone, (40, 300)])
    assert [] == told(chosen, [(0, 300), *[(second, Quality.MAINTENANCE) for second in range(1, 90, 5)]])


def test_data_of_a_device_that_is_not_even_read_any_more_is_missing():
    """Silent devices are probed, and nothing is said of their values: five minutes behind the first of three failed polls they are missing all the same."""
    chosen = rule(condition="missing", limit=300)
    silent = [(second, Quality.OFFLINE) for second in (10, 11, 12)]
    assert ["310.0 raised hot th-01"] == [line for line in told(chosen, [(0, 300), *silent, (309, None), (400, None)]) if "offline" not in line]


def test_what_must_hold_beside_what_is_missing_may_become_known_later():
    """The silent device is not read any more when the other one says that it matters: the time counts from there."""
    here, there = source(1, "a"), source(2, "b", (INPUT,))
    chosen = rule(condition="missing", limit=20, devices=["a"], when=[Term(point="input.1", device="b")])
    script = [*((second, here, Quality.OFFLINE) for second in range(3)), *((second, there, 1) for second in range(3, 40))]
    assert ["23.0 raised hot a"] == [line for line in several([chosen], [here, there], script) if "offline" not in line]


def test_what_must_hold_beside_is_looked_at_too():
    """A low charge is an alarm only while the UPS runs on its battery, in whichever order the two come."""
    ups = source(points=(OTHER, INPUT))
    chosen = rule(condition="low", point="charge", limit=50.0, when=[Term(point="input.1")])
    script = [(1, ups, 40, 0), (2, ups, 40, 1), (3, ups, 40, 0), (4, ups, 60, 1), (5, ups, 45, 1)]
    assert ["2.0 raised hot th-01", "3.0 cleared hot th-01", "5.0 raised hot th-01"] == several([chosen], [ups], script)


INPUT = Point("input.1", 0, "1", "flag")


def test_a_condition_on_another_device_decides_at_once_and_freezes_when_lost():
    """The only UPS of the station is found by its class; while it is not known only a value that decides alone does."""
    meter, ups = source(1, "m", (POWER,), "meter"), source(2, "u", (INPUT,), "ups")
    chosen = rule(condition="low", point="active_power", limit=10.0, when=[Term(point="input.1", device_class="ups")])
    script = [(1, meter, 50), (2, ups, 1), (3, ups, OFFLINE), (4, meter, 60), (5, meter, 500), (6, meter, 50), (7, ups, 1)]
    assert ["2.0 raised hot m", "5.0 cleared hot m", "7.0 raised hot m"] == several([chosen], [meter, ups], script)


def test_a_rule_whose_companion_is_not_there_does_not_act(caplog):
    """A station without a UPS has no alarm of its battery."""
    chosen = rule(condition="high", limit=45.0, when=[Term(point="input.1", device_class="ups")])
    assert [] == told(chosen, [(1, 462)])
    with caplog.at_level("INFO", "edgegw.rules"):
        engine([chosen])
    assert "there is no input.1" in caplog.text


MILD = rule(name="warm", level="minor", limit=45.0, episode="temperature high")
HARD = rule(name="hot", level="major", limit=55.0, episode="temperature high")


def test_two_levels_are_one_alarm():
    """The higher level replaces the lower one in the same episode, and falls back to it."""
    judge = engine([MILD, HARD])
    events = run(judge, source(), [(1, 462), (2, 560), (3, 500), (4, 440)])
    assert ["raised minor", "level major", "level minor", "cleared minor"] == [f"{event.body['edge']} {event.body['level']}" for event in events]
    assert {events[0].body["id"]} == {event.body["id"] for event in events}
    assert "minor" == events[1].body["level_before"]


def test_both_levels_at_once_are_one_raise():
    """A value beyond both limits ends up at the higher level, whichever rule stands first."""
    for rules in ([MILD, HARD], [HARD, MILD]):
        judge = engine(rules)
        assert "raised" == run(judge, source(), [(1, 560)])[0].body["edge"]
        assert ["major"] == [alarm.level for alarm in judge.open_alarms()]
        assert "cleared" == run(judge, source(), [(2, 440)])[-1].body["edge"]
        assert [] == judge.open_alarms()


def test_a_shared_alarm_goes_on_after_a_restart():
    """It is not raised again, keeps its level, and ends when neither rule holds."""
    store: dict[str, bytes] = {}
    judge = engine([MILD, HARD])
    for second, value in ((1, 462), (2, 560)):
        changes = judge.evaluate(reading(source(), second, value))
        store.update({key: data for key, data in changes.states.items() if data is not None})
    again = engine([MILD, HARD], store, epoch=EPOCH + 1)
    assert ["major"] == [alarm.level for alarm in again.open_alarms()]
    assert ["4.0 cleared hot th-01"] == edges(run(again, source(), [(1, 560), (4, 440)]))
    assert not tick(again, 10).events
