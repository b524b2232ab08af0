"""DL/T 645 meters behind a serial server on a real socket that cuts and joins frames as it likes and lets answers come late: never a wrong or old value."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import NamedTuple

import pytest
from bus_rig import Polled, good, run, running
from dlt645_rig import METER, reply

from edgegw.bus.task import BusTask
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import parse_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device

OTHER = "202003000202"
# Registers of eight digits: room for the number of the request that an answer belongs to.
PROFILE = """
[profile]
name = "test"
maker = "test"
title = "test"
title_zh = "测试"
class = "meter"
protocol = "dlt645"
source = "made for the test"
[group.g]
period_s = 0.05
""" + "\n".join(
    f'[[point]]\npoint = "{point}"\ngroup = "g"\ndi = "{di}"\n'
    for point, di in {"energy.import": "00010000", "energy.export": "00020000", "energy.import.peak": "00010200"}.items()
)
DIS = ("00010000", "00020000", "00010200")
TIMEOUT_MS, GUARD_MS = 60, 300


class Asked(NamedTuple):
    address: str
    di: str
    at_ns: int


class Meters:
    """Two meters and their serial server. Each answer holds the number of its request."""

    def __init__(self, seed, deeds, delay_s=(0.07, 0.15)):
        self.asked = []
        self.connections = 0
        self.delay_s = delay_s
        self._rng = random.Random(seed)
        self._deeds = deeds
        self._held = b""
        """Bytes that are sent together with the next ones."""
        self._free_s = {}
        self._writers = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\x68")
                head = await reader.readexactly(9)
                body = await reader.readexactly(head[8] + 2)
                di = bytes((byte - 0x33) % 256 for byte in body[3::-1]).hex().upper()
                asked = Asked(head[5::-1].hex(), di, time.monotonic_ns())
                self.asked.append(asked)
                self._answer(writer, reply(di, f"{len(self.asked) - 1:08d}", asked.address), asked.address)
        writer.close()
        self._writers.discard(writer)

    def _answer(self, writer, frame, address):
        """A meter answers in order: late with one answer it is late with the next."""
        loop, rng = asyncio.get_running_loop(), self._rng
        deed = rng.choice(self._deeds)
        at_s = max(loop.time() + (rng.uniform(*self.delay_s) if deed == "late" else 0.0), self._free_s.get(address, 0.0))
        pieces = [frame]
        if deed == "cut":
            cuts = sorted(rng.sample(range(1, len(frame)), 3))
            pieces = [frame[start:end] for start, end in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
        for piece in pieces if deed != "lost" else []:
            loop.call_at(at_s, self._say, writer, piece, {"joined": 0, "joined in half": 10}.get(deed))
            self._free_s[address], at_s = at_s, at_s + 0.004

    def _say(self, writer, data, first=None):
        """`first`: so many bytes go out now, the others in one piece with whatever comes next, so too late."""
        out, self._held = self._held + data[:first], b"" if first is None else data[first:]
        if out and not writer.is_closing():
            writer.write(out)


def bus_of(server, **settings):
    return Bus(
        **{
            "name": "m",
            "kind": "rtu-over-tcp",
            "host": "127.0.0.1",
            "port": server.port,
            "baudrate": 115200,
            "answer_timeout_ms": TIMEOUT_MS,
            "late_answer_guard_ms": GUARD_MS,
            **settings,
        }
    )


def plans_of(bus):
    profile = parse_profile(PROFILE, "test.toml")
    devices = [Device(code=code, bus="m", address=address, profile="test") for code, address in (("M1", METER), ("M2", OTHER))]
    return [plan_device(device, profile, line_facts(bus), 1 + 10 * n) for n, device in enumerate(devices)]


def is_own(reading, asked):
    """Whether this good reading is the answer to the newest question for just this, of just this meter."""
    wanted = {"M1": METER, "M2": OTHER}[reading.source.device], DIS[(reading.source.source_id - 1) % 10]
    return reading.values[0] == max(n for n, one in enumerate(asked) if (one.address, one.di) == wanted)


async def polled_of(server, wanted):
    """The task, and the readings that were wrong, when so many good ones of each meter are there."""
    bus, polled, wrong = bus_of(server), Polled(), []

    def told(reading):
        polled(reading)
        if not reading.quality and not is_own(reading, server.asked):
            wrong.append((reading, server.asked[-1]))

    task = BusTask(bus, plans_of(bus), polled.clock, told)
    async with running(task):
        await polled.until(lambda: min(len(good(polled.of("M1"))), len(good(polled.of("M2")))) >= wanted)
    return task, wrong


@pytest.mark.parametrize(
    ("deeds", "counter"),
    [
        (["honest", "cut"], ""),
        (["honest"] * 6 + ["joined", "joined in half"], "late"),
        (["honest"] * 10 + ["late", "lost"], "late"),
        (["honest"] * 14 + ["cut", "cut", "joined", "joined in half", "late", "late", "lost"], "late"),
    ],
    ids=["cut", "joined", "late", "all"],
)
def test_two_meters_behind_a_serial_server_that_cuts_joins_and_delays(deeds, counter):
    """Each value is the answer to the very question for it; both meters share one connection; what came too late is counted."""

    async def main():
        async with Meters(7, deeds) as server:
            task, wrong = await polled_of(server, 30)
            assert [] == wrong
            assert (1, 1) == (server.connections, task.statistics.opened)
            total = task.statistics.total
            assert (bool(counter), bool(counter)) == (total("timed_out") > 0, total("late") + total("foreign") > 0)
            assert total("asked") == total("answered") + total("timed_out")

    run(main())


def test_the_first_question_waits_for_the_connect_delay_and_each_for_the_gap():
    """Serial servers that are not ready at once, and lines that want a pause: never a question before its time, after a new connection either."""

    async def main():
        async with Meters(1, ["honest"]) as server:
            bus, polled = bus_of(server, connect_delay_ms=250, gap_ms=70, answer_timeout_ms=300), Polled()
            task = BusTask(bus, plans_of(bus), polled.clock, polled)
            started_ns = time.monotonic_ns()
            async with running(task):
                await polled.until(lambda: len(server.asked) > 8)
                assert server.asked[0].at_ns - started_ns >= 250 * 10**6
                gaps_ms = [(after.at_ns - before.at_ns) / 1e6 for before, after in zip(server.asked[:8], server.asked[1:9], strict=True)]
                assert min(gaps_ms) >= 70
                count, closed_ns = len(server.asked), time.monotonic_ns()
                for writer in list(server._writers):
                    writer.close()
                await polled.until(lambda: server.connections == 2 and len(server.asked) > count + 2)
                again = next(asked for asked in server.asked if asked.at_ns > closed_ns + 100 * 10**6)
                assert again.at_ns - closed_ns >= 250 * 10**6

    run(main())
