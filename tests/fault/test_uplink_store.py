"""The real store behind the real sender: what a connection took for lost goes again, whole and in its place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import msgspec
import pytest

from edgegw.block import encode_block, encode_schema, schema_hash
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.model import Batch, Identity, Point
from edgegw.uplink.keys import load_uplink_keys
from edgegw.uplink.lanes import Lanes
from edgegw.uplink.sender import Sender
from tests.broker_double import BrokerDouble, Habits
from tests.uplink_rig import EPOCH, GATEWAY, SOURCE, MemoryOutbox, Place, alarm, block, event_batch, no_thread_left, place, readings, running, until


@pytest.fixture
def here(tmp_path) -> Iterator[Place]:
    with no_thread_left(), place(tmp_path) as made:
        yield made


@pytest.mark.broker
def test_events_that_nobody_heard_all_come_again(here):
    """
    Five alarms that went out as one batch while nobody listened are all delivered, on the same connection, when the receiver comes.
    """
    clock = Clock()
    store = Buffer.open(here.directory / "store", clock, Store(), [SOURCE], ["cloud"], lambda _: None)
    uplink = here.uplink(receipt_timeout_s=2.0)
    sender = Sender(uplink, GATEWAY, load_uplink_keys(uplink, str(here.directory / "state")), store, clock)
    here.start_broker()

    async def body() -> None:
        await until(lambda: sender.status().error_id == "E-CLOUD-RECEIVER")
        await asyncio.to_thread(here.start_receiver)
        await until(lambda: store.status().unsent["cloud"].events == 0)
        assert 1 == sender.status().connections

    store.accept((), [alarm(number) for number in range(1, 6)])
    asyncio.run(running(sender, body))
    store.close()
    assert [(1,), (2,), (3,), (4,), (5,)] == here.rows("SELECT seq FROM events")


@pytest.mark.broker
def test_what_a_disk_did_not_take_is_marked_at_the_receiver(here):
    """
    Readings and alarms of a gateway whose file cannot be opened arrive from memory, marked; once it can, they are confirmed, and nothing is there twice.
    """
    clock = Clock()
    wakers: list[Callable[[frozenset[int]], None]] = []
    blocked = here.directory / "store" / "edgegw.db"
    blocked.mkdir(parents=True)
    store = Buffer.open(blocked.parent, clock, Store(window_idle_s=0.05), [SOURCE], ["cloud"], lambda told: [wake(told) for wake in wakers], may_wait=True)
    uplink = here.uplink(receipt_timeout_s=2.0)
    sender = Sender(uplink, GATEWAY, load_uplink_keys(uplink, str(here.directory / "state")), store, clock)
    here.start_broker()
    here.start_receiver()

    async def body() -> None:
        loop = asyncio.get_running_loop()
        wakers.append(lambda told: loop.call_soon_threadsafe(sender.wake, told))
        store.accept(readings(5), [alarm(1)])
        await until(lambda: here.rows("SELECT sum(volatile) FROM batches WHERE stream = 1") and len(here.rows("SELECT DISTINCT seq FROM readings")) == 5)
        blocked.rmdir()
        await until(lambda: store.status().writing, 60)
        store.accept(readings(3, 5))
        await until(lambda: not any((store.status().unsent["cloud"].values, store.status().unsent["cloud"].events)), 60)

    try:
        asyncio.run(running(sender, body))
    finally:
        store.close()
    assert [(8, 1)] == here.rows("SELECT count(DISTINCT seq), (SELECT count(*) FROM events WHERE kind = 'alarm') FROM readings")
    assert [(0,), (1,)] == here.rows("SELECT DISTINCT volatile FROM batches ORDER BY 1")
    assert [] == here.rows("SELECT reason FROM refused")


class SlowOutbox(MemoryOutbox):
    """Answers the question for the batch behind `after` only when `may_answer` is set."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self._after = after

    async def next_batch(self, uplink, streams, after, up_to=None) -> Batch | None:
        found = await super().next_batch(uplink, streams, after, up_to)
        if after == self._after:
            await self.may_answer.wait()
        return found


def test_a_batch_lost_while_the_store_is_asked_is_not_passed_over(here):
    """
    When the broker says of one batch that nobody listens while the store looks for the next, the lane goes back to it all the same.
    """

    outbox = SlowOutbox(after=1)
    outbox.add(*[event_batch(number, number, [alarm(number)]) for number in range(1, 4)])

    def delivered(lanes: Lanes) -> list[int]:
        return sorted(sent.block_id for sent in lanes.waiting.values() if sent.acked_at_s and not sent.again)

    async def go(double: BrokerDouble) -> None:
        sender = here.sender(outbox, broker=f"mqtt://127.0.0.1:{double.port}", receipt_timeout_s=60.0)
        lanes = sender._delivery.lanes

        async def body() -> None:
            await until(lambda: any(sent.again for sent in lanes.waiting.values()))
            double.habits.puback = 0
            outbox.may_answer.set()
            await until(lambda: len(delivered(lanes)) == 3)

        await running(sender, body)
        assert [1, 2, 3] == delivered(lanes)

    with BrokerDouble(Habits(puback=0x10)) as double:
        asyncio.run(go(double))


