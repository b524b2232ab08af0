"""Lines: pipes of bytes with one owner. What comes in is kept with the time at which it was read; nothing here knows a protocol.

    SerialLine  a port, opened in a thread of its own because USB adapters block; held by flock; watched by the loop
    TcpLine     a connection, with TCP_NODELAY

A line that breaks says so by `is_open`; it is opened again by its bus, never by itself.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from edgegw.bus.arrival import Arrival
from edgegw.bus.port import LineError, close_in_thread, open_in_thread
from edgegw.config.model import Bus

if TYPE_CHECKING:
    import serial

# Longest wait for a port or a connection to open: a hanging USB adapter, a server that drops SYN.
OPEN_TIMEOUT_S = 5.0
# Closing waits for what the adapter has not sent; a request takes no longer than this at 1200 baud.
CLOSE_TIMEOUT_S = 1.0
# More than this unread means that the peer floods us: eight frames of the largest size.
INPUT_BYTES_MAX = 2048
# More than this thrown away within a second is no line's noise (115200 baud carry 11.5 kB): reading on would only cost the processor.
FLOOD_BYTES_MAX = 64 * 1024
_READ_BYTES = 4096
_NEVER_NS = 1 << 63


class Taker(Protocol):
    """Who goes on by callbacks while the line's task waits (streak.py)."""

    def take(self, data: bytes) -> bool:
        """What came while nothing lay unread. False: not for it; the bytes are kept and the task is woken."""

    def expire(self) -> bool:
        """The deadline is over. False: the task is woken."""


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
        self.on_closed: Callable[[str], None] = lambda _why: None
        """Told at once when the open line is closed or lost, and why."""
        self.flooded_bytes = 0
        """Dropped because nobody can have asked for so much."""
        self._flood_since_ns = 0
        self._flood_bytes = 0
        self.taker: Taker | None = None
        """Asked before the task is."""
        self._arrival = Arrival()
        self._loop: asyncio.AbstractEventLoop | None = None
        """In which it was opened."""
        self._deadline_ns = 0
        """Of the wait under way."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = _NEVER_NS
        """When it fires."""

    @abstractmethod
    async def open(self) -> None:
        """Raises LineError. Afterwards empty and ready."""

    @abstractmethod
    async def close(self, why: str = "") -> None:
        """Gives the line back. May be called at any time; `why` is for the trace."""

    @abstractmethod
    def write(self, payload: bytes) -> None:
        """Hands the bytes to the system at once. Raises LineError."""

    @abstractmethod
    def pull(self) -> None:
        """Takes over what lies in the system's buffer and was not yet announced, where that can be done."""

    def wait(self, deadline_ns: int) -> Arrival:
        """To be awaited, by one caller at a time: true when something came or the line broke, false at the deadline, never before it.

        One timer serves all waits: it is moved only when it would come too late. Most answers come long before their deadline.
        """
        loop = self._loop or asyncio.get_running_loop()
        arrival = self._arrival
        arrival.begin(loop)
        self._deadline_ns = deadline_ns
        if deadline_ns < self._timer_ns:
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0:
                arrival.settle(came=False)
            else:
                self._set_timer(loop, left_ns)
        return arrival

    def wait_until(self, deadline_ns: int, *, exactly: bool = False) -> None:
        """Moves the deadline of the wait under way. `exactly`: nothing is to happen before it, so an earlier timer would wake for nothing."""
        self._deadline_ns = deadline_ns
        if deadline_ns < self._timer_ns or (exactly and deadline_ns != self._timer_ns):
            assert self._loop is not None
            self._set_timer(self._loop, max(0, deadline_ns - time.monotonic_ns()))

    def wake(self) -> None:
        """Ends the wait under way, from a callback of the loop."""
        self._arrival.settle(came=True)

    def wake_soon(self) -> None:
        """The same from anywhere, in the loop's next turn."""
        self._arrival.settle_soon(came=True)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, left_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = self._deadline_ns
        self._timer = loop.call_later(left_ns / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        """Timers come early, and this one may have been set for an older wait."""
        self._timer, self._timer_ns = None, _NEVER_NS
        if not self._arrival.is_awaited:
            return
        left_ns = self._deadline_ns - time.monotonic_ns()
        if left_ns > 0:
            self._set_timer(self._loop or asyncio.get_running_loop(), left_ns)
        elif self.taker is None or not self.taker.expire():
            self._arrival.settle(came=False)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_ns = None, _NEVER_NS

    def _opened(self) -> None:
        self.received.clear()
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        self.fault = ""
        self.last_byte_ns = time.monotonic_ns()

    def take(self, data: bytes) -> None:
        """Bytes were read."""
        self.last_byte_ns = time.monotonic_ns()
        if self.taker is not None and not self.received and self.taker.take(data):
            return
        self.received += data
        # On Modbus TCP a frame of the stream was cut: where the next one begins is unknown. On RTU the next silence tells.
        if len(self.received) > INPUT_BYTES_MAX and (self._drop_flood() or self.bus.kind == "tcp"):
            self._broke("the peer floods us with what nobody asked for")
        self._arrival.settle(came=True)

    def _drop_flood(self) -> bool:
        """Throws away what came; True when that was more within a second than a line can carry."""
        if self.last_byte_ns - self._flood_since_ns > 1_000_000_000:
            self._flood_since_ns, self._flood_bytes = self.last_byte_ns, 0
        self._flood_bytes += len(self.received)
        self.flooded_bytes += len(self.received)
        self.received.clear()
        return self._flood_bytes > FLOOD_BYTES_MAX

    @abstractmethod
    def _stop_reading(self) -> None:
        """Of a broken line nothing more is wanted: a dead descriptor would fire for ever, a flood would go on."""

    def _broke(self, fault: str) -> None:
        """The line is gone; whoever waits learns it."""
        if self.is_open:
            self._ended(fault)
            self.fault = fault
            self._stop_reading()
            self.wake_soon()

    def _ended(self, why: str) -> None:
        if self.is_open:
            self.is_open = False
            self.on_closed(why)


class SerialLine(Line):
    """A serial port, or a pty that stands for one."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._port: serial.Serial | None = None
        self._fd = -1
        self._opener: threading.Thread | None = None

    async def open(self) -> None:
        await self.close()  # A broken line still holds its port, and with it the lock.
        if self._opener is not None and self._opener.is_alive():
            raise self._hangs()  # One thread that hangs is enough.
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[serial.Serial] = loop.create_future()
        self._opener = threading.Thread(target=open_in_thread, args=(self.bus, loop, opened), name=f"open-{self.bus.name}", daemon=True)
        self._opener.start()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                self._port = await opened
        except TimeoutError as fault:
            raise self._hangs() from fault
        self._fd = self._port.fileno()
        self._opened()
        loop.add_reader(self._fd, self._on_readable)

    def _hangs(self) -> LineError:
        text = f'bus "{self.bus.name}": opening {self.bus.path} takes longer than {OPEN_TIMEOUT_S:g} s'
        return LineError("E-BUS-PORT", text, "unplug the adapter and plug it in again")

    async def close(self, why: str = "") -> None:
        port, self._port = self._port, None
        self._ended(why)
        self._drop_timer()
        if port is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        closed: asyncio.Future[None] = loop.create_future()
        threading.Thread(target=close_in_thread, args=(port, loop, closed), name=f"close-{self.bus.name}", daemon=True).start()
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
            self._broke(f"{self.bus.path} is gone: it has hung up")

    def _read(self) -> bool:
        """Takes what lies there; False when nothing does."""
        if not self.is_open:
            return False
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as fault:
            self._broke(f"{self.bus.path} is gone: {fault}")
            return False
        if data:
            self.take(data)
        return bool(data)

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)


def _hung_up(fd: int) -> bool:
    """Readable without a byte is an end, unless another read was quicker than the event."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


class TcpLine(Line):
    """A connection to a Modbus TCP server or a serial server."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self.transport: asyncio.Transport | None = None

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
        self.transport = transport
        self._opened()
        if transport.is_closing():
            self._broke(f"{self.bus.host}:{self.bus.port} closed the connection at once")

    async def close(self, why: str = "") -> None:
        transport, self.transport = self.transport, None
        self._ended(why)
        self._drop_timer()
        if transport is not None:
            transport.abort()
            await asyncio.sleep(0)  # The socket is closed in the loop's next turn.

    def write(self, payload: bytes) -> None:
        if self.transport is None or not self.is_open:
            raise LineError("E-BUS-CONNECT", f'bus "{self.bus.name}": {self.fault or "not connected"}', "it is opened again by itself")
        self.transport.write(payload)

    def pull(self) -> None:
        """Only the transport may read its socket."""

    def _stop_reading(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def lose(self, transport: asyncio.BaseTransport | None, why: str) -> None:
        if transport is self.transport:
            self._broke(why)


class _Receiver(asyncio.Protocol):
    def __init__(self, line: TcpLine) -> None:
        self._line = line
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        line = self._line
        # A connection that was given up has no say any more.
        if line.transport is self._transport:
            line.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        where = f"{self._line.bus.host}:{self._line.bus.port}"
        self._line.lose(self._transport, f"{where} closed the connection" if exc is None else f"connection to {where} lost: {exc}")


def make_line(bus: Bus) -> Line:
    """The closed line of a bus."""
    return SerialLine(bus) if bus.kind == "serial" else TcpLine(bus)
