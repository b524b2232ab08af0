"""The first of a group that fell together is marked: by the begin of its condition, not by the order of the journal."""

from __future__ import annotations

from rules_rig import alarms, device, keep, reading, rule, source, tick

from edgegw.rules.engine import Engine

SOURCES = [source(number, f"p-{number}", device_class="pile") for number in range(4)]
DEVICES = [device(at.device, f"bus{number}") for number, at in enumerate(SOURCES)]
TRIP = rule(name="trip", limit=80.0, level="critical", explains=["pile: warm", "pile: slow"])
WARM = rule(name="warm", limit=40.0, devices=["p-1", "p-2", "p-3"])
SLOW = rule(name="slow", condition="low", limit=5.0, on_delay_s=8)


class Station:
    def __init__(self, *rules) -> None:
        self.rules, self.store, self.events, self.told = rules, {}, [], []
        self.start(1)

    def start(self, epoch):
        self.judge = Engine(self.rules, DEVICES, SOURCES, epoch, self.store)

    def take(self, changes):
        keep(self.store, changes)
        self.events += alarms(changes.events)
        self.told += changes.told

    def poll(self, second, number, value):
        self.take(self.judge.evaluate(reading(SOURCES[number], second, value)))

    def tick(self, second):
        self.take(tick(self.judge, second))

    def firsts(self):
        return [(alarm.rule, alarm.device) for alarm in self.judge.open_alarms(hidden=True) if alarm.first_out]

    def named(self):
        """Which raise named which alarm as the first."""
        numbers = {event.body["id"]: event.body["number"] for event in self.events}
        return [(event.body["number"], numbers[event.body["first_out"]]) for event in self.events if "first_out" in event.body]


def test_the_root_is_the_first_when_it_began_first():
    """Known with its first child, and named once however many follow."""
    station = Station(TRIP, WARM)
    station.poll(1, 0, 850)
    assert [] == station.firsts()
    for second, number in ((2, 1), (3, 2), (4, 3)):
        station.poll(second, number, 450)
    assert [("trip", "p-0")] == station.firsts()
    assert 1 == len(station.named())


def test_a_child_that_began_before_its_root_is_the_first():
    """The root's own event names it, and what is told of the root does not call it the first."""
    station = Station(TRIP, WARM)
    station.poll(1, 1, 450)
    station.poll(3, 0, 850)
    assert [("warm", "p-1")] == station.firsts()
    assert [(2, 1)] == station.named()
    assert [False] == [told.first_out for told in station.told if told.episode.facts.rule == "trip"]


def test_what_is_raised_late_may_have_begun_first():
    """Its delay is long: the mark goes over to it."""
    station = Station(TRIP, WARM, SLOW)
    station.poll(1, 3, 30)
    station.poll(3, 0, 850)
    station.poll(4, 1, 450)
    before = station.firsts()
    for second in range(5, 10):
        station.poll(second, 3, 30)
    assert [[("trip", "p-0")], [("slow", "p-3")]] == [before, station.firsts()]


def test_a_burst_without_a_root_has_a_first_too():
    """Within ten seconds of each other; a lonely alarm is the first of nothing."""
    station = Station(WARM)
    for second, number in ((1, 2), (5, 1), (14, 3)):
        station.poll(second, number, 450)
    assert [("warm", "p-2")] == station.firsts()
    assert [(2, 1)] == station.named()
    lonely = Station(WARM)
    lonely.poll(1, 2, 450)
    lonely.poll(20, 1, 450)
    assert [] == lonely.firsts()


def test_the_mark_is_told_with_what_waited():
    """An alarm that may have a root is told three seconds later: by then it is known as the first."""
    station = Station(TRIP, WARM)
    station.poll(1, 1, 450)
    station.poll(2, 2, 450)
    station.tick(6)
    assert [("p-1", True), ("p-2", False)] == [(told.episode.facts.device, told.first_out) for told in station.told]


def test_the_mark_survives_a_restart():
    """And goes over to no later child."""
    station = Station(TRIP, WARM)
    station.poll(1, 0, 850)
    station.poll(2, 1, 450)
    station.start(2)
    station.poll(3, 2, 450)
    assert [("trip", "p-0")] == station.firsts()


def test_a_first_that_has_ended_before_a_restart_has_no_second():
    """Under the same root a later child would be called the first of a group that had one."""
    station = Station(TRIP, WARM)
    station.poll(1, 1, 450)
    station.poll(2, 0, 850)
    station.poll(3, 2, 450)
    station.poll(4, 1, 200)
    station.start(2)
    station.poll(5, 1, 450)
    assert [] == station.firsts()
    assert 1 == len(station.named())


def test_a_child_that_comes_after_the_end_of_its_root_takes_no_mark():
    """The group has its first; what is noticed late does not begin another."""
    station = Station(TRIP, WARM)
    station.poll(1, 1, 450)
    station.poll(2, 0, 850)
    station.poll(3, 0, 200)
    station.poll(5, 2, 450)
    assert [("warm", "p-1")] == station.firsts()
    assert 1 == len(station.named())