class WideOutbox(MemoryOutbox):
    """Its blocks name a schema document of some size, which does not compress."""

    def __init__(self, document_bytes: int) -> None:
        super().__init__()
        chance = random.Random(645)
        others = [
            msgspec.structs.replace(SOURCE, source_id=number, points=(Point(chance.randbytes(24).hex(), 0, "1", "state"),))
            for number in range(100, 100 + document_bytes // 50)
        ]
        self.document = encode_schema([SOURCE, *others])
        self.schema = schema_hash(self.document)

    def block(self, block_id: int, first: int, count: int) -> Batch:
        return Batch(block_id, Identity(EPOCH, 3, first, first + count - 1), self.schema, encode_block(self.schema, readings(count, first)), count * 3)

    async def schema_document(self, schema: bytes) -> bytes | None:
        return self.document if schema == self.schema else None


@pytest.mark.broker
@pytest.mark.parametrize(
    ("settings", "document_bytes", "connections"),
    [("max_packet_size 700", 2_000, 1), ("max_packet_size 700", 20_000, 1), ("", 40_000, 1), ("message_size_limit 3000", 6_000, 3)],
)
def test_a_schema_document_larger_than_a_message_goes_in_parts(here, settings, document_bytes, connections):
    """
    Where the broker's packets, or any message, are too small for the schema document, it goes in parts, and its readings arrive with the alarms.
    """
    outbox = WideOutbox(document_bytes)
    outbox.add(outbox.block(1, 1, 20), event_batch(2, 1, [alarm(1)]))
    here.start_broker(settings)
    here.start_receiver()
    seen = here.listen("egw/#")
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not outbox.open, 60)
        outbox.add(outbox.block(3, 21, 5))
        sender.wake()
        await until(lambda: not outbox.open, 60)
        assert ("", connections) == (sender.status().error_id, sender.status().connections)

    asyncio.run(running(sender, body))
    seen.close()
    kinds = [topic.rsplit("/", 1)[1] for topic in seen.topics]
    assert kinds.count("m") > 1
    assert [(25, 1)] == here.rows("SELECT count(DISTINCT seq), (SELECT count(*) FROM events) FROM readings")
    assert [(outbox.schema, outbox.document)] == here.rows("SELECT schema, document FROM schemas")
    assert [] == here.rows("SELECT schema FROM schema_part")


def test_a_limit_that_is_learnt_on_the_schema_document_cuts_it(here):
    """
    A broker that names no limit and throws out whoever sends it a large schema document gets it in parts after one or two connections.
    """
    outbox = WideOutbox(6_000)
    outbox.add(outbox.block(1, 1, 20))

    async def go(double: BrokerDouble) -> None:
        sender = here.sender(outbox, broker=f"mqtt://127.0.0.1:{double.port}")

        async def body() -> None:
            await until(lambda: double.seen.topics[-1:] == ["h"] and sender.status().in_flight == 0, 60)

        await running(sender, body)

    with BrokerDouble(Habits(too_large_bytes=2500)) as double:
        asyncio.run(go(double))
    assert 2 <= len(double.seen.connects_at_s) <= 4
    assert 4 <= double.seen.topics.count("m")


def test_a_document_that_nobody_heard_goes_again_with_what_names_it(here):
    """
    A receiver that comes between a schema document and the batch behind it parks the batch: both go again after a second, not after the receipt's time.
    """
    outbox = MemoryOutbox()
    outbox.add(block(1, 1, 10))

    async def go(double: BrokerDouble) -> None:
        sender = here.sender(outbox, broker=f"mqtt://127.0.0.1:{double.port}", receipt_timeout_s=3600.0)

        async def body() -> None:
            await until(lambda: double.seen.topics.count("h") == 1)
            double.habits.unheard_topics = ""
            await until(lambda: double.seen.topics.count("h") == 2)
            await until(lambda: sender.status().in_flight == 0)

        await running(sender, body)

    with BrokerDouble(Habits(unheard_topics="m")) as double:
        asyncio.run(go(double))
    assert ["m", "h", "m", "h"] == [topic for topic in double.seen.topics if topic != "s"]
