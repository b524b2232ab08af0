"""The answers to one SunSpec model to values. Pure.

    first answer begins with the header: another id or length than at the introduction makes every value bad
    raw == not implemented, or its scale factor is     not fitted; bad when the device had it at the introduction, offline when it sleeps
    scale factor outside -10..10, or changing while it is read; value outside the dictionary's range; infinite     bad
    otherwise       raw x 10^factor x ratio, exactly, rounded once to the point's last decimal

Power factors are percent by the models, and the cosine itself in many products. What is above 1 shows percent; else active over apparent
power of the same answer tells; where nothing does, the number is taken as the cosine and is suspect.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import isinf
from typing import NamedTuple

from edgegw.drivers.base import Origin
from edgegw.drivers.origins import words
from edgegw.drivers.sunspec_blocks import Part, Range, Spot, Wanted, locate
from edgegw.drivers.sunspec_models import HEADER, SCALE_MAX, SCALE_NONE, Field, Model, Raw, text_of
from edgegw.drivers.sunspec_profile import SunspecRow
from edgegw.model import Answer, Point, Quality, Value
from edgegw.points import lookup

# SunSpec inverter models, "St": off and sleeping. Such a device has no measurements, and nothing is wrong with it.
ASLEEP = frozenset({1, 2})
# A cosine with this many digits or more would not fit into 16 bits as percent.
_COSINE_SCALE = -3
_POWERS = {power: Fraction(10) ** power for power in range(-SCALE_MAX, SCALE_MAX + 1)}
# A cosine and active over apparent power of one answer differ by what is measured at different moments.
_LIKE_RATIO = Fraction(2)

Reading = tuple[tuple[Value, ...], Mapping[int, Quality]]


class _NoneThereError(ValueError):
    """The device says that it has no such value."""


class _BadError(ValueError):
    """What the device says cannot be."""


class Cell(NamedTuple):
    """One point of the source."""

    point: Point
    row: SunspecRow
    field: Field | None
    """None where the model, or this device's length of it, has no such field."""
    spot: Spot | None
    fitted: bool
    """It had a value at the introduction."""
    ratio: Fraction
    """From the field's unit to the point's last decimal."""
    bounds: tuple[int, int] | None
    """The dictionary's range in units of the last decimal."""
    is_power_factor: bool
    words: Mapping[int, str]
    """Of a text that is no string: the token of each bit, or the word of each code."""


class Layout(NamedTuple):
    """A model of a device, and what of it one source wants."""

    model: Model
    head: tuple[int, int]
    """Id and length that the device has there."""
    ranges: tuple[Range, ...]
    cells: tuple[tuple[Point, SunspecRow], ...]


class Witness(NamedTuple):
    """A field that is no point but tells something about others: state, active and apparent power."""

    field: Field
    spot: Spot


def wanted_fields(model: Model, length: int, rows: Sequence[SunspecRow]) -> list[Wanted]:
    """What must be read for these rows, and for their witnesses; no register behind the device's own length."""
    fields = [model.find(row.field, row.index) for row in rows]
    fields += [model.find(name, index) for name, index in _witnesses(rows)]
    return [one for field in fields if field is not None and (one := _reachable(model, length, field)) is not None]


def _reachable(model: Model, length: int, field: Field) -> Wanted | None:
    """A field and its scale factor, when the device has both."""
    scale = model.fields.get(field.scale) if field.scale else None
    if field.end > HEADER + length or (scale is not None and scale.end > HEADER + length):
        return None
    return Wanted(field, scale)


def _witnesses(rows: Sequence[SunspecRow]) -> list[tuple[str, int]]:
    """(field, module) of the state, and of the powers beside power factors."""
    states = [("DCSt" if index else "St", index) for index in sorted({row.index for row in rows})]
    phases = [row.field.removeprefix("PF") for row in rows if row.is_power_factor]
    return [*states, *((f"{power}{phase}", 0) for phase in phases for power in ("W", "VA"))]


