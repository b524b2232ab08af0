"""Whatever comes: readings, qualities, ticks and restarts in any order break none of the promises of an alarm."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rules_rig import alarms, device, keep, reading, rule, source, tick

from edgegw.model import Event, Quality
from edgegw.rules.engine import Engine

CODES = ("a", "b", "c")
BUSES = {"a": "one", "b": "one", "c": "two"}
SOURCES = [source(number, code) for number, code in enumerate(CODES)]
RULES = [
    rule(name="warm", limit=40.0, deadband=1.0),
    rule(name="hot", limit=45.0, on_delay_s=3, off_delay_s=2),
    rule(name="cold", condition="low", limit=5.0, off_delay_s=4, devices=["a", "c"]),
    rule(name="stuck", condition="equals", limit=40.1, on_delay_s=1),
]
QUICK = [rule(name="warm", limit=40.0, deadband=1.0), rule(name="cold", condition="low", limit=5.0), rule(name="stuck", condition="equals", limit=40.1)]
VALUES = st.sampled_from([30, 49, 395, 401, 451, Quality.OFFLINE, Quality.OFFLINE, Quality.OFFLINE, Quality.SUSPECT, Quality.REFUSED])
POLL = st.tuples(st.sampled_from([0.5, 1, 2, 8]), st.sampled_from(range(3)), VALUES)
SILENCE = st.tuples(st.sampled_from([1, 4, 7]), st.sampled_from([(0,), (2,), (0, 1), (0, 1), (1, 0)])).map(
    lambda drawn: [(drawn[0], index, Quality.OFFLINE) for index in drawn[1] * 3]
)
TICK = st.tuples(st.sampled_from([0.5, 1, 20, 60]), st.none(), st.none())
RESTART = st.tuples(st.just(0.5), st.none(), st.just("restart"))


def mixed(*steps):
    """Single steps and runs of failed polls of one device or one bus, one after the other."""
    return st.lists(st.one_of(*(step.map(lambda drawn: [drawn]) for step in steps), SILENCE), max_size=40).map(
        lambda runs: [step for run in runs for step in run]
    )


def start(epoch, store, rules):
    return Engine(rules, [device(code, BUSES[code]) for code in CODES], SOURCES, epoch, dict(store))


class Book:
    """What a cloud would know from the events alone."""

    def __init__(self) -> None:
        self.open: dict[str, Event] = {}
        self.subjects: dict[str, tuple[object, ...]] = {}
        self.seen: set[str] = set()
        self.number = 0

    def read(self, event: Event) -> None:
        body = event.body
        subject = (body["rule"], event.device, body.get("bus"), body["point"])
        if body["edge"] == "raised":
            assert body["id"] not in self.seen
            assert body["number"] > self.number
            assert subject not in self.subjects.values()
            assert body["began_at_ms"] <= event.at_ms
            self.number = body["number"]
            self.seen.add(body["id"])
            self.open[body["id"]], self.subjects[body["id"]] = event, subject
        else:
            assert subject == self.subjects[body["id"]]
            if body["edge"] == "cleared":
                del self.open[body["id"]], self.subjects[body["id"]]


@settings(deadline=None, max_examples=150)
@given(mixed(POLL, POLL, TICK, RESTART))
def test_no_sequence_breaks_an_alarm(steps):
    """
    Ids are unique, numbers grow, edges alternate, the events tell exactly what is open, and the store holds exactly that at every moment.
    """
    store: dict[str, bytes] = {}
    book = Book()
    epoch, now = 1, 0.0
    judge = start(epoch, store, RULES)
    for gap, index, what in steps:
        now += gap
        if what == "restart":
            epoch += 1
            now = 0.0
            judge = start(epoch, store, RULES)
            continue
        changes = tick(judge, now) if index is None else judge.evaluate(reading(SOURCES[index], now, what))
        keep(store, changes)
        for event in alarms(changes.events):
            book.read(event)
        is_open = {alarm.alarm_id for alarm in judge.open_alarms(hidden=True)}
        assert set(book.open) == is_open
        assert judge.open_alarms(hidden=True) == start(99, store, RULES).open_alarms(hidden=True)
        assert judge.open_alarms() == start(99, store, RULES).open_alarms()
        due = judge.next_due_ms()
        assert due is None or due > now * 1000


@settings(deadline=None)
@given(mixed(POLL, POLL), st.floats(0.1, 3))
def test_ticks_change_no_edge(steps, every):
    """
    The same readings give the same events with the same times, whether time was told often or only at the end.
    """
    quiet, busy = start(1, {}, RULES), start(1, {}, RULES)
    told: list[Event] = []
    expected: list[Event] = []
    now = ticked = 0.0
    for gap, index, what in [*steps, (200, 0, 30)]:
        now += gap
        while ticked + every < now:
            ticked += every
            told += tick(busy, ticked).events
        told += busy.evaluate(reading(SOURCES[index], now, what)).events
        expected += quiet.evaluate(reading(SOURCES[index], now, what)).events
    assert expected == told


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.5, 1, 2]), st.sampled_from(range(3)), st.sampled_from([30, 49, 395, 401, 451, Quality.SUSPECT])), max_size=40),
    st.integers(0, 40),
)
def test_restart_changes_no_edge_of_a_rule_without_delay(steps, at):
    """
    A restart between any two readings leaves edges, times and numbers as they would have been.
    """

    def edges_with(restart_at: int | None) -> list[tuple[object, ...]]:
        store: dict[str, bytes] = {}
        judge = start(1, store, QUICK)
        found: list[tuple[object, ...]] = []
        now = 0.0
        for number, (gap, index, what) in enumerate(steps):
            now += 31 * gap  # too slow for chatter, of which a start knows nothing
            if number == restart_at:
                judge = start(2, store, QUICK)
            changes = judge.evaluate(reading(SOURCES[index], now, what))
            keep(store, changes)
            found += [
                (event.mono_ms, event.device, event.body["edge"], event.body["rule"], event.body["number"], event.body["value"])
                for event in alarms(changes.events)
            ]
        return found

    assert edges_with(None) == edges_with(at)
