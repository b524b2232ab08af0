"""The real store behind the real sender: what a connection took for lost goes again, whole and in its place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.model import Batch
from edgegw.uplink.keys import load_uplink_keys
from edgegw.uplink.lanes import Lanes
from edgegw.uplink.sender import Sender
from tests.broker_double import BrokerDouble, Habits
from tests.uplink_rig import GATEWAY, SOURCE, MemoryOutbox, Place, alarm, block, event_batch, no_thread_left, place, running, until


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
    """Its schema document does not compress."""

    document_bytes = 0

    async def schema_document(self, schema: bytes) -> bytes | None:
        return random.Random(645).randbytes(self.document_bytes)


@pytest.mark.broker
@pytest.mark.parametrize("document_bytes", [2_000, 20_000])
def test_a_schema_document_too_large_for_the_broker_holds_up_no_alarm(here, document_bytes):
    """
    Where the broker's packets, or any message, are too small for the schema document, the readings stay in the store, that is told, and alarms go on.
    """
    outbox = WideOutbox()
    outbox.document_bytes = document_bytes
    outbox.add(block(1, 1, 2), event_batch(2, 1, [alarm(1)]))
    here.start_broker("max_packet_size 700")
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: sender.status().error_id == "E-MQTT-SIZE")
        outbox.add(event_batch(3, 2, [alarm(2)]))
        sender.wake()
        await until(lambda: len(outbox.open) == 1)
        assert 1 == sender.status().connections

    asyncio.run(running(sender, body))
    assert [1] == [batch.block_id for batch in outbox.open]
