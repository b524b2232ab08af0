"""Reading one device without the daemon, on real ptys."""

from __future__ import annotations

import os
import pty
import tty

import pytest
from bus_rig import FAST, ROWS, Polled, PtyDevice, TcpDevice, run, running, serial_bus, tcp_answer, tcp_bus
from modbus_rig import plan_of, profile_of

from edgegw.bus.direct import read_device
from edgegw.bus.port import LineError
from edgegw.bus.task import BusTask
from edgegw.model import Quality


def test_one_device_is_read_without_the_daemon():
    """Every source gives a reading; a port that the daemon holds is refused as held."""
    polled = Polled()
    with PtyDevice() as device:

        async def main():
            bus = serial_bus(device.path)
            plan = plan_of(profile_of(f"{ROWS}\nalarm_word.9, address = 90", group=FAST), bus)
            told = await read_device(bus, plan, polled.clock)
            assert [("g", (0, 0, 0)), ("g.2", (0,))] == [(one.reading.source.group, one.reading.values) for one in told]
            async with running(BusTask(bus, [plan], polled.clock, polled)):
                await polled.until(lambda: polled.readings)
                with pytest.raises(LineError) as told:
                    await read_device(bus, plan, polled.clock)
                assert "E-BUS-HELD" == told.value.message_id

        run(main())
    assert len(device.asked) > 2


@pytest.mark.parametrize("kind", ["tcp", "rtu-over-tcp"])
def test_a_server_that_closes_after_each_answer_is_read_whole(kind):
    """The connection is made new for each question."""
    polled = Polled()

    def answer(number, unit, function, _address, count):
        return [(0, tcp_answer(number, unit, function, bytes(2 * count)))]

    async def main():
        async with TcpDevice(answer, rtu=kind != "tcp") as server:
            server.close_after_answer = True
            bus = tcp_bus(server.port, kind=kind, late_answer_guard_ms=100)
            rows = f"{ROWS}\nalarm_word.9, address = 90\nalarm_word.10, address = 190"
            told = await read_device(bus, plan_of(profile_of(rows, group=FAST), bus), polled.clock)
            assert [(0, 0, 0), (0,), (0,)] == [one.reading.values for one in told]

    run(main())


def test_a_refused_block_is_halved_without_the_daemon_too():
    """The points that the device has are read, the one that it refuses is refused."""
    polled = Polled()

    def answer(number, unit, function, address, count):
        if address <= 4 < address + count:
            return [(0, number.to_bytes(2, "big") + bytes((0, 0, 0, 3, unit, function | 0x80, 2)))]
        return [(0, tcp_answer(number, unit, function, bytes(2 * count)))]

    async def main():
        async with TcpDevice(answer) as server:
            bus = tcp_bus(server.port)
            ((reading, located),) = await read_device(bus, plan_of(profile_of(ROWS, group=FAST), bus), polled.clock)
            assert ((0, 0, None), {2: Quality.REFUSED}) == (reading.values, dict(reading.quality))
            assert [(0, "0000 0000"), (2, "0000 0000"), None] == located.origins

    run(main())


def test_a_dead_device_read_without_the_daemon_is_offline():
    """No answer gives readings that say so."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    polled = Polled()

    async def main():
        bus = serial_bus(os.ttyname(slave))
        told = await read_device(bus, plan_of(profile_of(ROWS, group=FAST), bus), polled.clock)
        assert [({Quality.OFFLINE}, None)] == [(set(one.reading.quality.values()), one.located) for one in told]

    run(main())
    os.close(master)
    os.close(slave)
    assert [] == polled.readings
