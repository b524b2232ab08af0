"""Ten thousand transactions on a virtual clock with peers that do, with a fixed seed, all that field devices have been seen to do."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import pytest
from bus_rig import Asked, Say, serial_bus, tcp_answer, tcp_bus
from modbus_rig import answer_frame, exception_frame
from virtual_time import MS, VirtualLine, run_virtual

from edgegw.bus.port import LineError
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.bus.unanswered import DOUBLING_NS
from edgegw.drivers.modbus_codec import rtu_question, tcp_question
from edgegw.model import Answer, Fault

TIMEOUT_MS = 50
GUARD_MS = 300
COUNTERS = ("answered", "timed_out", "crc", "short", "exceptions", "late", "doubled", "echo", "foreign")

# Two ranges of each unit that look alike, and two units that look alike.
PARTS = {unit: [rtu_question(unit, 3, 0, count) for count in (2, 4, 6)] for unit in (1, 2)}
RTU = [rtu_question(unit, 3, address, 8, PARTS[unit]) for unit in (1, 2) for address in (0, 100)]
TCP = [tcp_question(unit, 3, address, 8) for unit in (1, 2) for address in (0, 100)]

# Deed of the RTU peer: what it is of the catalogue, the kind of the fault (None: the answer is taken), and the counters that must move.
RTU_DEEDS = {
    "honest": ("-", None, {"answered": 1}),
    "noise before": ("F23", None, {"answered": 1}),
    "noise": ("F23", "noise", {"timed_out": 1}),
    "wrong speed": ("F32", "noise", {"timed_out": 1}),
    "babble": ("F38", "noise", {"timed_out": 1}),
    "short": ("F24", "short", {"timed_out": 1, "short": 1}),
    "crc": ("F25", "crc", {"timed_out": 1, "crc": 1}),
    "late": ("F26", "timeout", {"timed_out": 1, "late": 1}),
    "foreign before": ("F27", None, {"answered": 1, "foreign": 1}),
    "foreign instead": ("F27", "foreign", {"timed_out": 1, "foreign": 1}),
    "too short": ("F28", "foreign", {"timed_out": 1, "late": 1}),
    "too long": ("F28", "foreign", {"timed_out": 1, "late": 1}),
    "other function": ("F28", "foreign", {"timed_out": 1, "late": 1}),
    "illegal address": ("F29", "exception", {"answered": 1, "exceptions": 1}),
    "failure": ("F29", "exception", {"answered": 1, "exceptions": 1}),
    "busy": ("F29", "exception", {"answered": 1, "exceptions": 1}),
    "reboots": ("F30", "timeout", {"timed_out": 1}),
    "pulled out": ("F31", "closed", {"timed_out": 1}),
    "doubled": ("F33", None, {"answered": 1, "doubled": 1}),
    "two at once": ("F33", "crc", {"timed_out": 1, "crc": 1}),
    "dead": ("F34", "timeout", {"timed_out": 1}),
    "dribble": ("F39", "short", {"timed_out": 1, "short": 1}),
    "echo": ("echo", None, {"answered": 1, "echo": 1}),
}


class RtuPeer:
    """Does what it is told to do next; its answers name the request."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.deed = "honest"

    def __call__(self, asked: Asked) -> Say:
        frame, rng = asked.answer(), self.rng
        short = frame[: rng.randrange(5, len(frame) - 1)]
        exceptions = {"illegal address": 2, "failure": 4, "busy": 6}
        if self.deed in exceptions:
            return [(0.01, exception_frame(asked.unit, 3, exceptions[self.deed]))]
        deeds: dict[str, Say] = {
            "noise before": [(0.005, b"\xf9\xfa" + frame)],
            "noise": [(0.005, b"\xf9" * rng.randrange(1, 9))],
            "wrong speed": [(0.005, bytes(rng.choice(b"\xf8\xfc\xfe\xff") for _ in range(12)))],
            "babble": [(0.001 * k, b"\xfb" * 80) for k in range(20)],
            "short": [(0.01, short)],
            "crc": [(0.01, frame[:-1] + bytes((frame[-1] ^ 1 << rng.randrange(8),)))],
            "late": [(rng.uniform(0.06, 0.2), frame)],
            "foreign before": [(0.01, answer_frame(9, 3, asked.data()) + frame)],
            "foreign instead": [(0.01, answer_frame(9, 3, asked.data()))],
            "too short": [(0.01, answer_frame(asked.unit, 3, asked.data()[:-2]))],
            "too long": [(0.01, answer_frame(asked.unit, 3, asked.data() + b"\0\0"))],
            "other function": [(0.01, answer_frame(asked.unit, 4, asked.data()))],
            "reboots": [],
            "pulled out": [(0.01, b"")],
            "doubled": [(0.01, frame), (0.0112, frame)],
            "two at once": [(0.01, bytes(a & b for a, b in zip(frame, frame[:3] + frame[4:] + b"\x55", strict=True)))],
            "dead": [],
            "dribble": [(0.0055 * (k + 1), frame[k : k + 1]) for k in range(8)],
            "echo": [(0.0, rtu_question(asked.unit, asked.function, asked.address, asked.count).payload), (0.01, frame)],
        }
        return deeds.get(self.deed, [(rng.uniform(0.001, 0.045), frame)])


