"""Every kind of condition under readings of every quality, set clocks, restarts with another configuration, and people: what an alarm promises holds."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_rig import WALL_MS, alarms, device, keep, reading, rule, source

from edgegw.config.model import Term
from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.engine import Engine, Moment, Word

STRINGS = source(1, "pv-01", tuple(Point(f"string.{number}.current", 2, "A", "measure") for number in range(1, 4)), "inverter", 1000)
WORDS = source(2, "pv-01", (Point("alarms.1", 0, "1", "text"), Point("alarms.2", 0, "1", "text")), "inverter", 1000)
JOINTS = source(3, "pt-01", tuple(Point(f"temperature.{number}", 1, "C", "measure") for number in range(1, 4)), "sensor", 1000)
UPS = source(4, "ups-01", (Point("ups.status", 0, "1", "text"), Point("battery.charge", 0, "%", "measure")), "ups", 1000)
SOURCES = [STRINGS, WORDS, JOINTS, UPS]
DEVICES = [
    device("pv-01", "one"),
    device("pt-01", "two", roles={"temperature.1": "busbar", "temperature.2": "busbar", "temperature.3": "ambient"}),
    device("ups-01", "two"),
]
ON_BATTERY = Term(point="ups.status", condition="word", word="OB")
# Without delays: what a reading does it does at once.
QUICK = [
    rule(name="string", condition="below_others", point="string.*.current", limit=50, deadband=10, least=2, episode="string"),
    rule(name="words", condition="word", point="alarms.*", words=["2001", "2015"], episode="words", per_device=True, level="major"),
    rule(name="words-worse", condition="word", point="alarms.*", word="2064", episode="words", per_device=True, level="critical"),
    rule(name="sister", condition="above_others", point="temperature.*", role="busbar", limit=15, deadband=5, level="major"),
    rule(name="rise", condition="rise", point="temperature.1", reference="@ambient", limit=10, deadband=5, window_s=20),
    rule(name="charge", condition="low", point="battery.charge", limit=20, deadband=10, level="critical", alone=True, hold="any", when=[ON_BATTERY]),
    rule(name="replace", condition="word", point="ups.status", word="RB", latched=True),
    rule(name="mean", condition="high", point="temperature.2", limit=40, average_s=6),
]
SLOW = [
    *QUICK,
    rule(name="hot", condition="high", point="temperature.*", limit=45, on_delay_s=3, off_delay_s=2, device_class="sensor"),
    rule(
        name="silent",
        condition="missing",
        point="ups.status",
        limit=4,
        level="critical",
        when=[Term(point="ups.status", condition="word", word="OB", last=True)],
    ),
    rule(name="same", condition="frozen", point="battery.charge", limit=5),
]
EPISODE_OF = {chosen.name: (chosen.episode or chosen.name, chosen.per_device) for chosen in SLOW}

BAD = st.sampled_from([quality for quality in Quality if quality is not Quality.GOOD])


def values_of(at, *, good):
    """Of each point of a source a value, or a quality in its place; with `good` most of them values."""
    texts = st.sampled_from(["", "2001", "2001 2064", "2015", "OL", "OB LB", "OB RB"])
    plain = [texts if point.kind == "text" else st.sampled_from([0, 5, 15, 25, 150, 300, 420, 460, 900]) for point in at.points]
    return st.tuples(st.just("poll"), st.just(at), st.tuples(*(st.one_of(one, one, one, BAD) if good else BAD for one in plain)))


POLL = st.one_of(*(values_of(at, good=True) for at in SOURCES))
BAD_POLL = st.one_of(*(values_of(at, good=False) for at in SOURCES))
CHANGE = st.tuples(
    st.just("change"),
    st.sets(st.sampled_from([chosen.name for chosen in SLOW]), min_size=4),
    st.sets(st.sampled_from(["pv-01", "pt-01", "ups-01"]), min_size=1),
)
OTHER = st.tuples(st.sampled_from(["wait", "clock", "restart"]), st.integers(-7200, 7200), st.none())
DEED = st.tuples(st.sampled_from(["ack", "reset", "shelve", "recheck", "service"]), st.integers(1, 5), st.none())


class Station:
    """An engine whose rules and devices may be others after a start, with its store."""

    def __init__(self, rules) -> None:
        self.rules, self.codes = rules, {one.code for one in DEVICES}
        self.store: dict[str, bytes] = {}
        self.epoch, self.now_s, self.step_s = 0, 0.0, 0
        self.events = []
        self.start()

    def start(self) -> None:
        self.epoch, self.now_s = self.epoch + 1, 0.0
        self.judge = Engine(
            self.rules,
            [one for one in DEVICES if one.code in self.codes],
            [at for at in SOURCES if at.device in self.codes],
            self.epoch,
            dict(self.store),
        )

    def at(self) -> Moment:
        return Moment(round(self.now_s * 1000), WALL_MS + round((self.now_s + self.step_s) * 1000), ClockTrust.SYNCHRONISED)

    def take(self, changes) -> None:
        keep(self.store, changes)
        self.events += [(self.epoch, event) for event in alarms(changes.events)]

    def do(self, what, which, more) -> None:
        self.now_s += abs(which) % 90 if what == "wait" else 1
        match what:
            case "poll" if which.device in self.codes:
                plain = reading(which, self.now_s, *more)
                self.take(self.judge.evaluate(msgspec.structs.replace(plain, read_at_ms=plain.read_at_ms + self.step_s * 1000)))
            case "change":
                self.rules, self.codes = [chosen for chosen in SLOW if chosen.name in which], more
                self.start()
            case "restart":
                self.start()
            case "clock":
                self.step_s += which
            case "ack" | "reset" | "shelve" | "recheck" | "service":
                self.deed(what, which)
        self.take(self.judge.tick(*self.at()))

    def deed(self, what, number) -> None:
        word = Word("li", "because")
        deeds = {
            "ack": lambda: self.judge.desk.acknowledge(number, word, self.at()),
            "reset": lambda: self.judge.desk.reset(number, word, self.at()),
            "shelve": lambda: self.judge.desk.shelve(number, 60_000, word, self.at()),
            "recheck": lambda: self.take(self.judge.recheck(number, self.at())),
            "service": lambda: self.judge.desk.service("ups-01", 30_000 * (number % 2), word, self.at()),
        }
        try:
            deeds[what]()
        except EdgegwError as refused:
            assert refused.message_id in {"E-ALARM", "E-ALARM-ACTIVE", "E-ALARM-SHELF"}
        self.take(self.judge.changed())


def subject(event):
    """What an episode is about: one of them may be open for each."""
    name = event.body["rule"]
    episode, per_device = EPISODE_OF.get(name, (name, False))
    return episode, event.device, event.body.get("bus"), "" if per_device else event.body["point"]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(POLL, POLL, POLL, POLL, DEED, OTHER, CHANGE), min_size=10, max_size=80))
def test_nothing_breaks_the_life_of_an_alarm(steps):
    """Ids are never used twice, numbers grow, each begin has one end at most and it comes behind it, and one episode is open for each thing that is judged."""
    station = Station(SLOW)
    for step in steps:
        station.do(*step)
    lives: dict[object, tuple[object, ...]] = {}
    open_: dict[object, object] = {}
    over: set[object] = set()
    waiting: set[object] = set()
    number = 0
    for epoch, event in station.events:
        alarm_id, edge = event.body["id"], event.body["edge"]
        assert alarm_id not in over
        if edge == "raised":
            assert alarm_id not in lives
            assert event.body["number"] > number
            number = event.body["number"]
            lives[alarm_id] = (epoch, event.mono_ms)
        assert alarm_id in lives
        if edge in ("raised", "again"):
            assert subject(event) not in open_
            open_[subject(event)] = alarm_id
        if edge == "cleared" and alarm_id in waiting:
            assert event.body["closed"]  # a latched one whose rule or device is gone waits no longer
        elif edge in ("cleared", "returned"):
            assert open_.pop(subject(event)) == alarm_id
            assert (epoch, event.mono_ms) >= lives[alarm_id]
        if edge == "returned":
            waiting.add(alarm_id)
        elif edge == "again":
            waiting.remove(alarm_id)
        if event.body.get("closed"):
            over.add(alarm_id)
    is_active = {alarm.alarm_id for alarm in station.judge.open_alarms(hidden=True) if alarm.cleared_at_ms is None}
    assert is_active == set(open_.values())


@settings(deadline=None, max_examples=200)
@given(st.lists(POLL, min_size=10, max_size=40), st.lists(st.one_of(BAD_POLL, OTHER), max_size=30))
def test_what_is_not_good_neither_raises_nor_clears(before, bad):
    """However many values of whatever quality but good, and however long: no rule's alarm begins or ends."""
    station = Station(QUICK)
    for step in before:
        station.do(*step)
    held = {alarm.alarm_id for alarm in station.judge.open_alarms(hidden=True) if alarm.rule in EPISODE_OF}
    station.events.clear()
    for step in bad:
        station.do(*step)
    edges = [event.body["edge"] for _, event in station.events if event.body["rule"] in EPISODE_OF]
    assert not {"raised", "cleared", "returned", "again", "level"} & set(edges)
    assert held == {alarm.alarm_id for alarm in station.judge.open_alarms(hidden=True) if alarm.rule in EPISODE_OF}


@settings(deadline=None, max_examples=100)
@given(st.lists(POLL, min_size=10, max_size=60), st.integers(0, 60), st.integers(-7200, 7200))
def test_a_clock_that_is_set_changes_only_labels(steps, at, step_s):
    """The same readings under a clock that somebody sets raise and end the same alarms at the same monotonic times."""

    def edges(moved_s):
        station = Station(SLOW)
        for number, step in enumerate(steps):
            if number == at:
                station.step_s = moved_s
            station.do(*step)
        return [(event.mono_ms, event.device, event.body["edge"], event.body["rule"], event.body["value"]) for _, event in station.events]

    assert edges(0) == edges(step_s)
