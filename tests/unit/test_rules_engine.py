"""Rules on readings: edges, times, texts, binding."""

from __future__ import annotations

import logging

import pytest
from rules_rig import EPOCH, INPUT, TEMPERATURE, WALL_MS, alarms, device, edges, engine, reading, rule, run, source, tick

from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.binding import matches
from edgegw.rules.engine import Engine

OFFLINE, SUSPECT, BAD = Quality.OFFLINE, Quality.SUSPECT, Quality.BAD
PLAIN = rule()
BAND = rule(deadband=2.0)
SLOW = rule(on_delay_s=3, off_delay_s=2)
LOW = rule(condition="low", limit=5.0, deadband=1.0)


@pytest.mark.parametrize(
    ("expected", "rules", "script"),
    [
        ([], PLAIN, [(1, 450)]),
        (["1.0 raised hot th-01"], PLAIN, [(1, 451), (2, 460)]),
        (["1.0 raised hot th-01", "2.0 cleared hot th-01"], PLAIN, [(1, 451), (2, 450)]),
        (["1.0 raised hot th-01"], BAND, [(1, 451), (2, 431), (3, 452)]),
        (["1.0 raised hot th-01", "2.0 cleared hot th-01"], BAND, [(1, 451), (2, 430)]),
        (["1.0 raised hot th-01", "3.0 cleared hot th-01"], LOW, [(1, 49), (2, 59), (3, 60)]),
        (["4.0 raised hot th-01"], SLOW, [(1, 451), (2, 451), (3.5, 451), (4.2, None)]),
        (["4.0 raised hot th-01"], SLOW, [(1, 451), (3, 451), (9, 440)]),
        ([], SLOW, [(1, 451), (3.9, 450), (4.2, None), (5, 451)]),
        ([], SLOW, [(1, 451), (3.9, SUSPECT), (4.2, None), (5, 451), (7.9, 440)]),
        (["8.0 raised hot th-01"], SLOW, [(1, 451), (3.9, BAD), (5, 451), (8, None)]),
        (["4.0 raised hot th-01", "8.0 cleared hot th-01"], SLOW, [(1, 451), (4, None), (5, 440), (5.5, 456), (6, 440), (8, None)]),
        (["4.0 raised hot th-01", "9.0 cleared hot th-01"], SLOW, [(1, 451), (4, None), (5, 440), (6, BAD), (7, 440), (9, None)]),
        (["1.0 raised hot th-01"], PLAIN, [(1, 451), (2, OFFLINE), (3, SUSPECT), (4, None), (5, 451)]),
        ([], PLAIN, [(1, OFFLINE), (2, SUSPECT), (3, BAD)]),
    ],
)
def test_edges_of_one_rule(expected, rules, script):
    """
    Each edge comes at its time and no other edge comes.
    """
    assert expected == edges(run(engine([rules]), source(), script))


def test_digital_input_raises_and_clears_at_its_own_readings():
    """
    A contact raises its alarm with the reading that sees it closed and clears it with the one that sees it open.
    """
    contacts = source(points=(Point("input.2", 0, "1", "flag"), INPUT), device_class="input")
    judge = Engine([rule(name="smoke", condition="equals", point="input.1", limit=1, level="critical")], [device()], [contacts], EPOCH, {})
    found = [event for second, contact in enumerate([0, 0, 1, 1, True, 0, False]) for event in judge.evaluate(reading(contacts, second, 1, contact)).events]
    assert ["2.0 raised smoke th-01", "5.0 cleared smoke th-01"] == edges(found)
    assert (1, "开入 1 为 1") == (found[0].body["value"], found[0].body["text_zh"])


def test_event_tells_value_limit_and_times():
    """
    The events of an episode carry one id and number, the values in the point's unit, and when condition and alarm began.
    """
    raised, cleared = run(engine([rule(level="major", on_delay_s=3)]), source(), [(1, 462), (2, 470), (4, None), (6, 440)])
    assert raised.body == {
        "id": "000000000000a1b2-1",
        "number": 1,
        "edge": "raised",
        "rule": "hot",
        "level": "major",
        "point": "temperature",
        "value": 47.0,
        "unit": "C",
        "limit": 45.0,
        "began_at_ms": WALL_MS + 1000,
        "began_clock": "synchronised",
        "raised_at_ms": WALL_MS + 4000,
        "due": {"depart": WALL_MS + 4000 + 2 * 3_600_000, "arrive": WALL_MS + 4000 + 4 * 3_600_000},
        "text": "Temperature 47.0 °C is above 45 °C",
        "text_zh": "温度 47.0 °C 高于 45 °C",
    }
    assert ("alarm", WALL_MS + 4000, 4000, "th-01") == (raised.kind, raised.at_ms, raised.mono_ms, raised.device)
    assert ("000000000000a1b2-1", "cleared", 44.0) == (cleared.body["id"], cleared.body["edge"], cleared.body["value"])


def test_each_episode_has_its_own_beginning():
    """
    The second alarm of a rule began with the first reading of its own condition.
    """
    found = run(engine([rule(on_delay_s=1)]), source(), [(1, 451), (2, None), (3, 440), (5, 451), (6, None)])
    assert [WALL_MS + 1000, WALL_MS + 1000, WALL_MS + 5000] == [event.body["began_at_ms"] for event in found]


