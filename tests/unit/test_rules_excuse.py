"""What other parts tell the rules: alarms that they found, and devices whose silence is right."""

from __future__ import annotations

from rules_rig import EPOCH, WALL_MS, device, edges, engine, keep, reading, source, tick

from edgegw.model import ClockTrust, Quality
from edgegw.rules.engine import Engine

OFFLINE = Quality.OFFLINE
AT = (1000, WALL_MS + 1000, ClockTrust.SYNCHRONISED)


def test_an_alarm_that_another_part_found_begins_and_ends_with_its_word():
    """
    It is the device's own, is raised once, and ends when it is withdrawn.
    """
    rules = engine()
    raised = [
        *rules.report("wrong device", "major", "another one", "", *AT, "th-01").events,
        *rules.report("wrong device", "major", "another one", "", *AT, "th-01").events,
    ]
    assert ["1.0 raised wrong device th-01"] == edges(raised)
    assert ["th-01"] == [alarm.device for alarm in rules.open_alarms()]
    assert ["1.0 cleared wrong device th-01"] == edges(rules.withdraw("wrong device", "th-01", *AT).events)
    assert () == rules.withdraw("wrong device", "th-01", *AT).events


def test_an_alarm_that_is_reported_again_goes_on_over_a_restart():
    """
    One that nobody reports again ends with the first reading.
    """
    store: dict[str, bytes] = {}
    keep(store, engine().report("wrong device", "major", "another one", "", *AT, "th-01"))
    again = engine(restored=store)
    assert () == again.report("wrong device", "major", "another one", "", *AT, "th-01").events
    assert () == tick(again, 1).events
    assert ["1.0 cleared wrong device th-01"] == edges(tick(engine(restored=store), 1).events)


def test_an_excused_device_is_not_offline_until_its_excuse_ends():
    """
    Its silence counts from its last answer as soon as it is not excused.
    """
    rules = engine()
    rules.excuse("th-01", excused=True)
    script = [(1, 450), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE)]
    assert [] == edges([event for second, what in script for event in rules.evaluate(reading(source(), second, what)).events])
    assert [] == edges(tick(rules, 3600).events)
    rules.excuse("th-01", excused=False)
    assert 16_000 == rules.next_due_ms()
    assert ["16.0 raised device offline th-01"] == edges(tick(rules, 3601).events)


def test_an_excused_device_does_not_keep_its_bus_alive():
    """
    When all others of the bus are offline the bus is, asleep or not.
    """
    sources = [source(number, f"th-0{number}") for number in (1, 2)]
    rules = Engine([], [device("th-01"), device("th-02")], sources, EPOCH, {})
    rules.excuse("th-02", excused=True)
    events = [event for second in range(1, 31) for at in sources for event in rules.evaluate(reading(at, second, 450 if second == 1 else OFFLINE)).events]
    assert ["16.0 raised bus offline rs485a", "16.0 raised device offline th-01"] == edges(events)


def test_a_device_of_no_bus_has_no_silence():
    """
    Computed points belong to devices that nobody polls.
    """
    sum_of_all = source(9, "STATION", device_class="computed")
    rules = Engine([], [device()], [source(), sum_of_all], EPOCH, {})
    assert () == rules.evaluate(reading(sum_of_all, 1, OFFLINE)).events
