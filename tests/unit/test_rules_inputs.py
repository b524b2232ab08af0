"""Safety inputs that cannot be read: one alarm is told, of the module or the bus, it names them, and it comes within five seconds."""

from __future__ import annotations

import pytest
from rules_rig import WALL_MS, device, keep, reading, rule, source

from edgegw.config.model import Config, Contact, Gateway
from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.engine import Engine, Moment
from edgegw.rules.shipped import shipped_rules
from edgegw.rules.told import Why
from edgegw.truth.judge import Judge
from edgegw.wiring import Judging

OFFLINE = Quality.OFFLINE
DI = source(1, "DI-01", (Point("input.3", 0, "1", "flag"), Point("input.4", 0, "1", "flag")), "input", period_ms=500)
SENSORS = [source(10 + number, f"TH-{number}", (Point("temperature", 1, "C", "measure"),), period_ms=10_000) for number in range(3)]
CONTACTS = {"3": Contact(fail_safe=True, role="smoke", name="烟感"), "4": Contact(fail_safe=True, role="water")}


class HandClock:
    """Stands where the test puts it."""

    trust = ClockTrust.SYNCHRONISED
    second = 0.0

    def mono_ms(self):
        return round(self.second * 1000)

    def wall_ms(self, mono_ms):
        return WALL_MS + mono_ms


class Station:
    """A module of inputs and three slow sensors on one bus, through truth and rules."""

    def __init__(self, sensors=SENSORS, rules=()) -> None:
        self.sources = [DI, *sensors]
        self.config = Config(
            gateway=Gateway(operator="o", station="s", gateway="g"),
            device=[device("DI-01", "rs485d", input=CONTACTS), *(device(sensor.device, "rs485d") for sensor in sensors)],
        )
        self.rules = (*shipped_rules(), *rules)
        self.store: dict[str, bytes] = {}
        self.clock = HandClock()
        self.told, self.events = [], []
        self.start(1)

    def start(self, epoch):
        truth = Judge(self.config, self.sources, [], {}, self.store)
        self.engine = Engine(self.rules, self.config.device, self.sources, epoch, self.store)
        self.judging = Judging(truth, self.engine)

    def take(self, taken):
        keep(self.store, taken)
        self.told += [(round((one.at_ms - WALL_MS) / 1000, 1), one.why.value, one.episode.facts.rule, one.episode.facts.subject) for one in taken.told]
        self.texts = [one.episode.facts.text for one in taken.told] or getattr(self, "texts", [])
        self.levels = [one.episode.facts.level for one in taken.told] or getattr(self, "levels", [])
        self.events += taken.events

    def run(self, begin, end, dead=(), bad=()):
        """Half a second a step: the module at each, every sensor once in ten seconds."""
        for step in range(round(begin * 2), round(end * 2)):
            second = self.clock.second = step / 2
            values = [OFFLINE, OFFLINE] if "DI-01" in dead else [Quality.BAD if point in bad else 0 for point in ("input.3", "input.4")]
            self.take(self.judging.take(reading(DI, second, *values)))
            for number, sensor in enumerate(self.sources[1:]):
                if step % 20 == 3 + 5 * number:
                    self.take(self.judging.take(reading(sensor, second + 0.1, OFFLINE if sensor.device in dead else 200)))
            self.clock.second += 0.2
            self.take(self.judging.tick(self.clock))

    def raised(self):
        return [
            (event.body["rule"], event.device or event.body.get("bus")) for event in self.events if event.kind == "alarm" and event.body["edge"] == "raised"
        ]

    def shown(self):
        return [alarm.rule for alarm in self.engine.open_alarms()]


def test_a_silent_module_is_told_with_what_is_blind_within_five_seconds():
    """At the level of smoke, with both inputs by name; they are written down below it."""
    station = Station()
    station.run(0, 20)
    station.run(20, 40, dead=("DI-01",))
    assert [(24.5, "raised", "device offline", "DI-01")] == station.told
    assert ["no answer for 3 s; not watched: input.3 烟感, input.4 water"] == station.texts
    assert ["critical"] == station.levels
    assert [("device offline", "DI-01"), ("input lost", "DI-01"), ("input lost", "DI-01")] == station.raised()
    assert ["device offline"] == station.shown()


