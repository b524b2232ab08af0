"""Lines that hang, overflow or are flooded: bounded, and given back."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import socket
import threading
import time
import tty

import pytest
from bus_rig import PtyDevice, run, serial_bus, tcp_bus

from edgegw.bus import line as line_module
from edgegw.bus import port as port_module
from edgegw.bus.line import FLOOD_BYTES_MAX, make_line
from edgegw.bus.port import LineError


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
