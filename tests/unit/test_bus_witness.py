"""Servers that others wrote answer our bus: pymodbus's and libmodbus's, over TCP and over a serial line. Every value must be right."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import shutil
import subprocess
import threading
import tty
from pathlib import Path

import pytest
from bus_rig import Polled, good, running, serial_bus, tcp_bus
from modbus_rig import plan_of, profile_of
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edgegw.bus.task import BusTask

UNIT = 17
SIZE = 1000
ROUNDS = 60
NOTHING = ([], 0, set(), 0)
SOURCE = Path(__file__).with_name("libmodbus_server.c")
# All four functions, small and large blocks, the first and the last address.
BLOCKS = {"alarm_word": (3, [*range(90), *range(200, 208), SIZE - 1]), "fault_code": (4, [0]), "relay": (1, [*range(33), SIZE - 1]), "input": (2, range(1, 9))}


def value_at(function, address):
    """What the servers hold there; the C server has the same formula."""
    square = address * address % 7
    return {1: square == 1, 2: square == 2, 3: (address * 7919 + 13) % 65536, 4: (address * 7919 + 14) % 65536}[function]


def addresses():
    """Point to function and address."""
    found = {}
    for name, (function, places) in BLOCKS.items():
        found |= {(f"{name}.{number}" if len(places) > 1 else name): (function, address) for number, address in enumerate(places, 1)}
    return found


def plan(bus):
    rows = []
    for point, (function, address) in addresses().items():
        kind = "bit" if function in (1, 2) else "u16"
        rows.append(f"{point}, address = {address}; function = {function}; type = '{kind}'")
    return plan_of(profile_of("\n".join(rows), group="[group.g]\nperiod_s = 0.02\n"), bus, unit=UNIT)


async def polled_wrongly(bus):
    """Of sixty polls of every source: the values that are wrong or not good, the points never heard, the questions in vain. All empty is right."""
    polled, planned = Polled(), plan(bus)
    task = BusTask(bus, [planned], polled.clock, polled)
    async with running(task):
        await polled.until(lambda: all(sum(one.source is part.source for one in polled.readings) >= ROUNDS for part in planned.sources))
    places = addresses()
    wrong = [
        (point.name, value)
        for reading in polled.readings
        for point, value in zip(reading.source.points, reading.values, strict=True)
        if value != value_at(*places[point.name])
    ]
    unheard = set(places) - {point.name for reading in polled.readings for point in reading.source.points}
    counters = task.statistics.unit(UNIT)
    in_vain = counters.timed_out + counters.exceptions + counters.noise_bytes
    return wrong, len(polled.readings) - len(good(polled.readings)), unheard, in_vain


class Wire:
    """Two serial ports whose ends are joined: each server and each client wants a port of its own."""

    def __enter__(self):
        self._fds = [*pty.openpty(), *pty.openpty(), *os.pipe()]
        for slave in (self._fds[1], self._fds[3]):
            tty.setraw(slave)
        self.ours, self.theirs = os.ttyname(self._fds[1]), os.ttyname(self._fds[3])
        self._thread = threading.Thread(target=self._join)
        self._thread.start()
        return self

    def _join(self):
        one, _, other, _, stop, _ = self._fds
        while True:
            readable, _, _ = select.select([one, other, stop], [], [])
            if stop in readable:
                return
            for source, target in ((one, other), (other, one)):
                if source in readable:
                    os.write(target, os.read(source, 4096))

    def __exit__(self, *_):
        os.write(self._fds[5], b"x")
        self._thread.join()
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)


def pymodbus_device():
    blocks = [[SimData(0, values=[value_at(function, address) for address in range(SIZE)], datatype=kind)] for function, kind in _KINDS]
    return SimDevice(UNIT, simdata=tuple(blocks))


# In the order that pymodbus wants: coils, discrete inputs, holding registers, input registers.
_KINDS = ((1, DataType.BITS), (2, DataType.BITS), (3, DataType.REGISTERS), (4, DataType.REGISTERS))


async def with_pymodbus(server, bus_of):
    serving = asyncio.create_task(server.serve_forever())
    try:
        await Polled.until(lambda: server.transport is not None)
        return await polled_wrongly(bus_of())
    finally:
        await server.shutdown()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def test_pymodbus_over_tcp():
    """Its TCP server and our bus agree on every register and bit."""

    async def main():
        server = ModbusTcpServer(pymodbus_device(), address=("127.0.0.1", 0))
        assert NOTHING == await with_pymodbus(server, lambda: tcp_bus(server.transport.sockets[0].getsockname()[1]))

    asyncio.run(main())


def test_pymodbus_over_a_serial_line():
    """Its RTU server and our bus agree on every register and bit."""

    async def main():
        with Wire() as wire:
            server = ModbusSerialServer(pymodbus_device(), port=wire.theirs, baudrate=115200)
            assert NOTHING == await with_pymodbus(server, lambda: serial_bus(wire.ours, answer_timeout_ms=500))

    asyncio.run(main())


@pytest.fixture(scope="module")
def libmodbus(tmp_path_factory):
    """Command of the C server; compiled here, because nobody else's binary would be a witness."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: libmodbus is not heard as a witness (apt-get install gcc libmodbus-dev)")
    program = tmp_path_factory.mktemp("libmodbus") / "server"
    made = subprocess.run([compiler, "-O1", "-o", program, SOURCE, "-lmodbus"], capture_output=True, text=True, check=False)
    if "modbus/modbus.h" in made.stderr or "-lmodbus" in made.stderr:
        pytest.skip("libmodbus is not here: it is not heard as a witness (apt-get install libmodbus-dev)")
    assert 0 == made.returncode, made.stderr
    return str(program)


@contextlib.contextmanager
def libmodbus_server(*command):
    """Its TCP port, 0 on a serial line."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def test_libmodbus_over_tcp(libmodbus):
    """Its TCP server and our bus agree on every register and bit."""
    with libmodbus_server(libmodbus, "tcp") as port:
        assert NOTHING == asyncio.run(polled_wrongly(tcp_bus(port)))


def test_libmodbus_over_a_serial_line(libmodbus):
    """Its RTU server and our bus agree on every register and bit."""
    with Wire() as wire, libmodbus_server(libmodbus, "rtu", wire.theirs):
        assert NOTHING == asyncio.run(polled_wrongly(serial_bus(wire.ours, baudrate=19200, answer_timeout_ms=500)))
