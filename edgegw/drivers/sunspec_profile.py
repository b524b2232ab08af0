"""Profiles of SunSpec devices: which field of which model is which point. Where it stands, the device says itself.

    [profile]   protocol = "sunspec", models = [101, 102, 103, 111, 112, 113], instance = 1
    [[point]]   point = "active_power", group = "electrical", models = [101, 102, 103, 111, 112, 113], field = "W"

The unit of a field is known from its model; it is converted to the dictionary's. Of the models that a row names the device's first instance
that has most of the wanted fields is read, never two. `modules = 12` makes twelve rows of one, with `{n}` for the number of the module.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from importlib.resources import files
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from edgegw.drivers.profile import REGISTERS_MAX, FaultBit
from edgegw.drivers.profile_base import DECIMALS_MAX, Group, Head, ProfileBase, Row, check_rows, entry_of, refuse
from edgegw.drivers.sunspec_models import Field, find_model
from edgegw.drivers.sunspec_walk import BASES
from edgegw.model import Point

MODULES_MAX = 99
# How many decimals keep every digit that such devices send, whatever scale factor they turn to: the finest seen are 0.01 W and Wh, 1 mV and 1 mA.
_DECIMALS = {"kW": 5, "kVA": 5, "kvar": 5, "kWh": 5, "kVAh": 5, "kvarh": 5, "V": 3, "A": 4, "Hz": 3, "C": 2, "kOhm": 3}
_POWER_FACTOR_DECIMALS = 5
_KILO = {"W": "kW", "VA": "kVA", "var": "kvar", "Wh": "kWh", "VAh": "kVAh", "varh": "kvarh", "Ohm": "kOhm"}


class SunspecHead(Head, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[profile]` of a SunSpec product."""

    models: Annotated[tuple[int, ...], Meta(min_length=1)]
    """The models that make such a thing: what is counted along the chain. Other models are taken from the same logical device."""
    instance: Annotated[int, Meta(ge=1, le=32)] = 1
    """Which of the things in the device's chain it is: 2 for the second meter."""
    max_registers: Annotated[int, Meta(ge=4, le=REGISTERS_MAX)] = REGISTERS_MAX
    """Longest read; a device that refuses it is asked for less all the same."""
    bases: Annotated[tuple[Annotated[int, Meta(ge=0, le=65533)], ...], Meta(min_length=1, max_length=8)] = BASES
    """Where the marker may stand, in this order."""
    invert: bool = False
    """Active power has the other sign: the product counts what it gives as positive, the dictionary what it takes."""
    points_of: str = ""
    """Groups and points are those of this profile."""
    note: str = ""
    """What whoever installs the product must know."""


