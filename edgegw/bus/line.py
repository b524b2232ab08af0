"""Lines: pipes of bytes with one owner. What comes in is kept with the time at which it was read; nothing here knows a protocol.

    SerialLine  a port, opened in a thread of its own because USB adapters block; held by flock; watched by the loop
    TcpLine     a connection, with TCP_NODELAY

A line that breaks says so by `is_open`; it is opened again by its bus, never by itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import stat
import termios
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import serial

from edgegw.config.model import Bus
from edgegw.errors import EXIT_HELD, EdgegwError

# Longest wait for a port or a connection to open: a hanging USB adapter, a server that drops SYN.
OPEN_TIMEOUT_S = 5.0
# Closing waits for what the adapter has not sent; a request takes no longer than this at 1200 baud.
CLOSE_TIMEOUT_S = 1.0
# More than this unread means that the peer floods us: eight frames of the largest size.
INPUT_BYTES_MAX = 2048
_READ_BYTES = 4096
# Decision D13: major numbers of ptys. They have no parity, and setting one raises EINVAL.
_PTY_MAJORS = range(136, 144)


class LineError(EdgegwError):
    """The line cannot be opened or is broken; says which, where and what helps."""


class Line(ABC):
    """What the transactions use. `received` is theirs to consume."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.received = bytearray()
        self.last_byte_ns = 0
        """`time.monotonic_ns()` at which the newest byte was read."""
        self.is_open = False
        self.fault = ""
        """Why it is no longer open."""
        self.flooded_bytes = 0
        """Dropped because nobody can have asked for so much."""
        self._waiter: asyncio.Future[bool] | None = None

    @abstractmethod
    async def open(self) -> None:
        """Raises LineError. Afterwards empty and ready."""

    @abstractmethod
    async def close(self) -> None:
        """Gives the line back. May be called at any time."""

    @abstractmethod
    def write(self, payload: bytes) -> None:
        """Hands the bytes to the system at once. Raises LineError."""

    @abstractmethod
    def pull(self) -> None:
        """Takes over what lies in the system's buffer and was not yet announced, where that can be done."""

    async def wait(self, deadline_ns: int) -> bool:
        """True when something came or the line broke; False at the deadline, never before it."""
        loop = asyncio.get_running_loop()
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(left_ns / 1e9, _settle, waiter, False)
            try:
                if await waiter:
                    return True
            finally:
                timer.cancel()
                self._waiter = None
        return False

    def _opened(self) -> None:
        self.received.clear()
        self.is_open = True
        self.fault = ""
        self.last_byte_ns = time.monotonic_ns()

    def _take(self, data: bytes) -> None:
        """Bytes were read."""
        self.last_byte_ns = time.monotonic_ns()
        self.received += data
        if len(self.received) > INPUT_BYTES_MAX:
            self.flooded_bytes += len(self.received)
            self.received.clear()
            if self.bus.kind == "tcp":
                # A frame of the stream was cut: where the next one begins is unknown. On RTU the next silence tells.
                self._broke("the server floods us with what nobody asked for")
        _settle(self._waiter, True)

    def _broke(self, fault: str) -> None:
        """The line is gone; whoever waits learns it."""
        if self.is_open:
            self.is_open = False
            self.fault = fault
        _settle(self._waiter, True)


def _settle(waiter: asyncio.Future[bool] | None, came: bool) -> None:  # noqa: FBT001 - what the waiter gets
    if waiter is not None and not waiter.done():
        waiter.set_result(came)


class SerialLine(Line):
    """A serial port, or a pty that stands for one."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._port: serial.Serial | None = None
        self._fd = -1

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[serial.Serial] = loop.create_future()
        threading.Thread(target=_open_in_thread, args=(self.bus, loop, opened), name=f"open-{self.bus.name}", daemon=True).start()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                self._port = await opened
        except TimeoutError as fault:
            text = f'bus "{self.bus.name}": opening {self.bus.path} takes longer than {OPEN_TIMEOUT_S:g} s'
            raise LineError("E-BUS-PORT", text, "unplug the adapter and plug it in again") from fault
        self._fd = self._port.fileno()
        self._opened()
        loop.add_reader(self._fd, self._on_readable)

    async def close(self) -> None:
        port, self._port = self._port, None
        self.is_open = False
        if port is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        closed: asyncio.Future[None] = loop.create_future()
        threading.Thread(target=_close_in_thread, args=(port, loop, closed), name=f"close-{self.bus.name}", daemon=True).start()
        await asyncio.wait([closed], timeout=CLOSE_TIMEOUT_S)

    def write(self, payload: bytes) -> None:
        try:
            written = os.write(self._fd, payload)
        except OSError as fault:
            self._broke(str(fault))
            written = 0
        if written < len(payload):
            self._broke("the port takes no more bytes")
            raise LineError("E-BUS-PORT", f'bus "{self.bus.name}": {self.bus.path}: {self.fault}', "look whether the adapter is still plugged in")

    def pull(self) -> None:
        self._read()

    def _on_readable(self) -> None:
        if not self._read() and self.is_open and _hung_up(self._fd):
            self._lost("it has hung up")

    def _read(self) -> bool:
        """Takes what lies there; False when nothing does."""
        if not self.is_open:
            return False
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as fault:
            self._lost(str(fault))
            return False
        if data:
            self._take(data)
        return bool(data)

    def _lost(self, why: str) -> None:
        """A reader on a dead descriptor would fire for ever."""
        asyncio.get_running_loop().remove_reader(self._fd)
        self._broke(f"{self.bus.path} is gone: {why}")


def _hung_up(fd: int) -> bool:
    """Readable without a byte is an end, unless another read was quicker than the event."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _open_in_thread(bus: Bus, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[serial.Serial]) -> None:
    try:
        port = _open_port(bus)
    except LineError as fault:
        _tell(loop, _fail, opened, fault)
        return
    if not _tell(loop, _hand_over, opened, port):
        port.close()


