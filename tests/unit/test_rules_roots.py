"""One trip is one alarm that is told; everything below it is written down, and comes forward when it has a cause of its own."""

from __future__ import annotations

import msgspec
from rules_rig import EPOCH, alarms, device, engine, keep, reading, rule, source

from edgegw.config.model import Contact, Rule
from edgegw.model import Point, Quality
from edgegw.rules.engine import Engine
from edgegw.rules.shipped import shipped_rules

INPUT = Point("input.1", 0, "1", "flag")
SMOKE = Point("input.2", 0, "1", "flag")
STATUS = Point("ups.status", 0, "1", "text")
CHARGE = Point("battery.charge", 0, "%", "measure")
OFFLINE = Quality.OFFLINE
DI = source(1, "DI-01", (INPUT, SMOKE), "input", period_ms=500)
UPS = source(2, "UPS-01", (STATUS, CHARGE), "ups")
PILES = [source(10 + number, f"P-{number:03}", (Point("gun1.state", 0, "1", "state"),), "pile") for number in range(200)]


class Station:
    """Mains contact, UPS and 200 piles on 20 buses, under the shipped rules."""

    def __init__(self, store: dict[str, bytes] | None = None, epoch: int = EPOCH, piles: int = 200) -> None:
        self.piles = PILES[:piles]
        devices = [device("DI-01", "one", input={"1": Contact(role="mains"), "2": Contact(role="smoke")}), device("UPS-01", "two")]
        devices += [device(pile.device, f"bus{number // 10}") for number, pile in enumerate(self.piles)]
        self.store = dict(store or {})
        self.judge = Engine(shipped_rules(), devices, [DI, UPS, *self.piles], epoch, self.store)
        self.events = []

    def second(self, second, *, mains=True, smoke=False, charge=100, silent=None):
        """One second of polls; without mains the piles are silent unless told otherwise."""
        silent = (not mains) if silent is None else silent
        polls = [(DI, int(not mains), int(smoke)), (UPS, "OL" if mains else "OB", charge), *((pile, OFFLINE if silent else 1) for pile in self.piles)]
        for at, *values in polls:
            changes = self.judge.evaluate(reading(at, second, *values))
            keep(self.store, changes)
            self.events += alarms(changes.events)
        self.tick(second)

    def tick(self, second):
        changes = self.judge.tick(round(second * 1000), 1_800_000_000_000 + round(second * 1000), 2)
        keep(self.store, changes)
        self.events += alarms(changes.events)

    def told(self):
        return sorted(alarm.rule for alarm in self.judge.open_alarms())

    def raised(self):
        return [event for event in self.events if event.body["edge"] == "raised"]


def test_a_trip_with_200_children_is_one_alarm():
    """Twenty buses and two hundred piles fall silent with the mains: one is told, all are written down, each names what explains it."""
    station = Station()
    for second in range(1, 40):
        station.second(second, mains=second < 5)
    assert ["mains-lost"] == station.told()
    root = station.judge.open_alarms()[0].alarm_id
    raised = station.raised()
    assert 200 == sum(event.body["rule"] == "device offline" for event in raised)
    assert 20 == sum(event.body["rule"] == "bus offline" for event in raised)
    assert {root} == {alarm.root for alarm in station.judge.open_alarms(hidden=True) if alarm.rule == "bus offline"}


def test_what_began_just_before_its_root_is_hidden_below_it():
    """The UPS is on battery two seconds before the mains count as lost; the root's event names it."""
    station = Station(piles=2)
    for second in range(1, 10):
        station.second(second, mains=second < 3)
    level = next(event for event in station.events if event.body["edge"] in ("raised", "level") and event.body["rule"] == "mains-lost")
    battery = next(event for event in station.raised() if event.body["rule"] == "ups-on-battery")
    assert ["mains-lost"] == station.told()
    assert battery.body["id"] in level.body.get("children", []) or level.body["id"] == battery.body.get("suppressed_by")


