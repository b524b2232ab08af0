"""Lines that hang, overflow or are flooded: bounded, and given back."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import socket
import subprocess
import sys
import threading
import time
import tty

import pytest
from bus_rig import FAST, ROWS, Polled, PtyDevice, run, running, serial_bus, tcp_bus
from modbus_rig import plan_of, profile_of

from edgegw.bus import line as line_module
from edgegw.bus import port as port_module
from edgegw.bus.line import FLOOD_BYTES_MAX, make_line
from edgegw.bus.port import LineError
from edgegw.bus.task import BusTask


def test_a_port_that_takes_no_more_bytes_is_opened_again():
    """A broken line gives its lock back before it takes it again."""
    master, slave = pty.openpty()
    tty.setraw(slave)

    async def main():
        line = make_line(serial_bus(os.ttyname(slave)))
        await line.open()
        with pytest.raises(LineError):
            while True:
                line.write(bytes(64))
        await line.open()
        assert line.is_open
        await line.close()

    try:
        run(main())
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_that_hangs_while_it_is_opened_costs_one_thread(monkeypatch):
    """As long as one try hangs there is no other; then the port opens."""
    hang = threading.Event()
    open_port = port_module._open_port
    tries: list[str] = []

    def slow(bus):
        tries.append(bus.path)
        hang.wait(20)
        return open_port(bus)

    monkeypatch.setattr(port_module, "_open_port", slow)
    monkeypatch.setattr(line_module, "OPEN_TIMEOUT_S", 0.05)

    async def main():
        line = make_line(serial_bus(device.path))
        for _ in range(5):
            with pytest.raises(LineError, match="takes longer"):
                await line.open()
        assert 1 == len(tries)
        hang.set()
        await asyncio.to_thread(line._opener.join)
        monkeypatch.setattr(line_module, "OPEN_TIMEOUT_S", 5.0)
        await line.open()
        await line.close()

    with PtyDevice() as device:
        run(main())


def test_a_port_that_hangs_while_it_is_closed_holds_nobody_up(monkeypatch):
    """An adapter that does not take its last bytes is left to its thread after a deadline; the bus goes on."""
    hang = threading.Event()
    monkeypatch.setattr(line_module, "CLOSE_TIMEOUT_S", 0.05)

    async def main():
        line = make_line(serial_bus(device.path))
        await line.open()
        close_port = line._port.close
        line._port.close = lambda: hang.wait(20) and close_port()
        started_s = time.monotonic()
        await line.close()
        assert time.monotonic() - started_s < 10
        assert not line.is_open
        closing = [thread for thread in threading.enumerate() if thread.name.startswith("close-")]
        assert 1 == len(closing)
        hang.set()
        await asyncio.to_thread(closing[0].join)

    with PtyDevice() as device:
        run(main())


def test_the_gap_is_kept_on_a_serial_line():
    """A line that wants a pause gets it, beyond the silence of the protocol."""
    polled = Polled()
    with PtyDevice() as device:

        async def main():
            bus = serial_bus(device.path, gap_ms=50)
            async with running(BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)):
                await polled.until(lambda: len(device.asked) > 6)

        run(main())
    assert min(asked.silence_ns for asked in device.asked[1:]) >= 50 * 10**6


@pytest.mark.parametrize("kind", ["tcp", "rtu-over-tcp"])
def test_a_flood_is_not_read_on(kind):
    """After what no line can carry in a second nothing more is read, and the peer feels it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def main():
            line = make_line(tcp_bus(server.getsockname()[1], kind=kind))
            await line.open()
            flooding = threading.Thread(target=pour, args=(server.accept()[0],))
            flooding.start()
            while line.is_open:
                assert await line.wait(time.monotonic_ns() + 10**10)
            assert "floods" in line.fault
            assert not await line.wait(time.monotonic_ns() + 10**8)
            assert line.flooded_bytes <= FLOOD_BYTES_MAX + 2**20
            flooding.join()
            await line.close()

        run(main())


BABBLE = """
import os, sys, time
master, data, sent, start_s = int(sys.argv[1]), bytes.fromhex("01030C") * 100, 0, time.monotonic()
while True:
    due = int((time.monotonic() - start_s) * 11500) - sent
    sent += os.write(master, data[: max(0, due)])
    time.sleep(0.002)
"""


def test_a_line_that_never_stops_babbling_costs_little():
    """Beginnings of answers at the full speed of 115200 baud: little of a core, no more bytes kept than a few frames, no value, and it is told as noise."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    polled, kept = Polled(), []

    async def main():
        bus = serial_bus(os.ttyname(slave), answer_timeout_ms=500)
        task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)
        async with running(task):
            await polled.until(lambda: task.statistics.total("timed_out") > 0)
            cpu_s, started_s = time.process_time(), time.monotonic()
            while time.monotonic() < started_s + 2:
                kept.append(len(task.line.received))
                await asyncio.sleep(0.01)
            assert (time.process_time() - cpu_s) / (time.monotonic() - started_s) < 0.3
        assert task.statistics.idle_noise_bytes > 10_000

    with subprocess.Popen([sys.executable, "-c", BABBLE, str(master)], pass_fds=[master]) as babbling:
        try:
            run(main())
        finally:
            babbling.kill()
    os.close(master)
    os.close(slave)
    assert (True, []) == (max(kept) <= line_module.INPUT_BYTES_MAX, [reading for reading in polled.readings if not reading.quality])


def pour(peer: socket.socket) -> None:
    with peer:
        try:
            while True:
                peer.sendall(bytes(65536))
        except OSError:
            pass


def test_a_serial_port_that_is_flooded_is_not_read_on():
    """A USB port knows no baud rate: after 64 KiB within a second the line is broken, and its reader gone."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)

    async def main():
        line = make_line(serial_bus(os.ttyname(slave)))
        await line.open()
        while line.is_open:
            os.write(master, bytes(2048))
            assert await line.wait(time.monotonic_ns() + 10**10)
        assert "floods" in line.fault
        await line.open()
        assert b"" == line.received
        await line.close()

    try:
        run(main())
        assert [] == select.select([master], [], [], 0)[0]
    finally:
        os.close(master)
        os.close(slave)
