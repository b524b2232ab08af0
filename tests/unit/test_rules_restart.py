"""Across a restart nothing is raised again and nothing is forgotten."""

from __future__ import annotations

import logging

import pytest
from rules_rig import EPOCH, WALL_MS, alarms, device, edges, engine, keep, reading, rule, run, source, tick

from edgegw.model import ClockTrust, Point, Quality
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


@pytest.mark.parametrize("episode", ["", "heat"])
def test_an_open_alarm_takes_the_level_that_its_rule_has_now(episode):
    """
    Made critical between two starts it is told as that, once; a start under the same rule says nothing.
    """
    store = stored([rule(level="minor", episode=episode)], [(1, 462), (5, None)])
    judge = engine([rule(level="critical", episode=episode)], store, epoch=7)
    assert 0 == judge.next_due_ms()
    changes = tick(judge, 1)
    keep(store, changes)
    assert (["1.0 level hot th-01"], ["level"]) == (edges(changes.events), [told.why.value for told in changes.told])
    assert [("critical", 46.2)] == [(alarm.level, alarm.value) for alarm in judge.open_alarms()]
    assert not tick(engine([rule(level="critical", episode=episode)], store, epoch=8), 1).events


HEAT = [
    rule(name="warm", limit=45.0, deadband=5, level="minor", episode="heat", on_delay_s=60),
    rule(name="hot", limit=55.0, deadband=5, level="major", episode="heat", on_delay_s=60),
]


def test_a_shared_alarm_goes_on_at_its_lower_level_after_a_restart():
    """
    Both held before it: at 50 C it is the warm one again, at once, and not a new alarm a minute later.
    """
    store = stored(HEAT, [(second, 600) for second in range(0, 80, 10)])
    found = run(engine(HEAT, store, epoch=7), source(), [(second, 500) for second in range(0, 80, 10)])
    assert ["0.0 level warm th-01"] == edges(found)
    assert 1 == found[0].body["number"]


def test_a_shared_alarm_whose_rule_is_gone_is_closed_and_the_other_rule_begins_anew():
    """
    Nothing could end it: the value came back while the gateway was away; where it did not the rule that is left raises its own.
    """
    store = stored(HEAT, [(second, 600) for second in range(0, 80, 10)])
    (closed,) = run(engine(HEAT[:1], dict(store), epoch=7), source(), [(0, 200), (100, None)])
    assert ("cleared", "rule removed") == (closed.body["edge"], closed.body["reason"])
    found = run(engine(HEAT[:1], store, epoch=7), source(), [(second, 600) for second in range(0, 80, 10)])
    assert ["0.0 cleared hot th-01", "60.0 raised warm th-01"] == edges(found)


WORDS = tuple(Point(f"ups.alarm.{number}", 0, "1", "text") for number in (1, 2))


@pytest.mark.parametrize(("points", "values", "edge"), [(WORDS, ("", Quality.REFUSED), None), (WORDS[1:], ("",), "rule removed")])
def test_an_alarm_of_several_points_ends_with_those_that_held(points, values, edge):
    """
    A point that did not hold and is never good again does not keep it; when the point that held is not read any more it is closed with its reason.
    """
    words = rule(name="low", condition="word", point="ups.alarm*", word="LB", episode="battery", per_device=True)
    before, after = source(points=WORDS), source(points=points)
    store: dict[str, bytes] = {}
    keep(store, Engine([words], [device()], [before], EPOCH, {}).evaluate(reading(before, 1, "LB", "")))
    judge = Engine([words], [device()], [after], 7, store)
    found = [event for second in (1, 2) for event in alarms(judge.evaluate(reading(after, second, *values)).events)]
    assert [("cleared", edge)] == [(event.body["edge"], event.body.get("reason")) for event in found]
    assert [] == judge.open_alarms()


def test_a_latched_alarm_that_several_rules_share_ends_again_after_a_restart():
    """
    It waited for its reset at the start, came back and ended: it waits again, and can be reset.
    """
    latched = rule(latched=True, episode="heat")
    judge = engine([latched], stored([latched], [(1, 462), (2, 440)]), epoch=7)
    assert ["1.0 again hot th-01", "2.0 returned hot th-01"] == edges(run(judge, source(), [(1, 462), (2, 440)]))


@pytest.mark.parametrize("restarts", [True, False])
def test_what_looks_back_ends_only_when_it_has_seen_enough(restarts):
    """
    After a start or a lost value neither an alarm of a rise nor one of a frozen value is over by that alone: the one ends when its window is seen, the other with another value.
    """
    rules = [rule(name="rise", condition="rise", limit=10, deadband=5, window_s=60), rule(name="same", condition="frozen", limit=5)]
    store: dict[str, bytes] = {}
    judge = engine(rules)
    for second in range(12):
        keep(store, judge.evaluate(reading(source(), second, 300 if second < 2 else 450)))
    if restarts:
        judge = engine(rules, store, epoch=7)
    judge.evaluate(reading(source(), 20, 450 if restarts else OFFLINE))
    first_s = 20 if restarts else 21
    script = [(second, 450) for second in range(21, first_s + 61)] + [(first_s + 61, 451)]
    assert [f"{first_s + 60}.0 cleared rise th-01", f"{first_s + 61}.0 cleared same th-01"] == edges(run(judge, source(), script))
    assert [] == judge.open_alarms()


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