def is_own(answer: Answer, asked: Asked) -> bool:
    """Whether this is what the peer would say to this request and to no other."""
    return answer.data == asked.data()


def counted(statistics: BusStatistics) -> Counter[str]:
    return Counter({name: statistics.total(name) for name in COUNTERS})


async def reopened(line: VirtualLine) -> None:
    while not line.is_open:
        try:
            await line.open()
        except LineError:
            await asyncio.sleep(0.5)


async def guard_over(transactions: Transactions, question) -> None:
    while until_ns := transactions.blocked_until_ns(question):  # noqa: ASYNC110 - a time is awaited
        await asyncio.sleep((until_ns - time.monotonic_ns()) / 1e9)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_fault_alone_is_counted_under_its_own_kind(monkeypatch, seed):
    """Two times 1,800 transactions with pauses: for every single one the answer, the kind of the fault and each counter that moved are the right ones."""
    peer = RtuPeer(seed)
    did: Counter[str] = Counter()

    async def main():
        bus = serial_bus("virtual", answer_timeout_ms=TIMEOUT_MS, late_answer_guard_ms=GUARD_MS)
        line, statistics = VirtualLine(bus, peer), BusStatistics()
        transactions = Transactions(bus, line, statistics)
        for n in range(1800):
            await reopened(line)
            question = RTU[n % len(RTU)]
            await guard_over(transactions, question)
            peer.deed = peer.rng.choice(["honest"] * 8 + sorted(RTU_DEEDS))
            did[peer.deed] += 1
            owed = transactions.unanswered.awaits(question.fits)
            before = counted(statistics)
            result = await transactions.ask(question, TIMEOUT_MS, question.fits[0])
            # What comes behind is dropped, and so counted, before the next question.
            await asyncio.sleep(0.25)
            if line.is_open:
                await transactions._keep_silence(question, 0, 0)
            moved = counted(statistics)
            moved.subtract(before)
            _, kind, expected = RTU_DEEDS[peer.deed]
            if peer.deed == "doubled" and owed:
                # One of the two may be the answer that an older question still has to get.
                expected = {"answered": 1, "late": 1}
            told = (peer.deed, result.kind if isinstance(result, Fault) else None, {name: by for name, by in moved.items() if by})
            assert (peer.deed, kind, expected) == told
            assert isinstance(result, Fault) or is_own(result, line.asked[-1])
            if moved["doubled"]:
                # Two devices with one address are not believed for a while.
                await asyncio.sleep(DOUBLING_NS / 1e9 + 1)

    run_virtual(monkeypatch, main)
    assert set(RTU_DEEDS) == set(did)


def test_in_a_hurry_no_value_is_wrong(monkeypatch):
    """3,400 transactions as close as the guard allows, late answers falling into whatever is asked then: each value is that of the very request before it."""
    peer = RtuPeer(3)
    taken: Counter[str] = Counter()
    did: Counter[str] = Counter()

    async def main():
        bus = serial_bus("virtual", answer_timeout_ms=TIMEOUT_MS, late_answer_guard_ms=GUARD_MS)
        line, statistics = VirtualLine(bus, peer), BusStatistics()
        transactions = Transactions(bus, line, statistics)
        asked = 0
        while asked < 3400:
            await reopened(line)
            question = peer.rng.choice(RTU)
            if transactions.blocked_until_ns(question):
                question = next((part for part in question.resync if not transactions.blocked_until_ns(part)), question)
                await guard_over(transactions, question)
            peer.deed = peer.rng.choice(["honest"] * 16 + ["late"] * 6 + sorted(RTU_DEEDS))
            before = len(line.asked)
            result = await transactions.ask(question, TIMEOUT_MS, question.fits[0])
            asked += 1
            did[peer.deed] += len(line.asked) - before
            taken[type(result).__name__] += 1
            if isinstance(result, Answer):
                assert (before + 1, True) == (len(line.asked), is_own(result, line.asked[-1]))
        total = statistics.total
        assert total("asked") == total("answered") + total("timed_out")
        assert total("exceptions") <= did["illegal address"] + did["failure"] + did["busy"]
        assert 0.5 * did["late"] <= total("late") + total("foreign")

    run_virtual(monkeypatch, main)
    assert taken["Answer"] > 1200
    assert taken["Fault"] > 500


# -- Modbus TCP: deed, catalogue, kind, counters

