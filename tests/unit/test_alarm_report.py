"""The report of an alarm: the minute before and after, bounded, once, and over a restart."""

from __future__ import annotations

import msgspec
import pytest
from rules_rig import EPOCH, WALL_MS, engine, keep, reading, rule, run, source

from edgegw.alarm_report import REPORT_BYTES_MAX, changes, make_body, nearest
from edgegw.buffer.history import Sample
from edgegw.model import ClockTrust, Event, Quality
from edgegw.rules.consequences import ORDER_PREFIX, ORDERS_MAX, Order
from edgegw.rules.engine import Engine, Moment, Word

HOT = rule(name="hot", level="critical", limit=45.0)
AROUND_MS = WALL_MS + 60_000
ORDER = Order("a-1", 7, "hot", "critical", "th-01", None, "temperature", AROUND_MS, (("ref", "power"),))


def sample(dt_ms: int, value: object, point: str = "temperature", device: str = "th-01", quality: Quality = Quality.GOOD, seq: int = 0) -> Sample:
    return Sample(AROUND_MS + dt_ms, device, point, value, "C", quality, ClockTrust.SYNCHRONISED, 1, 3, seq or dt_ms + 100_000)


def at(second: float) -> Moment:
    return Moment(round(second * 1000), WALL_MS + round(second * 1000), ClockTrust.SYNCHRONISED)


def record(alarm_id: str) -> Event:
    return Event("alarm_report", WALL_MS, 1, ClockTrust.SYNCHRONISED, "th-01", {"id": alarm_id})


# -- what is in it


def test_values_units_qualities_and_ages_are_given_per_point():
    """
    The judged point comes first, then those that the rule names, then the others; a quality is named where it is not good.
    """
    body = make_body(
        ORDER,
        [sample(-60_000, 20, "humidity"), sample(-1000, 44.8), sample(0, 46.2), sample(1000, None, quality=Quality.OFFLINE), sample(5, 1, "power", "ref")],
        None,
        (),
    )
    assert [("th-01", "temperature"), ("ref", "power"), ("th-01", "humidity")] == [(one["device"], one["point"]) for one in body["series"]]
    assert {"device": "th-01", "point": "temperature", "unit": "C", "samples": [[-1000, 44.8], [0, 46.2], [1000, None, "offline"]], "of": 3} == body["series"][
        0
    ]


def test_a_value_that_stays_is_given_at_its_ends():
    """
    Of equal readings in a row the first and the last are kept, so that nothing is lost of when it changed.
    """
    kept = changes([sample(dt, value) for dt, value in ((1, 5), (2, 5), (3, 5), (4, 6), (5, 5), (6, 5), (7, 5))])
    assert [(1, 5), (3, 5), (4, 6), (5, 5), (7, 5)] == [(one.read_at_ms - AROUND_MS, one.value) for one in kept]


def test_too_many_readings_are_thinned_far_from_the_raise():
    """
    The first and the last stay, and all of those beside the raise.
    """
    kept = [one.read_at_ms - AROUND_MS for one in nearest([sample(dt, dt) for dt in range(-60_000, 60_001, 1000)], AROUND_MS, 40)]
    assert len(kept) <= 40
    assert {-60_000, 60_000} <= set(kept)
    assert set(range(-9000, 9001, 1000)) <= set(kept)


@pytest.mark.parametrize("points", [1, 40, 400])
def test_a_report_always_fits_a_message(points):
    """
    A device of any size gives at most 7 KiB, the judged point in it, and the report says what it left out.
    """
    samples = [sample(dt, dt / 7, "temperature" if k == 0 else f"p{k}") for k in range(points) for dt in range(-60_000, 60_001, 500)]
    body = make_body(ORDER, samples, {"name": "rs485a"}, [{"name": "cloud"}])
    assert len(msgspec.msgpack.encode(body)) <= REPORT_BYTES_MAX
    assert "temperature" == body["series"][0]["point"]
    assert points == len(body["series"]) + body["left_out"]
    assert 241 == body["series"][0]["of"]


def test_what_comes_twice_counts_once():
    """
    A reading that is found in the tail and in its block is one.
    """
    body = make_body(ORDER, [sample(0, 46.2), sample(0, 46.2)], None, ())
    assert 1 == body["series"][0]["of"]


# -- when it is made


