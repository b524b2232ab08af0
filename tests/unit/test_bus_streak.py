"""Polls in a row on Modbus TCP by callbacks: what is asked, proven, counted and told is what the task alone would ask, prove, count and tell."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter

import msgspec
import pytest
from bus_rig import FAST, ROWS, TcpDevice, good, run, running, tcp_answer, tcp_bus
from modbus_rig import plan_of, profile_of
from test_bus_ten_thousand import TCP_DEEDS, TcpPeer
from virtual_time import MS, VirtualLine, run_virtual

from edgegw.bus import task as task_module
from edgegw.bus.outbox import Outbox
from edgegw.bus.task import BusTask
from edgegw.clock import Clock
from edgegw.model import Quality

TIMEOUT_MS = 50
SLOW = "[group.g]\nperiod_s = 3600\n"


class Bench:
    """One bus on a virtual line."""

    def __init__(self, monkeypatch, behave, *plans, group=FAST, **settings):
        self.bus = tcp_bus(502, **{"answer_timeout_ms": TIMEOUT_MS, **settings})
        self.line = VirtualLine(self.bus, behave)
        self.readings = []
        self.clock = Clock()
        self.on_reading = self.readings.append
        monkeypatch.setattr(task_module, "make_line", lambda _bus: self.line)
        units = plans or (1,)
        self.plans = [plan_of(profile_of(ROWS, group=group), self.bus, unit, first=unit) for unit in units]
        self.task = BusTask(self.bus, self.plans, self.clock, self._tell)
        self.turns = 0
        turn = self.task._turn

        async def counted(now_ms):
            self.turns += 1
            await turn(now_ms)

        self.task._turn = counted

    def _tell(self, reading):
        self.on_reading(reading)

    def total(self, name):
        return self.task.statistics.total(name)


def honest(asked):
    return [(0.002, tcp_answer(asked.number, asked.unit, asked.function, asked.data()))]


async def passed(seconds):
    """Virtual time."""
    await asyncio.sleep(seconds)


def test_good_answers_wake_no_task(monkeypatch):
    """Ten seconds of polls at 20 ms: each is counted, traced and told, and the task itself turned some few times only."""

    async def main():
        bench = Bench(monkeypatch, honest)
        async with running(bench.task):
            await passed(10)
            told = [reading.values for reading in bench.readings]
            asked = [(each.number,) * 3 for each in bench.line.asked]
            assert 500 <= len(told) <= 502
            assert asked[: len(told)] == told
            assert bench.turns < 10
            assert (len(told), 0) == (bench.total("answered"), bench.total("timed_out"))
            assert 0 <= bench.clock.mono_ms() - bench.task.checkpoint_ms <= 20
            kinds = [frame.kind for frame in bench.task.statistics.trace.since(0, 100).frames if frame.kind != "opened"]
            assert kinds[-8:] in (["question", "answer"] * 4, ["answer", "question"] * 4)
            late_ms = {reading.mono_ms - due for reading, due in zip(bench.readings[1:], range(20, 10_000, 20), strict=False)}
            assert late_ms <= {2, 3}

    run_virtual(monkeypatch, main)


@pytest.mark.parametrize("seed", [11, 12])
def test_no_value_is_wrong_whatever_the_peer_does(monkeypatch, seed):
    """Thousands of polls of two units with a peer that does all that servers have been seen to do: every value is that of the request before it."""
    peer = TcpPeer(seed)
    did: Counter[str] = Counter()

    late_ns = [0]

    def behave(asked):
        peer.deed = peer.rng.choice(["honest"] * 12 + sorted(TCP_DEEDS))
        if peer.deed == "in pieces" and asked.at_ns < late_ns[0] + 250 * MS:
            peer.deed = "honest"  # No server writes one frame into the middle of another.
        if peer.deed == "late":
            late_ns[0] = asked.at_ns
        did[peer.deed] += 1
        return peer(asked)

    async def main():
        bench = Bench(monkeypatch, behave, 1, 2)
        bench.line.fails = peer.refuses

        def check(reading):
            bench.readings.append(reading)
            if not reading.quality:
                assert (bench.line.asked[-1].number,) * 3 == reading.values
                assert bench.line.asked[-1].unit == int(reading.source.device[1:])
            else:
                assert {None} == set(reading.values)

        bench.on_reading = check
        async with running(bench.task):
            await passed(400)
        assert bench.total("asked") == bench.total("answered") + bench.total("timed_out")
        assert len(bench.line.asked) == bench.total("asked")
        assert len(good(bench.readings)) > 2500
        assert bench.total("answered") - bench.total("exceptions") >= len(good(bench.readings))
        for counter, deed in {"late": "other id before", "foreign": "other unit", "exceptions": "path"}.items():
            assert bench.total(counter) >= 0.7 * did[deed]

    run_virtual(monkeypatch, main)
    assert set(TCP_DEEDS) == set(did)


def test_an_answer_in_pieces_and_one_in_time_are_taken(monkeypatch):
    """The task takes over the question under way, and nothing is asked twice."""

    def behave(asked):
        frame = tcp_answer(asked.number, asked.unit, asked.function, asked.data())
        return [(0.001 * k, frame[k - 1 : k]) for k in range(1, len(frame) + 1)] if asked.number % 3 == 0 else [(0.045, frame)]

    async def main():
        bench = Bench(monkeypatch, behave)
        async with running(bench.task):
            await passed(5)
        assert [(each.number,) * 3 for each in bench.line.asked] == [reading.values for reading in bench.readings]
        assert bench.total("asked") == bench.total("answered")

    run_virtual(monkeypatch, main)


def test_a_question_without_answer_ends_at_its_deadline(monkeypatch):
    """Offline is told when the time-out is over, not before and not later; the slot that is over by then is asked at once."""
    ends = []

    def behave(asked):
        return [] if asked.number == 10 else honest(asked)

    async def main():
        bench = Bench(monkeypatch, behave, answer_timeout_ms=70)
        async with running(bench.task):
            await passed(2)
        (lost,) = [reading for reading in bench.readings if reading.quality]
        asked_ms = bench.clock.mono_ms(bench.line.asked[9].at_ns)
        ends.append((lost.mono_ms - asked_ms, set(lost.quality.values())))
        # It is at most one slot behind.
        assert 70 == bench.clock.mono_ms(bench.line.asked[10].at_ns) - asked_ms
        busy_ns = bench.task.statistics.busy_ns
        assert 70 * MS <= busy_ns - 2 * MS * bench.total("answered") <= 75 * MS

    run_virtual(monkeypatch, main)
    assert [(70, {Quality.OFFLINE})] == ends


def test_a_technician_is_served_while_nothing_is_due(monkeypatch):
    """A read wakes the bus out of its pause, and polling goes on by the grid."""

    async def main():
        bench = Bench(monkeypatch, honest, group=SLOW)
        async with running(bench.task):
            await passed(10.5)
            started_ms = bench.clock.mono_ms()
            (reading,) = await bench.task.ask_now("D1")
            assert bench.clock.mono_ms() - started_ms <= 3
            assert [reading] == bench.readings[1:]
            assert bench.task.ask_again_soon(1)
            await passed(0.01)
            assert 3 == len(bench.readings)

    run_virtual(monkeypatch, main)


def test_a_technician_is_served_between_polls_that_never_pause(monkeypatch):
    """Where the next poll is always due a read still gets its turn."""

    async def main():
        bench = Bench(monkeypatch, honest, group="[group.g]\nperiod_s = 0.001\n")
        async with running(bench.task):
            await passed(1)
            before = len(bench.readings)
            readings = await asyncio.wait_for(bench.task.ask_now("D1"), 1)
            assert 1 == len(readings)
            assert len(bench.readings) - before < 40

    run_virtual(monkeypatch, main)


def test_being_cancelled_the_question_under_way_is_finished(monkeypatch):
    """On TCP as on RTU: the answer that comes is told, nothing more is asked; cancelled again it ends at once."""
    seen = []

    def behave(asked):
        return [(0.03, tcp_answer(asked.number, asked.unit, asked.function, asked.data()))]

    async def main():
        for cancels in (1, 2):
            bench = Bench(monkeypatch, behave)
            task = asyncio.create_task(bench.task.run())
            await passed(0.5)
            while len(bench.line.asked) == len(bench.readings):
                await passed(0.001)
            for _ in range(cancels):
                task.cancel()
                await passed(0.001)
            at_ms = bench.clock.mono_ms()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            seen.append((len(bench.line.asked) - len(bench.readings), bench.clock.mono_ms() - at_ms > 1, bench.line.is_open))

    run_virtual(monkeypatch, main)
    assert [(0, True, False), (1, False, False)] == seen


def test_what_was_given_up_is_asked_anew(monkeypatch):
    """A bus that was ended in the middle of a question and begins again does not wait for that one's answer."""

    async def main():
        bench = Bench(monkeypatch, lambda asked: [(0.03, honest(asked)[0][1])])
        task = asyncio.create_task(bench.task.run())
        await passed(0.5)
        while len(bench.line.asked) == len(bench.readings):
            await passed(0.001)
        for _ in range(2):
            task.cancel()
            await passed(0)
        await asyncio.wait([task])
        bench.readings.clear()
        before = len(bench.line.asked)
        async with running(bench.task):
            (reading,) = await bench.task.ask_now("D1")
        assert (before + 1,) * 3 == reading.values
        assert 0 == bench.total("timed_out")

    run_virtual(monkeypatch, main)


