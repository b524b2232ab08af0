"""The bus task on real ptys and sockets: never a wrong or stale value, and one thing's fault is its own."""

from __future__ import annotations

import logging
import random

import msgspec
import pytest
from bus_rig import FAST, ROWS, Polled, PtyDevice, good, honest, run, running, serial_bus
from modbus_rig import exception_frame, plan_of, profile_of

from edgegw.bus.task import BusTask
from edgegw.errors import EdgegwError
from edgegw.model import Quality

SMALL = "alarm_word.1, address = 0; type = 'u32'"
SLOW = "[group.g]\nperiod_s = 60\n"


def fast(rows=ROWS, group=FAST):
    return profile_of(rows, group=group)


def task_of(bus, polled, *plans):
    return BusTask(bus, plans or [plan_of(fast(), bus)], polled.clock, polled)


@pytest.mark.parametrize("rows", [ROWS, SMALL], ids=["a block with parts", "one value alone"])
def test_an_unreliable_device_never_gives_a_stale_value(rows):
    """One answer in eight late or lost: every value is that of the very question asked, polling goes on."""
    polled = Polled()
    rng = random.Random(7)
    device = PtyDevice(lambda asked: rng.choice([*[honest(asked)] * 14, [], [(rng.uniform(0.065, 0.25), asked.answer())]]))

    async def main():
        bus = serial_bus(device.path)
        task = task_of(bus, polled, plan_of(fast(rows), bus))
        async with running(task):
            await polled.until(lambda: len(good(polled.readings)) >= 100)
        assert task.statistics.unit(1).timed_out > 3

    with device:
        run(main())
    for reading in good(polled.readings):
        assert 1 == len(set(reading.values))
        asked = device.asked[reading.values[0]]
        age_ms = reading.mono_ms - polled.clock.mono_ms(asked.at_ns)
        assert (2 * len(reading.values), True) == (asked.count, age_ms <= 62)


def test_a_lost_answer_does_not_cost_the_guard():
    """A shorter part of the same block proves at once that no late answer can come, so polling goes on."""
    polled = Polled()
    lost = {3, 9}
    with PtyDevice(lambda asked: [] if asked.number in lost else honest(asked)) as device:

        async def main():
            task = task_of(serial_bus(device.path, late_answer_guard_ms=10_000), polled)
            async with running(task):
                await polled.until(lambda: len(good(polled.readings)) > 20)
            assert (2, 2) == (task.statistics.unit(1).timed_out, task.statistics.unit(1).resyncs)

        run(main())
    assert 2 == len(polled.readings) - len(good(polled.readings))


def test_a_value_without_parts_waits_for_the_guard():
    """One value alone cannot be told from its late twin, so it is not asked again before the guard is over."""
    polled = Polled()
    with PtyDevice(lambda asked: [] if asked.number == 2 else honest(asked)) as device:

        async def main():
            bus = serial_bus(device.path, late_answer_guard_ms=400)
            task = task_of(bus, polled, plan_of(fast(SMALL), bus))
            async with running(task):
                await polled.until(lambda: len(good(polled.readings)) > 5)
            assert task.statistics.unit(1).missed_slots >= 15

        run(main())
    assert (device.asked[3].at_ns - device.asked[2].at_ns) / 1e6 >= 459


def test_a_silent_device_leaves_the_others_alone(caplog):
    """It says offline once for each source, is probed only, and everything of it is due when it answers again."""
    caplog.set_level(logging.INFO, "edgegw.bus")
    polled = Polled()
    dead = {2}
    with PtyDevice(lambda asked: [] if asked.unit in dead else honest(asked)) as device:

        async def main():
            bus = serial_bus(device.path)
            two = profile_of(f"{ROWS}\nalarm_word.9, address = 90", group=FAST)
            task = task_of(bus, polled, plan_of(fast(), bus, 1), plan_of(two, bus, 2, first=5))
            async with running(task):
                await polled.until(lambda: task.silent_devices == ["D2"])
                count = len(polled.of("D1"))
                await polled.until(lambda: len(polled.of("D1")) > count + 30)
                offline = len(polled.of("D2"))
                probes = sum(asked.unit == 2 and asked.at_ns > polled_ns(polled.of("D2")[-1]) for asked in device.asked)
                assert (True, True) == (3 <= offline <= 4, probes <= 1)
                dead.clear()
                (*_, fresh) = await task.ask_now("D2")
                assert not fresh.quality
                await polled.until(lambda: len(good(polled.of("D2"))) > 6)

        def polled_ns(reading):
            return polled.clock._start_ns + reading.mono_ms * 1_000_000

        run(main())
    assert {Quality.OFFLINE} == {code for reading in polled.of("D2") for code in reading.quality.values()}
    words = [record.message for record in caplog.records]
    assert (1, 1) == (sum("D2 (unit 2) stopped answering" in word for word in words), sum("D2 (unit 2) answers again" in word for word in words))


