"""The rules that every station has: whole, reasoned, and right at the edges of their figures."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, alarms, device, reading, source

from edgegw.config.model import Contact, Rule
from edgegw.config.supply_model import Supply
from edgegw.model import Point, Quality
from edgegw.points import lookup
from edgegw.rules.engine import Engine
from edgegw.rules.levels import LEVELS, deadlines, overdue
from edgegw.rules.shipped import shipped_rules, with_shipped

RULES = {rule.name: rule for rule in shipped_rules()}
OF_SUPPLY = {rule.name for rule in shipped_rules() if rule.of}
STATUS = Point("ups.status", 0, "1", "text")
CHARGE = Point("battery.charge", 0, "%", "measure")
RUNTIME = Point("battery.runtime", 0, "s", "measure")
INPUT = Point("input.1", 0, "1", "flag")
# A point of the dictionary that each pattern means.
MEANT = {
    "phase_voltage.*": "phase_voltage.a",
    "line_voltage.*": "line_voltage.ab",
    "voltage_thd*": "voltage_thd.a",
    "temperature.*": "temperature.1",
    "gun*.temp": "gun1.temp",
    "input.*": "input.1",
    "ups.alarm*": "ups.alarm",
    "ups.*": "ups.alarm",
    "alarms.*": "alarms.1",
    "mppt.*.faults": "mppt.1.faults",
    "string.*.current": "string.1.current",
}
SUPPLY = Supply(meter="M-01", contracted_kw=300, transformer_kva=400)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_whole(name):
    """Its point is in the dictionary, its level is one, and it says why its figures are what they are."""
    rule = RULES[name]
    entry = lookup(MEANT.get(rule.point, rule.point))
    assert entry is not None
    assert rule.level in LEVELS
    assert rule.basis
    assert (entry.kind == "text") == (rule.condition == "word") or rule.condition == "missing"
    assert bool(rule.text) == bool(rule.text_zh)


def test_names_are_told_apart():
    """No two rules have one name."""
    assert len(RULES) == len(shipped_rules())


def test_a_rule_of_the_configuration_takes_the_place_of_a_shipped_one():
    """The same name changes one, and shipped = false leaves only the station's own."""
    own = Rule(name="smoke", condition="equals", point="input.1", limit=1)
    assert own == next(rule for rule in with_shipped([own], shipped=True) if rule.name == "smoke")
    assert len(RULES) == len(with_shipped([own], shipped=True, supply=SUPPLY))
    assert [own] == with_shipped([own], shipped=False)


def test_rules_of_the_connection_have_the_figures_of_the_station():
    """Percent become kW and kVA of the incoming meter; what the configuration does not say is not judged."""
    demand = {rule.name: (rule.limit, rule.deadband, rule.devices) for rule in with_shipped([], shipped=True, supply=SUPPLY) if rule.name in OF_SUPPLY}
    assert {
        "demand-high": (270.0, 15.0, ["M-01"]),
        "demand-over": (300.0, 45.0, ["M-01"]),
        "transformer-load-high": (360.0, 20.0, ["M-01"]),
        "transformer-overload": (400.0, 60.0, ["M-01"]),
    } == {name: found for name, found in demand.items() if name.startswith(("demand", "transformer"))}
    assert OF_SUPPLY == set(demand)
    assert not OF_SUPPLY & {rule.name for rule in with_shipped([], shipped=True)}
    without = {rule.name for rule in with_shipped([], shipped=True, supply=Supply(meter="M-01"))}
    assert {"power-factor-low", "mains-suspect-phases", "mains-lost-phases"} == OF_SUPPLY & without


def told(sources, devices, script):
    """`second edge level rule` of the shipped rules over (second, source, values...)."""
    judge = Engine(shipped_rules(), devices, sources, EPOCH, {})
    events = []
    for second, at, *values in script:
        events += alarms(judge.tick(second * 1000, second * 1000, 2).events)
        events += alarms(judge.evaluate(reading(at, second, *values)).events)
    return [f"{event.mono_ms // 1000} {event.body['edge']} {event.body['level']} {event.body['rule']}" for event in events]


UPS = source(1, "UPS-01", (STATUS, CHARGE, RUNTIME), "ups")


