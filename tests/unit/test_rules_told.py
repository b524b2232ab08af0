"""Which alarms people are told of: at once, after the settle window, once, and never what is hidden or has ended by then."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, INPUT, WALL_MS, device, engine, keep, reading, rule, source, tick

from edgegw.config.model import Contact
from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.desk import Word
from edgegw.rules.engine import Engine, Moment
from edgegw.rules.shipped import shipped_rules
from edgegw.rules.told import Why

OFFLINE = Quality.OFFLINE
STATUS = Point("ups.status", 0, "1", "text")
CHARGE = Point("battery.charge", 0, "%", "measure")
DI = source(1, "DI-01", (INPUT,), "input", period_ms=500)
UPS = source(2, "UPS-01", (STATUS, CHARGE), "ups")
PILES = [source(10 + number, f"P-{number:03}", (Point("gun1.state", 0, "1", "state"),), "pile") for number in range(200)]
STATION = [device("DI-01", "one", input={"1": Contact(role="mains")}), device("UPS-01", "two"), *(device(pile.device, pile.device) for pile in PILES)]
WORD = Word("li", "because")


def at(second: float) -> Moment:
    return Moment(round(second * 1000), WALL_MS + round(second * 1000), ClockTrust.SYNCHRONISED)


class Station:
    """One engine, its store, and what it told: `second why rule subject`."""

    def __init__(self, judge_of) -> None:
        self._judge_of = judge_of
        self.store: dict[str, bytes] = {}
        self.epoch = EPOCH
        self.judge = judge_of(self.store, self.epoch)
        self.told: list[str] = []
        self.events = []

    def take(self, changes):
        keep(self.store, changes)
        self.events += changes.events
        self.told += [f"{(told.at_ms - WALL_MS) / 1000:g} {told.why} {told.episode.facts.rule} {told.episode.facts.subject}" for told in changes.told]
        return changes.told

    def poll(self, second, at_source, *values):
        return self.take(self.judge.evaluate(reading(at_source, second, *values)))

    def tick(self, second):
        return self.take(tick(self.judge, second))

    def restart(self):
        """As after a SIGKILL: what is stored is all there is."""
        self.epoch += 1
        self.judge = self._judge_of(self.store, self.epoch)


def one(*rules):
    """One sensor."""
    return Station(lambda store, epoch: engine(rules, store, epoch))


def shipped():
    return Station(lambda store, epoch: Engine(shipped_rules(), STATION, [DI, UPS, *PILES], epoch, store))


def test_what_nothing_explains_is_told_with_its_raise_and_its_end():
    """Both in the transaction of their reading."""
    station = one(rule())
    station.poll(1, source(), 462)
    assert ["1 raised hot th-01"] == station.told
    station.poll(5, source(), 440)
    assert ["1 raised hot th-01", "5 cleared hot th-01"] == station.told


def test_what_was_told_is_an_event_with_the_time():
    """The cloud sees the decision beside the alarm."""
    station = one(rule(on_delay_s=2))
    station.poll(1, source(), 462)
    station.tick(4)
    raised, told = station.events
    assert ("alarm", "told") == (raised.kind, told.kind)
    assert (3000, "th-01", "raised", raised.body["id"]) == (told.mono_ms, told.device, told.body["why"], told.body["id"])


def test_what_may_have_a_root_waits_for_it_and_is_told_when_none_comes():
    """A pile that falls silent may be the mains: three seconds later it is itself."""
    station = shipped()
    for second in range(1, 20):
        station.poll(second, PILES[0], OFFLINE)
    assert ["19 raised device offline P-000"] == station.told


def test_what_ends_within_its_settle_window_is_not_told():
    """It was fleeting, and stands in the journal alone."""
    station = shipped()
    for second in range(1, 18):
        station.poll(second, PILES[0], OFFLINE)
    for second in (18, 18.2):
        station.poll(second, PILES[0], 1)
    station.tick(60)
    assert [] == station.told
    assert ["raised", "cleared"] == [event.body["edge"] for event in station.events]


def trip(station, begin=1, end=40):
    for second in range(begin, end):
        station.poll(second, DI, 1)
        station.poll(second, UPS, "OB", 90)
        for pile in PILES:
            station.poll(second, pile, OFFLINE)


def test_a_trip_with_200_children_is_told_once_and_its_end_too():
    """Mains, UPS on battery and two hundred silent piles are one thing to tell."""
    station = shipped()
    trip(station)
    assert ["3 raised mains-lost DI-01"] == station.told
    for second in range(40, 110):
        station.poll(second, DI, 0)
        station.poll(second, UPS, "OL", 90)
        for pile in PILES:
            station.poll(second, pile, 1)
    assert ["3 raised mains-lost DI-01", "70 cleared mains-lost DI-01"] == station.told


def test_the_root_says_how_many_are_hidden_below_it():
    """Those that fell before it was raised."""
    station = shipped()
    for second in (1, 2, 3, 4):
        station.poll(second, UPS, "OB", 90)
    for second in (4.5, 5, 5.5, 6, 6.5):
        told = station.poll(second, DI, 1)
    assert ["6.5 raised mains-lost DI-01"] == station.told[1:]
    assert [1] == [one.children for one in told]


def test_a_weaker_signal_waits_for_the_stronger_one():
    """The mains contact alone is told three seconds later; with the UPS on battery it is the mains, at once."""
    station = shipped()
    for second in range(1, 9):
        station.poll(second, UPS, "OL", 100)
        station.poll(second, DI, 1)
    assert ["6 raised mains-suspect DI-01"] == station.told
    station.poll(9, UPS, "OB", 100)
    for second in range(9, 12):
        station.poll(second, DI, 1)
    assert ["6 raised mains-suspect DI-01", "11 level mains-lost DI-01"] == [line for line in station.told if "mains" in line]


def test_an_empty_battery_is_told_although_its_alarm_began_below_the_mains():
    """Falling to half it is hidden; at a fifth it must be acted upon."""
    station = shipped()
    trip(station, end=10)
    for second, charge in ((10, 45), (12, 40), (20, 19)):
        station.poll(second, UPS, "OB", charge)
    assert ["3 raised mains-lost DI-01", "20 raised ups-charge-low UPS-01"] == station.told
    assert "suppressed_by" not in station.events[-2].body


def test_what_outlasts_its_root_is_told_as_shown():
    """A pile that is silent for a minute after the mains are back."""
    station = shipped()
    trip(station, end=30)
    for second in range(30, 130):
        station.poll(second, DI, 0)
        station.poll(second, UPS, "OL", 90)
        for pile in PILES[1:]:
            station.poll(second, pile, 1)
        station.poll(second, PILES[0], OFFLINE)
        station.tick(second)
    assert ["60 cleared mains-lost DI-01", "120 shown device offline P-000"] == station.told[1:]


def test_a_late_tick_tells_what_was_due_before_the_root_came():
    """One call for ten seconds: the child was due in the fifth, its root was raised in the eighth."""
    rules = [rule(name="trip", limit=60.0, on_delay_s=7, explains=["pile: warm"]), rule(name="warm", limit=40.0, on_delay_s=1)]
    sources = [source(1, "a"), source(2, "b", device_class="pile")]
    station = Station(lambda store, epoch: Engine(rules, [device("a", "one"), device("b", "two")], sources, epoch, store))
    station.poll(1, sources[0], 620)
    station.poll(1, sources[1], 420)
    station.tick(10)
    assert ["5 raised warm b", "8 raised trip a"] == [line for line in station.told if line != "2 raised warm a"]
    assert {"trip", "warm"} == {alarm.rule for alarm in station.judge.open_alarms()}


@pytest.mark.parametrize(("on_bus", "expected"), [(2, ["bus offline one"]), (1, ["device offline a"])])
def test_a_dead_bus_is_told_alone(on_bus, expected):
    """Its devices wait until each was asked; on a bus of one the device says it."""
    sources = [source(number, code) for number, code in enumerate("ab"[:on_bus])]
    devices = [device("a", "one"), device("b", "one", offline_after_s=25)][:on_bus]
    station = Station(lambda store, epoch: Engine([], devices, sources, epoch, store))
    for second in range(1, 60):
        for at_source in sources:
            station.poll(second, at_source, OFFLINE)
    assert expected == [line.split("raised ")[1] for line in station.told]


def test_a_silent_device_on_a_bus_that_lives_is_told_soon():
    """The other one answers: it is not the bus."""
    sources = [source(1, "a"), source(2, "b")]
    station = Station(lambda store, epoch: Engine([], [device("a", "one"), device("b", "one")], sources, epoch, store))
    for second in range(1, 30):
        station.poll(second, sources[0], OFFLINE)
        station.poll(second + 0.1, sources[1], 200)
    assert ["19 raised device offline a"] == station.told


def test_only_a_worse_level_is_news():
    """Up is told, down is not, and up again only after a while."""
    rules = [rule(name="warm", limit=40.0, level="minor", episode="heat"), rule(name="hot", limit=50.0, level="major", episode="heat")]
    station = one(*rules)
    for second, value in ((1, 420), (10, 520), (20, 420), (30, 520), (40, 420), (400, 520)):
        station.tick(second)
        station.poll(second, source(), value)
    assert ["4 raised warm th-01", "10 level hot th-01", "400 level hot th-01"] == station.told


def test_a_worse_level_is_not_acknowledged_yet():
    """Who looks after a warning does not know of the alarm."""
    rules = [rule(name="warm", limit=40.0, level="minor", episode="heat"), rule(name="hot", limit=50.0, level="major", episode="heat")]
    station = one(*rules)
    station.poll(1, source(), 420)
    station.judge.desk.acknowledge(1, WORD, at(2))
    station.poll(10, source(), 520)
    assert [False] == [alarm.acknowledged for alarm in station.judge.open_alarms()]


def test_a_latched_alarm_that_comes_back_is_told_again_and_its_reset_is_its_end():
    """One end for each alarm, however often it came back."""
    station = one(rule(latched=True))
    for second, value in ((1, 462), (5, 440), (9, 462), (12, 440)):
        station.poll(second, source(), value)
    station.judge.desk.reset(1, WORD, at(20))
    station.take(station.judge.changed())
    assert ["1 raised hot th-01", "9 again hot th-01", "20 cleared hot th-01"] == station.told


def test_what_is_shelved_is_told_when_its_shelf_ends():
    """Worse on the shelf: nobody hears of it before."""
    rules = [rule(name="warm", limit=40.0, level="minor", episode="heat"), rule(name="hot", limit=50.0, level="major", episode="heat")]
    station = one(*rules)
    station.poll(1, source(), 420)
    station.tick(5)
    station.judge.desk.shelve(1, 60_000, WORD, at(6))
    station.take(station.judge.changed())
    station.poll(10, source(), 520)
    station.tick(50)
    assert ["4 raised warm th-01"] == station.told
    station.tick(70)
    assert ["4 raised warm th-01", "66 level hot th-01"] == station.told


def test_an_alarm_that_outlasts_its_shelf_is_told_anew():
    """Nobody would be called any more: hiding it has ended its escalation; who has acknowledged it knows."""
    station = one(rule())
    station.poll(1, source(), 462)
    station.judge.desk.shelve(1, 60_000, WORD, at(6))
    station.tick(70)
    assert ["1 raised hot th-01", "66 shown hot th-01"] == station.told
    station.judge.desk.service("th-01", 60_000, WORD, at(80))
    station.tick(150)
    assert ["1 raised hot th-01", "66 shown hot th-01", "140 shown hot th-01"] == station.told
    station.judge.desk.acknowledge(1, WORD, at(151))
    station.judge.desk.shelve(1, 60_000, WORD, at(152))
    station.tick(300)
    assert 3 == len(station.told)


def test_a_device_out_of_service_tells_nobody():
    """Neither its raise nor its end, when that comes before it is back in service."""
    station = one(rule())
    station.judge.desk.service("th-01", 60_000, WORD, at(1))
    station.poll(2, source(), 462)
    station.poll(9, source(), 440)
    station.tick(90)
    assert [] == station.told


def test_who_was_told_hears_of_the_end_also_of_what_is_shelved_by_then():
    """The call is called off."""
    station = one(rule())
    station.poll(1, source(), 462)
    station.judge.desk.shelve(1, 60_000, WORD, at(2))
    station.poll(9, source(), 440)
    assert [Why.RAISED, Why.CLEARED] == [line.split()[1] for line in station.told]


@pytest.mark.parametrize("kill_at", [16, 17, 18])
def test_a_start_tells_what_the_last_one_owed(kill_at):
    """A kill within the settle window: told once, after another one."""
    station = shipped()
    for second in range(1, kill_at + 1):
        station.poll(second, PILES[0], OFFLINE)
    assert [] == station.told
    station.restart()
    for second in range(100, 140):
        station.poll(second, PILES[0], OFFLINE)
    assert ["raised device offline P-000"] == [line.split(" ", 1)[1] for line in station.told]


def test_a_start_tells_nothing_twice():
    """What was told stands in the store with it; its end is told by whichever start sees it."""
    station = one(rule())
    station.poll(1, source(), 462)
    station.restart()
    for second in range(1, 10):
        station.poll(second, source(), 462)
    assert ["1 raised hot th-01"] == station.told
    station.restart()
    station.poll(20, source(), 440)
    assert ["1 raised hot th-01", "20 cleared hot th-01"] == station.told


def test_a_start_waits_for_its_shelves():
    """The first reading after the start finds the alarm on its shelf."""
    station = one(rule())
    station.judge.desk.service("th-01", 3_600_000, WORD, at(1))
    station.take(station.judge.changed())
    station.restart()
    station.poll(2, source(), 462)
    assert [] == station.told
