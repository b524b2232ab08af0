"""How long an answer is waited for: learnt from the device's own answers, and given up again as soon as one does not come."""

from __future__ import annotations

import time

import pytest
from bus_rig import FAST, ROWS, Polled, PtyDevice, good, run, running, serial_bus, tcp_bus
from modbus_rig import plan_of, profile_of

from edgegw.bus.patience import ANSWERS_KEPT, ANSWERS_MIN, FACTOR, FLOOR_MS, FLOOR_TCP_MS, MARGIN_MS, Patience
from edgegw.bus.statistics import Counters
from edgegw.bus.task import BusTask
from edgegw.drivers.base import character_ms
from edgegw.drivers.modbus_codec import rtu_question
from edgegw.model import Answer, Fault

LONG, SHORT = rtu_question(1, 3, 0, 100), rtu_question(1, 3, 0, 2)
ANSWER = Answer(b"", 0)
CEILING_MS = 1000


def serial(**settings):
    return serial_bus("/dev/null", answer_timeout_ms=CEILING_MS, **settings)


class Learner:
    """A patience, and the counters that it reads."""

    def __init__(self, bus) -> None:
        self.patience = Patience(bus)
        self.counters = Counters()

    def hears(self, latency_ms: float, times: int = 1, question=SHORT, result=ANSWER) -> Learner:
        for _ in range(times):
            self.counters.latencies_us.append(round(latency_ms * 1000))
            self.patience.learn(question, result, 1, self.counters)
        return self

    def hears_nothing(self, kind="timeout", question=SHORT) -> None:
        self.patience.learn(question, Fault(kind, ""), 1, self.counters)

    def wait_ms(self, question=SHORT) -> float:
        return self.patience.wait_ms(1, question)


def bytes_ms(bus, question=SHORT) -> float:
    return character_ms(bus) * question.answer_size


@pytest.mark.parametrize(
    ("bus", "latency_ms", "learnt_ms"),
    [
        (serial(), 3, FLOOR_MS),
        (serial(), 80, FACTOR * 80 + MARGIN_MS),
        (serial(baudrate=1200), 200, FACTOR * 200 + MARGIN_MS),
        (serial(), 700, CEILING_MS),
        (tcp_bus(502, answer_timeout_ms=CEILING_MS), 3, FLOOR_TCP_MS),
        (serial_bus("/dev/null"), 3, 60),
    ],
    ids=["floor", "learnt", "slow line", "ceiling", "floor on TCP", "ceiling below the floor"],
)
def test_the_wait_is_learnt_between_floor_and_ceiling(bus, latency_ms, learnt_ms):
    """Twice the slowest turnaround and a margin, and the time of the answer's own bytes; the statistics show it."""
    own_ms = 0 if bus.kind == "tcp" else bytes_ms(bus)
    learner = Learner(bus).hears(latency_ms + own_ms, ANSWERS_MIN)
    assert min(bus.answer_timeout_ms, learnt_ms + own_ms) == pytest.approx(learner.wait_ms(), abs=0.01)
    assert learnt_ms == pytest.approx(learner.counters.as_dict()["learnt_timeout_ms"], abs=1)


def test_few_answers_teach_nothing():
    """Until the question itself was answered a few times the full wait holds, whatever the device's other questions took."""
    learner = Learner(serial()).hears(10, ANSWERS_MIN - 1)
    assert (CEILING_MS, CEILING_MS) == (learner.wait_ms(), learner.patience.wait_ms(2, SHORT))
    learner.hears(10)
    assert (True, CEILING_MS) == (learner.wait_ms() < CEILING_MS, learner.wait_ms(LONG))


def test_the_bytes_of_a_long_answer_are_waited_for():
    """At 1200 baud a long answer takes 1.7 s: that is no slow device, and a device known by short answers is not called dead for it."""
    bus = serial_bus("/dev/null", answer_timeout_ms=5000, baudrate=1200)
    learner = Learner(bus).hears(20 + bytes_ms(bus), ANSWERS_MIN).hears(20 + bytes_ms(bus, LONG), ANSWERS_MIN, LONG)
    assert FLOOR_MS + bytes_ms(bus, LONG) == pytest.approx(learner.wait_ms(LONG))
    assert learner.wait_ms(LONG) > 1700


def test_after_a_wait_in_vain_the_full_wait_holds():
    """Until the next answer, which is learnt from; an answer with a wrong check sum was in time."""
    learner = Learner(serial()).hears(50, 10)
    learner.hears_nothing("crc")
    assert FACTOR * 50 + MARGIN_MS == pytest.approx(learner.wait_ms(), abs=2)
    learner.hears_nothing()
    assert CEILING_MS == learner.wait_ms()
    assert FACTOR * 400 + MARGIN_MS == pytest.approx(learner.hears(400).wait_ms(), abs=2)


