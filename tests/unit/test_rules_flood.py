"""A flood: what is worst is told singly, the rest in one sentence, and all of it is written down."""

from __future__ import annotations

from rules_rig import EPOCH, WALL_MS, alarms, device, keep, reading, rule, source, tick

from edgegw.rules.engine import Engine, Word
from edgegw.rules.flood import BEGINS_ABOVE, OTHERS_MAX
from edgegw.rules.told import Why

SOURCES = [source(number, f"th-{number:02}") for number in range(40)]
DEVICES = [device(at.device, f"bus{number}") for number, at in enumerate(SOURCES)]
RULES = [
    rule(name="warm", limit=40.0, level="minor"),
    rule(name="hot", limit=60.0, level="major"),
    rule(name="smoke", limit=80.0, level="minor", safety=True),
]


class Station:
    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.told = []
        self.events = []
        self.start(EPOCH)

    def start(self, epoch: int) -> None:
        self.judge = Engine(RULES, DEVICES, SOURCES, epoch, self.store)

    def take(self, changes):
        keep(self.store, changes)
        self.events += changes.events
        self.told += changes.told

    def poll(self, second, number, value):
        self.take(self.judge.evaluate(reading(SOURCES[number], second, value)))

    def tick(self, second):
        self.take(tick(self.judge, second))

    def words(self):
        return [(one.why, one.episode.facts.rule) for one in self.told]

    def floods(self):
        return [(event.mono_ms / 1000, event.body["state"], event.body["count"]) for event in self.events if event.kind == "flood"]


def warm(station, count=30, second=1.0):
    for number in range(count):
        station.poll(second + number / 10, number, 420)


def test_ten_alarms_in_ten_minutes_are_told_one_by_one():
    """It takes one more to make a flood."""
    station = Station()
    warm(station, BEGINS_ABOVE)
    assert [(Why.RAISED, "warm")] * BEGINS_ABOVE == station.words()
    assert [] == station.floods()


def test_a_flood_is_told_in_one_summary_and_all_of_it_is_written_down():
    """Forty at once: ten singly, thirty in a sentence a minute later, each of them for who has to hear of it, forty in the journal."""
    station = Station()
    warm(station, 40)
    for second in range(5, 90):
        station.tick(second)
    assert [(Why.RAISED, "warm")] * BEGINS_ABOVE + [(Why.SUMMARY, "warm")] == station.words()
    assert (30, 30) == (station.told[-1].count, len(station.told[-1].others))
    assert [OTHERS_MAX] == [len(event.body["numbers"]) for event in station.events if event.body.get("state") == "summary"]
    assert WALL_MS + 62_000 == station.told[-1].at_ms
    assert 40 == len(alarms(station.events))
    assert [(2.0, "began", 11), (62.0, "summary", 30)] == station.floods()


def test_in_a_flood_the_worst_and_safety_are_told_singly():
    """Nobody waits a minute to hear of smoke, whatever level it was given."""
    station = Station()
    warm(station)
    station.poll(10, 31, 620)
    station.poll(11, 32, 820)
    assert [(Why.RAISED, "hot"), (Why.RAISED, "hot"), (Why.RAISED, "smoke")] == station.words()[BEGINS_ABOVE:]


def test_a_flood_ends_when_the_rate_has_fallen():
    """Ten minutes after the last but five; what comes then is told singly."""
    station = Station()
    warm(station)
    for second in range(5, 640, 5):
        station.tick(second)
    station.poll(640, 35, 420)
    assert [(2.0, "began", 11), (62.0, "summary", 20), (603.401, "ended", 30)] == station.floods()
    assert (Why.RAISED, "warm") == station.words()[-1]


def test_what_was_told_in_a_summary_alone_has_no_end_to_tell():
    """Ten were told singly: ten ends, however many have ended."""
    station = Station()
    warm(station)
    station.tick(70)
    for number in range(30):
        station.poll(80 + number, number, 200)
    assert BEGINS_ABOVE == sum(one.why is Why.CLEARED for one in station.told)


def test_what_ended_before_the_summary_is_counted_in_it():
    """It was to be told, and was not fleeting."""
    station = Station()
    warm(station)
    for number in range(20, 30):
        station.poll(20, number, 200)
    station.tick(70)
    assert [20] == [one.count for one in station.told if one.why is Why.SUMMARY]


def test_what_is_shelved_meanwhile_is_not_in_the_summary():
    """Somebody knows of it."""
    station = Station()
    warm(station)
    for number in range(20, 30):
        station.judge.desk.shelve(number + 1, 60_000_000, Word("li", "known"), at=station_moment())
    station.tick(70)
    assert [10] == [one.count for one in station.told if one.why is Why.SUMMARY]


def station_moment():
    from edgegw.model import ClockTrust
    from edgegw.rules.engine import Moment

    return Moment(30_000, WALL_MS + 30_000, ClockTrust.SYNCHRONISED)


def test_what_was_gathered_and_gets_worse_is_told_singly():
    """And is not in the summary any more."""
    rules = [*RULES[:1], rule(name="far", limit=45.0, level="major", episode="far"), rule(name="near", limit=42.0, level="minor", episode="far")]
    station = Station()
    station.judge = Engine(rules, DEVICES, SOURCES, EPOCH, {})
    warm(station, 12)
    station.poll(5, 20, 425)
    station.tick(15)
    station.poll(20, 20, 470)
    station.tick(100)
    assert [(Why.RAISED, "far")] == [word for word in station.words() if word[1] in ("near", "far")]
    assert 3 == station.told[-1].count


def test_a_flood_goes_on_over_a_restart():
    """What it had gathered is told in the summary of the next start, and nothing singly."""
    station = Station()
    warm(station)
    station.start(EPOCH + 1)
    for second in range(10, 100):
        station.tick(second)
    assert [20] == [one.count for one in station.told if one.why is Why.SUMMARY]
    assert BEGINS_ABOVE == sum(one.why is Why.RAISED for one in station.told)


def test_a_flood_of_long_ago_is_over_at_the_start():
    """The wall clock says how long the gateway was off."""
    station = Station()
    warm(station)
    station.tick(70)
    station.start(EPOCH + 1)
    station.tick(5000)
    station.poll(5001, 35, 420)
    assert ["began", "summary", "ended"] == [state for _, state, _ in station.floods()]
    assert Why.RAISED == station.told[-1].why


def test_a_flood_that_cannot_be_read_is_forgotten():
    """The next alarm is told."""
    station = Station()
    station.store["rules/flood"] = b"\xff{"
    station.start(EPOCH)
    station.poll(1, 1, 420)
    assert [(Why.RAISED, "warm")] == station.words()
