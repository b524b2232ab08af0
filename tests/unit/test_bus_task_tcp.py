"""The bus task on real sockets: servers that close, go away, or never answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from itertools import pairwise

import pytest
from bus_rig import FAST, ROWS, Polled, TcpDevice, good, run, running, tcp_answer, tcp_bus
from modbus_rig import answer_frame, plan_of, profile_of

from edgegw.bus.task import BusTask


def task_of(bus, polled):
    return BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)


def numbered(number, unit, function, _address, count):
    return tcp_answer(number, unit, function, (number.to_bytes(4, "big") * count)[: 2 * count])


def test_a_server_that_closes_after_each_answer_is_no_fault(caplog):
    """The connection is made new for the next question, without an offline reading or a line in the log."""
    caplog.set_level(logging.INFO, "edgegw.bus")
    polled = Polled()

    async def main():
        async with TcpDevice(lambda *asked: [(0, numbered(*asked))]) as server:
            server.close_after_answer = True
            task = task_of(tcp_bus(server.port), polled)
            async with running(task):
                await polled.until(lambda: len(polled.readings) > 10)
            assert server.connections >= 10

    run(main())
    assert ([], []) == ([reading for reading in polled.readings if reading.quality], caplog.records)


def test_all_units_of_a_server_share_one_connection():
    """Many servers have room for one client only; the units behind them are asked in turn on it."""
    polled = Polled()

    async def main():
        async with TcpDevice(lambda *asked: [(0, numbered(*asked))]) as server:
            bus = tcp_bus(server.port)
            task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus, unit, first=unit) for unit in range(1, 9)], polled.clock, polled)
            async with running(task):
                await polled.until(lambda: all(len(good(polled.of(f"D{unit}"))) > 3 for unit in range(1, 9)))
            assert (1, 1) == (server.connections, task.statistics.opened)

    run(main())
    assert [] == [reading for reading in polled.readings if reading.quality]


@pytest.mark.parametrize("kind", ["tcp", "rtu-over-tcp"])
def test_the_connect_delay_and_the_gap_are_kept(kind):
    """No question comes before its time: neither the first on a connection, nor the one behind an answer."""
    polled = Polled()
    asked_ns = []

    def note(*asked):
        asked_ns.append(time.monotonic_ns())
        return [(0, numbered(*asked))]

    async def main():
        async with TcpDevice(note, rtu=kind != "tcp") as server:
            bus = tcp_bus(server.port, kind=kind, connect_delay_ms=200, gap_ms=60)
            plans = [plan_of(profile_of(ROWS, group=FAST), bus, unit, first=unit) for unit in (1, 2)]
            started_ns = time.monotonic_ns()
            async with running(BusTask(bus, plans, polled.clock, polled)):
                await polled.until(lambda: len(asked_ns) > 8)
                assert asked_ns[0] - started_ns >= 200 * 10**6
                assert min(after - before for before, after in pairwise(asked_ns)) >= 60 * 10**6
            assert 1 == server.connections

    run(main())
    assert [] == [reading for reading in polled.readings if reading.quality]


def test_a_server_that_goes_and_comes_is_found_again():
    """While it is away the readings say offline a few times, then nothing; when it is back polling goes on."""
    polled = Polled()

    async def main():
        server = TcpDevice(lambda *asked: [(0, numbered(*asked))])
        await server.listen()
        task = task_of(tcp_bus(server.port), polled)
        async with running(task):
            await polled.until(lambda: len(good(polled.readings)) > 3)
            await server.stop()
            await polled.until(lambda: not task.is_up)
            count = len(good(polled.readings))
            async with server:
                await polled.until(lambda: len(good(polled.readings)) > count + 3)

    run(main())
    assert 1 <= len(polled.readings) - len(good(polled.readings)) <= 5


def test_a_server_that_accepts_and_never_answers_is_bounded():
    """It is asked three times, then probed once a second."""
    polled = Polled()
    asked = []

    async def main():
        async with TcpDevice(lambda *question: asked.append(question) or []) as server:
            task = task_of(tcp_bus(server.port, answer_timeout_ms=30), polled)
            async with running(task):
                await polled.until(lambda: task.silent_devices)
                seen = len(asked)
                await asyncio.sleep(0.3)
                assert len(asked) <= seen + 1

    run(main())
    assert 3 == len(polled.readings)


class Fickle:
    """A serial server that drops its client under every seventh request; the device behind it answers all the same, on the connection that is there then."""

    def __init__(self):
        self.asked = []
        self._count = 0
        self._now = None

    async def __call__(self, reader, writer):
        self._now = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                frame = await reader.readexactly(8)
                self.asked.append((time.monotonic_ns(), int.from_bytes(frame[2:4], "big")))
                data = (len(self.asked) - 1).to_bytes(4, "big")
                drops = len(self.asked) % 7 == 0
                asyncio.get_running_loop().call_later(0.03 if drops else 0.0, self._answer, answer_frame(frame[0], frame[1], data))
                if drops:
                    break
        writer.close()

    def _answer(self, frame):
        if not self._now.is_closing():
            self._now.write(frame)


def test_an_answer_on_the_next_connection_is_taken_for_no_other(caplog):
    """A question that was under way when its connection broke is not asked anew before its first answer can no longer come: no answer comes twice."""
    polled = Polled()
    device = Fickle()
    rows = "\n".join(f"alarm_word.{n + 1}, address = {1000 * n}; type = 'u32'" for n in range(4))

    async def main():
        async with await asyncio.start_server(device, "127.0.0.1", 0) as server:
            bus = tcp_bus(server.sockets[0].getsockname()[1], kind="rtu-over-tcp", late_answer_guard_ms=100)
            async with running(BusTask(bus, [plan_of(profile_of(rows, group=FAST), bus)], polled.clock, polled)):
                await polled.until(lambda: len(good(polled.readings)) > 60)

    run(main())
    groups = {"g": 0, "g.2": 1000, "g.3": 2000, "g.4": 3000}
    assert [] == [r.source.group for r in good(polled.readings) if groups[r.source.group] != device.asked[r.values[0]][1]]
    ages_ms = [r.mono_ms - polled.clock.mono_ms(device.asked[r.values[0]][0]) for r in good(polled.readings)]
    assert max(ages_ms) <= 30
    assert "answers twice" not in caplog.text