class Picture:
    """How the answers to the ranges of one model become the values of one source."""

    def __init__(self, layout: Layout, *, without: frozenset[int] = frozenset(), fitted: frozenset[int] = frozenset()) -> None:
        """`without`: registers of fields that the device refuses to tell; `fitted`: positions of what it had at first."""
        model, ranges = layout.model, layout.ranges
        self._head = struct.pack(">HH", *layout.head)
        rows = [row for _, row in layout.cells]
        reachable = {one.field.at: one for one in wanted_fields(model, layout.head[1], rows) if one.field.at not in without}
        self._cells: list[Cell] = []
        for position, (point, row) in enumerate(layout.cells):
            field = model.find(row.field, row.index)
            one = None if field is None else reachable.get(field.at)
            spot = None if one is None else locate(one, ranges)
            self._cells.append(_cell(point, row, (one and one.field, spot), fitted=position in fitted))
        self._witnesses = {
            (name, index): Witness(one.field, locate(one, ranges))
            for name, index in _witnesses(rows)
            if (field := model.find(name, index)) is not None and (one := reachable.get(field.at)) is not None
        }
        self._told = frozenset(cell.field.at for cell in self._cells if cell.field is not None)

    def fitted(self, answers: Sequence[Answer]) -> frozenset[int]:
        """Positions of what the device has now: the introduction's look at it."""
        datas = [answer.data for answer in answers]
        return frozenset(position for position, cell in enumerate(self._cells) if self._is_there(cell, datas))

    def __call__(self, answers: Sequence[Answer]) -> Reading:
        datas = [answer.data for answer in answers]
        if not datas[0].startswith(self._head):
            return (None,) * len(self._cells), dict.fromkeys(range(len(self._cells)), Quality.BAD)
        cosines = self._are_cosines(datas)
        values: list[Value] = []
        quality: dict[int, Quality] = {}
        for position, cell in enumerate(self._cells):
            try:
                value, doubt = self._value(cell, datas, cosines=cosines)
            except _NoneThereError:
                value, doubt = None, self._absence(cell, datas)
            except _BadError:
                value, doubt = None, Quality.BAD
            values.append(value)
            if doubt is not Quality.GOOD:
                quality[position] = doubt
        return tuple(values), quality

    def origins(self, address: int, answers: Sequence[Answer]) -> tuple[Origin | None, ...]:
        """Where each point stands on this device, whose model begins at `address`."""
        datas = [answer.data for answer in answers]
        return tuple(
            None if cell.field is None or cell.spot is None else Origin(address + cell.field.at, words(_bytes(cell.spot.value, datas))) for cell in self._cells
        )

    def _absence(self, cell: Cell, datas: Sequence[bytes]) -> Quality:
        """Asleep is offline beside a state that says so; where the state is no point of the source, nothing would tell it from a silent device."""
        if cell.field is None or not cell.fitted:
            return Quality.NOT_FITTED
        state = ("DCSt" if cell.row.index else "St", cell.row.index)
        if self._number(state, datas) not in ASLEEP:
            return Quality.BAD
        return Quality.OFFLINE if self._witnesses[state].field.at in self._told else Quality.NOT_FITTED

    def _is_there(self, cell: Cell, datas: Sequence[bytes]) -> bool:
        try:
            self._value(cell, datas, cosines=None)
        except _NoneThereError:
            return False
        except _BadError:
            pass
        return True

    def _value(self, cell: Cell, datas: Sequence[bytes], *, cosines: bool | None) -> tuple[Value, Quality]:
        if cell.field is None or cell.spot is None:
            raise _NoneThereError
        raw = _raw(cell.field, cell.spot, datas)
        if isinstance(raw, bytes):
            return text_of(raw), Quality.GOOD
        if cell.point.kind == "text":
            return _words(cell, raw), Quality.GOOD
        scaled = _scaled(raw, cell.spot, datas)
        number, doubt = scaled[0], Quality.GOOD
        if cell.is_power_factor:
            number, doubt = self._cosine(cell, scaled, datas, cosines=cosines)
        return _in_decimals(cell, number), doubt

    # -- power factors

    def _are_cosines(self, datas: Sequence[bytes]) -> bool | None:
        """False when a power factor of this answer can only be percent; None while nothing is known."""
        for number, _ in self._factors(datas):
            if abs(number) > 1:
                return False
        return None

    def _factors(self, datas: Sequence[bytes]) -> Iterator[tuple[Fraction, int]]:
        for cell in self._cells:
            if cell.is_power_factor and cell.field is not None and cell.spot is not None:
                try:
                    raw = _raw(cell.field, cell.spot, datas)
                    assert not isinstance(raw, bytes)
                    yield _scaled(raw, cell.spot, datas)
                except (_NoneThereError, _BadError):
                    continue

    def _cosine(self, cell: Cell, scaled: tuple[Fraction, int], datas: Sequence[bytes], *, cosines: bool | None) -> tuple[Fraction, Quality]:
        number, power = scaled
        if cosines is False:
            return number / 100, Quality.GOOD
        if power <= _COSINE_SCALE or number == 0:
            return number, Quality.GOOD
        phase = cell.row.field.removeprefix("PF")
        active, apparent = self._number((f"W{phase}", 0), datas), self._number((f"VA{phase}", 0), datas)
        if active is None or not apparent:
            return number, Quality.SUSPECT
        truth = abs(active / apparent)
        as_cosine, as_percent = (_apart(abs(size), truth) for size in (number, number / 100))
        if min(as_cosine, as_percent) > _LIKE_RATIO:
            return (number if as_cosine <= as_percent else number / 100), Quality.SUSPECT
        return (number if as_cosine <= as_percent else number / 100), Quality.GOOD

    def _number(self, name: tuple[str, int], datas: Sequence[bytes]) -> Fraction | None:
        witness = self._witnesses.get(name)
        if witness is None:
            return None
        try:
            raw = _raw(witness.field, witness.spot, datas)
            assert not isinstance(raw, bytes)
            return _scaled(raw, witness.spot, datas)[0]
        except (_NoneThereError, _BadError):
            return None


