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