def test_a_critical_alarm_owes_a_report_a_minute_after_its_raise():
    """
    The order is stored with the raise, names what the rule looks at, and is due 60 s later.
    """
    judge = engine([HOT])
    changes_ = judge.evaluate(reading(source(), 1, 462))
    assert [f"{ORDER_PREFIX}{EPOCH:016x}-1"] == [key for key in changes_.states if key.startswith(ORDER_PREFIX)]
    assert [] == judge.consequences.owed(60_999)
    assert [("hot", "th-01", "temperature", WALL_MS + 1000)] == [(o.rule, o.device, o.point, o.around_ms) for o in judge.consequences.owed(61_000)]


def test_a_report_is_made_once():
    """
    When it is made its order ends, in one transaction with the record, and no later edge of the alarm owes another.
    """
    judge, store = engine([HOT]), {}
    keep(store, judge.evaluate(reading(source(), 1, 462)))
    (order,) = judge.consequences.owed(61_000)
    judge.consequences.made(order, record(order.alarm_id))
    made = judge.changed()
    keep(store, made)
    assert ["alarm_report"] == [event.kind for event in made.events]
    assert [] == judge.consequences.owed(999_999)
    again = engine([HOT], restored=store, epoch=EPOCH + 1)
    again.consequences.begin(at(100))
    assert [] == again.consequences.owed(999_999)
    keep(store, again.evaluate(reading(source(), 101, 440)))
    again.desk.acknowledge(1, Word("li"), at(102))
    keep(store, again.changed())
    assert [] == [key for key in store if key.startswith(ORDER_PREFIX)]


@pytest.mark.parametrize(("second", "due_s"), [(31, 61), (500, 500)])
def test_a_restart_in_between_does_not_lose_the_report(second, due_s):
    """
    The next start makes it at its time, or at once where that is over.
    """
    judge, store = engine([HOT]), {}
    keep(store, judge.evaluate(reading(source(), 1, 462)))
    again = engine([HOT], restored=store, epoch=EPOCH + 1)
    again.consequences.begin(at(second))
    assert [] == again.consequences.owed(due_s * 1000 - 1)
    assert [1] == [order.number for order in again.consequences.owed(due_s * 1000)]


def test_an_alarm_that_is_over_before_gets_its_report_all_the_same():
    """
    It cleared and closed within the minute: the report is made, and nothing is left of its order.
    """
    judge, store = engine([HOT]), {}
    for second, value in ((1, 462), (9, 440)):
        keep(store, judge.evaluate(reading(source(), second, value)))
    judge.desk.acknowledge(1, Word("li"), at(10))
    keep(store, judge.changed())
    (order,) = judge.consequences.owed(61_000)
    judge.consequences.made(order, record(order.alarm_id))
    keep(store, judge.changed())
    assert [] == [key for key in store if key.startswith(ORDER_PREFIX)]


def test_only_levels_that_say_so_and_not_what_is_hidden_owe_one():
    """
    A major alarm owes none, and neither does a critical one that its root explains.
    """
    judge = engine([rule(level="major")])
    run(judge, source(), [(1, 462)])
    assert [] == judge.consequences.owed(999_999)
    hidden = engine([rule(name="trip", limit=40.0, explains=["sensor: *"]), HOT])
    run(hidden, source(), [(1, 410), (2, 462)])
    assert [] == hidden.consequences.owed(999_999)


def test_the_rise_to_critical_is_what_the_report_is_around():
    """
    An alarm that became critical later owes a report of the minute around that.
    """
    judge = engine([rule(name="warm", limit=40.0, episode="t"), rule(name="hot", level="critical", limit=45.0, episode="t")])
    run(judge, source(), [(1, 410), (100, 462)])
    assert [WALL_MS + 100_000] == [order.around_ms for order in judge.consequences.owed(160_000)]


def test_reports_that_are_owed_are_bounded():
    """
    Of a storm of critical alarms at most 64 reports wait at a time.
    """
    points = [f"temperature.{k}" for k in range(1, ORDERS_MAX + 11)]
    at_source = source(points=tuple(msgspec.structs.replace(source().points[0], name=name) for name in points))
    judge = Engine([rule(name="hot", point="temperature.*", level="critical", limit=45.0)], [], [at_source], EPOCH, {})
    judge.evaluate(reading(at_source, 1, *[462] * len(points)))
    assert ORDERS_MAX == len(judge.consequences.owed(999_999))