def _cell(point: Point, row: SunspecRow, place: tuple[Field | None, Spot | None], *, fitted: bool) -> Cell:
    """What does not change from poll to poll is made once."""
    entry = lookup(point.name)
    words = {bit: fault.id for bit, fault in row.fault_bits.items()} or row.codes
    digits = 10**point.decimals
    bounds = None if entry is None or entry.range is None else (round(entry.range[0] * digits), round(entry.range[1] * digits))
    return Cell(point, row, *place, fitted, row.ratio * digits, bounds, row.is_power_factor, words)


def _apart(one: Fraction, other: Fraction) -> Fraction:
    """How many times the larger is the smaller; a power that is not there is far from every factor."""
    low, high = sorted((one, other))
    return high / low if low else Fraction(10**6)


def _bytes(parts: Sequence[Part], datas: Sequence[bytes]) -> bytes:
    return b"".join(datas[part.answer][part.first : part.end] for part in parts)


def _raw(field: Field, spot: Spot, datas: Sequence[bytes]) -> Raw:
    """Raises _NoneThereError for "not implemented", _BadError for what no such field can hold."""
    data = _bytes(spot.value, datas)
    raw: Raw = data if field.type == "string" else struct.unpack(f">{field.kind.code}", data)[0]
    if field.is_none(raw):
        raise _NoneThereError
    if isinstance(raw, float) and isinf(raw):
        raise _BadError
    if field.type.startswith("bitfield") and isinstance(raw, int) and raw >> (16 * field.registers - 1):
        raise _BadError  # With the highest bit set the others mean nothing (SunSpec Information Model Specification, "bitfield").
    return raw


def _scaled(raw: float, spot: Spot, datas: Sequence[bytes]) -> tuple[Fraction, int]:
    """The number in the field's unit, and the power of ten of its scale factor."""
    powers = {int.from_bytes(_bytes((part,), datas), "big", signed=True) for part in spot.scale}
    if not powers:
        return Fraction(raw), 0
    if powers == {SCALE_NONE}:
        raise _NoneThereError
    (power, *others) = powers
    if others or abs(power) > SCALE_MAX:
        raise _BadError
    return Fraction(raw) * _POWERS[power], power


def _words(cell: Cell, raw: float) -> str:
    """Tokens of the set bits, or the word of a code."""
    assert isinstance(raw, int)
    if cell.row.faults:
        return " ".join(cell.words.get(bit, f"unknown_bit_{bit}") for bit in range(raw.bit_length()) if raw >> bit & 1)
    if raw not in cell.words:
        raise _BadError
    return cell.words[raw]


def _in_decimals(cell: Cell, number: Fraction) -> int:
    value = round(number * cell.ratio)
    if cell.bounds is not None and not cell.bounds[0] <= value <= cell.bounds[1]:
        raise _BadError
    return value