def _close_in_thread(port: serial.Serial, loop: asyncio.AbstractEventLoop, closed: asyncio.Future[None]) -> None:
    port.close()
    _tell(loop, _finish, closed)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> bool:
    """Calls in the loop; False when the loop is no more."""
    try:
        loop.call_soon_threadsafe(what, *args)
    except RuntimeError:
        return False
    return True


def _hand_over(opened: asyncio.Future[serial.Serial], port: serial.Serial) -> None:
    if opened.done():
        port.close()  # Its owner stopped waiting.
    else:
        opened.set_result(port)


def _fail(opened: asyncio.Future[serial.Serial], fault: LineError) -> None:
    if not opened.done():
        opened.set_exception(fault)


def _finish(closed: asyncio.Future[None]) -> None:
    if not closed.done():
        closed.set_result(None)


def _open_port(bus: Bus) -> serial.Serial:
    """Blocks. Raises LineError with what a technician can do."""
    where = f'bus "{bus.name}": {bus.path}'
    try:
        parity = "N" if _is_pty(bus.path) else bus.parity
        port = serial.Serial(bus.path, bus.baudrate, parity=parity, stopbits=bus.stop_bits, timeout=0, exclusive=True)
    except FileNotFoundError as fault:
        raise LineError("E-BUS-PORT", f"{where} does not exist", "plug in the adapter, or see `ls /dev/serial/by-path` for its name") from fault
    except serial.SerialException as fault:
        raise _port_error(where, fault) from fault
    except (OSError, termios.error, ValueError) as fault:
        raise LineError("E-BUS-PORT", f"{where} cannot be set to {bus.baudrate} baud, parity {bus.parity}: {fault}", "try another speed or adapter") from fault
    termios.tcflush(port.fileno(), termios.TCIOFLUSH)
    return port


def _port_error(where: str, fault: serial.SerialException) -> LineError:
    if fault.errno in (errno.EAGAIN, errno.EBUSY):
        return LineError("E-BUS-HELD", f"{where} is held by another program", f"`fuser -v {where.rsplit(maxsplit=1)[-1]}` names it; stop it", EXIT_HELD)
    if fault.errno == errno.EACCES:
        return LineError("E-BUS-PORT", f"{where}: permission denied", "add the service's user to the group of the port (ls -l), mostly dialout")
    return LineError("E-BUS-PORT", f"{where} cannot be opened: {fault}", "look whether the path names a serial port")


def _is_pty(path: str) -> bool:
    status = Path(path).stat()
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) in _PTY_MAJORS


class TcpLine(Line):
    """A connection to a Modbus TCP server or a serial server."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        await self.close()
        where = f'bus "{self.bus.name}": {self.bus.host}:{self.bus.port}'
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                transport, _ = await asyncio.get_running_loop().create_connection(lambda: _Receiver(self), self.bus.host, self.bus.port)
        except TimeoutError as fault:
            raise LineError("E-BUS-CONNECT", f"{where} does not answer within {OPEN_TIMEOUT_S:g} s", "look at the device's power, cable and address") from fault
        except ConnectionRefusedError as fault:
            hint = "another client may hold its only connection, or Modbus TCP is switched off in the device"
            raise LineError("E-BUS-CONNECT", f"{where} refuses the connection", hint) from fault
        except OSError as fault:
            raise LineError("E-BUS-CONNECT", f"{where}: {fault.strerror or fault}", "look at the device's power, cable and address") from fault
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._opened()
        if transport.is_closing():
            self._broke(f"{self.bus.host}:{self.bus.port} closed the connection at once")

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        self.is_open = False
        if transport is not None:
            transport.abort()
            await asyncio.sleep(0)  # The socket is closed in the loop's next turn.

    def write(self, payload: bytes) -> None:
        if self._transport is None or not self.is_open:
            raise LineError("E-BUS-CONNECT", f'bus "{self.bus.name}": {self.fault or "not connected"}', "it is opened again by itself")
        self._transport.write(payload)

    def pull(self) -> None:
        """Only the transport may read its socket."""

    def receive(self, transport: asyncio.BaseTransport | None, data: bytes) -> None:
        """From the connection; one that was given up has no say any more."""
        if transport is self._transport:
            self._take(data)

    def lose(self, transport: asyncio.BaseTransport | None, why: str) -> None:
        if transport is self._transport:
            self._broke(why)


class _Receiver(asyncio.Protocol):
    def __init__(self, line: TcpLine) -> None:
        self._line = line
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._line.receive(self._transport, data)

    def connection_lost(self, exc: Exception | None) -> None:
        where = f"{self._line.bus.host}:{self._line.bus.port}"
        self._line.lose(self._transport, f"{where} closed the connection" if exc is None else f"connection to {where} lost: {exc}")


def make_line(bus: Bus) -> Line:
    """The closed line of a bus."""
    return SerialLine(bus) if bus.kind == "serial" else TcpLine(bus)
