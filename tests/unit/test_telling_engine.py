"""The engine and the teller together: what a real storm comes to for the person with the telephone."""

from __future__ import annotations

from rules_rig import WALL_MS, device, engine, keep, reading, source, tick
from telling_rig import Station

from edgegw.model import ClockTrust, Quality
from edgegw.rules.engine import Changes, Engine
from edgegw.rules.episode import Moment

DEVICES = 200


def fed(station: Station, changes: Changes, second: float) -> None:
    """One transaction: what the engine changed, with the notices that belong to it."""
    at = Moment(round(second * 1000), WALL_MS + round(second * 1000), ClockTrust.SYNCHRONISED)
    station.teller.note(changes.events, changes.told, at)
    station.keep()
    keep(station.store, changes)


def test_a_bus_of_two_hundred_devices_that_dies_is_one_message():
    """
    One notice names the bus and counts what it explains; its end is one more.
    """
    station = Station()
    devices = [device(f"th-{number:03}") for number in range(DEVICES)]
    sources = [source(number + 1, one.code) for number, one in enumerate(devices)]
    judge = Engine([], devices, sources, 1, {})
    for second in range(40):
        for one in sources:
            fed(station, judge.evaluate(reading(one, second, 200 if second < 3 else Quality.OFFLINE)), second)
        fed(station, tick(judge, second + 0.9), second + 0.9)
    jobs = station.queue.jobs()
    assert ["bus offline"] == [job.told.episode.facts.rule for job in jobs]
    assert DEVICES == jobs[0].told.children
    station.deliver(40 / 60)
    for second in range(40, 44):
        for one in sources:
            fed(station, judge.evaluate(reading(one, second, 200)), second)
    assert [("bus offline", "cleared")] == [(job.told.episode.facts.rule, job.told.why.value) for job in station.queue.jobs()]


def test_one_alarm_of_one_device_goes_all_its_way():
    """
    Raised, told, acknowledged by nobody, ended, told: two notices, and nothing of them is left in the store.
    """
    station = Station()
    judge = engine()
    at = source()
    for second in range(30):
        fed(station, judge.evaluate(reading(at, second, 200 if second < 3 else Quality.OFFLINE)), second)
    assert ["device offline"] == [job.told.episode.facts.rule for job in station.queue.jobs()]
    station.deliver_all(0.5)
    for second in range(30, 34):
        fed(station, judge.evaluate(reading(at, second, 200)), second)
    assert ["cleared"] == [job.told.why.value for job in station.queue.jobs()]
    station.deliver_all(0.6)
    station.tick(5)
    assert [] == [key for key in station.store if key.startswith("notify/")]
