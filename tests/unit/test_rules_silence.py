"""`device offline` and `bus offline`: when they come, what they hide, when they go."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, WALL_MS, alarms, device, edges, engine, reading, rule, run, source, tick

from edgegw.model import ClockTrust, Event, Point, Quality, Reading
from edgegw.rules.engine import Engine
from edgegw.rules.links import has_failed

OFFLINE, REFUSED, BAD, MAINTENANCE, NOT_FITTED = Quality.OFFLINE, Quality.REFUSED, Quality.BAD, Quality.MAINTENANCE, Quality.NOT_FITTED
TWO_POINTS = source(points=(Point("temperature", 1, "C", "measure"), Point("humidity", 1, "%RH", "measure")))


@pytest.mark.parametrize(
    ("expected", "row"),
    [
        (True, (OFFLINE, OFFLINE)),
        (True, (OFFLINE, NOT_FITTED)),
        (False, (OFFLINE, 450)),
        (False, (REFUSED, REFUSED)),
        (False, (BAD, OFFLINE)),
        (None, (MAINTENANCE, MAINTENANCE)),
    ],
)
def test_failed_poll_is_one_without_any_answer(expected, row):
    """
    Only a row that is offline and nothing else is a failed poll; a refusal is an answer, maintenance is neither.
    """
    assert expected is has_failed(reading(TWO_POINTS, 1, *row))


@pytest.mark.parametrize(
    ("expected", "script"),
    [
        ([], [(1, 450), (2, OFFLINE), (3, OFFLINE), (40, None)]),
        ([], [(1, 450), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (15.9, None)]),
        (["16.0 raised device offline th-01"], [(1, 450), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (17, None), (30, None)]),
        (["30.0 raised device offline th-01"], [(1, 450), (10, OFFLINE), (20, OFFLINE), (30, OFFLINE), (40, OFFLINE)]),
        (["17.0 raised device offline th-01"], [(2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (17, None)]),
        ([], [(1, 450), (2, OFFLINE), (3, OFFLINE), (14, 450), (15, OFFLINE), (16, OFFLINE), (60, None)]),
        ([], [(1, 450), (2, OFFLINE), (3, OFFLINE), (14, REFUSED), (15, OFFLINE), (16, OFFLINE), (60, None)]),
        (["16.0 raised device offline th-01"], [(1, 450), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (20, 450), (21, OFFLINE), (22, 450)]),
        (
            ["16.0 raised device offline th-01", "22.0 cleared device offline th-01"],
            [(1, 450), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (20, 450), (21, MAINTENANCE), (22, REFUSED)],
        ),
    ],
)
def test_edges_of_device_offline(expected, script):
    """
    A device is offline after three failed polls in a row and 15 s without an answer, and back after two answers in a row.
    """
    assert expected == edges(run(engine(), source(), script))


@pytest.mark.parametrize(("level", "device_class"), [("major", "meter"), ("major", "ups"), ("minor", "sensor"), ("major", "pile"), ("major", "input")])
def test_level_of_device_offline_follows_its_class(level, device_class):
    """
    A silent sensor is minor, any other device major; the event says since which question it was silent, and how long that is.
    """
    at = source(device_class=device_class)
    judge = Engine([], [device()], [at], EPOCH, {})
    (raised,) = run(judge, at, [(1, 450), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (16, None)])
    assert level == raised.body["level"]
    assert (WALL_MS + 16_000, WALL_MS + 2000, 14.0, None, "s") == (raised.at_ms, *(raised.body[key] for key in ("began_at_ms", "value", "limit", "unit")))
    assert ("no answer for 14 s", "14 秒无应答") == (raised.body["text"], raised.body["text_zh"])


def test_alarm_of_a_device_that_is_lost_stays():
    """
    An alarm that is active when its device falls silent neither clears nor is raised again; it goes on with the next good value.
    """
    script = [(1, 451), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (20, None), (30, 452), (31, 440)]
    expected = ["1.0 raised hot th-01", "16.0 raised device offline th-01", "31.0 cleared hot th-01", "31.0 cleared device offline th-01"]
    assert expected == edges(run(engine([rule()]), source(), script))


class Bus:
    """Three sensors on one bus, polled once a second each, in turn; each answers or not."""

    def __init__(self) -> None:
        codes = ("th-01", "th-02", "th-03")
        self.sources = [source(number, code) for number, code in enumerate(codes, 1)]
        self.judge = Engine([], [device(code) for code in codes], self.sources, EPOCH, {})
        self.second = 0
        self.events: list[Event] = []

    def turn(self, seconds: int, answering: str) -> None:
        for _ in range(seconds):
            for number, (at, letter) in enumerate(zip(self.sources, answering, strict=True)):
                what = 450 if letter == "x" else OFFLINE
                self.events += alarms(self.judge.evaluate(reading(at, self.second + number / 10, what)).events)
            self.second += 1
            self.events += alarms(tick(self.judge, self.second).events)

    def told(self) -> list[str]:
        told = [alarm.device for alarm in self.judge.open_alarms()]
        self.events.clear()
        return told


def test_dead_bus_is_one_critical_alarm():
    """
    When all devices of a bus fall silent one critical alarm is told, every device's own alarm is journalled, and all end with the answers.
    """
    bus = Bus()
    bus.turn(2, "xxx")
    bus.turn(20, "---")
    assert [
        "16.0 raised device offline th-01",
        "16.1 raised device offline th-02",
        "16.2 raised bus offline rs485a",
        "16.2 raised device offline th-03",
    ] == edges(bus.events)
    first, second, root, third = (event.body for event in bus.events)
    assert ("critical", [first["id"], second["id"]], WALL_MS + 2000) == (root["level"], root["children"], root["began_at_ms"])
    assert (root["id"], "总线 rs485a 上 3 台设备全部无应答") == (third["suppressed_by"], root["text_zh"])
    assert ["rs485a"] == bus.told()
    assert 4 == len(bus.judge.open_alarms(hidden=True))
    bus.turn(3, "xxx")
    assert [
        "23.0 cleared device offline th-01",
        "23.0 cleared bus offline rs485a",
        "23.1 cleared device offline th-02",
        "23.2 cleared device offline th-03",
    ] == edges(bus.events)
    assert [] == bus.judge.open_alarms(hidden=True)


def test_device_that_stays_silent_after_its_bus_came_back_is_shown_a_minute_later():
    """
    A device hidden below its bus's alarm is shown 60 s after that alarm's end when it is still silent.
    """
    bus = Bus()
    bus.turn(2, "xxx")
    bus.turn(20, "---")
    bus.turn(3, "xx-")
    assert [] == bus.told()
    bus.turn(59, "xx-")
    assert ["83.0 shown device offline th-03"] == edges(bus.events)
    assert ["th-03"] == bus.told()
    bus.turn(3, "xxx")
    assert ["85.2 cleared device offline th-03"] == edges(bus.events)


def test_device_long_silent_is_not_hidden_by_its_bus():
    """
    A device that was silent long before its bus died keeps its own alarm beside the bus's.
    """
    bus = Bus()
    bus.turn(2, "xxx")
    bus.turn(40, "-xx")
    bus.turn(20, "---")
    assert ["th-01", "rs485a"] == bus.told()


def test_bus_that_dies_again_hides_its_devices_again():
    """
    Devices still hidden from the last loss of their bus belong to the next one.
    """
    bus = Bus()
    bus.turn(2, "xxx")
    bus.turn(20, "---")
    bus.turn(3, "x--")
    bus.events.clear()
    bus.turn(20, "---")
    assert ["bus offline", "device offline"] == [event.body["rule"] for event in bus.events]
    assert 2 == len(bus.events[0].body["children"])
    assert {alarm.alarm_id for alarm in bus.judge.open_alarms(hidden=True)} == {event.body["id"] for event in bus.events} | set(bus.events[0].body["children"])
    assert ["rs485a"] == bus.told()
    bus.turn(100, "---")
    assert ["rs485a"] == bus.told()


def test_bus_that_dies_again_hides_its_devices_also_when_time_is_told_late():
    """
    When the second loss of a bus and the showing of its silent device are taken in one late call, the loss, which was first, wins.
    """
    first, second = source(1, "a"), source(2, "b")
    judge = Engine([], [device("a"), device("b")], [first, second], EPOCH, {})
    for moment in range(18):
        judge.evaluate(reading(first, moment, OFFLINE))
        judge.evaluate(reading(second, moment, OFFLINE))
    for moment in (20, 21, 60):
        judge.evaluate(reading(first, moment, 450))
    for moment in (61, 62, 63):
        judge.evaluate(reading(first, moment, OFFLINE))
    assert ["75.0 raised bus offline rs485a", "75.0 raised device offline a"] == edges(tick(judge, 90).events)
    assert ["rs485a"] == [alarm.device for alarm in judge.open_alarms()]


def test_bus_with_one_device_has_no_alarm_of_its_own():
    """
    Where a bus has one device, its silence is told once, as the device's.
    """
    at = source(device_class="ups")
    judge = Engine([], [device(bus="com5"), device("th-09", bus="rs485b")], [at], EPOCH, {})
    assert ["16.0 raised device offline th-01"] == edges(run(judge, at, [(1, 1), (2, OFFLINE), (3, OFFLINE), (4, OFFLINE), (60, None)]))


def test_reading_without_points_is_an_answer():
    """
    A poll that has no point to report still proves that its device answers.
    """
    empty = source(points=())
    assert not Engine([], [device()], [empty], EPOCH, {}).evaluate(Reading(empty, WALL_MS, 0, ClockTrust.HELD, ()))
    assert not has_failed(Reading(empty, WALL_MS, 0, ClockTrust.HELD, ()))