def test_smoke_and_an_empty_battery_are_told_whatever_explains_them():
    """Fire never waits below a mains failure, and neither does what must be acted upon."""
    station = Station(piles=2)
    for second in range(1, 20):
        station.second(second, mains=second < 3, smoke=second > 8, charge=15 if second > 12 else 90)
    assert ["mains-lost", "smoke", "ups-charge-low"] == station.told()


def test_what_outlasts_its_root_stands_for_itself():
    """A minute after the mains are back the pile that is still silent is shown; the others have ended."""
    station = Station(piles=3)
    for second in range(1, 30):
        station.second(second, mains=second < 3)
    for second in range(30, 140):
        station.second(second, silent=False)
        station.judge.evaluate(reading(station.piles[2], second + 0.5, OFFLINE))
    assert "mains-lost" not in station.told()
    late = Station(piles=3)
    for second in range(1, 30):
        late.second(second, mains=second < 3)
    late.piles = late.piles[:2]
    for second in range(30, 140):
        late.second(second, silent=False)
    assert ["device offline"] == late.told()
    shown = [event for event in late.events if event.body["edge"] == "shown"]
    assert ["P-002"] == [event.device for event in shown]


def test_what_failed_long_before_is_no_child():
    """A pile that was silent for a minute before the mains went stays an alarm of its own."""
    station = Station(piles=3)
    broken, station.piles = station.piles[0], station.piles[1:]
    for second in range(1, 60):
        station.judge.evaluate(reading(broken, second, OFFLINE))
        station.second(second)
    for second in range(60, 90):
        station.judge.evaluate(reading(broken, second, OFFLINE))
        station.second(second, mains=False)
    assert ("device offline", "P-000") in {(alarm.rule, alarm.device) for alarm in station.judge.open_alarms()}


def test_children_stay_below_their_root_over_a_restart():
    """The restored root still explains them, and what begins after the restart too."""
    before = Station(piles=2)
    for second in range(1, 12):
        before.second(second, mains=second < 3)
    after = Station(before.store, EPOCH + 1, piles=2)
    assert ["mains-lost"] == after.told()
    for second in range(1, 30):
        after.second(second, mains=False)
    assert ["mains-lost"] == after.told()
    assert "device offline" in {alarm.rule for alarm in after.judge.open_alarms(hidden=True)}


def test_a_rule_explains_only_what_it_names():
    """An alarm of another class beside a root is told."""
    root: Rule = rule(name="trip", point="temperature", limit=45.0, level="critical", explains=["pile: *"])
    judge = engine([root, rule(name="wet", condition="low", limit=100.0)])
    judge.evaluate(reading(source(), 1, 462))
    assert ["trip", "wet"] == sorted(alarm.rule for alarm in judge.open_alarms())


def test_of_two_that_explain_each_other_the_first_is_told():
    """Neither hides the other below itself: the second is below the first, and stands for itself a minute after its end."""
    rules = [rule(name="one", limit=40.0, explains=["sensor: *"]), rule(name="two", limit=60.0, explains=["sensor: *"])]
    judge = engine(rules)
    told = [judge.evaluate(reading(source(), 1, 420)), judge.evaluate(reading(source(), 2, 620)), judge.tick(10_000, 1_800_000_010_000, 1)]
    assert ["one"] == [one.episode.facts.rule for changes in told for one in changes.told]
    assert [("one", "shown"), ("two", "suppressed")] == [(alarm.rule, alarm.visibility) for alarm in judge.open_alarms(hidden=True)]


