"""One request and what came back, explained with a profile: is it the answer, why not, and what does each register say. Pure.

RTU     unit, function, first address (2), count (2), CRC (2)                    the answer: unit, function, bytes that follow, data, CRC
TCP     transaction (2), protocol 0 (2), length (2), unit, function, ...         the same without CRC
writes  functions 5, 6, 15, 16, 22: the answer repeats what was written, or where and how much (Modbus V1.1b3, 6.5, 6.6, 6.11, 6.12, 6.16)
both    function 23: read address (2) and count (2), then as 16; the answer is that to function 3 (6.17)

An answer counts here exactly when it counts on the line: reads are proven by the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgegw.drivers.decode import compile_block
from edgegw.drivers.modbus_codec import crc, data_size, rtu_question
from edgegw.drivers.origins import raw_of
from edgegw.drivers.profile import BITS_MAX, REGISTERS_MAX, PointRow, Profile
from edgegw.model import Answer, Point, Quality, Value

READS = (1, 2, 3, 4)
SINGLE_WRITES = (5, 6)
BLOCK_WRITES = (15, 16)
MASK_WRITE, READ_AND_WRITE = 22, 23
# Bytes of their requests, without what is written.
_MASK_WRITE_SIZE, _READ_AND_WRITE_SIZE = 8, 11
_WRITTEN_MAX = 121
# A write of one coil says on as FF00H; boards of LC-Tech want 0100H.
_COIL_ON = frozenset({0xFF00, 0x0100})
_MBAP = 6
_CRC = 2


class Reason(NamedTuple):
    """Why something is refused: a word of the catalogue of the screens (texts_modbus.py), and what is filled in."""

    word: str
    values: tuple[object, ...] = ()


class Asked(NamedTuple):
    """A request that holds together."""

    unit: int
    function: int
    address: int
    quantity: int
    """Registers or bits; of a single write 1."""
    written: int
    """What a single write writes."""
    transaction: int
    body: bytes
    """Unit, function and the rest, without what goes round them."""

    @property
    def reads(self) -> int:
        """The function that reads what this one brings; 0 where it brings nothing."""
        return 3 if self.function == READ_AND_WRITE else self.function if self.function in READS else 0


class Shown(NamedTuple):
    """One point in the answer."""

    row: PointRow
    point: Point
    value: Value
    quality: Quality
    raw: bytes


class Exchange(NamedTuple):
    """`reason` is None where the answer is the answer."""

    asked: Asked | None
    reason: Reason | None
    data: bytes
    """Registers or bits, as they came."""
    echo: bool
    """The answer repeats the request: a write was accepted."""
    values: tuple[Shown, ...]


def explain(profile: Profile, request: bytes, reply: bytes, *, tcp: bool) -> Exchange:
    """What the two frames say, as far as they hold together."""
    asked = _read_request(request, tcp=tcp)
    if isinstance(asked, Reason):
        return Exchange(None, asked, b"", echo=False, values=())
    data = _prove_tcp(asked, reply) if tcp else _prove_rtu(asked, reply)
    if isinstance(data, Reason):
        return Exchange(asked, data, b"", echo=False, values=())
    if asked.reads:
        return Exchange(asked, None, data, echo=False, values=tuple(_values(profile, asked, data)))
    return Exchange(asked, None, b"", echo=True, values=tuple(_written(profile, asked)))


# -- the request


def _read_request(request: bytes, *, tcp: bool) -> Asked | Reason:
    body = _unwrapped(request, tcp=tcp)
    if isinstance(body, Reason):
        return Reason(f"request_{body.word}", body.values)
    if len(body) < 6:
        return Reason("request_short", (len(body),))
    function, address, number = body[1], int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
    transaction = int.from_bytes(request[:2], "big") if tcp else 0
    if function in (*SINGLE_WRITES, MASK_WRITE):
        whole = len(body) == (_MASK_WRITE_SIZE if function == MASK_WRITE else 6)
        return Asked(body[0], function, address, 1, number, transaction, body) if whole else Reason("request_form")
    if function not in (*READS, *BLOCK_WRITES, READ_AND_WRITE):
        return Reason("request_function", (function,))
    limit = BITS_MAX if function in (1, 2, 15) else REGISTERS_MAX
    if len(body) != _request_size(body) or not 1 <= number <= limit or address + number > 65536:
        return Reason("request_form")
    return Asked(body[0], function, address, number, 0, transaction, body)


def _request_size(body: bytes) -> int:
    """Bytes that a read or a write of several must have; 0 where it says two things."""
    function = body[1]
    if function in READS:
        return 6
    head = _READ_AND_WRITE_SIZE if function == READ_AND_WRITE else 7
    if len(body) < head:
        return 0
    count, size = int.from_bytes(body[head - 3 : head - 1], "big"), body[head - 1]
    if size != data_size(1 if function == 15 else 3, count) or (function == READ_AND_WRITE and count > _WRITTEN_MAX):
        return 0
    return head + size


def _unwrapped(frame: bytes, *, tcp: bool) -> bytes | Reason:
    """The frame without MBAP header or CRC."""
    if tcp:
        if len(frame) < _MBAP + 2:
            return Reason("short", (len(frame),))
        if frame[2:4] != b"\0\0":
            return Reason("protocol", (frame[2:4].hex().upper(),))
        length = int.from_bytes(frame[4:6], "big")
        return frame[_MBAP:] if length == len(frame) - _MBAP else Reason("length", (length, len(frame) - _MBAP))
    if len(frame) < 2 + _CRC:
        return Reason("short", (len(frame),))
    if crc(frame):
        return Reason("crc", (_hex(frame[-_CRC:]), _hex(crc(frame[:-_CRC]).to_bytes(2, "little"))))
    return frame[:-_CRC]


# -- the proof


def own_frame(asked: Asked, reply: bytes) -> bytes:
    """Of several frames of Modbus TCP in a row, the one that bears the transaction of the request; else all that came."""
    at = 0
    while len(reply) - at > _MBAP and reply[at + 2 : at + 4] == b"\0\0":
        end = at + _MBAP + int.from_bytes(reply[at + 4 : at + 6], "big")
        alone = end == len(reply) or reply[end + 2 : end + 4] == b"\0\0"  # Else the header of the frame is wrong, not the next one cut.
        if int.from_bytes(reply[at : at + 2], "big") == asked.transaction and end <= len(reply) and alone:
            return reply[at:end]
        at = end
    return reply


def _prove_tcp(asked: Asked, reply: bytes) -> bytes | Reason:
    reply = own_frame(asked, reply)
    body = _unwrapped(reply, tcp=True)
    if isinstance(body, Reason):
        return body
    transaction = int.from_bytes(reply[:2], "big")
    if transaction != asked.transaction:
        return Reason("transaction_", (transaction, asked.transaction))
    return _prove_body(asked, body)


def _prove_rtu(asked: Asked, reply: bytes) -> bytes | Reason:
    """As the gateway itself proves it where it reads: an answer may stand behind noise and before another frame."""
    if asked.function in READS:
        found = rtu_question(asked.unit, asked.function, asked.address, asked.quantity).parse(reply)
        if found is not None:
            return Reason("exception", (found.exception_code,)) if found.data is None else found.data
    body = _unwrapped(reply, tcp=False)
    if not isinstance(body, Reason):
        return _prove_body(asked, body)
    if body.word == "crc" and asked.function in READS and reply[:2] == asked.body[:2]:
        size = 5 + data_size(asked.function, asked.quantity)
        if reply[2] != size - 5:
            return Reason("bytes", (reply[2], size - 5))
        if len(reply) < size:
            return Reason("cut", (len(reply), size))
    return body


def _prove_body(asked: Asked, body: bytes) -> bytes | Reason:
    unit, function = body[0], body[1]
    if unit != asked.unit:
        return Reason("unit", (unit, asked.unit))
    if function == asked.function | 0x80:
        return Reason("exception", (body[2],)) if len(body) == 3 else Reason("form")
    if function != asked.function:
        return Reason("function", (function, asked.function))
    if not asked.reads:
        repeated = asked.body if function == MASK_WRITE else asked.body[:6]
        return body[2:] if body == repeated else Reason("repeats")
    size = data_size(asked.reads, asked.quantity)
    if len(body) < 3 or body[2] != size:
        return Reason("bytes", (body[2] if len(body) > 2 else 0, size))
    return body[3:] if len(body) == 3 + size else Reason("cut", (len(body), 3 + size))


# -- the values


def _values(profile: Profile, asked: Asked, data: bytes) -> Iterator[Shown]:
    """Every point whose registers lie in the answer, in the order of their addresses."""
    rows = list(_inside(profile, asked))
    if not rows:
        return
    values, quality = compile_block(profile, rows, asked.address, asked.quantity)([Answer(data, 0)])
    for position, (row, value) in enumerate(zip(rows, values, strict=True)):
        yield Shown(row, profile.row_point(row), value, quality.get(position, Quality.GOOD), raw_of(row, asked.address, data))


def _inside(profile: Profile, asked: Asked) -> Iterator[PointRow]:
    """What is polled first: a quantity that other members of the family keep elsewhere is not said twice."""
    seen: set[str] = set()
    for row in sorted(profile.point, key=lambda row: row.span) + sorted(profile.also, key=lambda row: row.span):
        first, last = row.span
        if row.function == asked.reads and asked.address <= first and last < asked.address + asked.quantity and row.point not in seen:
            seen.add(row.point)
            yield row


def _written(profile: Profile, asked: Asked) -> Iterator[Shown]:
    """A coil that was switched is where it was switched to; what else is written is not read back."""
    if asked.function != 5:
        return
    for row in (*profile.point, *profile.also):
        if row.function == 1 and row.address == asked.address:
            on = int(asked.written in _COIL_ON)
            yield Shown(row, profile.row_point(row), on, Quality.GOOD, asked.written.to_bytes(2, "big"))
            return


def uncovered(exchange: Exchange) -> list[tuple[int, bytes]]:
    """(address, register) of what the answer holds beside the points."""
    asked = exchange.asked
    if asked is None or asked.reads not in (3, 4):
        return []
    covered = {address for shown in exchange.values for address in _addresses(shown.row)}
    places: Sequence[int] = range(asked.quantity if exchange.data else 0)
    return [(asked.address + k, exchange.data[2 * k : 2 * k + 2]) for k in places if asked.address + k not in covered]


def _addresses(row: PointRow) -> Iterator[int]:
    yield from range(row.address, row.address + row.count)
    if row.exponent is not None:
        yield row.exponent


def _hex(data: bytes) -> str:
    return data.hex(" ").upper()
