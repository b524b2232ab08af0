"""A simulated Modbus TCP server on the loopback: any number of connections, each answered in the order of its requests."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

from edgegw.sim import forgery, frames
from edgegw.sim.device import Device, Reply
from edgegw.sim.frames import Request
from edgegw.sim.journal import Journal
from edgegw.sim.serial_line import LineCounts

HOST = "127.0.0.1"
# More than the longest frame: one read may bring several requests.
READ_BYTES_MAX = 4096
# Frames that nobody asked for, before the answer.
FLOOD_FRAMES = 2000


class TcpLine:
    """One listening port. Lives in the simulator's loop."""

    def __init__(self, name: str, devices: Mapping[int, Device], journal: Journal, *, paced: bool, port: int = 0) -> None:
        """`port` 0: any that is free; `self.port` says which it became."""
        self.name = name
        self.counts = LineCounts()
        self.port = port
        self._devices = devices
        self._journal = journal
        self._paced = paced
        self._habit: str | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    # -- what a control command changes

    def switch(self, habit: str | None) -> None:
        """`taken`: its only connection is another's. `hang_up`: it closes after each answer. `mute`: it accepts and never answers."""
        self._habit = habit
        if habit == "taken":
            for task in self._connections:
                task.cancel()

    # -- the connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.counts.connections += 1
        try:
            if self._habit != "taken":
                await self._converse(reader, writer)
        except (ConnectionError, ValueError):
            self.counts.bad_requests += 1
        except asyncio.CancelledError:
            # The station stops: the connection is closed below, and the stream's own callback must not see a cancelled task.
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = b""
        while chunk := await reader.read(READ_BYTES_MAX):
            if self._habit == "mute":
                continue
            arrived_ns = time.monotonic_ns()
            received += chunk
            while True:
                request, end = frames.parse_tcp(received)
                if request is None:
                    break
                received = received[end:]
                await self._answer(writer, request, arrived_ns)
                if self._habit == "hang_up":
                    return

    async def _answer(self, writer: asyncio.StreamWriter, request: Request, arrived_ns: int) -> None:
        self.counts.requests += 1
        device = self._devices.get(request.unit)
        if device is None:
            self.counts.foreign += 1
            refusal = frames.exception_pdu(request.function, frames.NO_ANSWER_BEHIND_GATEWAY)
            writer.write(frames.tcp_frame(request.transaction, request.unit, refusal))
            return
        if self._paced:
            await _sleep_until(arrived_ns + device.turnaround_ns)
        reply = device.answer(request)
        if reply is None:
            return
        await _sleep_until(time.monotonic_ns() + reply.delay_ns)
        writer.write(_on_tcp(reply))
        finished_ns, finished_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        self.counts.answers += 1
        self._journal.write(device.entry(reply, arrived_ns, finished_ns, finished_ms, whole=reply.whole))
        await writer.drain()


def _on_tcp(reply: Reply) -> bytes:
    """The bytes of the answer, after what a fault does to them."""
    request, pdu, unit, transaction = reply.request, reply.payload, reply.request.unit, reply.request.transaction
    if reply.fault in forgery.KINDS:
        pdu = forgery.modbus_pdu(reply.fault, pdu)
        unit = unit % 247 + 1 if reply.fault == "foreign_unit" else unit
    if reply.fault == "transaction":
        return frames.tcp_frame(transaction + 0x55 & 0xFFFF, unit, forgery.modbus_pdu("twin", pdu))
    if reply.fault == "flood":
        strange = frames.tcp_frame(transaction ^ 0xFFFF, request.unit, forgery.modbus_pdu("twin", pdu))
        return strange * FLOOD_FRAMES + frames.tcp_frame(transaction, unit, pdu)
    return frames.tcp_frame(transaction, unit, pdu)


async def _sleep_until(at_ns: int) -> None:
    """Returns at or after `at_ns`: a loop's timer may come early (decision D2)."""
    while (left_ns := at_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - a time is awaited, not a state
        await asyncio.sleep(left_ns / 1e9)