def test_what_was_below_two_roots_is_shown_when_both_have_ended():
    """The second was itself below the first, and is shown with its end: the pile goes on below it, not below what is gone."""
    phase = rule(name="phase", condition="equals", point="input.1", limit=1, level="critical", devices=["DI"], explains=["pile: *"])
    yard = Yard(msgspec.structs.replace(TRIP, point="input.2", explains=["pile: *", "input: *"], on_delay_s=0, off_delay_s=0, role="", devices=["DI"]), phase)
    for script in ((0, 3, (0, 0), 1, 1), (3, 30, (0, 1), OFFLINE, 1), (30, 40, (1, 1), OFFLINE, 1), (40, 110, (1, 0), OFFLINE, 1)):
        yard.play(*script)
    assert [(3, "raised", "trip"), (40, "cleared", "trip"), (100, "shown", "phase")] == yard.told
    yard.play(110, 200, (0, 0), OFFLINE, 1)
    assert [(110, "cleared", "phase"), (170, "shown", "device offline")] == yard.told[3:]


def test_a_step_of_the_clock_in_a_trip_tears_no_child_from_its_root():
    """The wall clock is set back by an hour between the mains failure and the silence of the piles."""
    station = Station(piles=3)
    told = []
    for second in range(1, 40):
        step_ms = -3_600_000 if second > 8 else 0
        polls = [(DI, 1, 0), (UPS, "OB", 90), *((pile, OFFLINE) for pile in station.piles)]
        for at, *values in polls:
            plain = reading(at, second, *values)
            told += station.judge.evaluate(msgspec.structs.replace(plain, read_at_ms=plain.read_at_ms + step_ms)).told
    assert ["mains-lost"] == [one.episode.facts.rule for one in told]
    assert ["mains-lost"] == station.told()


ONE, TWO = (source(number, f"P-{number}", (Point("gun1.state", 0, "1", "state"),), "pile") for number in (2, 3))
TRIP = rule(
    name="trip",
    condition="equals",
    point="input.1",
    limit=1,
    level="critical",
    role="mains",
    explains=["pile: *", "bus: bus offline"],
    on_delay_s=2,
    off_delay_s=30,
)


class Yard:
    """A mains contact, and two piles on one bus; each second is told of all three."""

    def __init__(self, *rules: Rule) -> None:
        self.rules, self.store, self.epoch, self.step_s = rules or (TRIP,), {}, EPOCH, 0
        self.contact = source(1, "DI", (INPUT, SMOKE)[: len(self.rules)], "input")
        self.events, self.told = [], []
        self.start()

    def start(self) -> None:
        self.epoch += 1
        devices = [device("DI", "one", input={"1": Contact(role="mains")}), device("P-2", "two"), device("P-3", "two")]
        self.judge = Engine(self.rules, devices, [self.contact, ONE, TWO], self.epoch, dict(self.store))

    def play(self, first_s, last_s, mains, one, two):
        for second in range(first_s, last_s):
            for at, *values in ((self.contact, *(mains if isinstance(mains, tuple) else (mains,))), (ONE, one), (TWO, two)):
                plain = reading(at, second, *values)
                changes = self.judge.evaluate(msgspec.structs.replace(plain, read_at_ms=plain.read_at_ms + self.step_s * 1000))
                keep(self.store, changes)
                self.events += alarms(changes.events)
                self.told += [(second, told.why.value, told.episode.facts.rule) for told in changes.told]


def test_a_root_that_ended_explains_over_a_restart_what_begins_within_its_minute():
    """The pile falls silent right after the mains are back, and the gateway restarts: it is shown a minute after the end of the root, not told at once."""
    yard = Yard()
    for script in ((0, 3, 0, 1, 1), (3, 20, 1, 1, 1), (20, 55, 0, 1, 1)):
        yard.play(*script)
    yard.start()
    yard.step_s = 55
    yard.play(0, 70, 0, OFFLINE, 1)
    assert [(5, "raised", "trip"), (50, "cleared", "trip"), (55, "shown", "device offline")] == yard.told
    assert not any(key.startswith("rules/ended/") for key in yard.store)


