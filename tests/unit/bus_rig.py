"""Peers for the tests of the bus: a device on a real pty, in a thread of its own, and a Modbus TCP server on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self

from modbus_rig import answer_frame

from edgegw.clock import Clock
from edgegw.config.model import Bus
from edgegw.drivers.modbus_codec import sealed
from edgegw.model import Reading

DEADLINE_S = 20
# Three values of two registers: a block that has parts.
ROWS = "\n".join(f"alarm_word.{n}, address = {2 * n - 2}; type = 'u32'" for n in (1, 2, 3))
FAST = "[group.g]\nperiod_s = 0.02\n"


class Asked(NamedTuple):
    """One request as the device saw it."""

    number: int
    at_ns: int
    silence_ns: int
    """Since the device's own last byte or the last request."""
    unit: int
    function: int
    address: int
    count: int

    def data(self) -> bytes:
        """Registers that name the request: its number, high word first, again and again."""
        return (self.number.to_bytes(4, "big") * self.count)[: 2 * self.count]

    def answer(self) -> bytes:
        return answer_frame(self.unit, self.function, self.data())


Say = list[tuple[float, bytes]]
"""What the device sends: seconds after the request, bytes."""


def honest(asked: Asked) -> Say:
    return [(0.0, asked.answer())]


class PtyDevice:
    """Every unit on one line. `behave` decides what is sent; a unit that is late with one answer is late with the next: it answers in order."""

    def __init__(self, behave: Callable[[Asked], Say] = honest) -> None:
        self.behave = behave
        self.asked: list[Asked] = []
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        self._stop_r, self._stop_w = os.pipe()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_w, b"x")
        self._thread.join()
        for fd in (self._master, self._slave, self._stop_r, self._stop_w):
            with contextlib.suppress(OSError):
                os.close(fd)

    def hang_up(self) -> None:
        """The adapter is pulled out: master and slave are gone."""
        os.write(self._stop_w, b"x")
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def say(self, data: bytes) -> None:
        os.write(self._master, data)

    def say_later(self, after_s: float, data: bytes) -> None:
        timer = threading.Timer(after_s, self.say, (data,))
        timer.daemon = True
        timer.start()

    def _serve(self) -> None:
        pending: Say = []
        received = b""
        last_ns = 0
        free_s: dict[int, float] = {}
        while True:
            now = time.monotonic()
            for due in [item for item in pending if item[0] <= now]:
                os.write(self._master, due[1])
                last_ns = time.monotonic_ns()
                pending.remove(due)
            wait_s = max(0.0, min(pending)[0] - now) if pending else None
            readable, _, _ = select.select([self._master, self._stop_r], [], [], wait_s)
            if self._stop_r in readable:
                return
            if self._master not in readable:
                continue
            at_ns = time.monotonic_ns()
            received += os.read(self._master, 256)
            while len(received) >= 8:
                frame, received = received[:8], received[8:]
                fields = frame[0], frame[1], int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
                asked = Asked(len(self.asked), at_ns, at_ns - last_ns, *fields)
                self.asked.append(asked)
                last_ns = at_ns
                start_s = max(at_ns / 1e9, free_s.get(asked.unit, 0.0))
                for after_s, data in self.behave(asked):
                    free_s[asked.unit] = max(start_s, at_ns / 1e9 + after_s)
                    pending.append((free_s[asked.unit], data))


def serial_bus(path: str, **settings) -> Bus:
    return Bus(**{"name": "rs485a", "kind": "serial", "path": path, "baudrate": 115200, "answer_timeout_ms": 60, "late_answer_guard_ms": 200, **settings})


class TcpDevice:
    """A Modbus TCP server. `behave` gets (transaction id, unit, function, address, count) and says what is sent after how many seconds."""

    def __init__(self, behave: Callable[..., Say], *, rtu: bool = False) -> None:
        """With `rtu` a serial server: the same frames without their head, with their CRC; there the transaction id counts the requests."""
        self.behave = behave
        self.rtu = rtu
        self.asked = 0
        self.connections = 0
        self.port = 0
        self.close_after_answer = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await self._next(reader)
                number, unit, function = int.from_bytes(head[:2], "big"), head[6], head[7]
                for after_s, data in self.behave(number, unit, function, int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")):
                    await asyncio.sleep(after_s)
                    writer.write(sealed(data[6:]) if self.rtu else data)
                if self.close_after_answer:
                    break
        self._writers.discard(writer)
        writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        if not self.rtu:
            return await reader.readexactly(12)
        frame = await reader.readexactly(8)
        self.asked += 1
        return self.asked.to_bytes(2, "big") + bytes(4) + frame[:6]


class SerialServer:
    """What stands between a network and a serial line: each connection's bytes go to the port and back, as they come, and it knows no protocol."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.port = 0
        self.connections = 0
        self.bytes_in = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        line = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(line)
        asyncio.get_running_loop().add_reader(line, lambda: writer.write(os.read(line, 256)))
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(256):
                self.bytes_in += len(data)
                os.write(line, data)
        asyncio.get_running_loop().remove_reader(line)
        os.close(line)
        self._writers.discard(writer)
        writer.close()


def tcp_bus(port: int, **settings) -> Bus:
    return Bus(**{"name": "eth", "kind": "tcp", "host": "127.0.0.1", "port": port, "answer_timeout_ms": 150, **settings})


def tcp_answer(number: int, unit: int, function: int, data: bytes) -> bytes:
    return number.to_bytes(2, "big") + (3 + len(data)).to_bytes(4, "big") + bytes((unit, function, len(data))) + data


class Polled:
    """Collects readings; `until` waits for a condition on them."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.clock = Clock()

    def __call__(self, reading: Reading) -> None:
        self.readings.append(reading)

    def of(self, device: str) -> list[Reading]:
        return [reading for reading in self.readings if reading.source.device == device]

    @staticmethod
    async def until(condition: Callable[[], object]) -> None:
        """Returns when it holds; an AssertionError at the deadline."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            await asyncio.sleep(0.002)


def good(readings: list[Reading]) -> list[Reading]:
    return [reading for reading in readings if not reading.quality]


def run(main: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await main

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def running(*tasks):
    """Bus tasks that poll while the body runs; an error of theirs is an error of the test."""
    running_tasks = [asyncio.create_task(task.run()) for task in tasks]
    try:
        yield
    finally:
        for task in running_tasks:
            task.cancel()
        for result in await asyncio.gather(*running_tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result
