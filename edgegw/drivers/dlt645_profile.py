"""Profiles of DL/T 645 meters: which identifiers are read, and which value of each is which point.

`[profile]` has protocol = "dlt645" and year, the edition that the meter speaks. A `[[point]]` has point, group, di and, of a block, item: the place
of the value in it. Where a meter differs from the standard it says so: format = "NN.NN kW", scale = "1000" (a meter of large ratings that sends
MW where the standard has kW). bit = 4 is one bit of a status word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from edgegw.drivers.dlt645_format import Format, parse_formats
from edgegw.drivers.dlt645_items import Known, find
from edgegw.drivers.profile_base import DECIMALS_MAX, Group, Head, ProfileBase, Row, check_rows, entry_of, refuse
from edgegw.model import Point

# A reply holds at most 196 bytes of value; follow-up frames bring more, but nobody polls that.
ITEM_MAX = 63
# The dictionary's word for what the standard writes without a unit.
_NO_UNIT = ("", "bits")


class DltHead(Head, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[profile]` of a DL/T 645 meter."""

    year: Literal[1997, 2007] = 2007
    """Edition of the standard."""
    note: str = ""
    """What whoever installs the product must know."""


class ItemRow(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[point]]`: one value of one identifier."""

    di: Annotated[str, Meta(pattern="^([0-9A-F]{8}|[0-9A-F]{4})$")]
    """Data identifier, most significant byte first."""
    item: Annotated[int, Meta(ge=0, le=ITEM_MAX)] = 0
    """Place of the value in a block, from 0."""
    format: Annotated[str, Meta(pattern=r"^(\+-)?N+(\.N+)?( \S+)?$")] = ""
    """Digits and unit where the meter differs from the standard: `NN.NN kW`, with +- in front where the top bit is the sign."""
    scale: str | int | float = 1
    """The value times this is in the dictionary's unit; text is taken exactly."""
    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)] | None = None
    bit: Annotated[int, Meta(ge=0, le=15)] | None = None
    """Of a status word: the point is this bit."""

    @property
    def ratio(self) -> Fraction:
        return Fraction(str(self.scale))


class DltProfile(ProfileBase, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """One file."""

    addressing: ClassVar[Literal["unit", "address", "none"]] = "address"
    bus_kinds: ClassVar[frozenset[str]] = frozenset({"serial", "rtu-over-tcp"})

    profile: DltHead
    group: dict[str, Group]
    point: Sequence[ItemRow]

    def known(self, row: ItemRow) -> Known:
        """What the row's identifier reads; a checked row has one."""
        found = find(row.di, self.profile.year)
        assert found is not None, row.di
        return found

    def row_format(self, row: ItemRow) -> Format:
        """How the value is written."""
        return parse_formats(row.format)[0] if row.format else self.known(row).items[row.item].form

    def row_point(self, row: Row) -> Point:
        assert isinstance(row, ItemRow)
        entry = entry_of(row)
        return Point(row.point, self._decimals(row, entry.decimals), entry.unit, entry.kind)

    def _decimals(self, row: ItemRow, decimals: int) -> int:
        """As the profile says, else the dictionary's, raised until the meter's last digit is kept."""
        form = self.row_format(row)
        if row.decimals is not None or form.kind != "number":
            return row.decimals or 0
        while decimals < DECIMALS_MAX and (row.ratio * Fraction(10) ** (decimals - form.decimals)).denominator != 1:
            decimals += 1
        return decimals


def from_table(table: Mapping[str, object], file: str) -> DltProfile:
    """A profile's tables, as TOML gives them, to the checked profile; `file` names it in errors. Raises EdgegwError, msgspec.ValidationError."""
    profile = msgspec.convert(table, DltProfile)
    check_rows(profile.point, profile.group, file)
    for row in profile.point:
        if mistake := _mistake(profile, row):
            raise refuse("E-PROFILE-VALUE", file, f'point "{row.point}": {mistake}', "docs/profiles.md says what each key may hold")
    return profile


def _mistake(profile: DltProfile, row: ItemRow) -> str:
    """What is wrong with a row whose types are right; empty when nothing is."""
    year = profile.profile.year
    known = find(row.di, year)
    if known is None:
        return f"DL/T 645-{year} has no identifier {row.di} that edgegw knows"
    if row.item >= len(known.items):
        return f"{row.di} has no item {row.item}"
    try:
        ratio = row.ratio
    except (ValueError, ZeroDivisionError):
        return "scale is not a number"
    form, entry = profile.row_format(row), entry_of(row)
    unit = "1" if form.unit in _NO_UNIT else form.unit
    text = form.kind not in ("number", "bits")
    findings = (
        (ratio == 0, "scale is 0"),
        (bool(row.format) and form.size != known.items[row.item].form.size, f"format has another number of bytes than {row.di}"),
        (text != (entry.kind == "text"), f"{row.di} is {'text' if text else 'a number'}, the point is {'not' if text else 'text'}"),
        (row.bit is not None and form.kind != "bits", "bit has a meaning for status words only"),
        (row.bit is not None and entry.kind != "flag", "bit needs a point of kind flag"),
        (ratio != 1 and form.kind != "number", "scale has a meaning for numbers only"),
        (not text and unit != entry.unit, f"{row.di} is in {unit}, the point in {entry.unit}"),
    )
    return next((what for wrong, what in findings if wrong), "")
