"""A bad link between gateway and broker: cut, stalled, slow and far, over a proxy and a real mosquitto; nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.proxy import Proxy
from tests.uplink_rig import MemoryOutbox, alarm, block, event_batch, no_thread_left, place, running, until

pytestmark = pytest.mark.broker


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def backlog(count: int) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(*[block(number, 1 + (number - 1) * 20, 20) for number in range(1, count + 1)])
    return outbox


def stored(here) -> tuple[int, int]:
    """(rows, wrong rows) in the receiver's database."""
    wrong = "point = 'phase_voltage.a' AND abs(value - (2200 + seq) / 10.0) > 1e-9"
    ((rows, bad),) = here.rows(f"SELECT count(*), coalesce(sum({wrong}), 0) FROM readings")
    return rows, bad


def test_a_link_of_300_ms_carries_everything(here):
    """
    With 300 ms each way everything arrives once over one connection, and an alarm overtakes the backlog.
    """
    outbox = backlog(60)
    here.start_broker()
    here.start_receiver()
    with Proxy(here.port, delay_s=0.3) as link:
        sender = here.sender(outbox, broker=f"mqtts://localhost:{link.port}")

        async def body() -> None:
            await until(lambda: sender.status().batches_sent >= 4)
            outbox.add(event_batch(1000, 1, [alarm(1)]))
            sender.wake()
            await until(lambda: not outbox.open, 60)
            assert (1, "") == (sender.status().connections, sender.status().error_id)

        asyncio.run(running(sender, body))
    assert (60 * 20 * 3, 0) == stored(here)
    kinds = [kind for (kind,) in here.rows("SELECT topic_kind FROM batches ORDER BY arrival")]
    assert kinds.index("e") < len(kinds) - 20
    assert 61 == len(kinds)


def test_a_link_that_is_cut_again_and_again_loses_nothing(here):
    """
    Cut at random moments while a backlog drains, the link is made anew each time and every row arrives once.
    """
    outbox = backlog(400)
    here.start_broker()
    here.start_receiver()
    chance = random.Random(11)
    with Proxy(here.port, delay_s=0.02) as link:
        sender = here.sender(outbox, broker=f"mqtts://localhost:{link.port}", backlog_batches_per_s=40.0)

        async def body() -> None:
            for _ in range(3):
                connections = sender.status().connections
                await until(lambda connections=connections: sender.status().connections > connections or sender.status().connected)
                sent = sender.status().batches_sent
                await until(lambda sent=sent: sender.status().batches_sent > sent + chance.randrange(5, 20) or not outbox.open)
                link.cut()
                await until(lambda: not sender.status().connected)
            await until(lambda: not outbox.open, 60)

        asyncio.run(running(sender, body))
        assert 4 <= sender.status().connections
    assert (400 * 20 * 3, 0) == stored(here)


def test_a_link_that_stands_still_is_left_and_made_anew(here):
    """
    A link that stands but carries nothing is given up at the PUBACK's deadline, and the next one delivers what was under way.
    """
    outbox = backlog(2)
    here.start_broker()
    here.start_receiver()
    with Proxy(here.port) as link:
        sender = here.sender(outbox, broker=f"mqtts://localhost:{link.port}", puback_timeout_s=1.0)

        async def body() -> None:
            await until(lambda: not outbox.open)
            link.stalled.set()
            outbox.add(*[block(number, 1 + (number - 1) * 20, 20) for number in range(3, 6)])
            sender.wake()
            await until(lambda: sender.status().error_id == "E-MQTT-PUBACK")
            link.stalled.clear()
            await until(lambda: not outbox.open, 60)

        asyncio.run(running(sender, body))
        assert 2 <= sender.status().connections
    assert (5 * 20 * 3, 0) == stored(here)
