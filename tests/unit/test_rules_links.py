"""What the gateway says of its links is judged like any other point, and is no answer of the device."""

from __future__ import annotations

from rules_rig import EPOCH, alarms, device, edges, reading, source, tick

from edgegw.model import Point, Quality, Source, Stream
from edgegw.points import LINK_CLASS
from edgegw.rules.engine import Engine
from edgegw.rules.shipped import shipped_rules

SHIPPED = {rule.name: rule for rule in shipped_rules()}
LINK = Source(9, "th-01", "link", 60_000, (Point("link.state", 0, "1", "flag"), Point("link.error_rate", 1, "%", "measure")), LINK_CLASS, Stream.RECORD)
SENSOR = source()
OFFLINE = Quality.OFFLINE


def engine(*sources, devices=None):
    return Engine([SHIPPED["link-errors"]], devices or [device()], list(sources), EPOCH, {})


def test_a_line_that_loses_one_question_in_twelve_is_a_notice():
    """More than 5 % over ten minutes, in two looks; a minute of 30 % among nine good ones is none, nor is the minute in which the device falls silent."""
    bad, good, dies = (engine(LINK, SENSOR) for _ in range(3))
    events = [event for minute in range(12) for event in bad.evaluate(reading(LINK, minute * 60, 1, 83)).events]
    assert ["630.0 raised link-errors th-01"] == edges(alarms(events))
    assert ["notice"] == [alarm.level for alarm in bad.open_alarms()]
    assert [] == [event for minute in range(11) for event in good.evaluate(reading(LINK, minute * 60, 1, 300 if minute == 4 else 0)).events]
    dying = [*((minute, 1, 0) for minute in range(11)), (11, 1, 900), (12, 0, OFFLINE), (13, 0, OFFLINE)]
    assert [] == [event for minute, state, rate in dying for event in dies.evaluate(reading(LINK, minute * 60, state, rate)).events]


def test_a_silent_device_has_no_errors_and_begins_anew():
    """While it is offline nothing is known of its line; what it lost before does not count afterwards."""
    judge = engine(LINK, SENSOR)
    script = [(minute, 1, 100) for minute in range(8)] + [(8, 0, OFFLINE)] + [(minute, 1, 0) for minute in range(9, 30)]
    assert [] == [event for minute, state, rate in script for event in judge.evaluate(reading(LINK, minute * 60, state, rate)).events]


def test_what_the_gateway_says_of_a_link_is_no_answer_of_the_device():
    """A sensor that is silent for 15 s is offline, however often its link is told; its class stays its own."""
    judge = engine(LINK, SENSOR)
    events = []
    for second in range(1, 40):
        value = 300 if second < 5 else OFFLINE
        events += [*judge.evaluate(reading(SENSOR, second, value)).events, *judge.evaluate(reading(LINK, second + 0.5, 0, OFFLINE)).events]
    assert ["19.0 raised device offline th-01"] == edges(alarms(events))
    assert ["minor"] == [alarm.level for alarm in judge.open_alarms()]


def silent_from(judge, sources, second, until):
    """All of them answer, then none; what was raised."""
    events = []
    for now in range(1, until):
        for at in sources:
            events += judge.evaluate(reading(at, now, *([400] if now < second else [OFFLINE]))).events
        events += tick(judge, now + 0.9).events
    return edges(alarms(events))


def test_an_inverter_may_be_silent_for_a_minute():
    """60 s for its class, 15 s for everything else, and what the configuration says for whom it says it."""
    sources = [source(number, code, device_class=of) for number, (code, of) in enumerate((("pv-01", "inverter"), ("pv-02", "inverter"), ("m-01", "meter")), 1)]
    devices = [device("pv-01", "one"), device("pv-02", "two", offline_after_s=20), device("m-01", "three")]
    lines = silent_from(Engine([], devices, sources, EPOCH, {}), sources, 10, 80)
    assert ["24.0 raised device offline m-01", "29.0 raised device offline pv-02", "69.0 raised device offline pv-01"] == lines


def test_a_bus_does_not_wait_for_its_inverter():
    """When everything else on it is offline and the inverter answers nothing either, it is the bus."""
    sources = [source(1, "pv-01", device_class="inverter"), source(2, "m-01", device_class="meter")]
    judge = Engine([], [device("pv-01", "one"), device("m-01", "one")], sources, EPOCH, {})
    assert "24.0 raised bus offline one" in silent_from(judge, sources, 10, 30)
