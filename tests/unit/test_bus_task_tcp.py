"""The bus task on real sockets: servers that close, go away, or never answer."""

from __future__ import annotations

import asyncio
import logging

from bus_rig import FAST, ROWS, Polled, TcpDevice, good, run, running, tcp_answer, tcp_bus
from modbus_rig import plan_of, profile_of

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