def test_what_is_silent_from_one_trip_into_the_next_is_told_for_none_of_them():
    """The minute behind the first ends within the second: the pile goes on below that one, and is shown a minute after its end."""
    yard = Yard()
    for script in ((0, 3, 0, 1, 1), (3, 30, 1, OFFLINE, 1), (30, 70, 0, OFFLINE, 1), (70, 140, 1, OFFLINE, 1)):
        yard.play(*script)
    assert [(5, "raised", "trip"), (60, "cleared", "trip"), (72, "raised", "trip")] == yard.told
    yard.play(140, 240, 0, OFFLINE, 1)
    assert [(170, "cleared", "trip"), (230, "shown", "device offline")] == yard.told[3:]


def test_a_pile_that_boots_slowly_stays_below_the_mains_when_its_bus_is_back():
    """Its bus came back a minute ago, but the mains have not been back for a minute: it answers in time, and nobody hears of it."""
    yard = Yard()
    for script in ((0, 3, 0, 1, 1), (3, 40, 1, OFFLINE, OFFLINE), (40, 50, 0, OFFLINE, OFFLINE), (50, 125, 0, 1, OFFLINE), (125, 200, 0, 1, 1)):
        yard.play(*script)
    assert [(5, "raised", "trip"), (70, "cleared", "trip")] == yard.told
    assert [] == [alarm for alarm in yard.judge.open_alarms(hidden=True) if alarm.state == "active"]


def test_a_start_shows_no_device_of_a_bus_before_the_minute_of_the_mains_is_over():
    """One pile is silent below the mains, the other answers: a minute behind the start is not a minute behind the mains."""
    yard = Yard()
    for script in ((0, 3, 0, 1, 1), (3, 30, 1, OFFLINE, 1)):
        yard.play(*script)
    yard.start()
    yard.step_s = 30
    yard.play(0, 100, 0, OFFLINE, 1)
    assert [(5, "raised", "trip"), (30, "cleared", "trip"), (90, "shown", "device offline")] == yard.told


def test_a_start_with_a_clock_that_was_set_back_tears_nothing_from_its_root():
    """The battery of the clock is empty, as it is after many a power failure: what falls silent from the start on is below the trip of before."""
    yard = Yard()
    for script in ((0, 3, 0, 1, 1), (3, 10, 1, OFFLINE, OFFLINE)):
        yard.play(*script)
    yard.start()
    yard.step_s = -86_400
    yard.play(0, 40, 1, OFFLINE, OFFLINE)
    assert [(5, "raised", "trip")] == yard.told
    assert 3 == sum(event.body["edge"] == "raised" and "suppressed_by" in event.body for event in yard.events)


def test_a_clock_that_was_set_back_makes_no_child_of_what_failed_long_ago():
    """The pile was silent before the start already, the trip comes half a minute behind it: it stays an alarm of its own."""
    yard = Yard()
    yard.play(0, 20, 0, OFFLINE, 1)
    yard.start()
    yard.step_s = -86_400
    yard.play(0, 30, 0, OFFLINE, 1)
    yard.play(30, 50, 1, OFFLINE, 1)
    assert {("trip", "shown"), ("device offline", "shown")} == {(alarm.rule, alarm.visibility) for alarm in yard.judge.open_alarms(hidden=True)}


def test_a_latched_root_that_comes_again_keeps_what_is_below_it_and_takes_what_came_with_it():
    """Its condition had ended for ten seconds: the first pile goes on below it, and so does the one that fell silent just before it came again."""
    yard = Yard(msgspec.structs.replace(TRIP, latched=True, on_delay_s=0, off_delay_s=0))
    for script in ((0, 3, 0, 1, 1), (3, 30, 1, OFFLINE, 1), (30, 40, 0, OFFLINE, 1), (40, 130, 1, OFFLINE, 1)):
        yard.play(*script)
    assert [(3, "raised", "trip"), (40, "again", "trip")] == yard.told
    assert {"suppressed"} == {alarm.visibility for alarm in yard.judge.open_alarms(hidden=True) if alarm.rule == "device offline"}