def test_being_cancelled_in_a_pause_it_ends_at_once(monkeypatch):
    """Nothing is under way and nothing is waited for."""

    async def main():
        bench = Bench(monkeypatch, honest, group=SLOW)
        task = asyncio.create_task(bench.task.run())
        await passed(5.3)
        at_ms = bench.clock.mono_ms()
        task.cancel()
        await asyncio.wait([task])
        assert (True, False) == (task.cancelled(), bench.line.is_open)
        assert bench.clock.mono_ms() - at_ms <= 1
        assert 1 == len(bench.readings)

    run_virtual(monkeypatch, main)


def test_a_mistake_in_a_callback_ends_the_bus_task(caplog):
    """Its supervisor has to learn of it: the error comes out of `run`, and the line is given back."""
    caplog.set_level(logging.CRITICAL, "asyncio")

    async def main():
        async with TcpDevice(lambda *asked: [(0, tcp_answer(*asked[:3], bytes(2 * asked[4])))]) as server:
            bus = tcp_bus(server.port)
            count = 0

            def fails(_reading):
                nonlocal count
                count += 1
                if count == 5:
                    raise LookupError("a mistake")

            task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], Clock(), fails)
            with pytest.raises(LookupError, match="a mistake"):
                await task.run()
            assert (False, 5) == (task.line.is_open, count)

    run(main())


