"""The SunSpec information models that are read (`sunspec_models.toml`), and the types that their fields have.

A model is a run of registers that says itself what it is and how long:

    0       id              101, 203, ...; FFFFH ends the chain
    1       length L        of what follows; the next model begins at register 2 + L
    2..     fields          high byte and high word first
            (160)           8 registers of head, then modules of 20, as many as L has room for

Each type has a value that means "not implemented" (SunSpec Information Model Specification, "Data types"): what a device has not, it
says by it. An accumulator says 0: what never counted is not there; some products set all its bits instead, as of the other types.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec

COMMON = 1
END = 0xFFFF
HEADER = 2
"""Registers of id and length."""
SCALE_TYPE = "sunssf"
# SunSpec Information Model Specification, "sunssf": a power of ten from -10 to 10; 8000H: not implemented.
SCALE_MAX = 10
SCALE_NONE = -0x8000

Raw = int | float | bytes


class Kind(NamedTuple):
    """One type of field."""

    code: str
    """For `struct`, high byte first; empty for text."""
    registers: int
    """0 for text: its length stands behind its name."""
    none: int | None
    """What says "not implemented"; None for floats (any NaN) and text (no character)."""


KINDS: Mapping[str, Kind] = {
    "int16": Kind("h", 1, -0x8000),
    "uint16": Kind("H", 1, 0xFFFF),
    "count": Kind("H", 1, 0xFFFF),
    "acc16": Kind("H", 1, 0),
    "enum16": Kind("H", 1, 0xFFFF),
    "bitfield16": Kind("H", 1, 0xFFFF),
    "pad": Kind("H", 1, 0x8000),
    "int32": Kind("i", 2, -0x8000_0000),
    "uint32": Kind("I", 2, 0xFFFF_FFFF),
    "acc32": Kind("I", 2, 0),
    "enum32": Kind("I", 2, 0xFFFF_FFFF),
    "bitfield32": Kind("I", 2, 0xFFFF_FFFF),
    "ipaddr": Kind("I", 2, 0),
    "int64": Kind("q", 4, -(1 << 63)),
    "uint64": Kind("Q", 4, (1 << 64) - 1),
    "acc64": Kind("Q", 4, 0),
    "bitfield64": Kind("Q", 4, (1 << 64) - 1),
    "float32": Kind("f", 2, None),
    "float64": Kind("d", 4, None),
    SCALE_TYPE: Kind("h", 1, SCALE_NONE),
    "string": Kind("", 0, None),
}


class Field(msgspec.Struct, frozen=True):
    """One field of a model or of a module of it; `at` counts registers from the model's id word, in a module from its first register."""

    name: str
    at: int
    type: str
    registers: int
    scale: str
    """Name of the scale factor's field in the same model; empty: none."""
    unit: str
    """As the model's definition has it: V, A, W, var, VA, Wh, Hz, C, %, ...; empty where there is none."""

    @property
    def kind(self) -> Kind:
        return KINDS[self.type]

    @property
    def end(self) -> int:
        """The register behind it."""
        return self.at + self.registers

    def is_none(self, raw: Raw) -> bool:
        """Whether the device says by this that it has no such value."""
        if isinstance(raw, bytes):
            return not text_of(raw) or not raw.strip(b"\xff")
        if isinstance(raw, float):
            return math.isnan(raw)
        return raw == self.kind.none or (self.type.startswith("acc") and raw == (1 << 16 * self.registers) - 1)


class Model(NamedTuple):
    """One layout, which several ids may share."""

    ids: tuple[int, ...]
    length: int
    """Nominal; a device's own length counts."""
    fields: Mapping[str, Field]
    modules: Mapping[str, Field]
    module_at: int
    module_size: int

    def find(self, name: str, module: int = 0) -> Field | None:
        """The field of this name; with `module` from 1 on, that module's, at its place in the model."""
        if not module:
            return self.fields.get(name)
        field = self.modules.get(name)
        return None if field is None else msgspec.structs.replace(field, at=self.module_at + (module - 1) * self.module_size + field.at)


def find_model(model_id: int) -> Model | None:
    """The layout of a model, None where it is not one that is read."""
    return _models().get(model_id)


def text_of(raw: bytes) -> str:
    """Up to the first NUL, without blanks around; what is no UTF-8 is replaced. Two characters a register."""
    return raw.partition(b"\0")[0].decode("utf-8", "replace").strip()


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ids: tuple[int, ...]
    length: int
    fields: dict[str, tuple[int, str, str, str]]
    modules: dict[str, tuple[int, str, str, str]] = {}
    module_at: int = 0
    module_size: int = 0


@cache
def _models() -> Mapping[int, Model]:
    text = files("edgegw.drivers").joinpath("sunspec_models.toml").read_text(encoding="utf-8")
    tables = msgspec.convert(tomllib.loads(text), dict[str, _Table])
    found: dict[int, Model] = {}
    for table in tables.values():
        model = Model(table.ids, table.length, _fields(table.fields), _fields(table.modules), table.module_at, table.module_size)
        found |= dict.fromkeys(table.ids, model)
    return found


def _fields(rows: Mapping[str, tuple[int, str, str, str]]) -> Mapping[str, Field]:
    return {name: _field(name, *row) for name, row in rows.items()}


def _field(name: str, at: int, written: str, scale: str, unit: str) -> Field:
    if written.startswith("string"):
        return Field(name, at, "string", int(written.removeprefix("string")), scale, unit)
    return Field(name, at, written, KINDS[written].registers, scale, unit)