TCP_DEEDS = {
    "honest": ("-", None, {"answered": 1}),
    "in pieces": ("F24", None, {"answered": 1}),
    "late": ("F26", "timeout", {"timed_out": 1}),
    "other id": ("F37", "timeout", {"timed_out": 1, "late": 1}),
    "other id before": ("F37", None, {"answered": 1, "late": 1}),
    "other unit": ("F37", "timeout", {"timed_out": 1, "foreign": 1}),
    "other function": ("F28", "timeout", {"timed_out": 1, "foreign": 1}),
    "too long": ("F28", "timeout", {"timed_out": 1, "foreign": 1}),
    "no stream": ("F23", "closed", {"timed_out": 1}),
    "flood": ("F38", "closed", {"timed_out": 1, "late": 33}),
    "closes": ("F36", None, {"answered": 1}),
    "closes before": ("F30", "closed", {"timed_out": 1}),
    "says nothing": ("F39", "timeout", {"timed_out": 1}),
    "path": ("F29", "exception", {"answered": 1, "exceptions": 1}),
    "refuses next": ("F35", None, {"answered": 1}),
}


class TcpPeer:
    """A server, or what stands in its place."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.deed = "honest"
        self.refusals = 0

    def refuses(self) -> bool:
        self.refusals -= 1
        return self.refusals >= 0

    def __call__(self, asked: Asked) -> Say:
        data, number, rng = asked.data(), asked.number, self.rng
        good, strange = tcp_answer(number, asked.unit, 3, data), number + 7 & 0xFFFF
        if self.deed == "refuses next":
            self.refusals = 2
        deeds: dict[str, Say] = {
            "in pieces": [(0.001 * (k + 1), good[k : k + 1]) for k in range(len(good))],
            "late": [(rng.uniform(0.06, 0.2), good)],
            "other id": [(0.01, tcp_answer(strange, asked.unit, 3, data))],
            "other id before": [(0.01, tcp_answer(strange, asked.unit, 3, data) + good)],
            "other unit": [(0.01, tcp_answer(number, 9, 3, data))],
            "other function": [(0.01, tcp_answer(number, asked.unit, 4, data))],
            "too long": [(0.01, tcp_answer(number, asked.unit, 3, data + b"\0\0"))],
            "no stream": [(0.01, b"SSH-2.0-OpenSSH_9.2\r\n")],
            "flood": [(0.01, tcp_answer(strange, asked.unit, 3, data) * 60)],
            "closes": [(0.01, good), (0.02, b"")],
            "closes before": [(0.01, b"")],
            "says nothing": [],
            "path": [(0.01, number.to_bytes(2, "big") + bytes((0, 0, 0, 3, asked.unit, 0x83, 0x0B)))],
            "refuses next": [(0.01, good), (0.02, b"")],
        }
        return deeds.get(self.deed, [(rng.uniform(0.001, 0.045), good)])


def test_modbus_tcp_takes_its_own_answers_only(monkeypatch):
    """3,000 transactions: the right answer, kind and counters for every single one; late ones are counted when they come."""
    peer = TcpPeer(4)
    did: Counter[str] = Counter()

    async def main():
        bus = tcp_bus(502, answer_timeout_ms=TIMEOUT_MS)
        line, statistics = VirtualLine(bus, peer, fails=peer.refuses), BusStatistics()
        transactions = Transactions(bus, line, statistics)
        for _ in range(3000):
            await reopened(line)
            question = peer.rng.choice(TCP)
            peer.deed = peer.rng.choice(["honest"] * 8 + sorted(TCP_DEEDS))
            did[peer.deed] += 1
            if peer.deed == "in pieces":
                # No server writes one frame into the middle of another.
                await asyncio.sleep(0.25)
            before = counted(statistics)
            result = await transactions.ask(question, TIMEOUT_MS, question.payload[4])
            moved = counted(statistics)
            moved.subtract(before)
            _, kind, expected = TCP_DEEDS[peer.deed]
            # An answer that was late to the question before is counted with the one under way.
            stale = moved["late"] + moved["foreign"] - expected.get("late", 0) - expected.get("foreign", 0)
            assert 0 <= stale <= did["late"], (peer.deed, moved)
            told = {name: by for name, by in moved.items() if by and name not in ("late", "foreign")}
            assert (peer.deed, kind) == (peer.deed, result.kind if isinstance(result, Fault) else None)
            assert {name: by for name, by in expected.items() if name not in ("late", "foreign")} == told
            assert isinstance(result, Fault) or is_own(result, line.asked[-1])
            await asyncio.sleep(0.05 if peer.deed in ("closes", "refuses next") else peer.rng.choice([0, 0.05, 0.2]))

    started_s = time.monotonic()
    run_virtual(monkeypatch, main)
    assert time.monotonic() - started_s < 30
    assert set(TCP_DEEDS) == set(did)


def test_virtual_time_passes_as_it_is_waited_for(monkeypatch):
    """A wait of an hour is over at once, and an hour later."""
    ends = []

    async def main():
        started_ns = time.monotonic_ns()
        await asyncio.sleep(3600)
        ends.append((time.monotonic_ns() - started_ns) // MS)

    started_s = time.monotonic()
    run_virtual(monkeypatch, main)
    assert [3_600_000] == ends
    assert time.monotonic() - started_s < 5
