"""Profiles: how a product family is read, as data (`profiles/NAME.toml`).

A profile names its document, its groups (what is read at one period) and its points (where a quantity of the dictionary lies and
how its registers become a number). It is strict: an unknown key, an unknown point or an impossible value is refused with file and key.
Addresses are 0-based, as on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta

from edgegw.drivers.profile_base import DECIMALS_MAX, Head, ProfileBase, Row, Table, entry_of
from edgegw.model import Point
from edgegw.points import PointName

# Modbus Application Protocol V1.1b3, 6.1-6.4: most registers and most bits in one request.
REGISTERS_MAX = 125
BITS_MAX = 2000

Address = Annotated[int, Meta(ge=0, le=65535)]
Range = tuple[Address, Address]
"""First and last address; both belong to it."""
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]

_REGISTERS = {"u16": 1, "i16": 1, "bit": 1, "bits": 1, "bcd16": 1, "u32": 2, "i32": 2, "f32": 2, "bcd32": 2, "u64": 4, "i64": 4, "f64": 4, "datetime": 3}
_WIDE_ORDER = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}


class ModbusHead(Head, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[profile]` of a Modbus product."""

    word_order: Order = "ABCD"
    max_registers: Annotated[int, Meta(ge=1, le=REGISTERS_MAX)] = REGISTERS_MAX
    max_gap: Annotated[int, Meta(ge=0, le=REGISTERS_MAX)] = 0
    """Registers of no interest that a block may read over; many devices refuse a block that touches an undefined one."""
    readable: list[Range] = []
    """Ranges that the device is known to read in one piece, holes and all."""
    forbidden: list[Range] = []
    """Ranges that no request may touch."""
    one_item: bool = False
    """A request may hold one value alone: the device refuses what reaches over two."""
    base: Annotated[int, Meta(ge=0, le=65535)] = 0
    """The addresses of this file are this much higher than on the wire: the document counts from 1."""
    note: str = ""
    """What whoever installs the product must know."""


class FaultBit(Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One bit of a fault word: a short token that never changes, and what it means."""

    id: Annotated[str, Meta(pattern="^[A-Za-z0-9_]{1,40}$")]
    en: str
    zh: str


class PointRow(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[point]]`: where one quantity lies, and how its raw value becomes the dictionary's."""

    address: Address
    type: Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bit", "bits", "string", "datetime"] = "u16"
    function: Literal[1, 2, 3, 4] = 3
    order: str = ""
    """Order of the bytes on the wire; empty: the profile's word order."""
    scale: str | int | float = 1
    """Raw value times this is in the dictionary's unit; text is taken exactly."""
    offset: str | int | float = 0
    """Added to the scaled value, in the dictionary's unit; text is taken exactly."""
    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)] | None = None
    mask: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """The bits of the word that hold the value; the lowest of them becomes its bit 0. 0: the whole word."""
    bit: Annotated[int, Meta(ge=0, le=15)] = 0
    length: Annotated[int, Meta(ge=1, le=REGISTERS_MAX)] = 1
    """Registers of a string."""
    map: dict[str, int | str] = {}
    """Raw value (decimal or 0x...) to state or text; a raw value that is not there has no meaning, and so no value."""
    faults: dict[str, FaultBit] = {}
    """Bit, 0 the lowest, to what it means when it is set: the point is the tokens of the set bits, a blank between them."""
    invalid: list[int] = []
    """Raw values that mean "no value"."""
    exponent: Address | None = None
    """Register of the same block that holds n, signed: the value is raw x 10^n x scale."""
    write: Literal[5, 6, 15, 16] | None = None
    """Of a relay output: it may be switched, with this function, by a siren channel and nothing else. None: it is only read."""
    write_on: Annotated[int, Meta(ge=0, le=0xFFFF)] | None = None
    """What a single write says to switch it on; None: FF00H to a coil, 1 to a register."""
    write_off: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0

    @property
    def coil(self) -> bool:
        return self.function in (1, 2)

    @property
    def count(self) -> int:
        """Registers (functions 1 and 2: bits) that the value itself takes."""
        return 1 if self.coil else self.length if self.type == "string" else _REGISTERS[self.type]

    @property
    def span(self) -> tuple[int, int]:
        """First and last address that must be read together."""
        last = self.address + self.count - 1
        if self.exponent is None:
            return self.address, last
        return min(self.address, self.exponent), max(last, self.exponent)

    @property
    def ratio(self) -> Fraction:
        return Fraction(str(self.scale))

    @property
    def addend(self) -> Fraction:
        return Fraction(str(self.offset))

    @property
    def codes(self) -> dict[int, int | str]:
        return {int(raw, 0): meaning for raw, meaning in self.map.items()}

    @property
    def fault_bits(self) -> dict[int, FaultBit]:
        return {int(bit, 0): fault for bit, fault in self.faults.items()}


class AlsoRow(PointRow, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[also]]`: where other members of the family keep a quantity. Understood when a frame is decoded, never polled."""

    group: str = ""


class IdentityRow(Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of `[identity]`: where the device says who it is."""

    address: Address
    type: Literal["string", "hex", "u16", "u32", "u64", "bcd"] = "string"
    """hex and bcd: the registers' digits as they stand; a leading zero stays."""
    length: Annotated[int, Meta(ge=1, le=REGISTERS_MAX)] = 1
    """Registers of string, hex and bcd."""
    function: Literal[3, 4] = 3

    @property
    def count(self) -> int:
        return {"u16": 1, "u32": 2, "u64": 4}.get(self.type, self.length)


class IdentityTable(Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[identity]`: read when the line is opened and after every silence of the device."""

    serial_number: IdentityRow | None = None
    model: IdentityRow | None = None
    firmware: IdentityRow | None = None


class Profile(ProfileBase, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """One file of a Modbus product; equal only to itself, so that what was made of it can be kept under it."""

    profile: ModbusHead
    point: Sequence[PointRow]
    also: Sequence[AlsoRow] = ()
    identity: IdentityTable | None = None

    def row_point(self, row: Row) -> Point:
        """The point as sources carry it: the dictionary's unit and kind, with decimals enough for every digit of the device."""
        assert isinstance(row, PointRow)
        entry = entry_of(row)
        return Point(row.point, _decimals(row, entry), entry.unit, entry.kind)

    def row_order(self, row: PointRow) -> str:
        """Order of the value's bytes on the wire, one letter a byte."""
        if row.order or row.type == "string":
            return row.order
        return {1: "AB", 2: self.profile.word_order, 4: _WIDE_ORDER[self.profile.word_order]}.get(row.count, "")


def _decimals(row: PointRow, entry: PointName) -> int:
    """As the profile says, else the dictionary's, raised until an integer register's last digit is kept."""
    if row.decimals is not None:
        return row.decimals
    decimals = entry.decimals
    if row.type in ("f32", "f64") or row.exponent is not None:
        return decimals
    while decimals < DECIMALS_MAX and any((part * 10**decimals).denominator != 1 for part in (row.ratio, row.addend)):
        decimals += 1
    return decimals