def test_what_was_blind_and_sees_again_is_one_end():
    """The module answers: inputs and module end, and only the root is told."""
    station = Station()
    station.run(0, 20)
    station.run(20, 40, dead=("DI-01",))
    station.run(40, 120)
    assert [(40.5, "cleared", "device offline", "DI-01")] == station.told[1:]
    assert [] == station.engine.open_alarms(hidden=True)


@pytest.mark.parametrize("dies_at", [20, 28])
def test_a_dead_bus_is_told_within_five_seconds_in_place_of_the_module(dies_at):
    """A second device fell silent, before or after the inputs were lost, and none has answered: it is the bus, and what follows is below it."""
    station = Station()
    station.run(0, dies_at)
    dead = ("DI-01", "TH-0", "TH-1", "TH-2")
    station.run(dies_at, 320, dead=dead)
    assert [("raised", "bus offline", "rs485d")] == [told[1:] for told in station.told]
    assert dies_at + 5 >= station.told[0][0]
    assert "DI-01 input.3 烟感, DI-01 input.4 water" in station.texts[0]
    assert ["bus offline"] == station.shown()
    assert {("device offline", code) for code in dead} | {("input lost", "DI-01"), ("bus offline", "rs485d")} == set(station.raised())
    station.run(320, 420)
    assert [("raised", "bus offline", "rs485d"), ("cleared", "bus offline", "rs485d")] == [told[1:] for told in station.told]
    assert [] == station.engine.open_alarms(hidden=True)


def test_a_module_that_stays_silent_when_its_bus_is_back_is_told():
    """Its inputs go on below it, not below the bus."""
    station = Station()
    station.run(0, 20)
    station.run(20, 60, dead=("DI-01", "TH-0", "TH-1", "TH-2"))
    station.run(60, 200, dead=("DI-01",))
    assert [("raised", "bus offline"), ("cleared", "bus offline"), ("shown", "device offline")] == [told[1:3] for told in station.told]
    assert ["device offline"] == station.shown()


def test_one_input_that_fails_alone_is_told_as_itself():
    """The module answers: the wire or the input is to blame."""
    station = Station()
    station.run(0, 20)
    station.run(20, 40, bad=("input.3",))
    assert [(23.0, "raised", "input lost", "DI-01")] == station.told
    assert ["input.3 烟感 cannot be read"] == station.texts


def test_smoke_that_was_seen_stays_an_alarm_of_its_own():
    """The module falls silent after it told of smoke: both are told, nothing hides the smoke."""
    station = Station()
    station.run(0, 20)
    for step in range(40, 46):
        station.clock.second = step / 2
        station.take(station.judging.take(reading(DI, step / 2, 1, 0)))
    station.run(23, 60, dead=("DI-01",))
    assert ["smoke", "device offline"] == [told[2] for told in station.told]
    assert ["smoke", "device offline"] == station.shown()


def test_a_start_finds_the_blind_module_and_tells_nothing_twice():
    """Lost inputs, their root and what was told of it are stored; the end comes with the first answers."""
    station = Station()
    station.run(0, 20)
    station.run(20, 30, dead=("DI-01",))
    station.start(2)
    station.run(30, 60, dead=("DI-01",))
    station.run(60, 70)
    assert [Why.RAISED, Why.CLEARED] == [told[1] for told in station.told]
    assert [] == station.engine.open_alarms(hidden=True)


def test_a_kill_before_it_was_told_is_made_good():
    """The next start tells it once, after another moment."""
    station = Station()
    station.run(0, 20)
    station.run(20, 23.5, dead=("DI-01",))
    assert [] == station.told
    station.start(2)
    station.run(23.5, 60, dead=("DI-01",))
    assert [("raised", "device offline", "DI-01")] == [told[1:] for told in station.told]