def test_a_question_that_is_rarely_asked_keeps_its_say():
    """Thousands of quick answers do not make the slow registers time out."""
    learner = Learner(serial()).hears(300, ANSWERS_MIN, LONG).hears(10, 5000)
    assert learner.wait_ms(LONG) >= 600


def test_a_late_answer_stops_the_learning_for_a_while():
    """It shows that the wait was too short; after many answers in time what was learnt is trusted again."""
    learner = Learner(serial()).hears(50, 10)
    learner.hears_nothing()
    learner.counters.late += 1
    learner.hears(50)
    waits = [learner.hears(50).wait_ms() for _ in range(ANSWERS_KEPT)]
    assert ({CEILING_MS}, True) == (set(waits[:-1]), waits[-1] < CEILING_MS)


def test_late_answers_do_not_become_the_rule():
    """A device that takes eight times as long for one answer in twenty loses few of them."""
    learner, lost = Learner(serial()), 0
    for n in range(20_000):
        latency_ms = 400 if n % 20 == 13 else 50
        if latency_ms > learner.wait_ms():
            lost += 1
            learner.hears_nothing()
            learner.counters.late += 1
        else:
            learner.hears(latency_ms)
    assert lost <= 1


def test_an_exception_teaches_too():
    """A device that refuses has answered."""
    refusal = Fault("exception", "", 2)
    assert Learner(serial()).hears(60, ANSWERS_MIN, SHORT, refusal).wait_ms() < CEILING_MS


# -- on a real pty


def test_a_device_that_slows_down_loses_one_poll():
    """From 50 to 400 ms: one answer is late and taken for no other, the next is waited for, and the device is never silent."""
    polled = Polled()
    took_s = [0.05]
    with PtyDevice(lambda asked: [(took_s[0], asked.answer())]) as device:

        async def main():
            bus = serial_bus(device.path, answer_timeout_ms=CEILING_MS, late_answer_guard_ms=1000)
            task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)
            counters = task.statistics.unit(1)
            async with running(task):
                await polled.until(lambda: len(good(polled.readings)) > 5)
                assert 140 <= counters.learnt_timeout_ms < 250
                took_s[0] = 0.4
                count = len(good(polled.readings))
                await polled.until(lambda: len(good(polled.readings)) > count + 3)
                assert ([], True) == (task.silent_devices, 840 <= counters.learnt_timeout_ms <= CEILING_MS)
            assert (1, 1) == (counters.timed_out, counters.late)

        run(main())
    assert 1 == len(polled.readings) - len(good(polled.readings))
    for reading in good(polled.readings):
        asked = device.asked[reading.values[0]]
        assert (2 * len(reading.values), True) == (asked.count, reading.mono_ms - polled.clock.mono_ms(asked.at_ns) < 600)


def test_a_dead_device_costs_less_than_the_full_wait_and_comes_back():
    """It is given one short wait and two full ones before it is silent, and polled at once when it answers again."""
    polled = Polled()
    dead: list[int] = []
    with PtyDevice(lambda asked: [] if dead else [(0.0, asked.answer())]) as device:

        async def main():
            bus = serial_bus(device.path, answer_timeout_ms=600)
            task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)
            async with running(task):
                await polled.until(lambda: len(good(polled.readings)) > 5)
                dead.append(1)
                died_s = time.monotonic()
                await polled.until(lambda: task.silent_devices)
                assert 1.2 < time.monotonic() - died_s < 1.7
                dead.clear()
                count = len(good(polled.readings))
                await polled.until(lambda: len(good(polled.readings)) > count + 3)

        run(main())


def test_the_guard_does_not_trust_what_was_learnt():
    """An answer that comes long after a short wait, but within the full one and the guard, is taken for no other."""
    polled = Polled()
    slow = {30, 60}
    rows = "\n".join(f"alarm_word.{n + 1}, address = {1000 * n}; type = 'u32'" for n in range(2))
    with PtyDevice(lambda asked: [(0.75 if asked.number in slow else 0.0, asked.answer())]) as device:

        async def main():
            bus = serial_bus(device.path, answer_timeout_ms=700, late_answer_guard_ms=200)
            plan = plan_of(profile_of(rows, group=FAST), bus)
            async with running(BusTask(bus, [plan], polled.clock, polled)):
                await polled.until(lambda: len(device.asked) > 100)

        run(main())
    wrong = [r for r in good(polled.readings) if device.asked[r.values[0]].address != (1000 if r.source.group.endswith("2") else 0)]
    old = [r for r in good(polled.readings) if r.mono_ms - polled.clock.mono_ms(device.asked[r.values[0]].at_ns) > 300]
    assert ([], [], True) == (wrong, old, len(good(polled.readings)) > 80)