def test_a_battery_that_empties_is_one_alarm_of_rising_level():
    """On battery after 2 s; falling at 50 %, low at 20 %; mains back ends the first, more than 30 % of charge the second."""
    script = [(second, UPS, "OB DISCHRG", 100, 3000) for second in range(1, 5)]
    script += [(10, UPS, "OB DISCHRG", 49, 1200), (20, UPS, "OB DISCHRG LB", 19, 280), (30, UPS, "OL CHRG", 19, 280), (41, UPS, "OL CHRG", 35, 900)]
    assert [
        "3 raised major ups-on-battery",
        "10 raised minor ups-battery-falling",
        "20 level critical ups-low-battery",
        "40 cleared major ups-on-battery",
        "41 cleared critical ups-charge-low",
    ] == told([UPS], [device("UPS-01")], script)


def test_a_low_charge_under_mains_is_nothing():
    """A battery that charges again after a failure raises nothing."""
    assert [] == told([UPS], [device("UPS-01")], [(second, UPS, "OL CHRG", 15, 200) for second in range(1, 20)])


def test_mains_need_two_signals_to_be_lost():
    """The contact alone is suspect, with the UPS on battery it is lost: one alarm, that changes its level."""
    contacts = source(2, "DI-01", (INPUT,), "input")
    devices = [device("UPS-01"), device("DI-01", input={"1": Contact(role="mains")})]
    script = [
        (1, UPS, "OL", 100, 3000),
        *[(second, contacts, 1) for second in range(2, 6)],
        (6, UPS, "OB", 100, 3000),
        *[(second, contacts, 1) for second in range(7, 12)],
    ]
    lines = [line for line in told([UPS, contacts], devices, script) if "mains" in line]
    assert ["4 raised major mains-suspect", "8 level critical mains-lost"] == lines


@pytest.mark.parametrize(("role", "delay_s", "level"), [("smoke", 1, "critical"), ("water", 2, "critical"), ("spd", 0.5, "minor"), ("door", 300, "minor")])
def test_an_input_has_the_rule_of_its_role(role, delay_s, level):
    """A contact that stays closed for its delay is told at its level; an input without a role is told by none."""
    contacts = source(2, "DI-01", (INPUT,), "input", period_ms=500)
    judge = Engine(shipped_rules(), [device("DI-01", input={"1": Contact(role=role)})], [contacts], EPOCH, {})
    events = []
    for step in range(1, round(delay_s * 2) + 4):
        events += alarms(judge.evaluate(reading(contacts, step / 2, 1)).events)
    assert [(level, round(500 + delay_s * 1000))] == [(event.body["level"], event.mono_ms) for event in events]
    plain = Engine(shipped_rules(), [device("DI-01")], [contacts], EPOCH, {})
    assert not any(plain.evaluate(reading(contacts, step / 2, 1)).events for step in range(1, 10))


def test_a_voltage_beyond_its_range_is_minor_then_major():
    """236 V for 30 s is minor, 254 V for 3 s makes it major, and 230 V ends it."""
    meter = source(3, "M-01", (Point("phase_voltage.a", 1, "V", "measure"),), "meter")
    script = [
        *[(second, meter, 2360) for second in range(1, 36)],
        *[(second, meter, 2540) for second in range(36, 42)],
        *[(second, meter, 2300) for second in range(42, 46)],
    ]
    assert ["31 raised minor phase-voltage-high", "39 level major phase-voltage-out-high"] == told([meter], [device("M-01")], script)[:2]
    assert "42 cleared" in told([meter], [device("M-01")], script)[-1]


def test_a_lost_value_neither_raises_nor_ends_anything():
    """A meter that falls silent at 254 V keeps its alarm until a good value comes."""
    meter = source(3, "M-01", (Point("phase_voltage.a", 1, "V", "measure"),), "meter")
    script = [*[(second, meter, 2540) for second in range(1, 6)], *[(second, meter, Quality.OFFLINE) for second in range(6, 12)]]
    assert ["4 raised major phase-voltage-out-high"] == [line for line in told([meter], [device("M-01")], script) if "voltage" in line]


def test_promised_times_are_kept_by_acknowledging_and_by_ending():
    """The first promise is kept by who acknowledges in time, the last by the end of the alarm."""
    due = deadlines("critical", 0)
    assert [("plan", 4 * 3_600_000), ("arrive", 8 * 3_600_000)] == list(due)
    assert "" == overdue(due, 4 * 3_600_000, acknowledged=False, ended=False)
    assert "plan" == overdue(due, 4 * 3_600_000 + 1, acknowledged=False, ended=False)
    assert "" == overdue(due, 4 * 3_600_000 + 1, acknowledged=True, ended=False)
    assert "arrive" == overdue(due, 9 * 3_600_000, acknowledged=True, ended=False)
    assert "" == overdue(due, 9 * 3_600_000, acknowledged=False, ended=True)
