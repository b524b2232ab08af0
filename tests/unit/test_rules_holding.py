"""Alarms that come and go are one, told once; an alarm of a rule with a shortest time lasts that long."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, WALL_MS, alarms, device, edges, engine, keep, reading, rule, source, tick

from edgegw.config.model import Device
from edgegw.model import ClockTrust, Quality
from edgegw.rules.engine import Engine, Moment
from edgegw.rules.told import Why

OFFLINE = Quality.OFFLINE


class Station:
    """One sensor; on and off as values above and below its limit."""

    def __init__(self, *rules) -> None:
        self.rules = rules
        self.store: dict[str, bytes] = {}
        self.judge = engine(rules, self.store)
        self.told, self.events = [], []

    def take(self, changes):
        keep(self.store, changes)
        self.events += alarms(changes.events)
        self.told += [(told.at_ms - WALL_MS) // 1000 for told in changes.told if told.why is Why.RAISED]
        return changes.told

    def poll(self, second, value):
        return self.take(self.judge.evaluate(reading(source(), second, value)))

    def on_and_off(self, *seconds):
        for second in seconds:
            self.poll(second, 462)
            self.poll(second + 2, 440)

    def tick(self, second):
        return self.take(tick(self.judge, second))

    def restart(self):
        self.judge = engine(self.rules, self.store, EPOCH + 1)


def test_the_third_raise_within_a_minute_goes_on_until_it_is_quiet():
    """Two alarms, then one that is kept active over all that follows, and ends five minutes after the last edge."""
    station = Station(rule())
    station.on_and_off(1, 11, 21, 31, 41)
    assert [3] == [alarm.number for alarm in station.judge.open_alarms() if alarm.chattering and alarm.state == "active"]
    for second in (100, 342, 343):
        station.tick(second)
    assert ["21.0 raised hot th-01", "343.0 cleared hot th-01"] == edges(station.events)[4:]
    raised, cleared = station.events[4:]
    assert (True, 5, 44.0) == (raised.body["chattering"], cleared.body["edges"], cleared.body["value"])
    assert [1, 11, 21] == station.told


def test_what_chatters_is_told_as_such():
    """Once, with the word for it; its end closes the loop."""
    station = Station(rule())
    station.on_and_off(1, 11)
    (told,) = station.poll(21, 462)
    assert (Why.RAISED, True) == (told.why, told.chattering)
    station.poll(30, 440)
    assert [Why.CLEARED] == [told.why for told in station.tick(400)]


def test_a_slow_alarm_does_not_chatter():
    """Three raises in more than a minute are three alarms."""
    station = Station(rule())
    station.on_and_off(1, 31, 62)
    assert [] == station.judge.open_alarms()
    assert [1, 31, 62] == station.told


def test_what_chattered_and_stays_is_an_ordinary_alarm_again():
    """Five minutes without an edge while the condition holds: settled, and its next end is its end."""
    station = Station(rule())
    station.on_and_off(1, 11, 21)
    station.poll(30, 462)
    station.tick(331)
    station.poll(340, 440)
    assert ["330.0 settled hot th-01", "340.0 cleared hot th-01"] == edges(station.events)[-2:]
    assert 2 == station.events[-2].body["edges"]


def test_what_is_held_comes_back_at_its_level():
    """The level follows the condition, as that of any alarm does."""
    rules = [rule(name="warm", limit=40.0, level="minor", episode="heat"), rule(name="hot", limit=50.0, level="major", episode="heat")]
    station = Station(*rules)
    for second in (1, 11, 21):
        station.poll(second, 420)
        station.poll(second + 5, 200)
    station.poll(35, 520)
    assert [("major", True)] == [(alarm.level, alarm.chattering) for alarm in station.judge.open_alarms()]
    station.poll(40, 200)
    station.tick(341)
    assert [] == station.judge.open_alarms()


def test_a_shared_alarm_that_chattered_and_stays_is_not_ended():
    """Its condition came back and holds: five minutes later it is an ordinary alarm."""
    station = Station(rule(episode="heat"))
    station.on_and_off(1, 11, 21)
    station.poll(30, 462)
    station.tick(400)
    assert ("settled", 2) == (station.events[-1].body["edge"], station.events[-1].body["edges"])
    assert [False] == [alarm.chattering for alarm in station.judge.open_alarms()]


@pytest.mark.parametrize("at", [24, 100, 322])
def test_chatter_goes_on_over_a_restart_and_is_told_no_second_time(at):
    """It ends five minutes after its last edge, whenever the gateway starts in between; the first value after the start is no edge."""
    station = Station(rule())
    station.on_and_off(1, 11, 21)
    station.restart()
    station.poll(at, 440)
    station.tick(322)
    assert [True] == [alarm.chattering for alarm in station.judge.open_alarms()]
    station.tick(330)
    assert [] == station.judge.open_alarms()
    assert ("323.0 cleared hot th-01", 1) == (edges(station.events)[-1], station.events[-1].body["edges"])
    assert [1, 11, 21] == station.told


def test_chatter_whose_condition_holds_goes_on_over_a_restart():
    """Settled five minutes after its last edge; an edge after the start begins them anew."""
    for edge_at, settled_at in ((None, 321), (200, 502)):
        station = Station(rule())
        station.on_and_off(1, 11)
        station.poll(21, 462)
        station.restart()
        station.poll(30, 462)
        if edge_at:
            station.on_and_off(edge_at)
            station.poll(edge_at + 2, 462)
        station.tick(600)
        assert [f"{settled_at}.0 settled hot th-01"] == edges(station.events)[5:]


@pytest.mark.parametrize(("moved_s", "trust", "ends_at"), [(-86_400, ClockTrust.HELD, 330), (86_400, ClockTrust.HELD, 30), (0, ClockTrust.UNSET, 330)])
def test_a_clock_that_cannot_tell_holds_it_no_longer_than_it_would_have_lasted(moved_s, trust, ends_at):
    """Set back or never set: five minutes from the start; set forward: over."""
    station = Station(rule())
    station.on_and_off(1, 11, 21)
    station.restart()
    for second in range(30, 400):
        station.take(station.judge.tick(second * 1000, WALL_MS + (second + moved_s) * 1000, trust))
    assert [f"{ends_at}.0 cleared hot th-01"] == edges(station.events)[5:]


def test_chatter_of_a_shared_alarm_and_of_a_silent_device_goes_on_over_a_restart():
    """Their conditions had ended before the start: that they are still gone is no edge, that they come back is one."""
    shared = Station(rule(episode="heat"))
    shared.on_and_off(1, 11, 21)
    shared.restart()
    shared.poll(30, 440)
    shared.tick(330)
    assert "323.0 cleared hot th-01" == edges(shared.events)[-1]
    sensor, store, events = device(offline_after_s=2), {}, []
    judge = Engine([], [sensor], [source()], EPOCH, {})
    for second in range(1, 400):
        if second == 31:
            judge = Engine([], [sensor], [source()], EPOCH + 1, store)
        changes = judge.evaluate(reading(source(), second, OFFLINE if second % 10 < 6 and second < 30 else 200))
        keep(store, changes)
        events += alarms(changes.events)
    assert "327.0 cleared device offline th-01" == edges(events)[-1]


def test_a_reason_ends_what_chatters_at_once():
    """The rule is gone: nothing is kept active."""
    station = Station(rule())
    station.on_and_off(1, 11, 21)
    station.rules = ()
    station.restart()
    station.tick(30)
    assert ("cleared", "rule removed") == (station.events[-1].body["edge"], station.events[-1].body["reason"])
    assert not any(key.startswith("rules/alarm/") for key in station.store)


def test_a_device_that_comes_and_goes_chatters_too():
    """Its silence ends and begins; the bus and its other devices have nothing to do with it."""
    sensor: Device = device(offline_after_s=2)
    judge = Engine([], [sensor], [source()], EPOCH, {})
    events = []
    for second in range(1, 60):
        value = OFFLINE if second % 10 < 6 else 200
        events += alarms(judge.evaluate(reading(source(), second, value)).events)
    assert ["raised", "cleared", "raised", "cleared", "raised"] == [event.body["edge"] for event in events]
    for second in range(60, 400, 5):
        events += alarms(judge.evaluate(reading(source(), second, 200)).events)
    assert "cleared" == events[-1].body["edge"]
    assert [] == judge.open_alarms()


@pytest.mark.parametrize(("off_at", "ends_at"), [(3, 31), (40, 40)])
def test_an_alarm_lasts_as_long_as_its_rule_says(off_at, ends_at):
    """A pulse is seen; what lasts longer by itself is not made longer."""
    station = Station(rule(min_duration_s=30))
    station.poll(1, 462)
    station.poll(off_at, 440)
    station.tick(60)
    assert ["1.0 raised hot th-01", f"{ends_at}.0 cleared hot th-01"] == edges(station.events)


def test_a_condition_that_comes_back_within_the_shortest_time_is_the_same_alarm():
    """One raise, one end."""
    station = Station(rule(min_duration_s=30))
    for second, value in ((1, 462), (3, 440), (20, 462), (50, 440)):
        station.poll(second, value)
    assert ["1.0 raised hot th-01", "50.0 cleared hot th-01"] == edges(station.events)


def test_the_shortest_time_goes_on_over_a_restart():
    """A start that finds it held ends it at its time."""
    station = Station(rule(min_duration_s=30))
    station.poll(1, 462)
    station.poll(3, 440)
    station.restart()
    station.poll(5, 440)
    station.tick(30)
    assert 1 == len(station.judge.open_alarms())
    station.tick(400)
    assert "31.0 cleared hot th-01" == edges(station.events)[-1]


def test_a_recheck_ends_what_is_held():
    """Who repaired it need not wait five minutes."""
    station = Station(rule())
    station.on_and_off(1, 11, 21)
    station.take(station.judge.recheck(3, Moment(40_000, WALL_MS + 40_000, ClockTrust.SYNCHRONISED)))
    assert [] == station.judge.open_alarms()


def test_reports_of_other_parts_come_back_too():
    """An alarm of the gateway itself that is withdrawn and reported by turns."""
    judge = engine()
    events = []
    for second in range(1, 12):
        at = (second * 1000, WALL_MS + second * 1000, ClockTrust.SYNCHRONISED)
        changes = judge.report("store failing", "major", "x", "x", *at) if second % 2 else judge.withdraw("store failing", None, *at)
        events += alarms(changes.events)
    assert ["raised", "cleared", "raised", "cleared", "raised"] == [event.body["edge"] for event in events]
    assert [1] == [alarm.number - 2 for alarm in judge.open_alarms()]


def test_what_is_withdrawn_again_and_again_is_no_edge():
    """Who looks each second says each second that nothing is wrong: five minutes after the first time the alarm that came and went is over."""
    judge, events = engine(), []
    for second in range(1, 400):
        at = (second * 1000, WALL_MS + second * 1000, ClockTrust.SYNCHRONISED)
        is_wrong = second in {1, 3, 5}
        changes = judge.report("store failing", "major", "x", "x", *at) if is_wrong else judge.withdraw("store failing", None, *at)
        events += alarms([*changes.events, *judge.tick(*at).events])
    assert (306_000, "cleared", 1) == (events[-1].mono_ms, events[-1].body["edge"], events[-1].body["edges"])
    assert [] == judge.open_alarms()
