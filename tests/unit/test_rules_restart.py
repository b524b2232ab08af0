"""Across a restart nothing is raised again and nothing is forgotten."""

from __future__ import annotations

import logging

import pytest
from rules_rig import EPOCH, WALL_MS, alarms, device, edges, engine, keep, reading, rule, run, source, tick

from edgegw.model import ClockTrust, Quality
from edgegw.rules.engine import Engine

OFFLINE = Quality.OFFLINE


def stored(rules, script, **more) -> dict[str, bytes]:
    """What lies in the store after this script."""
    store: dict[str, bytes] = {}
    judge = engine(rules, **more)
    for second, what in script:
        keep(store, tick(judge, second) if what is None else judge.evaluate(reading(source(), second, what)))
    return store


def test_active_alarm_goes_on_after_a_restart():
    """
    A restored alarm is open with its id before the first reading, is not raised again by it, and ends under the same id.
    """
    store = stored([rule()], [(1, 462)])
    judge = engine([rule()], store, epoch=7)
    assert ["000000000000a1b2-1"] == [alarm.alarm_id for alarm in judge.open_alarms()]
    assert [] == run(judge, source(), [(0.5, None), (1, OFFLINE), (2, 463)])
    (cleared,) = run(judge, source(), [(3, 440)])
    assert ("000000000000a1b2-1", 1, "cleared") == (cleared.body["id"], cleared.body["number"], cleared.body["edge"])


def test_numbers_go_on_and_ids_are_new():
    """
    After a restart the short number goes on and the id begins with the new epoch.
    """
    store = stored([rule()], [(1, 462), (2, 440), (3, 462), (4, 440)])
    (raised,) = run(engine([rule()], store, epoch=7), source(), [(1, 462)])
    assert ("0000000000000007-1", 3) == (raised.body["id"], raised.body["number"])


def test_only_what_is_open_is_kept():
    """
    A cleared alarm leaves nothing in the store but the last number.
    """
    assert {"rules/number": b"1"} == stored([rule()], [(1, 462), (2, 440)])


def test_delay_that_was_running_starts_again():
    """
    What happened while the daemon was not there is not known: on-delay and off-delay begin with the first good value after it.
    """
    slow = rule(on_delay_s=3, off_delay_s=3)
    assert {} == stored([slow], [(1, 462)])
    leaving = stored([slow], [(1, 462), (4, None), (5, 440)])
    assert ["5.0 cleared hot th-01"] == edges(run(engine([slow], leaving, epoch=7), source(), [(2, 440), (4.9, None), (5, None)]))


def test_silent_device_is_not_raised_again():
    """
    A device that was offline before the restart and still is stays one alarm, and two answers end it.
    """
    store = stored([], [(1, 1), (2, OFFLINE), (3, OFFLINE), (16, OFFLINE)])
    judge = engine([], store, epoch=7)
    assert [] == run(judge, source(), [(1, OFFLINE), (2, OFFLINE), (30, OFFLINE), (31, 450)])
    assert ["32.0 cleared device offline th-01"] == edges(run(judge, source(), [(32, 450)]))


@pytest.mark.parametrize(
    ("reason", "rules", "devices"),
    [
        ("rule removed", [rule(name="other")], ["th-01"]),
        ("rule removed", [rule(devices=["pv-*"])], ["th-01"]),
        ("device removed", [rule()], ["th-77"]),
    ],
)
def test_alarm_that_nothing_can_end_is_closed_with_its_reason(reason, rules, devices):
    """
    An alarm whose rule or device is gone after a restart ends at once, with an event that says why, and leaves the store.
    """
    store = stored([rule()], [(1, 462)])
    judge = Engine(rules, [device(code) for code in devices], [source(code=devices[0])], 7, store)
    assert 0 == judge.next_due_ms()
    changes = tick(judge, 0)
    keep(store, changes)
    assert [("cleared", reason, None)] == [(event.body["edge"], event.body["reason"], event.body["value"]) for event in alarms(changes.events)]
    assert ({"rules/number": b"1"}, [], None) == (store, judge.open_alarms(), judge.next_due_ms())


def two_devices(restored, epoch, bus="rs485a"):
    return Engine([], [device("a", bus), device("b", bus)], [source(1, "a"), source(2, "b")], epoch, restored)


def dead_bus() -> dict[str, bytes]:
    store: dict[str, bytes] = {}
    judge = two_devices({}, EPOCH)
    for second in range(20):
        keep(store, judge.evaluate(reading(source(1, "a"), second, OFFLINE)))
        keep(store, judge.evaluate(reading(source(2, "b"), second + 0.1, OFFLINE)))
    return store


def test_dead_bus_goes_on_and_comes_back_after_a_restart():
    """
    A bus that was offline before the restart is not raised again and ends with its first device that answers.
    """
    judge = two_devices(dead_bus(), 7)
    assert ["rs485a"] == [alarm.device for alarm in judge.open_alarms()]
    assert [] == run(judge, source(1, "a"), [(1, OFFLINE), (2, OFFLINE), (30, OFFLINE), (31, 450)])
    assert ["32.0 cleared device offline a", "32.0 cleared bus offline rs485a"] == edges(run(judge, source(1, "a"), [(32, 450)]))
    assert [] == judge.open_alarms()
    assert ["92.0 shown device offline b"] == edges(tick(judge, 95).events)


def test_devices_of_a_bus_that_was_removed_are_shown():
    """
    When the alarm above is closed because its bus is gone, silent devices do not stay hidden below it.
    """
    judge = two_devices(dead_bus(), 7, bus="rs485b")
    (closed,) = tick(judge, 1).events
    assert ("bus removed", "rs485a") == (closed.body["reason"], closed.body["bus"])
    assert ["61.0 shown device offline a", "61.0 shown device offline b"] == edges(tick(judge, 62).events)


def report(judge):
    return judge.report("store damaged", "major", "the database was damaged", "数据库损坏", 5, WALL_MS, ClockTrust.HELD)


def test_alarm_of_the_gateway_is_raised_once_and_ends_with_a_start_that_does_not_find_it():
    """
    What another part reports of the gateway itself is one alarm over restarts that report it again, and is closed by one that does not.
    """
    store: dict[str, bytes] = {}
    judge = engine()
    changes = report(judge)
    keep(store, changes)
    assert [("raised", None, WALL_MS)] == [(event.body["edge"], event.device, event.at_ms) for event in alarms(changes.events)]
    assert not report(judge)
    again = engine(restored=store, epoch=7)
    assert not report(again)
    assert not tick(again, 1)
    assert [("gateway", "数据库损坏")] == [(alarm.device, alarm.text) for alarm in again.open_alarms("zh")]
    (closed,) = tick(engine(restored=store, epoch=8), 1).events
    assert ("cleared", "not found again after a restart") == (closed.body["edge"], closed.body["reason"])


def test_unreadable_state_is_told_and_dropped(caplog):
    """
    A stored alarm that cannot be read is a warning and leaves the store; the others and foreign keys do not suffer.
    """
    store = stored([rule()], [(1, 462)]) | {"rules/alarm/x/y/z": b"\xff{", "rules/number": b"rubbish", "clock": b"1"}
    with caplog.at_level(logging.WARNING, "edgegw.rules"):
        judge = engine([rule()], store, epoch=7)
    keep(store, judge.evaluate(reading(source(), 1, 440)))
    assert "rules/alarm/x/y/z" in caplog.text
    assert {"rules/number": b"rubbish", "clock": b"1"} == store
