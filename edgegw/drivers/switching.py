"""Questions that switch a relay, and the one that reads it back: the only writing that edgegw does. Pure.

    write one coil (5), register (6)        unit, function, address (2), value (2)                       answer: the same bytes
    write coils (15), registers (16)        unit, function, address (2), count 1 (2), bytes (1), value   answer: unit, function, address, count
    exception                               unit, function + 80H, code

Modbus V1.1b3, 6.5, 6.6, 6.11, 6.12. On RTU with a CRC behind, on TCP with the MBAP header before it. What a module answers is taken as it is,
right or wrong: whether it repeats the request is for the caller to see (`Switch.echo`). Some adapters send back what they are given, which looks
like the answer to functions 5 and 6; the state that is read afterwards is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from edgegw.config.model import Device
from edgegw.drivers.modbus_codec import crc, rtu_question, sealed, tcp_question
from edgegw.drivers.permit import WRITE, Writable
from edgegw.drivers.profile import PointRow
from edgegw.drivers.profile_base import ProfileBase
from edgegw.errors import EXIT_UNKNOWN, EdgegwError
from edgegw.model import Answer, Parsed, Question, Unproven

_COIL_ON = 0xFF00
_ECHO_SIZE = 6
_EXCEPTION_SIZE = 3
_CRC_SIZE = 2


class Order(NamedTuple):
    """To bring a relay into one state, and to see whether it is there."""

    write: Question
    echo: bytes
    """The data of the only good answer to `write`."""
    read: Question
    state: int
    """What `read` must say then."""


class Switch(NamedTuple):
    """One output of one device."""

    device: str
    point: str
    unit: int
    on: Order
    off: Order
    writable: frozenset[Writable]
    """What may leave for it (permit.py)."""

    @property
    def read(self) -> Question:
        return self.on.read


def switchable(profile: ProfileBase) -> list[str]:
    """The points that the profile declares writable."""
    return [row.point for row in _rows(profile.point) if row.write is not None]


def make_switch(device: Device, profile: ProfileBase, point: str, *, tcp: bool) -> Switch:
    """The output of a device on a line of this framing. Raises EdgegwError where it is none that may be switched."""
    row = next((row for row in _rows(profile.point) if row.point == point), None)
    if row is None or row.write is None:
        raise EdgegwError("E-CFG-WRITE", f'"{point}" of {device.code} cannot be switched', "edgegw config check", EXIT_UNKNOWN)
    on = row.write_on if row.write_on is not None else _COIL_ON if row.write == 5 else 1
    values = {1: on, 0: row.write_off}
    orders = {state: _order(device.unit, row, (row.write, value, state if row.coil else value), tcp=tcp) for state, value in values.items()}
    writable = frozenset(Writable(device.unit, row.write, row.address, value) for value in values.values())
    return Switch(device.code, point, device.unit, orders[1], orders[0], writable)


def state_of(answer: Answer) -> int:
    """What a read of one coil or register says."""
    return answer.data[0] & 1 if len(answer.data) == 1 else int.from_bytes(answer.data, "big")


def _rows(rows: Sequence[object]) -> list[PointRow]:
    return [row for row in rows if isinstance(row, PointRow)]


def _order(unit: int, row: PointRow, what: tuple[int, int, int], *, tcp: bool) -> Order:
    """`what`: function, the value that it writes, and what the point reads as then."""
    function, value, state = what
    place = row.address.to_bytes(2, "big")
    if function in (5, 6):
        rest = place + value.to_bytes(2, "big")
        echo = rest
    else:
        size = function - 14
        rest = place + bytes((0, 1, size)) + value.to_bytes(size, "big")
        echo = rest[:4]
    read = (tcp_question if tcp else rtu_question)(unit, row.function, row.address, 1)
    return Order(_write(bytes((unit, function)) + rest, tcp=tcp), echo, read, state)


def _write(body: bytes, *, tcp: bool) -> Question:
    if tcp:
        payload = len(body).to_bytes(4, "big") + body
        return Question(payload=payload, parse=partial(_parse_tcp, body[:2]), answer_size=6 + _ECHO_SIZE, protocol=WRITE)
    return Question(payload=sealed(body), parse=partial(_parse_rtu, body[:2]), answer_size=_ECHO_SIZE + _CRC_SIZE, explain=_explain, protocol=WRITE)


def _parse_tcp(head: bytes, received: bytes) -> Parsed | None:
    """One frame behind its transaction id."""
    body = received[4:]
    return _answer(head, body, len(received)) if received[:2] == b"\0\0" and len(body) in (_ECHO_SIZE, _EXCEPTION_SIZE) else None


def _parse_rtu(head: bytes, received: bytes) -> Parsed | None:
    """The first whole answer of this unit to this function, wherever it stands."""
    for at in range(len(received)):
        for size in (_ECHO_SIZE, _EXCEPTION_SIZE):
            frame = received[at : at + size + _CRC_SIZE]
            found = _answer(head, frame[:size], at + size + _CRC_SIZE) if len(frame) == size + _CRC_SIZE and not crc(frame) else None
            if found is not None:
                return Parsed(found.end, found.data, found.exception_code, noise=at)
    return None


def _answer(head: bytes, body: bytes, end: int) -> Parsed | None:
    if len(body) == _ECHO_SIZE and body[:2] == head:
        return Parsed(end, body[2:])
    if len(body) == _EXCEPTION_SIZE and body[:2] == bytes((head[0], head[1] | 0x80)):
        return Parsed(end, None, body[2])
    return None


def _explain(received: bytes) -> Unproven:
    return Unproven("noise", noise=len(received)) if received else Unproven("timeout")
