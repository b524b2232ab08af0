"""More answers than questions: another master on the line, two devices with one address. What cannot be told apart is no value."""

from __future__ import annotations

import time

import pytest
from bus_rig import FAST, Asked, Polled, PtyDevice, Say, good, run, running, serial_bus
from modbus_rig import answer_frame, plan_of, profile_of

from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.task import BusTask
from edgegw.bus.transaction import Transactions
from edgegw.bus.unanswered import DOUBLES_WATCHED, DOUBLING_NS, Unanswered
from edgegw.drivers.modbus_codec import rtu_question, sealed
from edgegw.model import Answer, Fault

QUESTION = rtu_question(1, 3, 0, 4)
# Another master's requests to the same unit: its answer looks like ours, or is shorter.
TWIN, SHORTER = (sealed(bytes((1, 3, 0x1B, 0x58, 0, count))) for count in (4, 2))
OTHERS = answer_frame(1, 3, b"\xde\xad\xbe\xef" * 2)
# Four values whose answers look alike.
ALIKE = "\n".join(f"alarm_word.{n + 1}, address = {1000 * n}; type = 'u32'" for n in range(4))


def ask(behave, times=1, before=b"", after_s=None):
    """(results, counters of unit 1, seconds that asking took); `before` lies on the line when the first question is due, `OTHERS` comes `after_s`."""
    results: list[Answer | Fault] = []
    statistics = BusStatistics()
    took_s = 0.0

    async def main(device):
        nonlocal took_s
        bus = serial_bus(device.path, answer_timeout_ms=150, late_answer_guard_ms=400)
        line = make_line(bus)
        await line.open()
        try:
            transactions = Transactions(bus, line, statistics)
            device.say(before)
            if after_s is not None:
                device.say_later(after_s, OTHERS)
            start_s = time.monotonic()
            results.extend([await transactions.ask(QUESTION, bus.answer_timeout_ms, 1) for _ in range(times)])
            took_s = time.monotonic() - start_s
        finally:
            await line.close()

    with PtyDevice(behave) as device:
        run(main(device))
    return results, statistics.unit(1), took_s


@pytest.mark.parametrize("order", ["others first", "ours first"])
def test_an_answer_behind_another_masters_request_is_nobodys(order):
    """Two answers that look alike are awaited: neither is taken."""

    def behave(asked: Asked) -> Say:
        answers = (OTHERS, asked.answer()) if order == "others first" else (asked.answer(), OTHERS)
        return [(0.0, TWIN), (0.003, answers[0]), (0.03, answers[1])]

    results, counters, _ = ask(behave)
    assert ("foreign", 1, 2, 0) == (results[0].kind, counters.foreign, counters.late, counters.answered)


def test_another_masters_request_of_another_size_does_no_harm():
    """Its answer is shorter and told apart."""
    results, counters, _ = ask(lambda asked: [(0.0, SHORTER), (0.0, answer_frame(1, 3, b"\0\1\0\2")), (0.0, asked.answer())])
    assert (bytes(8), 1, 1) == (results[0].data, counters.foreign, counters.late)


def test_the_answer_to_another_master_is_let_pass_before_asking():
    """Its request was heard just before ours was due: ours goes out when its answer is over, and gets its own."""
    results, counters, took_s = ask(lambda asked: [(0.0, asked.answer())], before=TWIN, after_s=0.05)
    assert (bytes(8), 0, True) == (results[0].data, counters.timed_out, took_s >= 0.05)


def test_an_unanswered_request_of_another_master_holds_ours_back():
    """Its answer may still come: nothing is asked that it would fit, and something else may be."""
    asked_of: list[Asked] = []
    results, _, took_s = ask(lambda asked: [(0.0, asked_of.append(asked) or asked.answer())], before=TWIN)
    assert ("foreign", [], True) == (results[0].kind, asked_of, took_s >= 0.15)


def test_two_different_answers_at_once_are_none():
    """Which of two devices with one address is the right one, nobody can tell; two equal answers are one."""
    different = ask(lambda asked: [(0.0, asked.answer() + OTHERS)])
    equal = ask(lambda asked: [(0.0, asked.answer() * 2)])
    assert ("foreign", 1) == (different[0][0].kind, different[1].doubled)
    assert (bytes(8), 1) == (equal[0][0].data, equal[1].doubled)


@pytest.mark.parametrize("gap_s", [0.003, 0.01, 0.05])
def test_a_device_that_answers_twice_is_noticed(gap_s, caplog):
    """Its second answers fit the next questions: after the first that is seen, a question waits until none can come, and the log names the unit once."""
    polled = Polled()
    with PtyDevice(lambda asked: [(0.0, asked.answer()), (gap_s, asked.answer())]) as device:

        async def main():
            bus = serial_bus(device.path)
            async with running(BusTask(bus, [plan_of(profile_of(ALIKE, group=FAST), bus)], polled.clock, polled)):
                await polled.until(lambda: "answers twice" in caplog.text)
                count = len(good(polled.readings))
                await polled.until(lambda: len(good(polled.readings)) > count + 8)
            wrong = [r for r in good(polled.readings)[count:] if device.asked[r.values[0]].address != 1000 * int(r.source.group.partition(".")[2] or 1) - 1000]
            assert [] == wrong

        run(main())
    assert (1, 1) == (caplog.text.count("answers twice"), caplog.text.count("E-BUS-DOUBLED"))


def test_a_unit_that_answers_twice_is_held_back_after_each_answer():
    """Only what its second answer would fit: for the guard at first, then for twice as long as those took, until it has not done so for a while."""
    guard, key, ms = Unanswered(400), (1, 3, 8), 1_000_000
    guard.answered(key, 0)
    assert (0, True, False) == (guard.blocked_until_ns(key, 1), guard.doubled(key, 2 * ms, 2 * ms), guard.doubled(key, 30 * ms, 30 * ms))
    assert (400 * ms, 0, 0) == (guard.blocked_until_ns(key, 31 * ms), guard.blocked_until_ns((1, 3, 4), 31 * ms), guard.blocked_until_ns((2, 3, 8), 31 * ms))
    held_ms = []
    for second in range(1, DOUBLES_WATCHED + 2):
        guard.answered(key, 1000 * second * ms)
        held_ms.append(guard.blocked_until_ns(key, 1000 * second * ms + 1) // ms - 1000 * second)
    assert [400] * (DOUBLES_WATCHED - 1) + [2 * 30 + 20] * 2 == held_ms
    guard.answered(key, DOUBLING_NS + 30 * ms)
    assert 0 == guard.blocked_until_ns(key, DOUBLING_NS + 31 * ms)


def test_an_answer_that_came_late_is_no_second_one():
    """As long as a question with its key is unanswered, it is awaited."""
    guard, key = Unanswered(100), (1, 3, 8)
    assert not guard.awaits(key)
    guard.timed_out(key, 0)
    assert guard.awaits(key)