def test_what_might_change_a_device_is_not_sent(monkeypatch):
    """A profile or driver that builds a write is refused poll by poll, and not a byte of it leaves."""

    async def main():
        bench = Bench(monkeypatch, honest)
        (planned,) = bench.plans[0].sources
        written = msgspec.structs.replace(planned.questions[0], payload=bytes.fromhex("00000006010600010003"))
        bench.task._schedule.slots[0].planned = msgspec.structs.replace(planned, questions=(written,))
        async with running(bench.task):
            await passed(5)
        assert ([], 0) == (bench.line.asked, bench.total("asked"))
        assert bench.total("withheld") >= 1
        assert {Quality.REFUSED} == {code for reading in bench.readings for code in reading.quality.values()}

    run_virtual(monkeypatch, main)


def test_what_nobody_asked_for_is_no_answer(monkeypatch):
    """A frame that comes while nothing is asked is counted with the next question, also one that bears the number of the last."""

    async def main():
        bench = Bench(monkeypatch, honest, group="[group.g]\nperiod_s = 1\n")
        async with running(bench.task):
            await passed(3.5)
            last = bench.line.asked[-1]
            bench.line.take(tcp_answer(last.number, 1, 3, bytes(12)))
            await passed(3)
        assert 1 == bench.total("late")
        assert [(each.number,) * 3 for each in bench.line.asked] == [reading.values for reading in bench.readings]

    run_virtual(monkeypatch, main)


def test_a_connection_that_closes_under_a_question_is_made_new(monkeypatch):
    """The poll is answered on the new connection; one that closes in the pause is opened for the next poll."""

    async def main():
        bench = Bench(monkeypatch, lambda asked: [(0.001, b"")] if asked.number == 5 else honest(asked), group="[group.g]\nperiod_s = 1\n")
        async with running(bench.task):
            await passed(7.5)
            bench.line.hang_up()
            await passed(5)
        assert [] == [reading for reading in bench.readings if reading.quality]
        assert (3, 1, 13) == (bench.task.statistics.opened, bench.total("timed_out"), len(bench.readings))

    run_virtual(monkeypatch, main)


def test_what_is_put_into_the_outbox_leaves_in_one_turn():
    """In order; one that fails costs the others nothing."""
    sent, faults = [], []

    def fails():
        raise OSError("gone")

    async def main():
        loop, outbox = asyncio.get_running_loop(), Outbox()
        loop.set_exception_handler(lambda _loop, context: faults.append(str(context["exception"])))
        for send in (lambda: sent.append(1), fails, lambda: sent.append(2), lambda: sent.append(3)):
            outbox.add(send, loop)
        assert [] == sent
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        outbox.add(lambda: sent.append(4), loop)
        await asyncio.sleep(0)

    run(main())
    assert ([1, 2, 3, 4], ["gone"]) == (sent, faults)


def test_questions_that_are_due_together_leave_together(monkeypatch):
    """Ten buses whose answers come in one turn: all are told, then all that is due next is asked."""
    told = []

    def behave(asked):
        told.append("asked")
        return honest(asked)

    async def main():
        benches = [Bench(monkeypatch, behave, group="[group.g]\nperiod_s = 0.001\n") for _ in range(10)]
        for bench in benches:
            bench.on_reading = lambda _reading: told.append("told")
        async with running(*(bench.task for bench in benches)):
            await passed(0.1)
            told.clear()
            await passed(1)
        assert sum(bench.total("timed_out") for bench in benches) == 0

    run_virtual(monkeypatch, main)
    turns = ["told"] * 10 + ["asked"] * 10
    begin = 0 if told[0] == "told" else 10
    assert turns * 100 == told[begin : begin + 2000]
