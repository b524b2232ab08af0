"""Where each value of an answer stood, and what stood there: for people who hold it against the device's manual. Made only when somebody looks. Pure.

Modbus      address of the first register or bit     its registers, four hexadecimal digits each; of a bit 0 or 1
DL/T 645    identifier, `/` and the place in a block  its bytes, most significant first: the digits as the meter shows them
Megatec     command and name of the field             the whole reply
SunSpec     address of the first register on this device
"""

from __future__ import annotations

from collections.abc import Sequence

from edgegw.drivers.base import Origin
from edgegw.drivers.profile import PointRow
from edgegw.model import Answer


def registers(rows: Sequence[PointRow], address: int, answers: Sequence[Answer]) -> tuple[Origin, ...]:
    """Of the rows of one Modbus block from `address`."""
    return tuple(Origin(row.address, _bit_or_words(row, raw_of(row, address, answers[0].data))) for row in rows)


def raw_of(row: PointRow, address: int, data: bytes) -> bytes:
    """The registers of the value itself in the data of a block from `address`; of a bit a byte, 0 or 1."""
    offset = row.address - address
    if row.coil:
        return bytes((data[offset // 8] >> offset % 8 & 1,))
    return data[2 * offset : 2 * (offset + row.count)]


def _bit_or_words(row: PointRow, raw: bytes) -> str:
    return str(raw[0]) if row.coil else words(raw)


def words(raw: bytes) -> str:
    """Registers as people write them: `001B D2E0`."""
    return raw.hex(" ", 2).upper()
