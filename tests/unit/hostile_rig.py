"""Peers on real ports that do at random, from a fixed seed, all that field devices have been seen to do, and the transactions held against them.

The deeds are those of the table in test_bus_ten_thousand.py (F23-F39), which has each of them with its kind and its counters.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from bus_rig import Asked, PtyDevice, Say, serial_bus, tcp_bus
from test_bus_ten_thousand import RTU, RTU_DEEDS, TCP, TCP_DEEDS, RtuPeer, TcpPeer

from edgegw.bus.line import make_line
from edgegw.bus.port import LineError
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.config.model import Bus
from edgegw.model import Answer

TIMEOUT_MS = 50
GUARD_MS = 300
# Honest ones among the deeds, so that most questions are answered.
HONEST = 24
# Pulled out and plugged in again under another number, on average after so many questions (F31).
REPLUG_EACH = 250
Count = Callable[[int], None]


class Tally(NamedTuple):
    """What came of it."""

    values: int
    wrong: int
    replugged: int
    outcomes: dict[str, Counter[str]]
    """Deed to the kinds that its questions ended with; `value` for an answer."""
    statistics: BusStatistics

    def expected_share(self, deeds: dict[str, tuple[str, str | None, object]]) -> float:
        """Of the questions that ended as the table says; a late answer that falls into the next question may change that one's kind."""
        as_told = sum(kinds[deeds[deed][1] or "value"] for deed, kinds in self.outcomes.items())
        return as_told / sum(kinds.total() for kinds in self.outcomes.values())

    def lines(self) -> list[str]:
        told = [f"{deed:<17}{', '.join(f'{kind} {by}' for kind, by in kinds.most_common())}" for deed, kinds in sorted(self.outcomes.items())]
        return [*told, f"values {self.values}, wrong values {self.wrong}, replugged {self.replugged}"]


class HurriedRtuPeer(RtuPeer):
    """Honest answers at once. Doubled ones in one go: a second answer that comes later can be told from the next one's only when it was noticed once."""

    def __call__(self, asked: Asked) -> Say:
        if self.deed == "honest":
            return [(0.0, asked.answer())]
        return [(0.005, asked.answer() * 2)] if self.deed == "doubled" else super().__call__(asked)


class HurriedTcpPeer(TcpPeer):
    """The same on Modbus TCP."""

    def __call__(self, asked: Asked) -> Say:
        said = super().__call__(asked)
        return [(0.0, said[0][1])] if self.deed == "honest" else said


class SwappedPort:
    """A pty under a name that stays; `replug` gives it another number."""

    def __init__(self, link: Path, peer: Callable[[Asked], Say]) -> None:
        self.link = link
        self._peer = peer
        self.asked: list[Asked] = []
        self._device = self._plug()

    def _plug(self) -> PtyDevice:
        device = PtyDevice(self._peer)
        device.asked = self.asked
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(device.path)
        return device.__enter__()

    def replug(self) -> None:
        self._device.hang_up()
        self._device = self._plug()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._device.__exit__()


