"""Three hundred transactions with a device that does at random, on a real pty, what field devices have been seen to do (F23-F29, F33)."""

from __future__ import annotations

import asyncio
import random
import time

from bus_rig import Asked, PtyDevice, Say, run, serial_bus
from modbus_rig import answer_frame, exception_frame

from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.drivers.modbus_codec import rtu_question
from edgegw.model import Answer, Fault

TRANSACTIONS = 300
TIMEOUT_MS = 25
GUARD_MS = 250
# The two ranges of one unit that look alike, and another unit with the same ranges.
PARTS = {unit: [rtu_question(unit, 3, 0, count) for count in (2, 4, 6)] for unit in (1, 2)}
QUESTIONS = [rtu_question(unit, 3, address, 8, PARTS[unit]) for unit in (1, 2) for address in (0, 100)]


class Hostile:
    """Chooses for each request; the choices are the counts that must come out."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.did: list[str] = []

    def __call__(self, asked: Asked) -> Say:
        frame = asked.answer()
        late_s = self._rng.uniform(0.03, 0.09)
        deeds: dict[str, Say] = {
            "late": [(late_s, frame)],
            "silent": [],
            "crc": [(0.0, frame[:-1] + bytes((frame[-1] ^ 1,)))],
            "short": [(0.0, frame[: self._rng.randrange(4, len(frame))])],
            "doubled": [(0.0, frame + frame)],
            "noise": [(0.0, b"\xf9\xfa" + frame)],
            "foreign before": [(0.0, answer_frame(9, 3, asked.data()) + frame)],
            "foreign instead": [(0.0, answer_frame(9, 3, asked.data()))],
            "other function": [(0.0, answer_frame(asked.unit, 4, asked.data()))],
            "too long": [(0.0, answer_frame(asked.unit, 3, asked.data() + b"\0\0"))],
            "busy": [(0.0, exception_frame(asked.unit, 3, 6))],
            "busy late": [(late_s, exception_frame(asked.unit, 3, 6))],
            "babble": [(0.0, self._rng.randbytes(30))],
        }
        deed = self._rng.choice(["honest"] * 20 + sorted(deeds) + ["late"] * 4)
        self.did.append(deed)
        return deeds.get(deed, [(0.0, frame)])


async def ask_when_allowed(transactions, question):
    """The question, after a part of it or after the guard where the guard wants that; None when it was a part that failed."""
    for part in question.resync if transactions.blocked_until_ns(question) else ():
        if not transactions.blocked_until_ns(part):
            await transactions.ask(part, TIMEOUT_MS, question.fits[0])
            break
    while until_ns := transactions.blocked_until_ns(question):  # noqa: ASYNC110 - a time is awaited
        await asyncio.sleep(max(0, until_ns - time.monotonic_ns()) / 1e9)
    return await transactions.ask(question, TIMEOUT_MS, question.fits[0])


def test_no_value_is_wrong_and_every_fault_is_counted():
    """Every answer taken is the one to the very request that was sent last, and each kind of fault shows in its counter."""
    hostile = Hostile(20)
    statistics = BusStatistics()
    taken: list[tuple[Answer | Fault, int, tuple[int, ...]]] = []

    with PtyDevice(hostile) as device:

        async def main():
            line = make_line(bus := serial_bus(device.path, late_answer_guard_ms=GUARD_MS))
            await line.open()
            transactions = Transactions(bus, line, statistics)
            for n in range(TRANSACTIONS):
                question = QUESTIONS[n % len(QUESTIONS)]
                result = await ask_when_allowed(transactions, question)
                taken.append((result, len(device.asked), question.fits))
            await line.close()

        run(main())

    answers = [(result, seen, fits) for result, seen, fits in taken if isinstance(result, Answer)]
    assert len(answers) > TRANSACTIONS / 3
    for answer, seen, fits in answers:
        asked = device.asked[int.from_bytes(answer.data[:4], "big")]
        assert (seen - 1, fits[0], asked.data()) == (asked.number, asked.unit, answer.data)
    total = statistics.total
    assert len(device.asked) == total("asked") == len(hostile.did)
    assert total("asked") == total("answered") + total("timed_out")
    assert hostile.did.count("crc") >= total("crc") >= hostile.did.count("crc") * 0.7
    assert hostile.did.count("short") >= total("short") >= hostile.did.count("short") * 0.7
    assert hostile.did.count("doubled") * 0.7 <= total("doubled")
    assert hostile.did.count("foreign before") + hostile.did.count("foreign instead") <= total("foreign") + 3
    assert hostile.did.count("late") * 0.5 <= total("late")
    assert total("exceptions") >= hostile.did.count("busy")
