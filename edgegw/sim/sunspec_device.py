"""A simulated SunSpec device: a chain of models whose registers follow the station, or the registers of an image file. Pure.

    40000   "SunS", model 1 (66 registers), the model of the thing (103 or 203), then those of 120, 121, 122, 124 and 160 that the profile reads, FFFFH

Written apart from the gateway's decoder: a value is rounded to its register with the scale factor of its unit, and what it says is computed
from the register. What nothing in the station drives is "not implemented". An image file (TOML: base, functions, registers as hex words) is
served as it stands; only what is forced is written into it.
"""

from __future__ import annotations

import struct
import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from edgegw.drivers.sunspec_models import COMMON, END, Field, find_model
from edgegw.drivers.sunspec_profile import SunspecProfile, SunspecRow
from edgegw.sim import frames
from edgegw.sim.frames import Request
from edgegw.sim.tongue import MODBUS, NO_VALUE, Physical, Said, Tongue

BASE = 40000
_MARKER = (0x5375, 0x6E53)
# Modbus application protocol, section 7: the device is busy, ask again later.
_BUSY = 6
_MODULES = 2
# One register step in the unit, as power of ten: 10 W, 0.1 V, 10 mA. 16 bits hold 327 kW so.
_POWERS = {"A": -2, "V": -1, "W": 1, "VA": 1, "var": 1, "Hz": -2, "C": -1, "%": -1, "Wh": 0, "VAh": 0, "varh": 0, "Ohm": 3}
_LIMITS = {
    "int16": (-32767, 32767),
    "uint16": (0, 65534),
    "acc32": (0, 2**32 - 1),
    "enum16": (0, 65534),
    "bitfield16": (0, 0x7FFF),
    "bitfield32": (0, 0x7FFF_FFFF),
}
_RUNNING, _SLEEPING = 4.0, 2.0
_STRING_V = 620.0


class _Cell(NamedTuple):
    """Where a point lies, absolutely."""

    row: SunspecRow
    field: Field
    at: int
    scale_at: int | None
    decimals: int


