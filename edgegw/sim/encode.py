"""A quantity in its unit to the registers of a device. Pure; shares no code with the gateway's decoder, which it is there to check.

    integers    round(value / scale), cut to what the type holds, high byte first unless the profile's order says otherwise
    floats      IEEE 754 of value / scale
    exponent    mantissa of at most four digits (what such meters show), power of ten in a register of its own
    map         the raw value that means this state or text
    string      two characters a register, NUL behind

What a raw value says is computed from the raw value, never from the quantity before it: that is what a right decoder must get.
"""

from __future__ import annotations

import struct
from fractions import Fraction

import msgspec

from edgegw.drivers.profile import PointRow, Profile
from edgegw.sim.tongue import NO_VALUE

# Acrel's DC meters show four digits: 750.3 V is sent as 7503 and 10**2.
MANTISSA_MAX = 9999

_LIMITS = {
    "bit": (0, 1),
    "bits": (0, 0xFFFF),
    "u16": (0, 0xFFFF),
    "i16": (-0x8000, 0x7FFF),
    "u32": (0, 0xFFFF_FFFF),
    "i32": (-0x8000_0000, 0x7FFF_FFFF),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
}
_WIDTHS = {"u16": 2**16, "u32": 2**32, "i32": 2**31, "u64": 2**64}
# What a float register can hold that is no number.
NO_NUMBERS = frozenset({"nan", "inf", "-inf"})
_ABSENT = NO_NUMBERS | {NO_VALUE}
_FLOATS = {"f32": (">f", ">I"), "f64": (">d", ">Q")}


class Raw(msgspec.Struct, frozen=True):
    """What stands in the registers of one point."""

    registers: tuple[int, ...]
    """One for each address of the value; a bit where the function reads bits."""
    said: int | str | None
    """What it says: 10**-decimals units, or text; None where the raw value means that there is none."""
    exponent: int = 0


