"""Readings, people, restarts and clock steps in any order: the events tell exactly what is open, seen, and over for good."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_rig import WALL_MS, device, keep, reading, rule, source

from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust, Event, Quality
from edgegw.rules.engine import Engine, Moment, Word

SOURCES = [source(number, code) for number, code in enumerate("ab")]
RULES = [
    rule(name="warm", level="minor", limit=40.0, deadband=1.0, episode="temperature"),
    rule(name="hot", level="major", limit=45.0, off_delay_s=2, episode="temperature"),
    rule(name="frost", level="critical", condition="low", limit=5.0, latched=True),
    rule(name="steep", level="minor", condition="rise", limit=20.0, window_s=10, safety=True),
]
VALUES = st.sampled_from([30, 49, 250, 401, 451, Quality.OFFLINE, Quality.SUSPECT])
POLL = st.tuples(st.just("poll"), st.sampled_from(range(2)), VALUES)
DEED = st.tuples(st.sampled_from(["ack", "reset", "shelve", "unshelve", "recheck"]), st.integers(1, 6), st.none())
SERVICE = st.tuples(st.just("service"), st.sampled_from("ab"), st.sampled_from([0, 30_000]))
OTHER = st.tuples(st.sampled_from(["restart", "step", "tick"]), st.integers(-3600, 3600), st.none())


class Station:
    """An engine, its store, and two clocks of which one can be set."""

    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.epoch, self.now_s, self.step_s = 1, 0.0, 0
        self.events: list[Event] = []
        self.judge = self.start()

    def start(self) -> Engine:
        return Engine(RULES, [device("a"), device("b")], SOURCES, self.epoch, dict(self.store))

    def at(self) -> Moment:
        return Moment(round(self.now_s * 1000), WALL_MS + round((self.now_s + self.step_s) * 1000), ClockTrust.SYNCHRONISED)

    def take(self, changes) -> None:
        keep(self.store, changes)
        self.events += changes.events

    def do(self, what, which, more) -> None:
        self.now_s += 1
        word = Word("li", "because")
        match what:
            case "poll":
                self.take(self.judge.evaluate(reading(SOURCES[which], self.now_s, more)))
            case "ack":
                self.judge.desk.acknowledge(which, word, self.at())
            case "reset":
                self.judge.desk.reset(which, word, self.at())
            case "shelve" | "unshelve":
                self.judge.desk.shelve(which, 60_000 if what == "shelve" else 0, word, self.at())
            case "recheck":
                self.take(self.judge.recheck(which, self.at()))
            case "service":
                self.judge.desk.service(which, more, word, self.at())
            case "restart":
                self.epoch, self.now_s = self.epoch + 1, 0.0
                self.judge = self.start()
            case "step":
                self.step_s += which
        self.take(self.judge.tick(*self.at()))
        self.take(self.judge.changed())


def listed(judge, step_s):
    """A shelf outlives a restart by the wall clock: once that was set, only the engine that runs knows its true end."""
    return [msgspec.structs.replace(alarm, visibility="", told_at_ms=None) if step_s else alarm for alarm in judge.all_alarms()]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(POLL, POLL, POLL, DEED, DEED, SERVICE, OTHER), max_size=60))
def test_no_deed_breaks_an_alarm(steps):
    """Nothing comes after the end of an episode, each life of one is acknowledged once at most, and what is listed is what the events leave over, also after a restart."""
    station = Station()
    for step in steps:
        try:
            station.do(*step)
        except EdgegwError as refused:
            assert refused.message_id in {"E-ALARM", "E-ALARM-ACTIVE", "E-ALARM-SHELF"}
            station.take(station.judge.changed())
        again = station.start()
        keep({}, again.tick(*station.at()))
        assert listed(station.judge, station.step_s) == listed(again, station.step_s)
    alive: dict[object, bool] = {}
    over: set[object] = set()
    for event in (event for event in station.events if event.kind == "alarm"):
        body, alarm_id = event.body, event.body["id"]
        assert alarm_id not in over
        if body["edge"] in ("raised", "again"):
            assert (body["edge"] == "raised") == (alarm_id not in alive)
            alive[alarm_id] = False
        if body["edge"] == "acknowledged":
            assert not alive[alarm_id]
            alive[alarm_id] = True
        if body.get("closed"):
            over.add(alarm_id)
    assert {alarm.alarm_id for alarm in station.judge.all_alarms()} == set(alive) - over
