"""Modbus as a device hears and speaks it. Pure; written apart from the gateway's codec, so that each can find the other's mistake.

    RTU request    unit(1) function(1) address(2) count(2) crc(2, low byte first)
    RTU answer     unit(1) function(1) byte count(1) data(n) crc(2)          exception: unit, function | 0x80, code, crc
    TCP frame      transaction(2) protocol(2, zero) length(2, of what follows) unit(1) function(1) ...

Functions 1 and 2 read bits (first asked bit = bit 0 of the first data byte), 3 and 4 read registers (high byte first).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import msgspec
from fastcrc import crc16

READ_COILS = 1
READ_DISCRETE = 2
READ_HOLDING = 3
READ_INPUT = 4
WRITE_COIL = 5
# Modbus application protocol 1.1b3, section 6.5; boards of some makers want another word.
COIL_ON = 0xFF00
BIT_FUNCTIONS = frozenset({READ_COILS, READ_DISCRETE})

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
NO_ANSWER_BEHIND_GATEWAY = 11

# Modbus application protocol 1.1b3, sections 6.1 and 6.3: most that one request may ask for.
REGISTERS_MAX = 125
BITS_MAX = 2000

# Requests of eight bytes on RTU: the four reads and the two single writes.
_EIGHT_BYTES = frozenset({1, 2, 3, 4, 5, 6})
# The two multiple writes carry their byte count in the seventh byte.
_COUNTED = frozenset({15, 16})
# Longest frame of the serial line guide, section 2.5.1.
RTU_FRAME_BYTES_MAX = 256
_MBAP = struct.Struct(">HHHB")
# What may follow the length field: unit, function and at most 252 bytes.
_TCP_LENGTH_MAX = 254


class Request(msgspec.Struct, frozen=True):
    """One request to one unit, whatever carried it. Address and count are 0 where the function has none."""

    unit: int
    function: int
    address: int
    count: int
    transaction: int = 0
    body: bytes = b""
    """What a request of another protocol says, as that protocol has it."""


def crc(frame: bytes) -> bytes:
    """The two check bytes as they go on the line."""
    return struct.pack("<H", crc16.modbus(frame))


def rtu_size(received: bytes) -> int | None:
    """Bytes of the request that begins `received`; None while it cannot be known."""
    if len(received) < 2:
        return None
    if received[1] in _EIGHT_BYTES:
        return 8
    if received[1] in _COUNTED:
        return 9 + received[6] if len(received) > 6 else None
    return None


def parse_rtu(frame: bytes) -> Request | None:
    """A whole RTU request; None when its check is wrong."""
    if len(frame) < 4 or crc(frame[:-2]) != frame[-2:]:
        return None
    return _request(frame[0], frame[1:-2], 0)


def parse_tcp(received: bytes) -> tuple[Request | None, int]:
    """The first request in `received` and the bytes it takes; (None, 0) while it is not whole. Raises ValueError for what is no Modbus TCP."""
    if len(received) < _MBAP.size + 1:
        return None, 0
    transaction, protocol, length, unit = _MBAP.unpack_from(received)
    if protocol != 0 or not 2 <= length <= _TCP_LENGTH_MAX:
        raise ValueError(f"not a Modbus TCP frame: protocol {protocol}, length {length}")
    end = 6 + length
    if len(received) < end:
        return None, 0
    return _request(unit, received[7:end], transaction), end


def _request(unit: int, pdu: bytes, transaction: int) -> Request:
    address, count = struct.unpack_from(">HH", pdu, 1) if len(pdu) >= 5 else (0, 0)
    return Request(unit, pdu[0], address, count, transaction)


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    body = bytes([unit]) + pdu
    return body + crc(body)


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def exception_pdu(function: int, code: int) -> bytes:
    return bytes([function | 0x80, code])


def written_pdu(request: Request) -> bytes:
    """The answer to a write of one coil repeats it."""
    return struct.pack(">BHH", request.function, request.address, request.count)


def registers_pdu(function: int, registers: Sequence[int]) -> bytes:
    return struct.pack(f">BB{len(registers)}H", function, 2 * len(registers), *registers)


def bits_pdu(function: int, bits: Sequence[int]) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= bit << index % 8
    return bytes([function, len(packed)]) + packed


def refusal(request: Request, offered: Mapping[int, object]) -> int | None:
    """The exception that a device owes to this request before it looks at its registers, in the order of the standard: function, then count."""
    if request.function not in offered:
        return ILLEGAL_FUNCTION
    limit = BITS_MAX if request.function in BIT_FUNCTIONS else REGISTERS_MAX
    return None if 1 <= request.count <= limit else ILLEGAL_VALUE