class Encoder:
    """How one point of a profile is sent. What the profile derives anew at each question is kept: a station encodes thousands of values a second."""

    def __init__(self, profile: Profile, row: PointRow) -> None:
        self.row = row
        self.point = row.point
        self.decimals = profile.row_point(row).decimals
        self.order = profile.row_order(row)
        self.span = row.span
        self.ratio = row.ratio
        self.addend = row.addend
        self.codes = row.codes
        self._tokens = {bit: fault.id for bit, fault in row.fault_bits.items()}
        self._digits: Fraction = row.ratio * 10**self.decimals
        """Last digits that one raw unit is worth."""
        self._shift: Fraction = row.addend * 10**self.decimals
        self._whole = int(self._digits) if self._digits.denominator == 1 and not self._shift else 0
        """The same where it is a whole number and nothing is added: most points; else 0. Fractions cost ten times as much."""
        self._scale = float(row.ratio), float(row.addend)
        self._limits = (0, 1) if row.coil else _LIMITS.get(row.type, (0, 0))

    @property
    def idle(self) -> float | str:
        """What a point shows that nothing in the station drives."""
        words = self.row.type in ("string", "datetime") or bool(self._tokens)
        return next(iter(self.codes.values()), "" if words else 0.0)

    @property
    def width(self) -> float | None:
        """Where a register begins anew, in the point's unit; None where it is no whole number."""
        return None if self.row.coil or self.row.exponent is not None else _WIDTHS.get(self.row.type, 0) * float(self.ratio) or None

    def encode(self, value: float | str) -> Raw:
        """The quantity, in the dictionary's unit, as this device sends it; `none`, `nan`, `inf` and `-inf` where it can send such a thing."""
        row = self.row
        if value in _ABSENT and (row.invalid or row.type in _FLOATS):
            return self._absent(str(value))
        if row.type in ("string", "datetime"):
            return self._text(str(value)) if row.type == "string" else self._clock(str(value))
        if self._tokens or self.codes:
            return self._integer(self._code(value))
        if isinstance(value, str):
            raise ValueError(f"{row.point}: {value!r} is no number")  # noqa: TRY004 - one kind of error for every value that cannot be sent
        if row.type in _FLOATS:
            return self._float(value)
        if row.exponent is not None:
            return self._with_exponent(value)
        ratio, addend = self._scale
        return self._integer(round((value - addend) / ratio))

    def _absent(self, value: str) -> Raw:
        """A device that sends floats without a value of its own for "none" sends what is no number."""
        if value in NO_NUMBERS and self.row.type not in _FLOATS:
            raise ValueError(f"{self.point} cannot be {value}")
        if value == NO_VALUE and self.row.invalid:
            return self._integer(self.row.invalid[0])
        return Raw(self._registers(self._bits(float("nan" if value == NO_VALUE else value))), None)

    def again(self, raw: Raw) -> Raw:
        """The same registers as this point says them: two points may name one register (a state as a number and as a word)."""
        return self._integer(_number(self.row, raw.registers, self.order))

    def _integer(self, raw: int, exponent: int = 0) -> Raw:
        low, high = self._limits
        raw = min(max(raw, low), high)
        said: int | str | None = None
        if self._whole and not exponent and not self.codes and not self._tokens and raw not in self.row.invalid:
            return Raw(self._registers(raw & 0xFFFF_FFFF_FFFF_FFFF), raw * self._whole)
        if raw not in self.row.invalid:
            said = self.codes.get(raw) if self.codes else self._said_bits(raw) if self._tokens else round(raw * 10**exponent * self._digits + self._shift)
        return Raw(self._registers(raw & 0xFFFF_FFFF_FFFF_FFFF), said, exponent)

    def _said_bits(self, raw: int) -> str:
        return " ".join(self._tokens.get(bit, f"unknown_bit_{bit}") for bit in range(raw.bit_length()) if raw & 1 << bit)

    def _clock(self, text: str) -> Raw:
        """`2024-03-19 14:20:09` as six binary bytes; a device without a clock shows none."""
        parts = [int(part) for part in text.replace("-", " ").replace(":", " ").split()]
        sent = bytes((parts[0] % 100, *parts[1:])) if len(parts) == 6 else b"\xff" * 6
        return Raw(struct.unpack(">3H", sent), text if len(parts) == 6 else None)

    def _with_exponent(self, value: float) -> Raw:
        exponent, mantissa = 0, Fraction(value) / self.ratio
        while abs(round(mantissa / 10**exponent)) > MANTISSA_MAX:
            exponent += 1
        return self._integer(round(mantissa / 10**exponent), exponent)

    def _float(self, value: float) -> Raw:
        """A float on the very border of two last digits is moved by its own last bit, so that either rounding of it is the same."""
        bits = self._bits(value / float(self.ratio))
        digits = self._float_digits(bits)
        if digits.denominator == 2:
            bits += 1
            digits = self._float_digits(bits)
        return Raw(self._registers(bits), round(digits))

    def _bits(self, real: float) -> int:
        as_float, as_integer = _FLOATS[self.row.type]
        bits: int = struct.unpack(as_integer, struct.pack(as_float, real))[0]
        return bits

    def _float_digits(self, bits: int) -> Fraction:
        as_float, as_integer = _FLOATS[self.row.type]
        sent: float = struct.unpack(as_float, struct.pack(as_integer, bits))[0]
        return Fraction(sent) * self._digits

    def _code(self, value: float | str) -> int:
        """The raw value that means `value`, the first where several do; or the bits of its words."""
        if self._tokens:
            return sum(1 << bit for bit, token in self._tokens.items() if token in str(value).split())
        for raw, meaning in self.codes.items():
            if meaning == value or (isinstance(value, float) and meaning == round(value)):
                return raw
        raise ValueError(f"{self.point}: {value!r} is none of {', '.join(map(str, self.codes.values()))}")

    def _text(self, text: str) -> Raw:
        size = 2 * self.row.length
        encoded = text.encode("ascii", "replace")[:size]
        registers = struct.unpack(f">{self.row.length}H", encoded.ljust(size, b"\0"))
        return Raw(registers, encoded.decode("ascii"))

    def _registers(self, bits: int) -> tuple[int, ...]:
        """The bytes of the value in the order of the wire: A is the most significant."""
        if self.row.coil:
            return (bits,)
        if self.order == "AB":
            return (bits & 0xFFFF,)
        size = 2 * self.row.count
        straight = (bits & (1 << 8 * size) - 1).to_bytes(size, "big")
        on_wire = bytes(straight[ord(letter) - ord("A")] for letter in self.order)
        return struct.unpack(f">{self.row.count}H", on_wire)


def encoders(profile: Profile) -> list[Encoder]:
    return [Encoder(profile, row) for row in profile.point]


def _number(row: PointRow, registers: tuple[int, ...], order: str) -> int:
    if row.coil:
        return registers[0]
    on_wire = struct.pack(f">{len(registers)}H", *registers)
    straight = bytes(on_wire[order.index(letter)] for letter in sorted(order))
    return int.from_bytes(straight, "big", signed=row.type.startswith("i"))