def test_a_wholly_silent_bus_is_found_again_by_its_probe():
    """Where nobody answers, somebody is asked every second, and what answers is polled at once."""
    polled = Polled()
    dead = {1}
    with PtyDevice(lambda asked: [] if asked.unit in dead else honest(asked)) as device:

        async def main():
            task = task_of(serial_bus(device.path), polled)
            async with running(task):
                await polled.until(lambda: task.silent_devices == ["D1"])
                dead.clear()
                await polled.until(lambda: len(good(polled.readings)) > 3)

        run(main())
    assert 3 == len(polled.readings) - len(good(polled.readings))


def test_the_same_unit_on_another_bus_is_another_device():
    """A dead unit 1 on one bus does nothing to the unit 1 of the other."""
    polled = Polled()
    with PtyDevice(lambda _: []) as dead, PtyDevice() as alive:

        async def main():
            buses = serial_bus(dead.path, name="a"), serial_bus(alive.path, name="b")
            tasks = [task_of(bus, polled, plan_of(fast(), bus, 1, code=bus.name)) for bus in buses]
            async with running(*tasks):
                await polled.until(lambda: tasks[0].silent_devices == ["a"])
                await polled.until(lambda: len(polled.of("b")) > 30)
            assert (0, 0) == (tasks[1].statistics.unit(1).timed_out, len(polled.of("b")) - len(good(polled.of("b"))))

        run(main())
    assert [] == good(polled.of("a"))


def test_exceptions_have_their_quality():
    """1 to 3 are refused and asked rarely, 4 is bad, busy is offline; none makes the device silent."""
    polled = Polled()
    codes = {1: 2, 2: 4, 3: 6}
    with PtyDevice(lambda asked: [(0.0, exception_frame(asked.unit, 3, codes[asked.unit]))]) as device:

        async def main():
            bus = serial_bus(device.path)
            task = task_of(bus, polled, *(plan_of(fast(), bus, unit, first=unit) for unit in codes))
            async with running(task):
                await polled.until(lambda: len(polled.of("D2")) > 5 and len(polled.of("D3")) > 5)
            assert [] == task.silent_devices

        run(main())
    assert [{Quality.REFUSED}, {Quality.BAD}, {Quality.OFFLINE}] == [
        {code for r in polled.of(name) for code in r.quality.values()} for name in ("D1", "D2", "D3")
    ]
    assert 1 == len(polled.of("D1"))


@pytest.mark.parametrize("code", [0x0A, 0x0B])
def test_a_gateway_that_cannot_reach_a_device_makes_that_one_silent(code):
    """What the gateway before it says is no word of the device: it is offline and probed like a silent one, the others are polled on, and it comes back."""
    polled = Polled()
    unreachable = {2}
    with PtyDevice(lambda asked: [(0.0, exception_frame(asked.unit, 3, code))] if asked.unit in unreachable else honest(asked)) as device:

        async def main():
            bus = serial_bus(device.path)
            task = task_of(bus, polled, plan_of(fast(), bus, 1), plan_of(fast(), bus, 2, first=2))
            async with running(task):
                await polled.until(lambda: task.silent_devices == ["D2"])
                count = len(good(polled.of("D1")))
                await polled.until(lambda: len(good(polled.of("D1"))) > count + 20)
                assert {Quality.OFFLINE} == {code for reading in polled.of("D2") for code in reading.quality.values()}
                unreachable.clear()
                await polled.until(lambda: good(polled.of("D2")) and not task.silent_devices)

        run(main())
    assert [] == [reading for reading in polled.of("D1") if reading.quality]


def test_a_pulled_port_is_told_and_comes_back(tmp_path, caplog):
    """The readings say offline a few times, the log once; with the port back under the same name polling goes on within 5 s."""
    caplog.set_level(logging.INFO, "edgegw.bus")
    polled = Polled()
    link = tmp_path / "port"

    async def main():
        first, second = PtyDevice(), PtyDevice()
        link.symlink_to(first.path)
        task = task_of(serial_bus(str(link)), polled)
        first.__enter__()
        async with running(task):
            await polled.until(lambda: len(good(polled.readings)) > 3)
            link.unlink()
            first.hang_up()
            await polled.until(lambda: not task.is_up)
            count = len(good(polled.readings))
            assert [True] == [bool(reading.quality) for reading in await task.ask_now("D1")]
            link.symlink_to(second.path)
            with second:
                await polled.until(lambda: len(good(polled.readings)) > count + 3)
                assert task.is_up

    run(main())
    words = [record.message for record in caplog.records]
    assert (1, 1) == (sum("E-BUS-PORT" in word for word in words), sum("is back" in word for word in words))
    assert 1 <= len(polled.readings) - len(good(polled.readings)) <= 5


