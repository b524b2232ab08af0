"""What a line's task waits on: woken in the same turn by callbacks, later from other tasks, cancelled like any future."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop
from bus_rig import serial_bus

from edgegw.bus.arrival import Arrival
from edgegw.bus.line import SerialLine

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine on either kind of loop; one that hangs is an error."""

    def run_bounded(main):
        async def bounded():
            async with asyncio.timeout(20):
                await main

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(bounded())

    return run_bounded


async def waits(arrival, told):
    arrival.begin(asyncio.get_running_loop())
    told.append("waits")
    told.append(await arrival)


async def started(arrival, told):
    """A task that waits, and has begun to."""
    task = asyncio.create_task(waits(arrival, told))
    await asyncio.sleep(0)
    assert "waits" == told[-1]
    return task


def test_a_callback_wakes_the_task_within_its_own_turn(run):
    """When settle returns, the task has already gone on."""
    told, seen = [], []

    async def main():
        arrival = Arrival()
        task = await started(arrival, told)

        def settle():
            arrival.settle(came=True)
            seen.extend(told)

        asyncio.get_running_loop().call_soon(settle)
        await task

    run(main())
    assert ["waits", True] == seen


def test_another_task_wakes_it_in_the_next_turn(run):
    """A task cannot be entered from within another one: it is woken all the same, with the same result."""
    told, seen = [], []

    async def main():
        arrival = Arrival()
        task = await started(arrival, told)
        arrival.settle(came=False)
        seen.extend(told)
        await task

    run(main())
    assert (["waits"], ["waits", False]) == (seen, told)


def test_the_same_one_serves_wait_after_wait(run):
    """A task that waits again while it is woken is woken again."""
    told = []

    async def main():
        arrival, loop = Arrival(), asyncio.get_running_loop()

        async def again():
            for _ in range(5):
                arrival.begin(loop)
                told.append(await arrival)

        task = asyncio.create_task(again())
        for came in (True, False, True, False, True):
            await asyncio.sleep(0)
            loop.call_soon(lambda came=came: arrival.settle(came=came))
        await task

    run(main())
    assert [True, False, True, False, True] == told


def test_who_is_told_before_waiting_does_not_wait(run):
    """A wait whose time is over at once ends at once."""
    results = []

    async def main():
        arrival = Arrival()
        arrival.begin(asyncio.get_running_loop())
        asyncio.get_running_loop().call_soon(lambda: None)
        arrival.settle_soon(came=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        results.append((arrival.is_awaited, await arrival))

    run(main())
    assert [(False, True)] == results


def test_a_cancelled_wait_ends_with_its_task(run):
    """CancelledError comes out of the wait; what settles it afterwards reaches nobody."""
    told, ends = [], []

    async def main():
        arrival = Arrival()
        task = await started(arrival, told)
        task.cancel()
        asyncio.get_running_loop().call_soon(lambda: arrival.settle(came=True))
        await asyncio.wait([task])
        ends.append((task.cancelled(), arrival.is_awaited))

    run(main())
    assert ([(True, False)], ["waits"]) == (ends, told)


def test_a_task_cancelled_twice_is_cancelled_once(run):
    """The second cancel of one turn leaves nothing behind that would hit the next wait."""
    told = []

    async def main():
        arrival, loop = Arrival(), asyncio.get_running_loop()

        async def patient():
            try:
                await waits(arrival, told)
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()
                asyncio.current_task().uncancel()
                await waits(arrival, told)

        task = asyncio.create_task(patient())
        await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert arrival.is_awaited
        loop.call_soon(lambda: arrival.settle(came=True))
        await task

    run(main())
    assert ["waits", "waits", True] == told


def test_a_task_that_waits_again_while_cancelled_waits_for_the_new_one(run):
    """Cleaning up may wait on the same line; what was meant for the old wait does not end the new one."""
    told = []

    async def main():
        arrival, loop = Arrival(), asyncio.get_running_loop()

        async def cleans_up():
            try:
                await waits(arrival, told)
            finally:
                await waits(arrival, told)

        task = asyncio.create_task(cleans_up())
        await asyncio.sleep(0)
        arrival.settle_soon(came=True)
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert ["waits", "waits"] == told
        loop.call_soon(lambda: arrival.settle(came=False))
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())
    assert ["waits", "waits", False] == told


def test_settled_twice_it_is_settled_once(run):
    """The first result counts."""
    told = []

    async def main():
        arrival = Arrival()
        task = await started(arrival, told)

        def settle():
            arrival.settle_soon(came=False)
            arrival.settle(came=True)
            arrival.settle(came=False)

        asyncio.get_running_loop().call_soon(settle)
        await task
        await asyncio.sleep(0)

    run(main())
    assert ["waits", True] == told


def test_a_time_limit_around_a_wait_holds(run):
    """What asyncio does with futures it does with this one."""
    ends = []

    async def main():
        arrival = Arrival()
        arrival.begin(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(0.01):
                await arrival
        except TimeoutError:
            ends.append(arrival.is_awaited)

    run(main())
    assert [False] == ends


def test_a_loop_that_ends_takes_the_task_along(run):
    """Shutdown cancels who still waits, and does not hang."""
    told, tasks = [], []

    async def main():
        tasks.append(await started(Arrival(), told))

    run(main())
    assert (["waits"], True) == (told, tasks[0].cancelled())


def test_an_error_of_the_woken_task_is_its_own(run):
    """Whoever settled goes on; the task has the error."""
    told, errors = [], []

    async def main():
        arrival = Arrival()

        async def fails():
            await waits(arrival, told)
            raise LookupError("mine")

        task = asyncio.create_task(fails())
        await asyncio.sleep(0)

        def settle():
            arrival.settle(came=True)
            told.append("goes on")

        asyncio.get_running_loop().call_soon(settle)
        await asyncio.wait([task])
        errors.append(task.exception())

    run(main())
    assert (["waits", True, "goes on"], ["mine"]) == (told, [str(error.args[0]) for error in errors])


def test_the_deadline_of_a_line_wakes_no_earlier_and_no_second_time(run):
    """One timer serves all waits: it is left over from a longer one, moved for a shorter one, and never early."""
    late_ns = []

    async def main():
        line = SerialLine(serial_bus("none"))
        for wait_ms in (30, 3, 20, 1, 0):
            deadline_ns = time.monotonic_ns() + wait_ms * 1_000_000
            assert not await line.wait(deadline_ns)
            late_ns.append(time.monotonic_ns() - deadline_ns)

    run(main())
    assert 5 == len(late_ns)
    assert min(late_ns) >= 0
