"""The data bytes of one block to values, as compiled at load time: one `struct.Struct` a block. Pure.

    data bytes -> (gather, where words are swapped or read twice) -> struct -> raw tuple, one entry a point, exponents behind them
    raw -> all within their bounds? -> raw * factor            the good path: a few C-level passes, no Python step a point
                         otherwise -> point by point, with a quality for each that has no value

Bounds are the dictionary's plausible range, computed back into raw numbers, so that a sentinel outside the range costs nothing.
Scaling is exact: raw * factor in integers; a float is multiplied and rounded once.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import partial
from operator import itemgetter, le, mul
from typing import Any, NamedTuple

from edgegw.drivers.base import Decode
from edgegw.drivers.profile import PointRow, Profile
from edgegw.model import Answer, Point, Quality, Value
from edgegw.points import lookup

_CODES = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d", "bit": "H", "bits": "H", "bcd16": "H", "bcd32": "I"}
_GOOD: Mapping[int, Quality] = {}
# 10^n with n from a register: DC meters use 0-9, SunSpec -10 to 10 and 8000H for none; anything else is no scale but noise.
_EXPONENT_MAX = 12


class NoValueError(ValueError):
    """The device says that there is none, or what it says cannot be."""


Special = Callable[[Sequence[Any]], Value]
"""Raw tuple to the value of a point that is not raw * factor. Raises NoValueError."""


class Field(NamedTuple):
    """One point of a block, compiled."""

    low: Any
    high: Any
    """Raw bounds of the good path; outside, the point is looked at by itself."""
    factor: int
    invalid: frozenset[int]
    special: Special | None


class BlockDecoder:
    """Decodes the answer to one block of registers."""

    def __init__(
        self, fields: Sequence[Field], layout: struct.Struct, gather: Callable[[bytes], tuple[int, ...]] | None, bounded: Sequence[int] | None = None
    ) -> None:
        """`bounded`: positions of the fields whose bounds leave out something that their type can hold; None: all."""
        self._fields = fields
        self._unpack = layout.unpack
        self._gather = gather
        looked_at = range(len(fields)) if bounded is None else bounded
        self._lows = [fields[i].low for i in looked_at]
        self._highs = [fields[i].high for i in looked_at]
        self._pick = itemgetter(*looked_at, looked_at[-1]) if 0 < len(looked_at) < len(fields) else None
        self._factors = [field.factor for field in fields]
        self._is_scaled = any(factor != 1 for factor in self._factors)
        # The bounds cover sentinels outside the range; these are the ones inside.
        self._invalid = [(i, field.invalid) for i, field in enumerate(fields) if any(field.low <= raw <= field.high for raw in field.invalid)]
        self._specials = [(i, field.special) for i, field in enumerate(fields) if field.special is not None]

    def __call__(self, answers: Sequence[Answer]) -> tuple[tuple[Value, ...], Mapping[int, Quality]]:
        data = answers[0].data
        raw = self._unpack(bytes(self._gather(data)) if self._gather else data)
        if self._lows:
            looked_at = self._pick(raw) if self._pick else raw
            if not all(map(le, self._lows, looked_at)) or not all(map(le, looked_at, self._highs)):
                return self._one_by_one(raw)
        for i, invalid in self._invalid:
            if raw[i] in invalid:
                return self._one_by_one(raw)
        if not self._specials:
            return tuple(map(mul, raw, self._factors)) if self._is_scaled else raw[: len(self._factors)], _GOOD
        values: list[Value] = [*map(mul, raw, self._factors)]
        try:
            for i, special in self._specials:
                values[i] = special(raw)
        except NoValueError:
            return self._one_by_one(raw)
        return tuple(values), _GOOD

    def _one_by_one(self, raw: tuple[Any, ...]) -> tuple[tuple[Value, ...], Mapping[int, Quality]]:
        values: list[Value] = []
        quality: dict[int, Quality] = {}
        for i, field in enumerate(self._fields):
            try:
                values.append(_value(field, raw, i))
            except NoValueError:
                values.append(None)
                quality[i] = Quality.BAD
        return tuple(values), quality


def _value(field: Field, raw: tuple[Any, ...], i: int) -> Value:
    if raw[i] in field.invalid or not field.low <= raw[i] <= field.high:
        raise NoValueError
    if field.special is not None:
        return field.special(raw)
    value: Value = raw[i] * field.factor
    return value


def compile_block(profile: Profile, rows: Sequence[PointRow], address: int, count: int) -> Decode:
    """The decoder of a block of `count` registers (or bits) from `address`; values in the order of `rows`."""
    if rows[0].coil:
        return partial(_decode_bits, [row.address - address for row in rows])
    exponents = [row.exponent for row in rows if row.exponent is not None]
    fields = []
    for i, row in enumerate(rows):
        position = None if row.exponent is None else len(rows) + exponents.index(row.exponent)
        fields.append(_field(row, profile.row_point(row), i, position))
    spots = [_Spot(2 * (row.address - address), _code(row), profile.row_order(row)) for row in rows]
    spots += [_Spot(2 * (register - address), "h", "AB") for register in exponents]
    bounded = [i for i, (row, field) in enumerate(zip(rows, fields, strict=True)) if not _takes_all(row, field)]
    return BlockDecoder(fields, *_layout(spots, 2 * count), bounded)


def _takes_all(row: PointRow, field: Field) -> bool:
    """Whether no raw number of its type is out of its bounds."""
    return row.type not in ("f32", "f64") and (row.type in ("string", "datetime") or (field.low, field.high) == _raw_bounds(row))


def _decode_bits(offsets: Sequence[int], answers: Sequence[Answer]) -> tuple[tuple[Value, ...], Mapping[int, Quality]]:
    """Bit 0 of the first data byte is the first bit asked for."""
    word = int.from_bytes(answers[0].data, "little")
    return tuple([word >> offset & 1 for offset in offsets]), _GOOD


# -- layout


class _Spot(NamedTuple):
    offset: int
    code: str
    order: str
    """Letters of the bytes on the wire, A the most significant; empty for text."""


def _code(row: PointRow) -> str:
    return f"{2 * row.count}s" if row.type in ("string", "datetime") else _CODES[row.type]


def _layout(spots: Sequence[_Spot], size: int) -> tuple[struct.Struct, Callable[[bytes], tuple[int, ...]] | None]:
    """The struct of the block; with a gathering of bytes before it where struct alone cannot read it."""
    pieces: list[str] = []
    at = 0
    for spot in spots:
        if spot.offset < at or spot.order != "ABCDEFGH"[: len(spot.order)]:
            return struct.Struct(">" + "".join(spot.code for spot in spots)), _gather(spots)
        pieces.append(f"{spot.offset - at}x{spot.code}")
        at = spot.offset + struct.calcsize(">" + spot.code)
    return struct.Struct(f">{''.join(pieces)}{size - at}x"), None


def _gather(spots: Sequence[_Spot]) -> Callable[[bytes], tuple[int, ...]]:
    places: list[int] = []
    for spot in spots:
        width = struct.calcsize(">" + spot.code)
        places += [spot.offset + (spot.order.index(letter) if spot.order else k) for k, letter in enumerate(_letters(width))]
    return itemgetter(*places) if len(places) > 1 else lambda data: (data[places[0]],)


def _letters(width: int) -> Sequence[str]:
    return "ABCDEFGH"[:width] if width <= 8 else [""] * width


# -- one point


def _field(row: PointRow, point: Point, i: int, exponent: int | None) -> Field:
    """A text, a code, a bit or a number, each with its raw bounds."""
    invalid = frozenset(row.invalid)
    if row.type in ("string", "datetime"):
        return Field(b"", b"\xff" * (2 * row.count + 1), 1, invalid, partial(_text if row.type == "string" else _clock, i))
    if row.faults:
        return Field(*_raw_bounds(row), 1, invalid, partial(_set_bits, {bit: fault.id for bit, fault in row.fault_bits.items()}, i))
    if row.map:
        return Field(*_raw_bounds(row), 1, invalid, partial(_mapped, _reader(row), row.codes, i))
    if row.type == "bit":
        return Field(*_raw_bounds(row), 1, invalid, partial(_bit, row.bit, i))
    return _number_field(row, point, i, exponent)


def _number_field(row: PointRow, point: Point, i: int, exponent: int | None) -> Field:
    invalid = frozenset(row.invalid)
    line = _Line(row.ratio * 10**point.decimals, row.addend * 10**point.decimals, _value_bounds(point))
    reader = _reader(row)
    if exponent is not None or reader is not None:
        return Field(*_raw_bounds(row), 1, invalid, partial(_computed, reader or int, line, i, exponent))
    ends = line.raw_bounds
    if row.type in ("f32", "f64"):
        lowest, highest = (-sys.float_info.max, sys.float_info.max) if ends is None else map(float, ends)
        special: Special = partial(_moved, line, i) if line.offset else partial(_rounded, line.scale.numerator, line.scale.denominator, i)
        return Field(lowest, highest, 1, invalid, special)
    low, high = _raw_bounds(row)
    if ends is not None:
        low, high = max(low, math.ceil(ends[0])), min(high, math.floor(ends[1]))
    if line.offset:
        return Field(low, high, 1, invalid, partial(_moved, line, i))
    if line.scale.denominator == 1:
        return Field(low, high, line.scale.numerator, invalid, None)
    return Field(low, high, 1, invalid, partial(_divided, line.scale.numerator, line.scale.denominator, i))


class _Line(NamedTuple):
    """Raw number to units of the last decimal."""

    scale: Fraction
    offset: Fraction
    bounds: tuple[Fraction, Fraction] | None

    @property
    def raw_bounds(self) -> list[Fraction] | None:
        return None if self.bounds is None else sorted((bound - self.offset) / self.scale for bound in self.bounds)


def _reader(row: PointRow) -> Callable[[int], int] | None:
    """How the number stands in its register, None where the register is the number."""
    if row.mask:
        return partial(_masked, row.mask, (row.mask & -row.mask).bit_length() - 1)
    return _bcd if row.type.startswith("bcd") else None


def _masked(mask: int, shift: int, raw: int) -> int:
    return (raw & mask) >> shift


def _bcd(raw: int) -> int:
    """Four bits a digit."""
    try:
        return int(f"{raw:x}")
    except ValueError as fault:
        raise NoValueError from fault


def _value_bounds(point: Point) -> tuple[Fraction, Fraction] | None:
    """The plausible range in units of the last decimal."""
    entry = lookup(point.name)
    if entry is None or entry.range is None:
        return None
    low, high = entry.range
    return Fraction(low) * 10**point.decimals, Fraction(high) * 10**point.decimals


def _raw_bounds(row: PointRow) -> tuple[int, int]:
    bits = 8 * struct.calcsize(">" + _CODES[row.type])
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if row.type.startswith("i") else (0, (1 << bits) - 1)


def _rounded(numerator: int, denominator: int, i: int, raw: Sequence[Any]) -> int:
    # A float within the bounds is finite. 24 bits times the factor is exact in a double, so only round() rounds.
    number: float = raw[i]
    return round(number * numerator / denominator)


def _divided(numerator: int, denominator: int, i: int, raw: Sequence[Any]) -> int:
    return round(Fraction(raw[i] * numerator, denominator))


def _moved(line: _Line, i: int, raw: Sequence[Any]) -> int:
    return round(Fraction(raw[i]) * line.scale + line.offset)


def _computed(reader: Callable[[int], int], line: _Line, i: int, exponent: int | None, raw: Sequence[Any]) -> int:
    """A number that must be computed before its bounds can be looked at."""
    power: int = 0 if exponent is None else raw[exponent]
    if abs(power) > _EXPONENT_MAX:
        raise NoValueError
    value = line.scale * reader(raw[i]) * Fraction(10) ** power + line.offset
    if line.bounds is not None and not line.bounds[0] <= value <= line.bounds[1]:
        raise NoValueError
    return round(value)


def _bit(bit: int, i: int, raw: Sequence[Any]) -> int:
    return int(raw[i]) >> bit & 1


def _mapped(reader: Callable[[int], int] | None, codes: Mapping[int, int | str], i: int, raw: Sequence[Any]) -> Value:
    """A code that the map does not know could be taken for another state if it stayed as it is: it has no value."""
    try:
        return codes[raw[i] if reader is None else reader(raw[i])]
    except KeyError as fault:
        raise NoValueError from fault


def _set_bits(tokens: Mapping[int, str], i: int, raw: Sequence[Any]) -> str:
    """The set bits from the lowest on; the text is empty when none is set."""
    word: int = raw[i]
    return " ".join(tokens.get(bit, f"unknown_bit_{bit}") for bit in range(word.bit_length()) if word >> bit & 1)


def _clock(i: int, raw: Sequence[Any]) -> str:
    """Year of the century, month, day, hour, minute, second, a byte each, binary."""
    year, *rest = raw[i]
    try:
        return str(datetime(2000 + year, *rest))  # noqa: DTZ001 - the device's own clock, in a zone that nobody knows
    except ValueError as fault:
        raise NoValueError from fault


def _text(i: int, raw: Sequence[Any]) -> str:
    """Two characters a register, NULs and blanks around them dropped; behind a NUL inside stands what was there before."""
    try:
        return str(raw[i].decode("utf-8")).strip("\0 ").partition("\0")[0].rstrip(" ")
    except UnicodeDecodeError as fault:
        raise NoValueError from fault
