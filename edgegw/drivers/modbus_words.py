"""What a Modbus frame says, for people: the bytes of a trace to unit, function, address, values. Pure, and light enough for a command to import.

Proves nothing: what counts as an answer is decided in modbus_codec.py. Here a frame that does not hold together is simply not described.
"""

from __future__ import annotations

import msgspec
from fastcrc import crc16

_BITS = frozenset({1, 2})
_READS = frozenset({1, 2, 3, 4})
# Unit and function at least, with what goes round them.
_RTU_BYTES_MIN = 4
_MBAP_BYTES = 6
_REQUEST_BODY_BYTES = 6


class Words(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one frame. `address` and `count` of a question; `values` (registers, or bytes of bits) of an answer; or `exception`."""

    unit: int
    function: int
    address: int | None = None
    count: int | None = None
    values: tuple[int, ...] | None = None
    exception: int | None = None


def describe(data: bytes, *, tcp: bool, question: bool) -> Words | None:
    """The frame at the start of the bytes, None where none holds together."""
    body = _tcp_body(data) if tcp else _rtu_body(data, question=question)
    if body is None or len(body) < 2:
        return None
    unit, function = body[0], body[1]
    if function & 0x80:
        return Words(unit, function & 0x7F, exception=body[2]) if len(body) == 3 else None
    if question:
        whole = len(body) == _REQUEST_BODY_BYTES and function in _READS
        return Words(unit, function, int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")) if whole else Words(unit, function)
    if function not in _READS or len(body) < 3 or len(body) != 3 + body[2]:
        return Words(unit, function)
    width = 1 if function in _BITS else 2
    return Words(unit, function, values=tuple(int.from_bytes(body[at : at + width], "big") for at in range(3, len(body), width)))


def is_request(data: bytes) -> bool:
    """Whether an RTU frame of nobody knows whom is a read request: eight bytes that no answer to a read has, save 17 to 24 bits."""
    return len(data) == _REQUEST_BODY_BYTES + 2 and data[1] in _READS and (data[1] not in _BITS or data[2] != 3)


def _rtu_body(data: bytes, *, question: bool) -> bytes | None:
    """The frame without its CRC. What stands behind a read answer or an exception is not looked at."""
    if len(data) < _RTU_BYTES_MIN:
        return None
    size = len(data)
    if data[1] & 0x80:
        size = 5
    elif data[1] in _READS:
        size = _REQUEST_BODY_BYTES + 2 if question else 5 + data[2]
    return data[: size - 2] if size <= len(data) and not crc16.modbus(data[:size]) else None


def _tcp_body(data: bytes) -> bytes | None:
    whole = len(data) > _MBAP_BYTES and len(data) == _MBAP_BYTES + int.from_bytes(data[4:6], "big")
    return data[_MBAP_BYTES:] if whole else None
