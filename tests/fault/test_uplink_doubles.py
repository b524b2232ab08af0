"""Brokers that misbehave: each habit has its own id, nothing of it ends the sender, nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import time

import pytest

from edgegw.model import ClockTrust, Event
from edgegw.uplink import delivery
from tests.broker_double import BrokerDouble, Habits
from tests.uplink_rig import MemoryOutbox, Place, alarm, block, event_batch, log_of, no_thread_left, until


@pytest.fixture
def here(tmp_path):
    with no_thread_left():
        yield Place(tmp_path)


def outbox_of(count: int) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(event_batch(1, 1, [alarm(1)]), *[block(number, number * 10, 10) for number in range(1, count)])
    return outbox


def run_against(here: Place, habits: Habits, body, outbox: MemoryOutbox | None = None, **changes: object) -> BrokerDouble:
    """Runs a sender against a broker with these habits until `body` is content, then ends it cleanly."""

    async def go() -> None:
        sender = here.sender(outbox or outbox_of(3), broker=f"mqtt://127.0.0.1:{double.port}", **changes)
        task = asyncio.create_task(sender.run())
        try:
            await body(sender)
        finally:
            await sender.stop(0.2)
            await task

    with BrokerDouble(habits) as double:
        asyncio.run(go())
    return double


def has(error_id: str, **more: object):
    async def body(sender) -> None:
        await until(lambda: sender.status().error_id == error_id and all(getattr(sender.status(), name) == value for name, value in more.items()))

    return body


@pytest.mark.parametrize(
    ("expected", "habits", "changes"),
    [
        ("E-NET-TIMEOUT", Habits(connack=None), {"connect_timeout_s": 0.3}),
        ("E-MQTT-PUBACK", Habits(puback=None), {"puback_timeout_s": 0.3}),
        ("E-MQTT-AUTH", Habits(connack=0x87), {}),
        ("E-MQTT-AUTH", Habits(connack=0x86), {}),
        ("E-MQTT-REFUSED", Habits(connack=0x97), {}),
        ("E-MQTT-ACL", Habits(suback=0x87), {}),
        ("E-MQTT-TAKEOVER", Habits(disconnect=0x8E), {}),
        ("E-MQTT-CLOSED", Habits(disconnect=0x93), {}),
        ("E-MQTT-SIZE", Habits(disconnect=0x95), {}),
        ("E-NET-LOST", Habits(garbage=bytes(range(256)) * 4), {}),
        ("E-MQTT-HANGUP", Habits(hang_up_on_5=True), {}),
    ],
)
def test_each_bad_habit_has_its_id(here, caplog, expected, habits, changes):
    """
    A broker that never answers, never acknowledges, refuses, denies, throws out or talks nonsense is told by its own id, in one line.
    """
    run_against(here, habits, has(expected, state="waiting"), **changes)
    assert [expected] == [record.getMessage().split(": ")[1] for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_denied_topic_rests_and_the_others_go_on(here):
    """
    When the broker denies the backlog's topic in its PUBACK, the connection stands, events go on, and the denied batch stays in the store.
    """
    double = run_against(here, Habits(denied_topics="h"), has("E-MQTT-ACL", connected=True), outbox_of(2))
    assert {"e", "m", "h", "s"} == set(double.seen.topics)
    assert 1 == double.seen.topics.count("h")


def test_a_quota_of_the_broker_is_told_as_that_and_ends_by_itself(here, caplog, monkeypatch):
    """
    A broker that answers every message with "quota exceeded" keeps the connection and loses nothing; when it takes messages again, that is over.
    """
    monkeypatch.setattr(delivery, "REFUSED_PAUSE_S", 0.3)
    caplog.set_level(logging.INFO)

    async def go(double: BrokerDouble) -> None:
        sender = here.sender(outbox_of(3), broker=f"mqtt://127.0.0.1:{double.port}")
        task = asyncio.create_task(sender.run())
        await has("E-MQTT-REFUSED", connected=True)(sender)
        double.habits.puback = 0
        await until(lambda: sender.status().error_id == "" and set(double.seen.topics) >= {"e", "h"} and sender.status().in_flight == 0)
        assert 1 == sender.status().connections
        await sender.stop(0.2)
        await task

    with BrokerDouble(Habits(puback=0x97)) as double:
        asyncio.run(go(double))
    assert ["uplink cloud: E-MQTT-REFUSED is over"] == log_of(caplog, "is over")


def test_a_puback_without_a_receipt_is_no_delivery(here):
    """
    While the broker acknowledges and no receipt comes, one batch asks again after its time, ever more rarely, and the rest waits.
    """

    async def body(sender) -> None:
        await until(lambda: sender.status().error_id == "E-CLOUD-RECEIVER" and sender.status().connected)
        await until(lambda: sender.status().batches_sent == 5)
        assert 3 == sender.status().unreceipted

    double = run_against(here, Habits(), body, receipt_timeout_s=0.5)
    assert 5 == len([topic for topic in double.seen.topics if topic in "eh"])


@pytest.mark.parametrize("habits", [Habits(only_311=True), Habits(hang_up_on_5=True)])
def test_a_broker_of_version_3_1_1_is_served(here, habits):
    """
    A broker that refuses MQTT 5, by a code or by hanging up, is asked again in 3.1.1, at least 5 s later.
    """

    async def body(sender) -> None:
        await until(lambda: sender.status().batches_sent == 3)

    double = run_against(here, habits, body)
    assert [5, 4] == double.seen.versions
    assert 4.9 <= double.seen.connects_at_s[1] - double.seen.connects_at_s[0] <= 7.0


@pytest.mark.parametrize(("expected", "maximum"), [(1, 1), (3, 3), (8, None)])
def test_the_window_is_never_exceeded(here, expected, maximum):
    """
    Never more messages are without PUBACK than the broker takes, and never more than eight.
    """
    outbox = MemoryOutbox()
    outbox.add(*[event_batch(number, number, [alarm(number)]) for number in range(1, 9)])
    outbox.add(*[block(number, number * 10, 10, stream=3) for number in range(1, 20)])

    async def body(sender) -> None:
        await until(lambda: sender.status().connected)
        outbox.add(*[block(number, number * 10, 10, stream=3) for number in range(20, 30)])
        sender.wake()
        await until(lambda: sender.status().batches_sent == 37)

    double = run_against(here, Habits(receive_maximum=maximum, puback_delay_s=0.05), body, outbox)
    assert double.seen.unacked_most <= expected
    assert double.seen.unacked_most == expected or maximum is None


def test_a_silent_broker_does_not_hold_up_the_end(here):
    """
    A stop while the broker never answers ends within moments, with the thread gone, whatever its grace.
    """

    async def go(double: BrokerDouble) -> float:
        sender = here.sender(outbox_of(1), broker=f"mqtt://127.0.0.1:{double.port}")
        task = asyncio.create_task(sender.run())
        await until(lambda: double.seen.connects_at_s)
        started_s = time.monotonic()
        await sender.stop(5.0)
        await task
        return time.monotonic() - started_s

    with BrokerDouble(Habits(connack=None)) as double:
        assert asyncio.run(go(double)) < 3.0


def test_alarms_go_out_before_the_end(here):
    """
    A stop sends the events that are stored, within its grace, and nothing else, and says offline last.
    """
    outbox = MemoryOutbox()

    async def body(sender) -> None:
        await until(lambda: sender.status().connected)
        outbox.add(event_batch(1, 1, [alarm(1)]), block(1, 1, 10))
        sender._delivery.lanes.wake()

    double = run_against(here, Habits(puback_delay_s=0.1), body, outbox)
    assert ["s", "e", "s"] == double.seen.topics


def test_while_nobody_listens_one_message_asks(here, caplog):
    """
    When the broker says that nobody listens, one message at a time asks, ever more rarely; when somebody does again, everything goes at once.
    """
    caplog.set_level(logging.INFO)
    outbox = outbox_of(6)

    async def go(double: BrokerDouble) -> None:
        sender = here.sender(outbox, broker=f"mqtt://127.0.0.1:{double.port}", receipt_timeout_s=1.0)
        task = asyncio.create_task(sender.run())
        await until(lambda: sender.status().error_id == "E-CLOUD-RECEIVER")
        asked = double.seen.topics.count("e")
        await until(lambda: double.seen.topics.count("e") == asked + 2)
        double.habits.puback = 0
        await until(lambda: set(double.seen.topics[-5:]) == {"h"})
        await sender.stop(0.2)
        await task

    with BrokerDouble(Habits(puback=0x10)) as double:
        asyncio.run(go(double))
    assert ["h"] * 5 == [topic for topic in double.seen.topics if topic == "h"][-5:]
    assert 1 == len([record for record in caplog.records if "nobody listens" in record.getMessage()])


def test_a_limit_that_is_only_told_by_throwing_out_is_learnt(here, caplog):
    """
    A broker that names no limit and throws out who exceeds it does so once or twice, then everything goes in smaller parts.
    """
    outbox = MemoryOutbox()
    outbox.add(event_batch(1, 1, [Event("noise", 1, 1, ClockTrust.HELD, None, {"raw": random.Random(number).randbytes(1000)}) for number in range(8)]))

    def empty(sender) -> bool:
        lanes = sender._delivery.lanes
        return bool(lanes.lanes) and sender.status().connected and not any(lane.more or lane.parts for lane in lanes.lanes) and not lanes.in_flight

    async def content(sender) -> None:
        await until(lambda: empty(sender), 60)

    double = run_against(here, Habits(too_large_bytes=2500), content, outbox)
    assert 2 <= len(double.seen.connects_at_s) <= 4
    assert 4 <= double.seen.topics.count("e")
    assert 1 <= len(log_of(caplog, "at most")) <= 3


def test_commands_that_may_not_be_read_cost_nothing_else(here, caplog):
    """
    A broker that denies the topic of commands alone keeps the connection: batches go, and it is told once.
    """

    async def body(sender) -> None:
        await until(lambda: sender.status().batches_sent == 3)
        assert (True, "") == (sender.status().connected, sender.status().error_id)

    run_against(here, Habits(suback_second=0x87), body)
    assert ["uplink cloud: the broker denies egw/1/op/st/gw/d/cmd: commands of the cloud do not come through"] == log_of(caplog, "commands")
