"""A device process that is stopped and goes on: no answer of before is a value of now. And lines as they are configured and lost."""

from __future__ import annotations

import os
import termios
import time

import pytest
from bus_rig import FAST, Polled, PtyDevice, good, run, running, serial_bus
from modbus_rig import plan_of, profile_of
from stopped_rig import ALIKE, Seen, stop_and_go

from edgegw.bus.keeper import LineKeeper
from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.task import BusTask
from edgegw.clock import Clock

STOPPED_S = 4.0
BACK_S_MAX = 5.0


def test_a_device_that_is_stopped_for_a_time_never_gives_an_old_answer():
    """It works off what it was asked meanwhile: each value is the answer to the very last request, from two units whose answers look alike."""
    seen: list[Seen] = []

    async def main():
        seen.append(await stop_and_go(STOPPED_S))

    run(main())
    assert (0, ["D1", "D2"]) == (seen[0].old, seen[0].silent)
    assert seen[0].values > 40
    assert seen[0].statistics.total("late") > 0


def test_a_port_under_another_number_is_found_within_five_seconds(tmp_path):
    """By the name that stays, which leads to another pty after the adapter was plugged in again."""
    polled = Polled()
    link = tmp_path / "port"

    async def main():
        first, second = PtyDevice(), PtyDevice()
        link.symlink_to(first.path)
        bus = serial_bus(str(link))
        first.__enter__()
        task = BusTask(bus, [plan_of(profile_of(ALIKE, group=FAST), bus)], polled.clock, polled)
        async with running(task):
            await polled.until(lambda: len(good(polled.readings)) > 3)
            link.unlink()
            first.hang_up()
            await polled.until(lambda: task._keeper.failures >= 3)
            count = len(good(polled.readings))
            link.symlink_to(second.path)
            with second:
                back_s = time.monotonic()
                await polled.until(lambda: len(good(polled.readings)) > count)
                assert time.monotonic() - back_s <= BACK_S_MAX

    run(main())


def test_however_long_a_port_was_away_it_is_tried_often_enough():
    """The pause between two tries and the opening are below five seconds."""

    async def main():
        bus = serial_bus("/dev/no-such-port")
        clock = Clock()
        keeper = LineKeeper(make_line(bus), clock, BusStatistics(), 0)
        for _ in range(12):
            assert not await keeper.open()
        assert 3000 < keeper.retry_ms - clock.mono_ms() <= 1000 * BACK_S_MAX - 500

    run(main())


@pytest.mark.parametrize("baudrate", [1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200])
@pytest.mark.parametrize(("parity", "stop_bits"), [("N", 1), ("N", 2), ("E", 1), ("O", 1), ("E", 2)])
def test_a_port_is_set_as_configured(baudrate, parity, stop_bits):
    """Every speed and stop bit reaches the driver; parity too, but a pty has none and is opened without (decision D13)."""

    async def main(path):
        line = make_line(serial_bus(path, baudrate=baudrate, parity=parity, stop_bits=stop_bits))
        await line.open()
        settings = termios.tcgetattr(line._fd)
        await line.close()
        speed = getattr(termios, f"B{baudrate}")
        assert ([speed, speed], stop_bits == 2) == (settings[4:6], bool(settings[2] & termios.CSTOPB))

    master, slave = os.openpty()
    try:
        run(main(os.ttyname(slave)))
    finally:
        os.close(master)
        os.close(slave)