def test_urgent_sources_come_first():
    """On a bus that cannot keep its periods, digital inputs are asked every second turn."""
    polled = Polled()
    with PtyDevice() as device:

        async def main():
            bus = serial_bus(device.path, baudrate=19200)
            urgent = profile_of(SMALL, group="[group.g]\nperiod_s = 0.02\nurgent = true\n")
            others = [plan_of(fast(), bus, unit, first=unit) for unit in range(2, 12)]
            task = task_of(bus, polled, plan_of(urgent, bus, 1), *others)
            async with running(task):
                await polled.until(lambda: len(polled.readings) > 80)
            assert task.statistics.total("missed_slots") > 50

        run(main())
    counts = [len(polled.of(f"D{unit}")) for unit in range(1, 12)]
    assert counts[0] >= 2 * max(counts[1:])
    assert max(counts[1:]) - min(counts[1:]) <= 1


def test_everything_is_polled_at_the_start_and_then_on_its_grid():
    """The first readings come at once, the next ones a period later, without drift."""
    polled = Polled()
    with PtyDevice() as device:

        async def main():
            bus = serial_bus(device.path)
            started = polled.clock.mono_ms()
            plans = plan_of(profile_of(ROWS, group=SLOW), bus, 1), plan_of(fast(group="[group.g]\nperiod_s = 0.1\n"), bus, 2, first=2)
            async with running(task_of(bus, polled, *plans)):
                await polled.until(lambda: len(polled.of("D2")) >= 8)
            assert (1, True) == (len(polled.of("D1")), polled.of("D1")[0].mono_ms - started < 500)

        run(main())
    times = [reading.mono_ms for reading in polled.of("D2")]
    assert abs(times[-1] - times[0] - 100 * (len(times) - 1)) <= 60


def test_being_cancelled_the_question_under_way_is_finished():
    """An answer that comes while the daemon ends is told before the task ends."""
    polled = Polled()
    with PtyDevice(lambda asked: [(0.05, asked.answer())]) as device:

        async def main():
            task = task_of(serial_bus(device.path, answer_timeout_ms=500), polled)
            async with running(task):
                await polled.until(lambda: len(device.asked) == 3 and len(polled.readings) == 2)

        run(main())
    assert (3, 3) == (len(device.asked), len(good(polled.readings)))


def test_a_technician_reads_between_the_polls():
    """A fresh read comes ahead of the queue; an unknown device is told."""
    polled = Polled()
    with PtyDevice() as device:

        async def main():
            bus = serial_bus(device.path)
            task = task_of(bus, polled, plan_of(profile_of(ROWS, group=SLOW), bus, 1))
            async with running(task):
                await polled.until(lambda: polled.readings)
                (reading,) = await task.ask_now("D1")
                assert (2, reading) == (len(polled.readings), polled.readings[1])
                with pytest.raises(EdgegwError) as told:
                    await task.ask_now("D9")
                assert "E-BUS-DEVICE" == told.value.message_id

        run(main())
    assert [0, 1] == [reading.values[0] for reading in polled.readings]


def test_an_answer_that_cannot_be_decoded_costs_its_own_source_only(caplog):
    """A mistake in one decoder makes the values of that source bad and is logged; the others are polled on, the line stays open."""
    polled = Polled()

    def broken(_answers):
        raise OverflowError("cannot convert float infinity to integer")

    with PtyDevice() as device:

        async def main():
            bus = serial_bus(device.path)
            plan = plan_of(fast(), bus, 2, first=2)
            ill = msgspec.structs.replace(plan, sources=tuple(msgspec.structs.replace(planned, decode=broken) for planned in plan.sources))
            task = task_of(bus, polled, plan_of(fast(), bus, 1), ill)
            async with running(task):
                await polled.until(lambda: len(polled.of("D2")) > 5)
            assert 1 == task.statistics.opened

        run(main())
    assert {Quality.BAD} == {code for reading in polled.of("D2") for code in reading.quality.values()}
    assert len(good(polled.of("D1"))) >= 5
    assert "cannot convert float infinity" in caplog.text


def test_long_waits_that_are_configured_are_no_hang():
    """The watchdog is told how long one turn of this bus may take: its time-outs, its pauses, its connecting."""
    bus = serial_bus("/dev/null", answer_timeout_ms=20_000, gap_ms=500, connect_delay_ms=60_000)
    assert 298_000 == task_of(bus, Polled()).turn_ms_max


def test_a_guard_that_ends_meanwhile_leaves_the_slot_on_its_grid():
    """A question that was held back a moment ago and is free now is due now, not at the beginning of time."""
    bus, polled = serial_bus("/dev/null"), Polled()
    task = task_of(bus, polled)
    assert polled.clock.mono_ms() <= task._asker.held_until_ms(task._schedule.slots[0]) <= polled.clock.mono_ms() + 1
