"""Answers that are none, with a right check: what a master must refuse although every sum is right. Pure.

    foreign_unit     the answer of another unit
    other_function   an answer to another function, or to another word
    short, long      one register, or one byte of value, less or more than was asked for
    twin             the same answer with other values: a second device has the same address

Each says something else than the true answer, so that a value that is taken from it shows as wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from edgegw.sim import frames
from edgegw.sim.frames import Request

KINDS = frozenset({"foreign_unit", "other_function", "short", "long", "twin"})
_REGISTER_BYTES = 2
# DL/T 645: first byte of data, and what stands behind the data.
_HEAD, _TAIL = 10, 2
_CONTROL, _LENGTH = 8, 9

Forge = Callable[[str, Request, bytes], bytes]
"""Kind, request and the payload of the true answer to a whole frame."""


def modbus_pdu(kind: str, pdu: bytes) -> bytes:
    """Of an answer that holds data."""
    function, data = pdu[0], bytearray(pdu[2:])
    if kind == "other_function":
        function = frames.READ_INPUT if function == frames.READ_HOLDING else frames.READ_HOLDING
    elif kind == "short":
        del data[-_REGISTER_BYTES:]
    elif kind == "long":
        data += bytes(_REGISTER_BYTES)
    if data:
        data[-1] ^= 0x01
    return bytes((function, len(data))) + data


def modbus(kind: str, request: Request, pdu: bytes) -> bytes:
    """On a serial line."""
    unit = request.unit % 247 + 1 if kind == "foreign_unit" else request.unit
    return frames.rtu_frame(unit, modbus_pdu(kind, pdu))


def dlt645(kind: str, _request: Request, frame: bytes) -> bytes:
    """`frame` with FEH before it. A byte of value is BCD below 33H + 99H: one more or one less in its last digit is another value."""
    start = len(frame) - len(frame.lstrip(b"\xfe"))
    body = bytearray(frame[start:-_TAIL])
    if kind == "foreign_unit":
        body[1] ^= 0x01
    elif kind == "other_function":
        body[_CONTROL] ^= 0x02
    elif kind == "short":
        del body[-1]
    elif kind == "long":
        body.append(0x33)
    if len(body) > _HEAD:
        body[-1] = (((body[-1] - 0x33) & 0xFF ^ 0x01) + 0x33) & 0xFF
    body[_LENGTH] = len(body) - _HEAD
    return frame[:start] + bytes(body) + bytes((sum(body) % 256, 0x16))


def megatec(kind: str, _request: Request, line: bytes) -> bytes:
    """Words between blanks and a CR: there is no check and no address, only the number and the shape of the words (`short`, `long`, `other_function`)."""
    words = line.rstrip(b"\r").split(b" ")
    if kind == "short":
        words = words[:-1]
    elif kind == "long":
        words.append(b"000.0")
    else:
        words = [b"(V", *words[1:2]]
    return b" ".join(words) + b"\r"
