"""The transaction: one question, one answer, on a line with one owner. For every protocol; what an answer is, the question itself knows.

On RTU lines
    1. what lay in the input before the question is counted and dropped, after the silence that ends a frame was kept
    2. the request goes out; the wait runs from its last bit on the wire, with one total deadline, however the answer dribbles
    3. bytes are collected until the question proves its answer among them; noise, echo and whole frames of others are stepped over
    4. an answer found behind noise waits for silence first: it might be data of a longer frame that is still coming
    5. a question without answer goes to the late-answer guard (unanswered.py), which is asked before the next question
On Modbus TCP transaction ids tell answers apart (transaction_tcp.py); the rest is the same.

Pauses check the clock after waking: timers come up to 0.8 ms early (decision D2).
"""

from __future__ import annotations

import asyncio
import logging
import time

from edgegw.bus.line import Line
from edgegw.bus.port import LineError
from edgegw.bus.statistics import BusStatistics, Counters
from edgegw.bus.suspects import Suspects
from edgegw.bus.trace import KEPT_SERIAL, kind_heard
from edgegw.bus.transaction_tcp import Heard, TcpExchange
from edgegw.bus.unanswered import Unanswered
from edgegw.config.model import Bus
from edgegw.drivers.base import character_ms, silence_ms
from edgegw.drivers.permit import Writable, may_leave, may_write
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Fault, Parsed, Question, Unproven

_log = logging.getLogger("edgegw.bus")

_MS = 1_000_000
# A frame of 256 bytes and as much before it; more than that without an answer is a babbling line.
RECEIVED_BYTES_MAX = 512
# Silence that ends the frame around a suspicious answer: USB adapters hand bytes over in steps of up to 16 ms.
SETTLE_MS = 20
# A line that is never silent for this long cannot be asked anything.
SILENCE_WAIT_MS_MAX = 1000

# Modbus Application Protocol V1.1b3, section 7.
EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, later",
    6: "busy",
    8: "memory parity error",
    0x0A: "gateway path unavailable",
    0x0B: "gateway target does not respond",
}


