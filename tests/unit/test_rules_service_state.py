"""A critical fault puts its device out of service until it is over: published once each way, with the alarm, and over restarts."""

from __future__ import annotations

from rules_rig import EPOCH, INPUT, WALL_MS, device, engine, keep, reading, rule, source

from edgegw.model import ClockTrust
from edgegw.rules.consequences import STATE_PREFIX
from edgegw.rules.engine import Engine, Moment, Word

HOT = rule(name="hot", level="critical", limit=45.0)
SLOW = rule(name="slow", level="critical", limit=40.0, off_delay_s=5)
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
