"""Modbus TCP devices for benches: `python -m tests.bench.modbus_server DEVICES` prints their ports; 50 registers each that change at every answer."""

from __future__ import annotations

import asyncio
import json
import struct
import sys

import uvloop

REGISTERS = 50
_HEADER = struct.Struct(">HHHBBHH")
_VALUES = struct.Struct(f">{REGISTERS}H")
# Made before: a server that computes is slower than its clients, and then they wait for it one by one.
_STATES = [_VALUES.pack(*(2300 + (7 * i * n) % 11 for i in range(REGISTERS))) for n in range(11)]


class Device(asyncio.Protocol):
    """Answers function 3 from the first register; values as a meter's: a few digits move from answer to answer."""

    def __init__(self) -> None:
        self._answers = 0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            transaction, _, _, unit, function, _, count = _HEADER.unpack_from(self._rest)
            self._rest = self._rest[_HEADER.size :]
            self._answers += 1
            registers = _STATES[self._answers % len(_STATES)][: 2 * count]
            self._transport.write(struct.pack(">HHHBBB", transaction, 0, 3 + len(registers), unit, function, len(registers)) + registers)


async def main(devices: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Device, "127.0.0.1", 0) for _ in range(devices)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await loop.create_future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
