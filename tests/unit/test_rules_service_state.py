"""A critical fault puts its device out of service until it is over: published once each way, with the alarm, and over restarts."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, INPUT, WALL_MS, device, engine, keep, reading, rule, source, tick

from edgegw.config.model import Contact
from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.consequences import STATE_PREFIX, is_device_fault
from edgegw.rules.engine import Engine, Moment, Word
from edgegw.rules.shipped import shipped_rules, with_shipped

HOT = rule(name="hot", level="critical", limit=45.0)
SLOW = rule(name="slow", level="critical", limit=40.0, off_delay_s=5)
STATUS = Point("ups.status", 0, "1", "text")
# Of the shipped rules at a level that puts a device out of service; the last two are told by a pile's own inputs.
FAULTS = {"ups-fault", "ups-fault-status", "insulation-lost", "emergency-stop", "breaker-trip"}
SHIPPED = with_shipped([], shipped=True)
AT = Moment(60_000, WALL_MS + 60_000, ClockTrust.SYNCHRONISED)


def states(judge: Engine, script) -> list[tuple[float, str, list[str]]]:
    """(second, service_state, alarms) of the events over (second, value)."""
    found = [event for second, value in script for event in judge.evaluate(reading(source(), second, value)).events]
    return [(event.mono_ms / 1000, event.body["service_state"], event.body["alarms"]) for event in found if event.kind == "service_state"]


def test_a_critical_fault_puts_its_device_out_of_service_until_it_is_over():
    """
    The raise publishes out_of_service with the alarm's id, the end in_service, in the same transaction and for the device.
    """
    judge = engine([HOT])
    raised = judge.evaluate(reading(source(), 1, 462))
    assert [("alarm", "th-01"), ("service_state", "th-01")] == [(event.kind, event.device) for event in raised.events if event.kind != "told"]
    assert STATE_PREFIX + "th-01" in raised.states
    assert {"th-01": (WALL_MS + 1000, [1])} == judge.consequences.faulty()
    cleared = judge.evaluate(reading(source(), 9, 440))
    assert ["in_service"] == [event.body["service_state"] for event in cleared.events if event.kind == "service_state"]
    assert cleared.states[STATE_PREFIX + "th-01"] is None


def test_only_levels_that_say_so_do():
    """
    A major alarm leaves its device in service.
    """
    assert [] == states(engine([rule(level="major")]), [(1, 462), (9, 440)])


def test_of_several_faults_the_last_one_counts():
    """
    Two critical alarms of one device are one change, which ends with the last of them.
    """
    judge = engine([HOT, SLOW])
    found = states(judge, [(1, 462), (2, 430), (3, 390), (4, 390), (9, 390)])
    assert [(1.0, "out_of_service"), (8.0, "in_service")] == [(at, state) for at, state, _ in found]
    assert {} == judge.consequences.faulty()


def test_an_alarm_that_falls_to_a_lower_level_counts_no_more():
    """
    The device is out of service while the shared alarm is critical, and back when it has fallen to minor.
    """
    judge = engine([rule(name="warm", limit=40.0, episode="t"), rule(name="hot", level="critical", limit=45.0, episode="t")])
    found = states(judge, [(1, 410), (2, 462), (3, 430), (4, 390)])
    assert [(2.0, "out_of_service"), (3.0, "in_service")] == [(at, state) for at, state, _ in found]


def test_a_latched_fault_counts_until_it_is_reset():
    """
    Its condition has ended, the device stays out of service; the reset brings it back.
    """
    judge = engine([rule(name="hot", level="critical", latched=True)])
    assert [(1.0, "out_of_service")] == [(at, state) for at, state, _ in states(judge, [(1, 462), (9, 440)])]
    judge.desk.reset(1, Word("li"), AT)
    assert ["in_service"] == [event.body["service_state"] for event in judge.changed().events if event.kind == "service_state"]


def test_people_and_shelves_change_nothing():
    """
    Acknowledged, shelved, or taken out of service by people: what is published stays what the fault says.
    """
    judge = engine([HOT])
    states(judge, [(1, 462)])
    judge.desk.acknowledge(1, Word("li"), AT)
    judge.desk.shelve(1, 3_600_000, Word("li", "why"), AT)
    judge.desk.service("th-01", 3_600_000, Word("li", "repair"), AT)
    assert [] == [event for event in judge.changed().events if event.kind == "service_state"]
    assert ["in_service"] == [state for _, state, _ in states(judge, [(70, 440)])]


def test_a_restart_neither_repeats_nor_forgets():
    """
    After a restart the device is out of service as before, without another event, and comes back with the end of its alarm.
    """
    before, store = engine([HOT]), {}
    keep(store, before.evaluate(reading(source(), 1, 462)))
    again = engine([HOT], restored=store, epoch=EPOCH + 1)
    again.consequences.begin(AT)
    assert not again.changed()
    assert {"th-01": (WALL_MS + 1000, [1])} == again.consequences.faulty()
    assert ["in_service"] == [state for _, state, _ in states(again, [(70, 440)])]


def test_what_an_earlier_version_left_is_published_at_the_start():
    """
    An open critical alarm whose device was never published is published at the start; a published device without a fault comes back.
    """
    before, store = engine([HOT]), {}
    keep(store, before.evaluate(reading(source(), 1, 462)))
    store[STATE_PREFIX + "gone"] = store.pop(STATE_PREFIX + "th-01")
    again = engine([HOT], restored=store, epoch=EPOCH + 1)
    again.consequences.begin(AT)
    assert [("gone", "in_service"), ("th-01", "out_of_service")] == [(event.device, event.body["service_state"]) for event in again.changed().events]


def test_what_an_input_module_tells_is_no_fault_of_it():
    """
    Smoke is critical, and the module that reports it goes on.
    """
    contacts = source(1, "DI-01", (INPUT,), "input")
    judge = Engine([rule(name="smoke", condition="equals", point="input.1", limit=1, level="critical")], [device("DI-01")], [contacts], EPOCH, {})
    events = judge.evaluate(reading(contacts, 1, 1)).events
    assert ["alarm"] == [event.kind for event in events if event.kind != "told"]
    assert {} == judge.consequences.faulty()


@pytest.mark.parametrize("name", [rule.name for rule in shipped_rules() if rule.level == "critical"])
def test_of_the_shipped_critical_rules_those_count_that_tell_of_the_device(name):
    """
    A low battery, a hot joint, lost mains, smoke and an overload are no fault of who tells them.
    """
    found = next(rule for rule in shipped_rules() if rule.name == name)
    assert (name in FAULTS) is is_device_fault(found)


@pytest.mark.parametrize(("status", "expected"), [("OB LB", []), ("OL fault", ["out_of_service"]), ("OL OVER", []), ("OB", [])])
def test_a_ups_is_out_of_service_by_its_fault_alone(status, expected):
    """
    With a low battery it does what it is there for.
    """
    words = source(1, "UPS-01", (STATUS,), "ups")
    judge = Engine(SHIPPED, [device("UPS-01")], [words], EPOCH, {})
    events = [*judge.evaluate(reading(words, 1, status)).events, *tick(judge, 9).events]
    assert expected == [event.body["service_state"] for event in events if event.kind == "service_state"]


@pytest.mark.parametrize(("device_class", "expected"), [("pile", {"DC-01"}), ("input", set())])
@pytest.mark.parametrize("role", ["emergency_stop", "breaker_trip"])
def test_a_contact_of_a_pile_is_its_own(role, device_class, expected):
    """
    The emergency stop and the breaker on a pile's own inputs take it out of service; an input module only reports them.
    """
    contacts = source(1, "DC-01", (INPUT,), device_class)
    judge = Engine(SHIPPED, [device("DC-01", input={"1": Contact(role=role)})], [contacts], EPOCH, {})
    judge.evaluate(reading(contacts, 1, 1))
    tick(judge, 3)
    assert ["critical"] == [alarm.level for alarm in judge.open_alarms()]
    assert expected == set(judge.consequences.faulty())


def test_a_device_that_cannot_be_read_is_not_defective_by_that():
    """
    A silent pile whose smoke input nobody watches is a critical alarm, and stays in service.
    """
    contacts = source(1, "DC-01", (INPUT,), "pile")
    judge = Engine(SHIPPED, [device("DC-01", input={"1": Contact(role="smoke", fail_safe=True)})], [contacts], EPOCH, {})
    judge.evaluate(reading(contacts, 1, 0))
    judge.evaluate(reading(contacts, 2, Quality.OFFLINE))
    judge.inputs("DC-01", {"input.1": "raised"}, Moment(5000, WALL_MS + 5000, ClockTrust.SYNCHRONISED))
    assert [("device offline", "critical")] == [(alarm.rule, alarm.level) for alarm in judge.open_alarms()]
    assert {} == judge.consequences.faulty()


def test_other_limits_of_a_shipped_rule_do_not_change_what_it_tells():
    """
    A station's own rule of that name, or in its place, is no fault of the device either; one of another name is, unless it says that it is not.
    """
    own = {"name": "joint-burning", "limit": 80.0, "level": "critical"}
    assert [False, False, True, False] == [
        is_device_fault(rule(**{**own, **more}))
        for more in ({}, {"name": "x", "instead_of": "joint-burning"}, {"name": "x"}, {"name": "x", "device_fault": False})
    ]