class SunspecRow(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[point]]`: one field of the models of one thing."""

    models: Annotated[tuple[int, ...], Meta(min_length=1)]
    """Models that hold it; of a thing that is published twice (integers and floats), one is read, and of equals the first of these."""
    field: str
    """Its name in the models (SunSpec information models)."""
    index: Annotated[int, Meta(ge=0, le=MODULES_MAX)] = 0
    """Number of the module, from 1 on, of a model that has modules."""
    scale: str | int | float = 1
    """Beside the conversion of units; -1 where the product has the other sign."""
    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)] | None = None
    map: dict[str, str] = {}
    """Code (decimal or 0x...) to a word, for a point of kind text; a code that is not there has no word, and so no value."""
    faults: dict[str, FaultBit] = {}
    """Bit, 0 the lowest, to what it means when it is set: the point is the tokens of the set bits, a blank between them."""

    @property
    def fault_bits(self) -> dict[int, FaultBit]:
        return {int(bit, 0): fault for bit, fault in self.faults.items()}

    @property
    def codes(self) -> dict[int, str]:
        return {int(raw, 0): word for raw, word in self.map.items()}

    @property
    def ratio(self) -> Fraction:
        """From the field's unit to the dictionary's. A power factor's percent is settled when it is read."""
        kilo = _KILO.get(self.first_field.unit) == entry_of(self).unit
        return Fraction(str(self.scale)) / (1000 if kilo else 1)

    @property
    def is_power_factor(self) -> bool:
        """In percent by the models, while many products send the cosine itself."""
        return self.first_field.unit == "%" and entry_of(self).unit == "1"

    @property
    def first_field(self) -> Field:
        """In the first model that the row names."""
        field = find_field(self, self.models[0])
        assert field is not None, self.field
        return field


class SunspecProfile(ProfileBase, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """One file of a SunSpec product; equal only to itself."""

    shares_unit: ClassVar[bool] = True

    profile: SunspecHead
    group: dict[str, Group]
    point: Sequence[SunspecRow]

    def row_point(self, row: Row) -> Point:
        assert isinstance(row, SunspecRow)
        entry = entry_of(row)
        decimals = row.decimals
        if decimals is None:
            finest = _POWER_FACTOR_DECIMALS if row.is_power_factor else _DECIMALS.get(entry.unit, 0) if entry.kind in ("measure", "counter") else 0
            decimals = max(entry.decimals, finest)
        return Point(row.point, decimals, entry.unit, entry.kind)


def find_field(row: SunspecRow, model_id: int) -> Field | None:
    """Where a row's field stands in a model."""
    model = find_model(model_id)
    return None if model is None else model.find(row.field, row.index)


def from_table(table: Mapping[str, object], file: str) -> SunspecProfile:
    """The tables of a file to the checked profile. Raises EdgegwError, and msgspec.ValidationError for what does not fit the keys."""
    tables = dict(table)
    head = msgspec.convert(tables.get("profile"), SunspecHead)
    if head.points_of:
        tables = {**_tables_of(head.points_of, file), **tables}
    tables["point"] = list(_rows(tables.get("point"), file))
    profile = msgspec.convert(tables, SunspecProfile)
    if head.invert:
        profile = msgspec.structs.replace(profile, point=[_inverted(row) for row in profile.point])
    check_rows(profile.point, profile.group, file)
    for row in profile.point:
        mistake = _mistake(row)
        if mistake:
            raise refuse("E-PROFILE-VALUE", file, f'point "{row.point}": {mistake}', "docs/profiles.md says what each key may hold")
    return profile


def _tables_of(name: str, file: str) -> dict[str, object]:
    """Groups and points of another profile of edgegw's own."""
    other = files("edgegw.drivers").joinpath("profiles", f"{name}.toml")
    if "/" in name or not other.is_file():
        raise refuse("E-PROFILE-VALUE", file, f'points_of: there is no profile "{name}"', "edgegw profiles list")
    tables = tomllib.loads(other.read_text(encoding="utf-8"))
    return {"group": tables.get("group"), "point": tables.get("point")}


def _rows(rows: object, file: str) -> Iterator[object]:
    """`modules = n` to n rows."""
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or "modules" not in row:
            yield row
            continue
        count, point = row["modules"], row.get("point")
        if not isinstance(count, int) or not 1 <= count <= MODULES_MAX or not isinstance(point, str) or "{n}" not in point:
            raise refuse("E-PROFILE-VALUE", file, f'point "{point}": modules needs {{n}} in the name and 1 to {MODULES_MAX}', "docs/profiles.md names the keys")
        rest = {key: value for key, value in row.items() if key != "modules"}
        for number in range(1, count + 1):
            yield {**rest, "point": point.replace("{n}", str(number)), "index": number}


def _inverted(row: SunspecRow) -> SunspecRow:
    is_power = row.point.startswith("active_power")
    return msgspec.structs.replace(row, scale=f"-{row.scale}".replace("--", "")) if is_power else row


def _mistake(row: SunspecRow) -> str:
    """What is wrong with a row whose types are right; empty when nothing is."""
    found = [find_field(row, model) for model in row.models]
    missing = next((model for model, field in zip(row.models, found, strict=True) if field is None), None)
    if missing is not None:
        place = f"module {row.index} of model {missing}" if row.index else f"model {missing}"
        return f'{place} has no field "{row.field}"'
    try:
        ratio = Fraction(str(row.scale))
        words = bool(row.fault_bits) + bool(row.codes)
    except (ValueError, ZeroDivisionError):
        return "scale, a code of map or a bit of faults is not a number"
    entry = entry_of(row)
    units = {field.unit for field in found if field is not None}
    text = any(field is not None and field.type == "string" for field in found)
    findings = (
        (ratio == 0, "scale is 0"),
        (len({unit or "1" for unit in units} - {"%", "1"}) > 1, "its models have it in different units"),
        (not all(_fits(unit, entry.unit) for unit in units), f"{', '.join(sorted(units)) or 'a plain number'} does not become {entry.unit}"),
        (words != (entry.kind == "text" and not text), "a point of kind text needs a string, a map or faults, and no other point has them"),
        (ratio != 1 and entry.kind not in ("measure", "counter"), "scale has no meaning for it"),
        (text and entry.kind != "text", "a string needs a point of kind text"),
    )
    return next((what for wrong, what in findings if wrong), "")


def _fits(unit: str, wanted: str) -> bool:
    return unit == wanted or _KILO.get(unit) == wanted or (unit in ("", "%", "1", "Ah") and wanted == "1") or (unit == "" and wanted == "s")
