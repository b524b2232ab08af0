"""Modbus frames: questions as bytes, and the proof that bytes are the answer to a question. No I/O.

RTU frame, at most 256 bytes:

    0       unit            1-247
    1       function        1, 2 (bits), 3, 4 (registers); + 80H in an exception
    2..     request:        address (2 bytes, high first), count (2)
            answer:         byte count (1), data
            exception:      code (1)
    last 2  CRC-16, polynomial A001H, start FFFFH, low byte first

TCP frame (MBAP), at most 260 bytes; here without its first two bytes, the transaction id, which the line's transaction puts in front and matches:

    0-1     protocol        0
    2-3     length          of all that follows
    4       unit
    5..     function and the rest as above, no CRC

An answer counts only when unit, function, byte count and check fit the question. A device has no other way to say what it answers,
so an answer that comes late fits every question of the same three: keeping those apart is the transaction's duty (`fits`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from fastcrc import crc16
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from edgegw.model import Parsed, Question, Unproven

_REQUESTS = {1: ReadCoilsRequest, 2: ReadDiscreteInputsRequest, 3: ReadHoldingRegistersRequest, 4: ReadInputRegistersRequest}
_READS_REGISTERS = (3, 4)
_REQUEST_SIZE = 8
# Devices of one profile that are the same unit of their buses share their questions: more than all profiles of a station have.
QUESTIONS_SHARED = 1024
_EXCEPTION_SIZE = 5
# Modbus V1.1b3, 4.1 and section 7: functions and exception codes that a whole foreign frame can bear. What has another is noise.
_FUNCTIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 20, 21, 22, 23, 24, 43})
_EXCEPTION_CODE_MAX = 0x0B
_UNIT_MAX = 247

crc: Callable[[bytes], int] = crc16.modbus


def request_pdu(function: int, address: int, count: int) -> bytes:
    """Function code and the rest of a read request."""
    request = _REQUESTS[function](address=address, count=count)
    return bytes((function,)) + request.encode()


def data_size(function: int, count: int) -> int:
    """Bytes of data in the good answer."""
    return (count + 7) // 8 if function in (1, 2) else 2 * count


def sealed(frame: bytes) -> bytes:
    """An RTU frame with its CRC."""
    return frame + crc(frame).to_bytes(2, "little")


class Asked(NamedTuple):
    """What an RTU answer is held against."""

    request: bytes
    head: bytes
    """Unit, function and byte count of the good answer."""
    size: int
    """Bytes of the whole good answer."""
    refusal: bytes
    """Unit and function of an exception."""


def rtu_question(unit: int, function: int, address: int, count: int, resync: Sequence[Question] = ()) -> Question:
    """One read over RTU."""
    request = sealed(bytes((unit,)) + request_pdu(function, address, count))
    size = data_size(function, count)
    asked = Asked(request, bytes((unit, function, size)), 5 + size, bytes((unit, function | 0x80)))
    return Question(
        payload=request,
        parse=partial(_parse_rtu, asked),
        answer_size=asked.size,
        fits=(unit, function, size),
        explain=partial(_explain_rtu, asked),
        resync=tuple(resync),
    )


@lru_cache(maxsize=QUESTIONS_SHARED)
def tcp_question(unit: int, function: int, address: int, count: int) -> Question:
    """One read over Modbus TCP. Transaction ids tell late answers apart, so nothing is guarded by `fits`."""
    pdu = request_pdu(function, address, count)
    size = data_size(function, count)
    good = struct.pack(">HHBBB", 0, 3 + size, unit, function, size)
    refusal = struct.pack(">HHBB", 0, 3, unit, function | 0x80)
    return Question(
        payload=struct.pack(">HHB", 0, 1 + len(pdu), unit) + pdu,
        parse=partial(_parse_tcp, good, len(good) + size, refusal),
        answer_size=2 + len(good) + size,
    )


def _parse_tcp(good: bytes, size: int, refusal: bytes, received: bytes) -> Parsed | None:
    if len(received) == size and received.startswith(good):
        return Parsed(size, received[len(good) :])
    if len(received) == len(refusal) + 1 and received.startswith(refusal):
        return Parsed(len(received), None, received[-1])
    return None


def _parse_rtu(asked: Asked, received: bytes) -> Parsed | None:
    # The usual case: nothing before the answer. An echo can begin like an answer and is looked at first.
    if received.startswith(asked.head) and not received.startswith(asked.request) and len(received) >= asked.size and not crc(received[: asked.size]):
        return Parsed(asked.size, received[3 : asked.size - 2])
    return _scan(asked, received).answer


def _explain_rtu(asked: Asked, received: bytes) -> Unproven:
    """Why nothing in the bytes counted, for counting and for the technician."""
    if not received:
        return Unproven("timeout")
    _, heard, spoiled, rival = _scan(asked, received)
    if spoiled >= 0 and not heard.late:
        kind = "crc" if len(received) - spoiled >= asked.size else "short"
    elif heard.foreign or heard.late:
        kind = "foreign"
    else:
        kind = "noise" if heard.noise else "timeout"
    return Unproven(kind, heard.noise, heard.foreign, heard.late, heard.echo, rival)


class _Scan(NamedTuple):
    answer: Parsed | None
    """Wherever it stands."""
    heard: Parsed
    """What else was heard up to there."""
    spoiled: int
    """Where an answer began that is none; -1: nowhere."""
    rival: bool
    """Another master asked for what looks alike, and nothing answered it."""


def _scan(asked: Asked, received: bytes) -> _Scan:
    """Looks for the answer.

    Whole frames of others are stepped over as a whole, so that nothing inside their data can pass for an answer.
    The CRC of a frame with its own CRC behind it is 0. Behind another master's request to the same unit an answer that fits both is nobody's.
    """
    at = noise = foreign = late = echo = 0
    spoiled = -1
    rivals: set[int] = set()  # sizes of the good answers to other masters' requests of this unit and function
    open_rival = False
    while at < len(received):
        if received.startswith(asked.request, at):
            at, echo = at + _REQUEST_SIZE, echo + 1
            continue
        found = _answer_at(asked, received, at)
        if found is not None and asked.size not in rivals and (found.data is not None or not rivals):
            answer = Parsed(found.end, found.data, found.exception_code, noise, foreign, late, echo)
            return _Scan(answer, answer, spoiled, rival=False)
        size = _frame_size_at(received, at) if found is None else found.end - at
        if size == 0:
            if spoiled < 0 and received.startswith(asked.head, at):
                spoiled = at
            at, noise = at + 1, noise + 1
            continue
        own = received[at] == asked.head[0]
        if own and size == _REQUEST_SIZE and received[at + 1] == asked.head[1]:
            rivals.add(5 + data_size(asked.head[1], int.from_bytes(received[at + 4 : at + 6], "big")))
            open_rival = open_rival or asked.size in rivals
        elif found is not None:
            open_rival = False
        # No answer to a read of registers has eight bytes: such a frame of our unit is another master's request.
        strange = not own or (size == _REQUEST_SIZE and received[at + 1] in _READS_REGISTERS)
        at, late, foreign = at + size, late + (not strange), foreign + strange
    return _Scan(None, Parsed(at, None, None, noise, foreign, late, echo), spoiled, open_rival)


def _answer_at(asked: Asked, received: bytes, at: int) -> Parsed | None:
    if received.startswith(asked.head, at):
        end = at + asked.size
        if end <= len(received) and not crc(received[at:end]):
            return Parsed(end, received[at + 3 : end - 2])
    elif received.startswith(asked.refusal, at):
        end = at + _EXCEPTION_SIZE
        if end <= len(received) and not crc(received[at:end]):
            return Parsed(end, None, received[at + 2])
    return None


def _frame_size_at(received: bytes, at: int) -> int:
    """Size of the whole valid frame that begins here, 0 when none does."""
    left = len(received) - at
    if left < _EXCEPTION_SIZE or received[at] > _UNIT_MAX or (received[at + 1] & 0x7F) not in _FUNCTIONS:
        return 0
    if received[at + 1] & 0x80:
        sizes: tuple[int, ...] = (_EXCEPTION_SIZE,) if received[at + 2] <= _EXCEPTION_CODE_MAX else ()
    else:
        sizes = (_REQUEST_SIZE, 5 + received[at + 2])
    return next((size for size in sizes if size <= left and not crc(received[at : at + size])), 0)