class HostileServer:
    """A server on a real socket. With `rtu` a serial server, which cuts and joins what comes from its line as it likes."""

    def __init__(self, peer: RtuPeer | TcpPeer, *, rtu: bool) -> None:
        self.asked: list[Asked] = []
        self.open = self.open_max = 0
        self._peer = peer
        self._rtu = rtu
        self._rng = random.Random(99)
        self._free_s: dict[int, float] = {}
        self._whole_s = 0.0
        """When the frame that goes out in pieces is whole: no server writes one frame into the middle of another."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            refused = not self._rtu and self._peer.refuses()
            while not refused:
                head = await reader.readexactly(8 if self._rtu else 12)
                number = len(self.asked) if self._rtu else int.from_bytes(head[:2], "big")
                pdu = head if self._rtu else head[6:]
                asked = Asked(number, time.monotonic_ns(), 0, pdu[0], pdu[1], int.from_bytes(pdu[2:4], "big"), int.from_bytes(pdu[4:6], "big"))
                self.asked.append(asked)
                said = self._peer(asked)
                if not self._rtu and self._peer.deed == "in pieces":
                    self._whole_s = asyncio.get_running_loop().time() + said[-1][0] + 0.002
                for after_s, data in said:
                    self._say_later(writer, asked.unit, after_s, data)
        self.open -= 1
        writer.close()
        self._writers.discard(writer)
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._tasks.discard(asyncio.current_task())

    def _say_later(self, writer: asyncio.StreamWriter, unit: int, after_s: float, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        # A unit answers in order: late with one answer it is late with the next.
        start_s = max(loop.time() + after_s, self._free_s.get(unit, 0.0)) if self._rtu else loop.time() + after_s
        cuts = sorted(self._rng.randrange(len(data) + 1) for _ in range(self._rng.randrange(3))) if self._rtu and self._peer.deed != "doubled" else []
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            loop.call_at(start_s, self._say, writer, data[start:end])
            self._free_s[unit], start_s = start_s, start_s + 0.003
        if not data and not self._rtu:
            loop.call_at(start_s, writer.close)

    def _say(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if len(data) > 1 and not self._rtu and loop.time() < self._whole_s:
            loop.call_at(self._whole_s, self._say, writer, data)
        elif data and not writer.is_closing():
            writer.write(data)


async def attack(bus: Bus, peer: RtuPeer | TcpPeer, asked: list[Asked], count: int, done: Count, replug: Callable[[], None] | None = None) -> Tally:
    """So many transactions with the line of this bus, as close as the guard allows; `done` is called with the number of each."""
    rtu = bus.kind != "tcp"
    questions, deeds = (RTU, sorted(set(RTU_DEEDS) - {"pulled out"})) if rtu else (TCP, sorted(TCP_DEEDS))
    statistics = BusStatistics()
    transactions = Transactions(bus, make_line(bus), statistics)
    outcomes: dict[str, Counter[str]] = {}
    values = wrong = replugged = 0
    for n in range(count):
        if replug is not None and peer.rng.randrange(REPLUG_EACH) == 0:
            replug()
            replugged += 1
        await _opened(transactions)
        question = await _allowed(transactions, peer.rng.choice(questions))
        peer.deed = peer.rng.choice(["honest"] * HONEST + ["late"] * 4 + deeds)
        result = await transactions.ask(question, TIMEOUT_MS, question.payload[0 if rtu else 4])
        if isinstance(result, Answer):
            values += 1
            wrong += result.data != asked[-1].data()
        outcomes.setdefault(peer.deed, Counter())[result.kind if not isinstance(result, Answer) else "value"] += 1
        done(n)
    await transactions.line.close()
    return Tally(values, wrong, replugged, outcomes, statistics)


async def _opened(transactions: Transactions) -> None:
    while not transactions.line.is_open:
        try:
            await transactions.line.open()
        except LineError:
            await asyncio.sleep(0.02)


async def _allowed(transactions: Transactions, question):
    """The question, or a part of it when the guard holds it back, at the time when it may be asked."""
    blocked = transactions.blocked_until_ns
    if blocked(question):
        question = next((part for part in question.resync if not blocked(part)), question)
    while until_ns := blocked(question):  # noqa: ASYNC110 - a time is awaited
        await asyncio.sleep(max(0, until_ns - time.monotonic_ns()) / 1e9)
    return question


async def attack_pty(folder: Path, seed: int, count: int, done: Count) -> Tally:
    peer = HurriedRtuPeer(seed)
    with SwappedPort(folder / "port", peer) as port:
        bus = serial_bus(str(port.link), answer_timeout_ms=TIMEOUT_MS, late_answer_guard_ms=GUARD_MS)
        return await attack(bus, peer, port.asked, count, done, port.replug)


async def attack_tcp(kind: str, seed: int, count: int, done: Count) -> Tally:
    peer = HurriedTcpPeer(seed) if kind == "tcp" else HurriedRtuPeer(seed)
    async with HostileServer(peer, rtu=kind != "tcp") as server:
        bus = tcp_bus(server.port, kind=kind, answer_timeout_ms=TIMEOUT_MS, late_answer_guard_ms=GUARD_MS, baudrate=115200)
        return await attack(bus, peer, server.asked, count, done)
