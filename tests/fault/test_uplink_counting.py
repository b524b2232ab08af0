"""What an uplink costs, counted against an independent witness on the way, and what it holds back when the month's quota is used up."""

from __future__ import annotations

import asyncio

import pytest

from edgegw.uplink.traffic import LANES, MB
from tests.uplink_rig import MemoryOutbox, alarm, block, event_batch, no_thread_left, place, running, until

pytestmark = pytest.mark.broker


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


class Relay:
    """Passes bytes on and counts them: TLS and all, without the headers of TCP."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._tasks: list[asyncio.Task[None]] = []
        self.up = self.down = self.port = 0

    async def begin(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._tasks += [asyncio.ensure_future(self._pass(reader, far_writer, "up")), asyncio.ensure_future(self._pass(far_reader, writer, "down"))]

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str) -> None:
        try:
            while data := await source.read(65536):
                setattr(self, way, getattr(self, way) + len(data))
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        sink.close()


def test_the_counts_are_those_of_a_witness_on_the_way(here):
    """
    Lanes and overhead together are what a relay saw pass, both ways, plus TCP's headers, and every lane that was used has its share.
    """
    here.start_broker()
    here.start_receiver()
    outbox = MemoryOutbox()
    outbox.add(*[block(number, number * 100, 100) for number in range(1, 31)], *[block(number, number * 100, 10, stream=2) for number in range(31, 36)])
    outbox.add(event_batch(40, 1, [alarm(1)]))
    relay = Relay(here.port)
    counted: dict[str, tuple[int, int]] = {}

    async def go() -> None:
        await relay.begin()
        sender = here.sender(outbox, broker=f"mqtts://localhost:{relay.port}")

        async def body() -> None:
            await until(lambda: not outbox.open)
            outbox.add(block(50, 9000, 50))
            sender.wake()
            await until(lambda: not outbox.open)

        await running(sender, body)
        await relay.end()
        counted.update(sender.status().bytes_today)

    asyncio.run(go())
    up, down = (sum(lane[way] for lane in counted.values()) for way in (0, 1))
    assert relay.up < up < 1.4 * relay.up + 5000
    assert relay.down < down < 1.4 * relay.down + 5000
    assert {"event", "energy", "fresh", "backlog", "schema", "status", "receipt", "overhead"} == counted.keys()
    assert counted.keys() <= set(LANES)
    assert counted["backlog"][0] > counted["fresh"][0] > counted["event"][0] > 0
    assert counted["receipt"][0] == counted["backlog"][1] == 0


def test_a_login_that_fails_costs_too(here):
    """
    Handshakes that end in a refusal are counted: with a wrong certificate they are all that a SIM card pays for.
    """
    here.start_broker()
    sender = here.sender(MemoryOutbox(), cert_file="", cert_key_file="")

    async def body() -> None:
        await until(lambda: sender.status().error_id == "E-TLS-CLIENT-NONE")
        await until(lambda: sender.status().bytes_today)

    asyncio.run(running(sender, body))
    up, down = sender.status().bytes_today["overhead"]
    assert up > 300
    assert down > 700
    assert {"overhead"} == sender.status().bytes_today.keys()


def test_a_quota_that_is_used_up_holds_telemetry_and_lets_the_rest_pass(here):
    """
    With at_quota = "hold" events and energy go on, telemetry waits and is not lost: in the new month it comes, each row once.
    """
    here.start_broker()
    here.start_receiver()
    outbox = MemoryOutbox()
    outbox.add(block(1, 100, 10))
    sender = here.sender(outbox, quota_mb_month=1, at_quota="hold")

    async def body() -> None:
        await until(lambda: sender.status().connected and not outbox.open)
        sender.traffic.count(max(sender.traffic.days), "fresh", up=MB)
        assert sender.notices()
        outbox.add(block(2, 200, 10), block(3, 300, 10, stream=2), event_batch(4, 1, [alarm(1)]), block(5, 500, 10, stream=4))
        sender.wake()
        await until(lambda: [2] == [batch.block_id for batch in outbox.open])
        sender.traffic.days.clear()
        sender.notices()
        await until(lambda: not outbox.open, 60)

    asyncio.run(running(sender, body))
    assert not sender.holds_telemetry
    assert [(2, 10), (3, 20), (4, 10)] == here.rows("SELECT stream, count(DISTINCT seq) FROM readings GROUP BY stream")
    assert [(1,)] == here.rows("SELECT count(*) FROM events")