def test_an_input_that_is_no_longer_fail_safe_ends_its_alarm():
    """With its reason, at the next start."""
    station = Station(sensors=[])
    station.run(0, 20)
    station.run(20, 40, dead=("DI-01",))
    plain = {number: Contact(role=contact.role) for number, contact in CONTACTS.items()}
    station.config = Config(gateway=station.config.gateway, device=[device("DI-01", "rs485d", input=plain)])
    station.start(2)
    station.run(40, 50, dead=("DI-01",))
    ended = [event.body["reason"] for event in station.events if event.kind == "alarm" and event.body["rule"] == "input lost" and "reason" in event.body]
    assert ["rule removed", "rule removed"] == ended


def test_contacts_that_were_seen_active_are_never_hidden():
    """Not by a rule that explains everything of their module."""
    root = rule(name="trip", condition="equals", point="input.4", limit=1, level="critical", explains=["input: *"])
    stop = rule(name="stop", condition="equals", point="input.3", limit=1, level="critical", role="emergency_stop")
    contacts = {"3": Contact(role="emergency_stop")}
    judge = Engine([root, stop], [device("DI-01", input=contacts)], [DI], 1, {})
    told = judge.evaluate(reading(DI, 1, 1, 1)).told
    assert ["stop", "trip"] == sorted(one.episode.facts.rule for one in told)


def test_a_trip_that_blinds_the_fire_watch_is_two_things_to_tell():
    """The module is fed by the mains: everything else that falls silent is below their failure."""
    root = rule(name="trip", limit=80.0, level="critical", explains=["input: *", "sensor: device offline", "bus: bus offline"], devices=["TH-9"])
    sensors = [*SENSORS[:1], source(19, "TH-9", (Point("temperature", 1, "C", "measure"),), "climate")]
    devices = [device("DI-01", "rs485d", input=CONTACTS), device("TH-0", "other"), device("TH-9", "third")]
    judge = Engine([root], devices, [DI, *sensors], 1, {})
    told = list(judge.evaluate(reading(sensors[1], 1, 850)).told)
    for step in range(4, 60):
        second = step / 2
        told += judge.evaluate(reading(DI, second, OFFLINE, OFFLINE)).told
        told += judge.evaluate(reading(sensors[0], second, OFFLINE)).told
        if step == 10:
            told += judge.inputs("DI-01", {"input.3": "raised", "input.4": "raised"}, Moment(5000, WALL_MS + 5000, ClockTrust.SYNCHRONISED)).told
    assert ["trip", "device offline"] == [one.episode.facts.rule for one in told]
    assert ("DI-01", True, 2) == (told[1].episode.facts.device, told[1].episode.facts.safety, told[1].children)


def test_inputs_stay_below_a_module_that_was_silent_long_before_its_bus():
    """The bus comes and goes meanwhile: the module is told, the bus is told and called off, and nobody hears of single inputs."""
    station = Station()
    station.run(0, 10)
    station.run(10, 80, dead=["DI-01"])
    station.run(80, 130, dead=["DI-01", "TH-0", "TH-1", "TH-2"])
    station.run(130, 230, dead=["DI-01"])
    assert [("raised", "device offline"), ("raised", "bus offline"), ("cleared", "bus offline")] == [(why, rule) for _, why, rule, _ in station.told]
    assert ["device offline"] == station.shown()


def test_a_module_that_does_not_come_back_with_its_bus_is_told_within_a_quarter_of_a_minute():
    """The sensors answer again, the fire watch does not: what has just been called off is not the whole truth."""
    station = Station()
    station.run(0, 10)
    station.run(10, 60, dead=["DI-01", "TH-0", "TH-1", "TH-2"])
    station.run(60, 150, dead=["DI-01", "TH-2"])
    (back_s, *_), (shown_s, *shown), (late_s, *late) = station.told[1:]
    assert (["shown", "device offline", "DI-01"], ["shown", "device offline", "TH-2"]) == (shown, late)
    assert (15, 60) == (round(shown_s - back_s), round(late_s - back_s))
    assert {"device offline"} == set(station.shown())
