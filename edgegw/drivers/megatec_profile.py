"""Profiles of UPS that speak a dialect of Megatec: which command holds which point.

[profile]
protocol = "megatec"
dialect = "voltronic"
introduce = ["QMD", "QID", "QVFW"]     asked when the line was opened: who it is, and its ratings
[[point]]
point = "ups.load"                     name in the dictionary
group = "status"
command = "QGS"                        whose answer holds it
field = "ups.load"                     NUT name in that answer; left out: the point's own name
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from edgegw.drivers.megatec_codec import request
from edgegw.drivers.megatec_dialects import canonical
from edgegw.drivers.megatec_examples import field_names
from edgegw.drivers.megatec_fields import Mismatch
from edgegw.drivers.permit import may_leave
from edgegw.drivers.profile_base import DECIMALS_MAX, Head, ProfileBase, Row, check_rows, entry_of, refuse
from edgegw.model import Point

# Of a driver's own making, from what the answer says and the rating: see megatec_driver.
DERIVED = frozenset({"battery.voltage.string", "battery.voltage.cell", "battery.charge.estimated"})
# Questions of an introduction: they cost a slow line a tenth of a second each.
INTRODUCE_MOST = 8


class MegatecHead(Head, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[profile]` of a UPS."""

    dialect: Literal["megatec", "voltronic", "voltronic-qs", "voltronic-qs-hex", "voltronic-axpert", "q2", "q6", "omron", "bestups", "innovatae"]
    introduce: Annotated[list[str], Meta(max_length=INTRODUCE_MOST)] = []
    """Queries for identity and ratings. Leave out what the product does not answer at all: some lock up at F or I."""
    ignore_status_bits: list[Annotated[int, Meta(ge=0, le=7)]] = []
    """Bits of the Q1 status word that this product sets without meaning (7 to 0)."""
    battery_nominal_v: str | int | float = 0
    """Rated battery voltage where the product does not tell it; 0: it does, or it is not known."""
    baudrate: int = 2400

    @property
    def nominal_v(self) -> Decimal | None:
        value = Decimal(str(self.battery_nominal_v))
        return value if value > 0 else None


class CommandRow(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[point]]`: the answer that holds the quantity, and its name there."""

    command: str
    field: str = ""
    decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)] | None = None
    """As many as the device sends; left out: the dictionary's."""

    @property
    def source_field(self) -> str:
        return self.field or self.point


class MegatecProfile(ProfileBase, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """One file."""

    addressing: ClassVar[Literal["unit", "address", "none"]] = "none"
    bus_kinds: ClassVar[frozenset[str]] = frozenset({"serial", "rtu-over-tcp"})

    profile: MegatecHead
    point: Sequence[CommandRow]

    def row_point(self, row: Row) -> Point:
        assert isinstance(row, CommandRow)
        entry = entry_of(row)
        return Point(row.point, entry.decimals if row.decimals is None else row.decimals, entry.unit, entry.kind)


def from_table(table: Mapping[str, object], file: str) -> MegatecProfile:
    """A UPS profile's tables, as TOML gives them, to the checked profile; `file` names it in errors. Raises EdgegwError, msgspec.ValidationError."""
    profile = msgspec.convert(table, MegatecProfile)
    head = profile.profile
    check_rows(profile.point, profile.group, file)
    try:
        Decimal(str(head.battery_nominal_v))
    except InvalidOperation as fault:
        raise refuse("E-PROFILE-VALUE", file, f'battery_nominal_v "{head.battery_nominal_v}" is not a number', "write volts, as 24") from fault
    for command in head.introduce:
        _fields_of(head.dialect, command, file, "introduce")
    for row in profile.point:
        known = _fields_of(head.dialect, row.command, file, f'point "{row.point}"') | DERIVED
        if row.source_field not in known:
            text = f'point "{row.point}": the answer to {canonical(row.command)} has no field "{row.source_field}"'
            raise refuse("E-PROFILE-VALUE", file, text, f"it has {', '.join(sorted(known))}")
    return profile


def _fields_of(dialect: str, command: str, file: str, place: str) -> frozenset[str]:
    try:
        if not may_leave("megatec", request(dialect, command)):
            text = f'{place}: "{canonical(command)}" is not on the list of queries that may leave'
            raise refuse("E-PROFILE-VALUE", file, text, "docs/profiles.md names the queries")
        return field_names(dialect, command)
    except Mismatch as fault:
        raise refuse("E-PROFILE-VALUE", file, f"{place}: {fault.text}", "docs/profiles.md names the queries") from fault