class SunspecBody:
    """Of one profile; immutable. `registers` and `base` are those of an image file where there is one."""

    tongue: Tongue = MODBUS

    def __init__(self, profile: SunspecProfile, registers: Sequence[int] = (), base: int = BASE) -> None:
        self.functions = (3,)
        self.decimals: Mapping[str, int] = {row.point: profile.row_point(row).decimals for row in profile.point}
        self.points = tuple(self.decimals)
        self._base, self._is_image = base, bool(registers)
        self._registers, places = (list(registers), _walk(registers)) if registers else _chain(profile)
        self._cells = [cell for row in profile.point if (cell := self._cell(row, places)) is not None]
        self._missing = {row.point: places[model] for row in profile.point for model in row.models if model in places} if places else {}
        for cell in self._cells:
            self._missing.pop(cell.row.point, None)

    def width(self, point: str) -> float | None:
        cell = next((cell for cell in self._cells if cell.row.point == point and cell.field.type.startswith("acc")), None)
        return None if cell is None else float((1 << 16 * cell.field.registers) * _worth(cell, _POWERS.get(cell.field.unit, 0)))

    def check(self, point: str, value: Physical) -> None:
        """Raises ValueError when this value cannot be sent."""
        cell = next((cell for cell in self._cells if cell.row.point == point), None)
        if cell is None:
            raise ValueError(f"it has no {point}")
        _raw(cell, value)

    def answer(self, request: Request, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> Said:
        first = request.address - self._base
        if request.function not in self.functions:
            return _refusal(request, frames.ILLEGAL_FUNCTION)
        if not 1 <= request.count <= frames.REGISTERS_MAX:
            return _refusal(request, frames.ILLEGAL_VALUE)
        end = first + request.count
        if first < 0 or end > len(self._registers):
            return _refusal(request, frames.ILLEGAL_ADDRESS)
        registers = list(self._registers)
        for cell in self._cells:
            value = forced.get(cell.row.point, None if self._is_image else _measured(cell.row.point, values))
            if value is not None:
                _put(registers, cell, _raw(cell, value))
        said: dict[str, int | str | None] = {point: None for point, at in self._missing.items() if first <= at and at + 2 < end}
        for cell in self._cells:
            if first <= cell.at and cell.at + cell.field.registers <= end and (cell.scale_at is None or first <= cell.scale_at < end):
                said[cell.row.point] = _said(cell, registers)
        return Said(frames.registers_pdu(request.function, registers[first:end]), said)

    def refuse(self, request: Request, code: int | None = None) -> Said:
        return _refusal(request, code or _BUSY)

    def _cell(self, row: SunspecRow, places: Mapping[int, int]) -> _Cell | None:
        model_id = next((model for model in row.models if model in places), None)
        model = None if model_id is None else find_model(model_id)
        if model is None or model_id is None:
            return None
        start, field = places[model_id], model.find(row.field, row.index)
        if field is None or field.end > self._registers[start + 1] + 2:
            return None
        scale = model.fields.get(field.scale)
        return _Cell(row, field, start + field.at, None if scale is None else start + scale.at, self.decimals[row.point])


def load_image(path: Path, profile: SunspecProfile) -> SunspecBody:
    """The device of an image file, as the profile names its points. Raises OSError, ValueError or KeyError for what is no image."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return SunspecBody(profile, [int(word, 16) for word in table["registers"].split()], table["base"])


def _refusal(request: Request, code: int) -> Said:
    return Said(frames.exception_pdu(request.function, code), {}, code)


# -- the chain


def _chain(profile: SunspecProfile) -> tuple[list[int], dict[int, int]]:
    """Registers with nothing but scale factors in them, and where each model begins."""
    thing = next((model for model in profile.profile.models if model % 10 == 3), profile.profile.models[0])
    others = {row.models[0] for row in profile.point} - set(profile.profile.models) - {COMMON}
    registers, places = list(_MARKER), dict[int, int]()
    for model_id in (COMMON, thing, *sorted(others)):
        places[model_id] = len(registers)
        registers += _model(model_id)
    return [*registers, END, 0], places


def _model(model_id: int) -> list[int]:
    model = find_model(model_id)
    if model is None:
        raise ValueError(f"no model {model_id}")
    modules = _MODULES if model.module_size else 0
    registers = [0x8000] * (model.length + 2 + modules * model.module_size)
    registers[:2] = model_id, len(registers) - 2
    fields = [*model.fields.values(), *(found for number in range(1, modules + 1) for name in model.modules if (found := model.find(name, number)))]
    for field in fields:
        _write(registers, field.at, field.registers, _none(field))
    for field in fields:
        if field.scale and field.scale in model.fields:
            registers[model.fields[field.scale].at] = _POWERS.get(field.unit, 0) & 0xFFFF
    if "N" in model.fields:
        registers[model.fields["N"].at] = modules
    return registers


def _none(field: Field) -> int:
    """What says that there is no value, as the table of types has it."""
    if field.type == "string" or field.type.startswith("acc"):
        return 0
    if field.type.startswith("float"):
        return 0x7FC0_0000
    return 0x8000 if field.type in ("int16", "sunssf") else (1 << 16 * field.registers) - 1


def _walk(registers: Sequence[int]) -> dict[int, int]:
    """Where the first model of each id begins."""
    places: dict[int, int] = {}
    at = len(_MARKER)
    while at + 1 < len(registers) and registers[at] not in (0, END):
        places.setdefault(registers[at], at)
        at += 2 + registers[at + 1]
    return places


# -- values


def _measured(point: str, values: Mapping[str, Physical]) -> Physical | None:
    """What the station says; what a SunSpec inverter derives from it."""
    power = values.get("active_power", 0.0)
    dc_kw = values.get("dc_power", 0.0)
    if isinstance(power, str) or isinstance(dc_kw, str):
        return None
    runs, shares = power > 0, {"mppt.1": dc_kw * 0.6, "mppt.2": dc_kw * 0.4}
    head, _, tail = point.rpartition(".")
    if head in shares and tail in ("power", "voltage", "current"):
        return {"power": shares[head], "voltage": _STRING_V * runs, "current": shares[head] * 1000 / _STRING_V}[tail]
    derived: dict[str, Physical | None] = {
        "state": _RUNNING if runs else _SLEEPING,
        "state.text": None,
        "fault_code": 0.0,
        "faults": None,
        "dc_voltage": _STRING_V * runs,
        "dc_current": dc_kw * 1000 / _STRING_V,
        "current": sum(float(values.get(f"current.{phase}", 0.0)) for phase in "abc"),
        "model": "SIM-103",
        "firmware": "1.0",
    }
    return derived[point] if point in derived else values.get(point)


def _raw(cell: _Cell, value: Physical) -> int:
    """The register's number, two's complement. Raises ValueError when this value cannot be sent."""
    field, row = cell.field, cell.row
    if field.type == "string":
        return int.from_bytes(str(value).encode("ascii", "replace")[: 2 * field.registers].ljust(2 * field.registers, b"\0"), "big")
    if row.map:
        return next(code for code, word in row.codes.items() if word == value) if value in row.map.values() else _no_number(row)
    if row.faults:
        return sum(1 << bit for bit, fault in row.fault_bits.items() if fault.id in str(value).split())
    if isinstance(value, str):
        return _none(field) if value == NO_VALUE else _no_number(row)
    if field.type.startswith("float"):
        return int.from_bytes(struct.pack(">f", value / float(_worth(cell, 0))), "big")
    low, high = _LIMITS.get(field.type, (0, (1 << 16 * field.registers) - 2))
    return min(max(round(value / float(_worth(cell, _POWERS.get(field.unit, 0) if field.scale else 0))), low), high) & (1 << 16 * field.registers) - 1


def _no_number(row: SunspecRow) -> int:
    raise ValueError(f"{row.point} has no such value")


def _worth(cell: _Cell, power: int) -> Fraction:
    """What one step of the register is in the point's unit."""
    unit = cell.field.unit
    worth = Fraction(10) ** power * Fraction(str(cell.row.scale))
    if cell.row.is_power_factor:
        return worth / 100
    return worth / 1000 if cell.row.ratio != Fraction(str(cell.row.scale)) and unit else worth


def _put(registers: list[int], cell: _Cell, raw: int) -> None:
    _write(registers, cell.at, cell.field.registers, raw)
    if cell.scale_at is not None:
        registers[cell.scale_at] = _POWERS.get(cell.field.unit, 0) & 0xFFFF


def _write(registers: list[int], at: int, count: int, raw: int) -> None:
    for offset in range(count):
        registers[at + offset] = raw >> 16 * (count - 1 - offset) & 0xFFFF


def _said(cell: _Cell, registers: Sequence[int]) -> int | str | None:
    """What stands there, in 10**-decimals units or as text."""
    field, row = cell.field, cell.row
    raw = 0
    for register in registers[cell.at : cell.at + field.registers]:
        raw = raw << 16 | register
    if raw == _none(field):
        return None
    if field.type == "string":
        return raw.to_bytes(2 * field.registers, "big").partition(b"\0")[0].decode("ascii", "replace").strip() or None
    if row.map:
        return row.codes.get(raw)
    if row.faults:
        return " ".join(row.fault_bits[bit].id if bit in row.fault_bits else f"unknown_bit_{bit}" for bit in range(raw.bit_length()) if raw >> bit & 1)
    digits = Fraction(10) ** cell.decimals
    if field.type.startswith("float"):
        real: float = struct.unpack(">f", raw.to_bytes(4, "big"))[0]
        return round(Fraction(real) * _worth(cell, 0) * digits)
    power = 0 if cell.scale_at is None else int.from_bytes(registers[cell.scale_at].to_bytes(2, "big"), "big", signed=True)
    number = raw - (1 << 16 * field.registers) if field.type.startswith("int") and raw >> (16 * field.registers - 1) else raw
    return round(number * _worth(cell, power) * digits)
