"""Modbus TCP devices that number their answers: `python -m tests.bench.numbered_server DEVICES FILE`.

Prints their ports. Each answer to a question for all registers bears its number and its device; a line on standard input makes them silent and
writes `FILE`: what was asked and answered, as rows of four 64-bit integers.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests.bench.modbus_server import REGISTERS

_HEADER = struct.Struct(">HHHBBHH")
_ANSWER = struct.Struct(f">HHHBBB{REGISTERS}H")
_HEAD_BYTES = 9
# What is left of a value when the one before is known: four bits, so that batches are as large as those of a busy station.
_dice = random.Random(1)
_NOISE = [tuple(2300 + _dice.randrange(16) for _ in range(REGISTERS - 3)) for _ in range(251)]
# Of the two registers of a number: below the limit of the bench's rule.
_DIGITS = 10_000


class Asked(NamedTuple):
    """One question for all registers."""

    device: int
    number: int
    """Of its answer, from 0."""
    asked_ns: int
    """Wall time at which the question came."""
    answered_ns: int
    """0: it was not."""


class Device(asyncio.Protocol):
    """Answers function 3 from the first register."""

    silent = False

    def __init__(self, device: int, log: array[int]) -> None:
        self._device = device
        self._log = log
        self._number = 0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        asked_ns = time.time_ns()
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            transaction, _, _, unit, function, _, count = _HEADER.unpack_from(self._rest)
            self._rest = self._rest[_HEADER.size :]
            values = (self._number // _DIGITS, self._number % _DIGITS, self._device, *_NOISE[self._number % len(_NOISE)])
            answer = _ANSWER.pack(transaction, 0, 3 + 2 * count, unit, function, 2 * count, *values)[: _HEAD_BYTES + 2 * count]
            answered_ns = 0 if Device.silent else time.time_ns()
            if count == REGISTERS:
                self._log.extend((self._device, self._number, asked_ns, answered_ns))
                self._number += 1
            if answered_ns:
                self._transport.write(answer)


def numbers_of(values: tuple[int, ...]) -> tuple[int, int]:
    """(device, number of its answer) of the values of one reading."""
    return values[2], values[0] * _DIGITS + values[1]


def log_of(path: Path) -> Iterator[Asked]:
    numbers = array("q", path.read_bytes())
    return (Asked(*numbers[at : at + 4]) for at in range(0, len(numbers), 4))


async def main(devices: int, path: Path) -> None:
    loop = asyncio.get_running_loop()
    log = array("q")
    # One connection after the other goes on counting where the last one ended: the numbers are of the device.
    made = [Device(device, log) for device in range(devices)]
    servers = [await loop.create_server(lambda one=one: one, "127.0.0.1", 0) for one in made]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    Device.silent = True
    # What the gateway asks in vain now bounds the times of the last answers.
    await asyncio.sleep(1)
    _write(path, log)
    await loop.create_future()


def _write(path: Path, log: array[int]) -> None:
    path.write_bytes(log.tobytes())
    print("written", flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
