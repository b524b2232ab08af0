"""Whatever comes, in whatever order: told once, hidden never, forgotten never, and the end of each that was told."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from rules_rig import INPUT, WALL_MS, device, keep, reading, rule, source

from edgegw.config.model import Contact
from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.desk import Word
from edgegw.rules.engine import Engine, Moment
from edgegw.rules.told import Why

OFFLINE = Quality.OFFLINE
SMOKE = Point("input.2", 0, "1", "flag")
TEMPERATURE = Point("temperature", 1, "C", "measure")
SOURCES = [
    source(0, "DI", (INPUT, SMOKE), "input"),
    source(1, "P-1", (TEMPERATURE,), "pile"),
    source(2, "P-2", (TEMPERATURE,), "pile"),
    source(3, "TH", (TEMPERATURE,), "sensor"),
]
DEVICES = [
    device("DI", "one", input={"1": Contact(role="mains"), "2": Contact(role="smoke")}),
    device("P-1", "two"),
    device("P-2", "two"),
    device("TH", "three"),
]
RULES = [
    rule(name="mains", condition="equals", point="input.1", limit=1, level="critical", role="mains", explains=["pile: *", "bus: bus offline"], off_delay_s=3),
    rule(name="smoke", condition="equals", point="input.2", limit=1, level="minor", role="smoke", safety=True),
    rule(name="warm", limit=40.0, level="minor", episode="heat"),
    rule(name="hot", limit=60.0, level="major", episode="heat", on_delay_s=2),
    rule(name="cold", condition="low", limit=5.0, latched=True),
    rule(name="brief", condition="equals", limit=30.0, min_duration_s=20, off_delay_s=1),
]
VALUES = st.sampled_from([20, 200, 300, 420, 620, OFFLINE, Quality.SUSPECT])
FLAGS = st.sampled_from([0, 0, 1, OFFLINE])
GAP = st.sampled_from([0.2, 1, 2, 5, 16])
POLL = st.tuples(st.just("poll"), GAP, st.sampled_from(range(1, 4)), VALUES)
CONTACTS = st.tuples(st.just("poll"), GAP, st.just(0), st.tuples(FLAGS, FLAGS))
SILENCE = st.tuples(st.just("silence"), st.sampled_from([1, 6]), st.sampled_from([(1,), (1, 2), (3,)]), st.none())
TICK = st.tuples(st.just("tick"), st.sampled_from([0.5, 3, 20, 60, 400]), st.none(), st.none())
RESTART = st.tuples(st.just("restart"), GAP, st.none(), st.none())
CLOCK = st.tuples(st.just("clock"), st.sampled_from([-86_400, -30, 30, 3_600]), st.none(), st.none())
SHELVE = st.tuples(st.just("shelve"), GAP, st.integers(1, 6), st.sampled_from([0, 10_000, 60_000]))
SERVICE = st.tuples(st.just("service"), GAP, st.sampled_from(["DI", "P-1", "TH"]), st.sampled_from([0, 10_000, 60_000]))
OTHER = st.tuples(st.sampled_from(["ack", "reset", "recheck"]), GAP, st.integers(1, 6), st.none())
STEPS = st.lists(st.one_of(POLL, POLL, CONTACTS, CONTACTS, SILENCE, TICK, RESTART, CLOCK, SHELVE, SERVICE, OTHER), max_size=50)
NEWS = {Why.RAISED, Why.SHOWN, Why.LEVEL, Why.AGAIN}


class Station:
    """The engine, its store, and a ledger of what was told."""

    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.epoch, self.second, self.step_s = 0, 0.0, 0.0
        self.singly: Counter[str] = Counter()
        self.lives: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.over: set[str] = set()
        self.open: dict[str, str] = {}
        """Those that are open, and their devices."""
        self.restart()

    def restart(self) -> None:
        self.epoch += 1
        self.judge = Engine(RULES, DEVICES, SOURCES, self.epoch, dict(self.store))

    def moment(self) -> Moment:
        return Moment(round(self.second * 1000), WALL_MS + round((self.second + self.step_s) * 1000), ClockTrust.SYNCHRONISED)

    def do(self, what, gap, whom, value) -> None:
        if what == "clock":
            self.step_s += gap
            return
        self.second += gap
        match what:
            case "restart":
                self.restart()
            case "poll":
                self.poll(whom, value)
            case "silence":
                for _ in range(4):
                    for number in whom:
                        self.second += gap
                        self.poll(number, OFFLINE)
            case "tick":
                self.take(self.judge.tick(*self.moment()))
            case _:
                self.command(what, whom, value)

    def poll(self, number, value) -> None:
        polled = reading(SOURCES[number], self.second, *(value if isinstance(value, tuple) else (value,)))
        self.take(self.judge.evaluate(polled))

    def command(self, what, whom, for_ms) -> None:
        desk, at, word = self.judge.desk, self.moment(), Word("li", "because")
        try:
            match what:
                case "shelve":
                    desk.shelve(whom, for_ms, word, at)
                case "service":
                    desk.service(whom, for_ms, word, at)
                case "ack":
                    desk.acknowledge(whom, word, at)
                case "reset":
                    desk.reset(whom, word, at)
                case _:
                    self.take(self.judge.recheck(whom, at))
        except EdgegwError as refused:
            assert refused.message_id in {"E-ALARM", "E-ALARM-ACTIVE", "E-ALARM-SHELF"}
        self.take(self.judge.changed())

    def take(self, changes) -> None:
        keep(self.store, changes)
        out = self.judge.desk.out_of_service()
        for event in (event for event in changes.events if event.kind == "alarm"):
            alarm_id = event.body["id"]
            self.lives[alarm_id] += event.body["edge"] in ("raised", "again", "unshelved")
            if event.body["edge"] in ("cleared", "reset"):
                self.over.add(alarm_id)
            if event.body["edge"] == "raised" and event.body["rule"] == "smoke":
                shelved = {alarm.alarm_id for alarm in self.judge.open_alarms(hidden=True) if alarm.visibility == "shelved"}
                assert alarm_id in {told.episode.alarm_id for told in changes.told} | shelved
        self.reveal(changes.events)
        for told in changes.told:
            self.check(told, out)

    def reveal(self, events) -> None:
        """What a shelf or a repair had hidden may be told once more when that ends."""
        back = {event.device for event in events if event.kind == "service" and event.body["state"] == "in_service"}
        open_ = {alarm.alarm_id: alarm.device for alarm in self.judge.open_alarms(hidden=True)}
        for alarm_id, device_ in {**self.open, **open_}.items():
            self.lives[alarm_id] += device_ in back
        self.open = open_

    def check(self, told, out) -> None:
        alarm_id = told.episode.alarm_id
        if told.why is Why.CLEARED:
            self.ended[alarm_id] += 1
        else:
            for episode in (told.episode, *told.others):
                assert episode.suppressed_by is None
                assert episode.facts.device not in out or episode.facts.is_danger
        if told.why in (Why.RAISED, Why.SHOWN, Why.AGAIN):
            self.singly[alarm_id] += 1
            assert self.singly[alarm_id] <= self.lives[alarm_id]
        elif told.why is Why.LEVEL:
            self.singly[alarm_id] += not self.singly[alarm_id]


@settings(deadline=None, max_examples=250)
@given(STEPS)
def test_nothing_is_told_twice_hidden_or_forgotten(steps):
    """
    At most once for each raise and each end of a shelf or a repair, over restarts and clock steps; the end of each that was told singly and of no other; at last all that is shown.
    """
    station = Station()
    for step in steps:
        station.do(*step)
    for _ in range(300):
        station.do("tick", 5, None, None)
    assert {alarm_id: 1 for alarm_id in station.singly if alarm_id in station.over} == station.ended
    assert [] == [alarm for alarm in station.judge.open_alarms() if alarm.told_at_ms is None]
    assert {alarm.alarm_id for alarm in station.judge.open_alarms(hidden=True)}.isdisjoint(station.over)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.5, 1, 2, 7]), st.integers(0, 3), st.sampled_from([20, 200, 300, 420, 620, OFFLINE])), max_size=40), st.floats(0.3, 3)
)
def test_ticks_change_nothing_that_is_told(steps, every):
    """
    The same readings tell the same at the same times, whether time was told often or only at the end.
    """

    def heard(*, ticks: bool) -> list[tuple[object, ...]]:
        judge = Engine(RULES, DEVICES, SOURCES, 1, {})
        found, now, ticked = [], 0.0, 0.0
        for gap, number, value in [*steps, (100, 3, 200)]:
            now += gap
            while ticks and ticked + every < now:
                ticked += every
                found += judge.tick(round(ticked * 1000), WALL_MS + round(ticked * 1000), ClockTrust.SYNCHRONISED).told
            values = (int(value == 620), int(value == 420)) if number == 0 else (value,)
            found += judge.evaluate(reading(SOURCES[number], now, *values)).told
        return [(told.why, told.at_ms, told.episode.number, told.children, told.count) for told in found]

    assert heard(ticks=False) == heard(ticks=True)