class Transactions:
    """Asks on one line. Not for two callers at a time: the bus task owns it."""

    def __init__(self, bus: Bus, line: Line, statistics: BusStatistics, writable: frozenset[Writable] = frozenset()) -> None:
        self.line = line
        self.statistics = statistics
        self.unanswered = Unanswered(bus.late_answer_guard_ms)
        self._rtu = bus.kind != "tcp"
        self.trace = statistics.trace
        if self._rtu:
            self.trace.keep(KEPT_SERIAL)
        self._character_ns = round(character_ms(bus) * _MS) if self._rtu else 0
        self._silence_ns = round(silence_ms(bus) * _MS) if self._rtu else 0
        self._gap_ns = bus.gap_ms * _MS
        self._full_wait_ns = bus.answer_timeout_ms * _MS
        self._suspects = Suspects(bus.name, (bus.answer_timeout_ms + bus.late_answer_guard_ms) * _MS)
        self._writable = writable
        self.tcp = TcpExchange(line, self.trace, writable)
        self._unit = 0
        self._line_busy_ns = 0
        """End of the last request on the wire."""
        self._before: tuple[Question, Counters, int] | None = None
        """The last question on an RTU line, and when it was answered (0: not): what comes behind is held against it."""

    def blocked_until_ns(self, question: Question) -> int:
        """Until when the late-answer guard holds this question back; 0 when it may be asked."""
        unanswered = self.unanswered
        return unanswered.blocked_until_ns(question.fits, time.monotonic_ns()) if question.fits and unanswered.is_any else 0

    async def ask(self, question: Question, timeout_ms: float, unit: int, gap_ms: int = 0) -> Answer | Fault:
        """The proven answer or why there is none. The caller looks at `blocked_until_ns` first."""
        counters = self.statistics.unit(unit)
        start_ns = self.tcp.asked_ns if self.tcp.is_under_way(question) else time.monotonic_ns()
        self._unit = unit
        try:
            if self._rtu:
                result = await self._ask_rtu(question, round(timeout_ms * _MS), counters, gap_ms)
            else:
                heard = await self.tcp.ask(question, round(timeout_ms * _MS), counters, unit, max(self._gap_ns, gap_ms * _MS))
                result = self._result_tcp(question, counters, heard)
        except LineError as fault:
            result = Fault("closed", fault.text)
        self.statistics.add_busy(start_ns, time.monotonic_ns())
        return result

    def _result_tcp(self, question: Question, counters: Counters, heard: Heard | Fault) -> Answer | Fault:
        if not isinstance(heard, Fault):
            parsed, asked_ns, arrived_ns = heard
            counters.latencies_us.append((arrived_ns - asked_ns) // 1000)
            return self._result(question, counters, parsed, arrived_ns)
        if heard.kind == "permit":
            return self._withhold(question, counters)
        counters.timed_out += 1
        return heard

    # -- RTU

    async def _ask_rtu(self, question: Question, timeout_ns: int, counters: Counters, gap_ms: int) -> Answer | Fault:
        self._suspects.look(time.monotonic_ns())
        was_free = not self.blocked_until_ns(question)
        silent = await self._keep_silence(question, timeout_ns, gap_ms)
        if not silent or (was_free and self.blocked_until_ns(question)):
            counters.asked += 1
            counters.timed_out += 1
            return Fault("foreign", "an answer to another question may still come") if silent else Fault("noise", "the line is never silent")
        if not may_leave(question.protocol, question.payload) and not may_write(question.protocol, question.payload, self._writable):
            return self._withhold(question, counters)
        line = self.line
        self.trace.asked(time.monotonic_ns(), self._unit, question.payload)
        line.write(question.payload)
        counters.asked += 1
        self._line_busy_ns = time.monotonic_ns() + len(question.payload) * self._character_ns
        deadline_ns = self._line_busy_ns + timeout_ns
        self._before = (question, counters, 0)
        found: tuple[Parsed, int] | None = None
        while line.is_open and len(line.received) <= RECEIVED_BYTES_MAX:
            parsed = question.parse(bytes(line.received)) if line.received else None
            if parsed is not None and parsed.noise == 0 and not parsed.open:
                return self._answered(question, counters, parsed, line.last_byte_ns)
            # Behind noise: held until the line is silent or the time is over, and looked at again when more comes.
            found = None if parsed is None else (parsed, line.last_byte_ns)
            until_ns = deadline_ns if found is None else min(deadline_ns, line.last_byte_ns + max(self._silence_ns, SETTLE_MS * _MS))
            if not await line.wait(until_ns):
                break
        if found is not None:
            return self._answered(question, counters, *found)
        return self._unanswered(question, counters)

    def _withhold(self, question: Question, counters: Counters) -> Fault:
        """It is not known only to read: a mistake in a driver or a profile must not switch a device."""
        counters.withheld += 1
        text = f'bus "{self.line.bus.name}": a question to unit {self._unit} is not sent, it might change the device: {question.payload[:32].hex(" ").upper()}'
        _log.error("%s", EdgegwError("E-BUS-PERMIT", text, "report it with the device's profile"))
        return Fault("permit", "it is not known only to read, so it was not sent")

    async def _keep_silence(self, question: Question, timeout_ns: int, gap_ms: int) -> bool:
        """Waits until the line was silent for long enough, then clears the input. False when it never is."""
        line = self.line
        pause_ns = max(self._silence_ns, self._gap_ns, gap_ms * _MS)
        give_up_ns = time.monotonic_ns() + max(SILENCE_WAIT_MS_MAX * _MS, pause_ns + timeout_ns)
        while True:
            line.pull()
            now_ns = time.monotonic_ns()
            ready_ns = max(line.last_byte_ns, self._line_busy_ns) + pause_ns
            rival = now_ns >= ready_ns and self._hears_rival(question)
            if rival:  # The answer that another master waits for would be taken for ours.
                ready_ns = max(ready_ns, line.last_byte_ns + timeout_ns)
                self._suspects.rival(now_ns)
            if now_ns >= min(ready_ns, give_up_ns):
                self._drop_input()
                if rival:  # It stayed without an answer: one that comes late would fit.
                    self.unanswered.timed_out(question.fits, line.last_byte_ns + max(timeout_ns, self._full_wait_ns))
                return now_ns >= ready_ns
            await (line.wait(ready_ns) if rival else asyncio.sleep((ready_ns - now_ns) / 1e9))

    def _hears_rival(self, question: Question) -> bool:
        received = self.line.received
        return bool(received) and question.explain is not None and question.explain(bytes(received)).rival

    def _drop_input(self) -> None:
        """Counts what nobody asked for: an answer that came late or twice, or noise."""
        line = self.line
        if line.flooded_bytes:
            self.statistics.idle_noise_bytes += line.flooded_bytes
            line.flooded_bytes = 0
        if not line.received:
            return
        stray = bytes(line.received)
        line.received.clear()
        if self._before is None:
            self._idle_noise(stray)
            return
        question, counters, answered_ns = self._before
        parsed = question.parse(stray)
        if parsed is None:
            self._idle(question, counters, stray)
        elif answered_ns:
            self._doubled(question, counters, parsed, stray, line.last_byte_ns - answered_ns)
        else:
            counters.late += 1
            self.trace.heard(line.last_byte_ns, "late", stray)

    def _idle(self, question: Question, counters: Counters, stray: bytes) -> None:
        """Between two questions: frames of others and late ones of the unit asked last, as far as they are whole."""
        heard = question.explain(stray[:RECEIVED_BYTES_MAX]) if question.explain else None
        if heard is None or not heard.foreign + heard.late:
            self._idle_noise(stray)
            return
        self._foreign(counters, heard.foreign, rival=heard.rival)
        counters.late += heard.late
        self.statistics.idle_noise_bytes += heard.noise + max(0, len(stray) - RECEIVED_BYTES_MAX)
        self.trace.heard(self.line.last_byte_ns, kind_heard(heard), stray)

    def _foreign(self, counters: Counters, frames: int, *, rival: bool = False) -> None:
        """Frames of units that were not asked, while ours was or since."""
        counters.foreign += frames
        if frames:
            self._suspects.foreign(frames, self._unit, self.line.last_byte_ns)
        if rival:
            self._suspects.rival(self.line.last_byte_ns)

    def _idle_noise(self, stray: bytes) -> None:
        self.statistics.idle_noise_bytes += len(stray)
        self.trace.heard(self.line.last_byte_ns, "noise", stray)

    def _answered(self, question: Question, counters: Counters, parsed: Parsed, arrived_ns: int) -> Answer | Fault:
        line = self.line
        behind = bytes(line.received[parsed.end :])
        again = question.parse(behind) if behind else None
        self._trace_answer(question, parsed, behind, arrived_ns, again=again is not None)
        if again is not None:
            self._doubled(question, counters, again, behind, 0)
            if again.data != parsed.data:
                self._unanswered(question, counters)
                return Fault("foreign", "two different answers came, and nobody can tell which is the right one")
        line.received.clear()
        self._before = (question, counters, arrived_ns)
        counters.doubled += bool(behind) and again is None
        counters.noise_bytes += parsed.noise
        self._foreign(counters, parsed.foreign)
        counters.late += parsed.late
        counters.echo += parsed.echo
        counters.latencies_us.append(max(0, arrived_ns - self._line_busy_ns) // 1000)
        return self._result(question, counters, parsed, arrived_ns)

    def _trace_answer(self, question: Question, parsed: Parsed, behind: bytes, arrived_ns: int, *, again: bool) -> None:
        """What stood before it, it, and what stood behind it unless that is told as an answer too many."""
        taken = bytes(self.line.received[: parsed.end])
        begin = 0
        if before := kind_heard(parsed):
            begin = parsed.end - _answer_size(question, taken)
            self.trace.heard(arrived_ns, before, taken[:begin])
        self.trace.heard(arrived_ns, "answer" if parsed.data is not None else "exception", taken[begin:])
        if behind and not again:
            self.trace.heard(arrived_ns, "noise", behind)

    def _doubled(self, question: Question, counters: Counters, parsed: Parsed, frame: bytes, took_ns: int) -> None:
        """One answer more than was asked for; a late one, if one was missing or if it is an exception: that fits every question of its function."""
        late = parsed.data is None or self.unanswered.awaits(question.fits)
        self.trace.heard(self.line.last_byte_ns, "late" if late else "doubled", frame)
        if late:
            counters.late += 1
            return
        counters.doubled += 1
        if question.fits:
            self.unanswered.doubled(question.fits, self.line.last_byte_ns, took_ns)
            self._suspects.doubled(question.fits[0], self.line.last_byte_ns)

    def _unanswered(self, question: Question, counters: Counters) -> Fault:
        line = self.line
        counters.timed_out += 1
        self.unanswered.timed_out(question.fits, self._full_wait_over_ns())
        if not line.is_open:
            return Fault("closed", line.fault)
        received = bytes(line.received)
        heard = question.explain(received) if question.explain else None
        line.received.clear()
        self._trace_unanswered(received, heard)
        if heard is None or heard.kind == "timeout":
            self._suspects.timed_out(self._unit, time.monotonic_ns())
            return Fault("timeout", "no answer")
        counters.noise_bytes += heard.noise
        self._foreign(counters, heard.foreign, rival=heard.rival)
        counters.late += heard.late
        counters.echo += heard.echo
        counters.crc += heard.kind == "crc"
        counters.short += heard.kind == "short"
        return Fault(heard.kind, _HEARD[heard.kind])

    def _full_wait_over_ns(self) -> int:
        """From here on the guard counts, however short the wait was: what was learnt of a device says nothing of its latest answer."""
        return max(time.monotonic_ns(), self._line_busy_ns + self._full_wait_ns)

    def _trace_unanswered(self, received: bytes, heard: Unproven | None) -> None:
        if received:
            self.trace.heard(self.line.last_byte_ns, kind_heard(heard) if heard else "noise", received)
        self.trace.heard(time.monotonic_ns(), "timeout", b"")

    def _result(self, question: Question, counters: Counters, parsed: Parsed, arrived_ns: int) -> Answer | Fault:
        counters.answered += 1
        counters.last_answer_ns = arrived_ns
        if parsed.data is not None:
            if question.fits:
                self.unanswered.answered(question.fits, arrived_ns)
            return Answer(parsed.data, arrived_ns)
        counters.exceptions += 1
        self.unanswered.refused(question.fits, self._full_wait_over_ns())
        code = parsed.exception_code or 0
        return Fault("exception", f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})", code)


def _answer_size(question: Question, taken: bytes) -> int:
    """Bytes of the answer or exception at the end of what was taken; how many there are not every protocol knows before."""
    sizes = (question.answer_size, *range(1, len(taken) + 1))
    return next((size for size in sizes if size <= len(taken) and (parsed := question.parse(taken[-size:])) and not kind_heard(parsed)), len(taken))


_HEARD = {
    "crc": "the answer came with a wrong check sum",
    "short": "the answer was cut short",
    "foreign": "only frames of others were heard",
    "noise": "only noise was heard",
}