def test_input_quality_follows_the_last_value():
    """
    A rule knows its input as uncertain from the start until a good value, and after every value that is not good.
    """
    judge = engine([PLAIN])
    (_, watch) = judge._bound[1].plain[0]
    found = [watch.uncertain]
    for second, value in enumerate([440, 440, SUSPECT, 440]):
        judge.evaluate(reading(source(), second, value))
        found.append(watch.uncertain)
    assert [True, False, False, True, False] == found


def test_own_text_of_the_administrator_stands_alone():
    """
    A rule's own text replaces the built-in ones in both languages.
    """
    judge = engine([rule(text="1 号箱变温度高")])
    (raised,) = run(judge, source(), [(1, 451)])
    assert ("1 号箱变温度高", None) == (raised.body["text"], raised.body.get("text_zh"))
    assert "1 号箱变温度高" == judge.open_alarms("zh")[0].text


def test_open_alarm_is_listed_until_it_clears():
    """
    An active alarm is listed with its text in the language asked for, a cleared one is not.
    """
    judge = engine([PLAIN])
    run(judge, source(), [(1, 462)])
    (alarm,) = judge.open_alarms("zh")
    assert ("hot", "th-01", 46.2, 45.0, "active", "温度 46.2 °C 高于 45 °C") == (alarm.rule, alarm.device, alarm.value, alarm.limit, alarm.state, alarm.text)
    run(judge, source(), [(2, 440)])
    assert [] == judge.open_alarms()


def test_wall_clock_step_moves_no_delay_and_labels_stay_those_of_their_readings():
    """
    When the wall clock jumps by a day in an on-delay, the alarm still comes after its delay, began at the old label and was raised at the new one.
    """
    judge = engine([rule(on_delay_s=3)])
    judge.evaluate(reading(source(), 1, 451, trust=ClockTrust.HELD))
    day_ms = 86_400_000
    (raised,) = alarms(judge.tick(4500, WALL_MS + day_ms + 4500, ClockTrust.SYNCHRONISED).events)
    assert (4000, WALL_MS + day_ms + 4000, ClockTrust.SYNCHRONISED) == (raised.mono_ms, raised.at_ms, raised.clock)
    assert (WALL_MS + 1000, "held") == (raised.body["began_at_ms"], raised.body["began_clock"])


def test_next_due_is_the_end_of_the_running_delay():
    """
    The engine says when it must be called; without a running delay it need not be.
    """
    judge = engine([rule(on_delay_s=3)])
    assert None is judge.next_due_ms()
    judge.evaluate(reading(source(), 1, 451))
    assert 4000 == judge.next_due_ms()
    tick(judge, 4)
    assert None is judge.next_due_ms()


def test_nothing_changed_is_the_same_empty_answer():
    """
    A reading that changes nothing costs no new object for its answer.
    """
    judge = engine([PLAIN])
    judge.evaluate(reading(source(), 1, 440))
    assert judge.evaluate(reading(source(), 2, 441)) is judge.evaluate(reading(source(), 3, 442))


@pytest.mark.parametrize(
    ("expected", "chosen"),
    [
        ({"th-01", "th-02", "pv-01"}, rule()),
        ({"th-01", "th-02"}, rule(device_class="sensor")),
        ({"th-01", "th-02"}, rule(devices=["th-*"])),
        ({"th-02", "pv-01"}, rule(devices=["th-02", "pv-*"])),
        ({"pv-01"}, rule(device_class="inverter", devices=["*"])),
        (set(), rule(device_class="ups")),
        ({"th-01", "th-02", "pv-01"}, rule(point="temp*")),
        (set(), rule(point="humidity")),
    ],
)
def test_rule_judges_the_devices_it_names(expected, chosen):
    """
    A rule binds by class, by device name with * and by point, and all that it states must agree.
    """
    sources = [source(1, "th-01"), source(2, "th-02"), source(3, "pv-01", device_class="inverter")]
    judge = Engine([chosen], [device(item.device) for item in sources], sources, EPOCH, {})
    assert expected == {event.device for item in sources for event in judge.evaluate(reading(item, 1, 451)).events}


def test_pattern_letters_other_than_the_star_stand_for_themselves():
    """
    A dot in a name is a dot.
    """
    assert [True, False, True, False] == [matches("a.*", "a.b"), matches("a.*", "aXb"), matches("*", ""), matches("a", "ab")]


def test_point_read_by_two_sources_is_judged_once():
    """
    When two polls of a device read the same point, only the faster one raises its alarm.
    """
    slow, fast = source(1, period_ms=60_000), source(2, period_ms=1000)
    judge = Engine([PLAIN], [device()], [slow, fast], EPOCH, {})
    assert [] == edges(judge.evaluate(reading(slow, 1, 451)).events)
    assert ["2.0 raised hot th-01"] == edges(judge.evaluate(reading(fast, 2, 451)).events)


def test_rule_that_can_never_hold_is_told_and_left_out(caplog):
    """
    An equality that no value of the point's digits can meet is a warning, not an alarm.
    """
    with caplog.at_level(logging.WARNING, "edgegw.rules"):
        judge = engine([rule(condition="equals", limit=45.05)])
    assert "never equal to 45.05" in caplog.text
    assert [] == run(judge, source(), [(1, 450), (2, 451)])


def test_values_beside_a_missing_one_are_judged():
    """
    In a row with one bad value the good ones enter their rules.
    """
    both = source(points=(TEMPERATURE, Point("humidity", 1, "%RH", "measure")))
    judge = Engine([PLAIN, rule(name="wet", point="humidity", limit=90)], [device()], [both], EPOCH, {})
    assert ["1.0 raised wet th-01"] == edges(judge.evaluate(reading(both, 1, BAD, 950)).events)
