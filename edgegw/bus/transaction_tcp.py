"""One question on a Modbus TCP connection: its transaction id goes out, and only a frame that bears it and proves itself is the answer.

Everything else on the connection is counted: `late` (ours, of a question given up) or `foreign`. Too much of it is a flood, and what is no
Modbus TCP means that the stream is cut wrongly: both make the connection new.
"""

from __future__ import annotations

import asyncio
import time

from edgegw.bus.line import Line
from edgegw.bus.mbap import HEAD, StreamError, take_frame
from edgegw.bus.statistics import Counters
from edgegw.bus.trace import Trace
from edgegw.drivers.permit import Writable, may_leave, may_write
from edgegw.model import Fault, Parsed, Question

# Other frames that may come on a connection while one answer is awaited. More is a flood: the connection is made new.
FOREIGN_FRAMES_MAX = 32
_PERMIT = Fault("permit", "it is not known only to read, so it was not sent")
_TIMEOUT = Fault("timeout", "no answer")


Heard = tuple[Parsed, int, int]
"""What is proven to answer the question, and the `time.monotonic_ns()` at which it was asked and at which the answer came."""


def may_send(question: Question) -> bool:
    """Whether it only reads. The answer holds for ever: neither a question nor its bytes can change."""
    return may_leave(question.protocol + "-tcp", question.payload)


class TcpExchange:
    """Of one connection."""

    def __init__(self, line: Line, trace: Trace, writable: frozenset[Writable] = frozenset()) -> None:
        self._line = line
        self._writable = writable
        self._trace = trace
        self._transaction_id = 0
        self._under_way: Question | None = None
        """Sent by `send`, its answer not taken yet."""
        self.asked_ns = 0

    def send(self, question: Question, counters: Counters, unit: int) -> None:
        """Sends a question that is known only to read. Its answer is taken by `match`, or awaited by `ask` with the same question. Raises LineError."""
        self._transaction_id = transaction_id = self._transaction_id + 1 & 0xFFFF
        payload = transaction_id.to_bytes(2, "big") + question.payload
        self._line.write(payload)
        self._under_way = question
        counters.asked += 1
        self.asked_ns = asked_ns = time.monotonic_ns()
        self._trace.asked(asked_ns, unit, payload)

    def is_under_way(self, question: Question) -> bool:
        """Whether `send` sent it and its answer was not taken yet."""
        return self._under_way is question

    def forget(self) -> None:
        """Nobody waits for the answer to what `send` sent; when it comes it is late."""
        self._under_way = None

    def match(self, data: bytes) -> bytes | None:
        """What came on the empty line, when it is the good answer to the question sent and nothing else: its data."""
        question = self._under_way
        if question is None or len(data) <= HEAD.size or HEAD.unpack_from(data) != (self._transaction_id, 0, len(data) - HEAD.size):
            return None
        parsed = question.parse(data[2:])
        if parsed is None or parsed.data is None:
            return None
        self._under_way = None
        self._trace.heard(self._line.last_byte_ns, "answer", data)
        return parsed.data

    async def ask(self, question: Question, timeout_ns: int, counters: Counters, unit: int, gap_ns: int) -> Heard | Fault:
        """The proven answer or exception. Raises LineError. A question that might change something is not sent: Fault permit."""
        if not self.is_under_way(question):
            if gap_ns:
                await self._keep_gap(gap_ns)
            if not may_send(question) and not may_write(question.protocol + "-tcp", question.payload, self._writable):
                return _PERMIT
            self.send(question, counters, unit)
        self._under_way = None
        return await self._hear(question, timeout_ns, counters)

    async def _hear(self, question: Question, timeout_ns: int, counters: Counters) -> Heard | Fault:
        """What comes on the connection, until it is the answer."""
        line, trace, asked_ns, transaction_id = self._line, self._trace, self.asked_ns, self._transaction_id
        others = 0
        while line.is_open and others <= FOREIGN_FRAMES_MAX:
            try:
                frame = take_frame(line.received) if line.received else None
            except StreamError as fault:
                return await self._stream_lost(f"what it sends is not Modbus TCP ({fault})")
            if frame is None:
                if await line.wait(asked_ns + timeout_ns):
                    continue
                trace.heard(time.monotonic_ns(), "timeout", b"")
                return _TIMEOUT
            arrived_ns = line.last_byte_ns
            number, raw = frame
            parsed = question.parse(raw[2:]) if number == transaction_id else None
            if parsed is not None:
                trace.heard(arrived_ns, "answer" if parsed.data is not None else "exception", raw)
                return parsed, asked_ns, arrived_ns
            others += 1
            if number != transaction_id and raw[6] == question.payload[4]:
                counters.late += 1
                trace.heard(arrived_ns, "late", raw)
            else:
                counters.foreign += 1
                trace.heard(arrived_ns, "foreign", raw)
        if line.is_open:
            return await self._stream_lost("it floods us with frames that nobody asked for")
        return Fault("closed", line.fault)

    async def _keep_gap(self, gap_ns: int) -> None:
        while (left_ns := max(self._line.last_byte_ns, self.asked_ns) + gap_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - a time is awaited
            await asyncio.sleep(left_ns / 1e9)

    async def _stream_lost(self, why: str) -> Fault:
        """Where the next frame begins is unknown, or not worth knowing: the connection is made new."""
        await self._line.close(why)
        return Fault("closed", why)
