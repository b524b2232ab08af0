"""What every profile has, whatever its protocol: who the product is, and what is read at one period.

A protocol adds its own keys to `[profile]` by a subclass of `Head`, and its own rows `[[point]]` by a subclass of `ProfileBase`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.model import Point, Stream
from edgegw.points import PointName, lookup, suggest

DeviceClass = Literal[
    "meter",
    "pile",
    "ups",
    "inverter",
    "battery",
    "wind",
    "transformer",
    "switchgear",
    "sensor",
    "input",
    "relay",
    "camera",
    "gateway",
]
DECIMALS_MAX = 9


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Strict: an unknown key is refused."""


class Head(Table, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"device_class": "class"}):
    """`[profile]`: the product, and what its line must respect."""

    name: str
    maker: str
    title: str
    title_zh: str
    device_class: DeviceClass
    protocol: str
    source: str
    """Document and page, or the public driver, from which the map is taken."""
    unproven: bool = False
    """No captured exchange stands behind it yet."""
    gap_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    connect_delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    baudrate: int = 9600
    """How the product leaves its maker."""
    parity: Literal["N", "E", "O"] = "N"


class Group(Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[group.NAME]`: what is read at one period."""

    period_s: Annotated[float, Meta(gt=0, le=86_400)]
    stream: Literal["telemetry", "energy"] = "telemetry"
    urgent: bool = False

    @property
    def lane(self) -> Stream:
        return Stream.ENERGY if self.stream == "energy" else Stream.TELEMETRY


class Row(Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[point]]`: one quantity of the dictionary and the group that it is read with; where it lies is the protocol's own."""

    point: str
    group: str


class ProfileBase(Table, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """One file; equal only to itself, so that what was made of it can be kept under it."""

    addressing: ClassVar[Literal["unit", "address", "none"]] = "unit"
    """What of a device's configuration finds it on its bus."""
    bus_kinds: ClassVar[frozenset[str]] = frozenset({"serial", "tcp", "rtu-over-tcp"})
    """Kinds of line that its protocol goes over."""
    shares_unit: ClassVar[bool] = False
    """Devices of different profiles may be the same unit of a bus: an inverter and the meter that it publishes."""

    profile: Head
    group: dict[str, Group]
    point: Sequence[Row]

    def row_point(self, row: Row) -> Point:
        """The point as sources carry it: the dictionary's unit and kind, with decimals enough for every digit of the device."""
        raise NotImplementedError  # Each protocol knows how many digits its devices send.


def check_rows(rows: Iterable[Row], groups: Iterable[str], file: str) -> None:
    """Names are the dictionary's, groups exist, nothing stands there twice, something stands there. Raises EdgegwError."""
    known, seen = set(groups), set[str]()
    for row in rows:
        if lookup(row.point) is None:
            near = suggest(row.point)
            hint = f'did you mean "{near}"?' if near else "docs/points.md lists the names"
            raise refuse("E-PROFILE-POINT", file, f'point "{row.point}" is not in the dictionary', hint)
        if row.group not in known:
            raise refuse("E-PROFILE-VALUE", file, f'point "{row.point}": group "{row.group}" does not exist', "docs/profiles.md says what each key may hold")
        if row.point in seen:
            raise refuse("E-PROFILE-POINT", file, f'point "{row.point}" stands there twice', "remove one of them")
        seen.add(row.point)
    if not seen:
        raise refuse("E-PROFILE-POINT", file, "the profile has no point", "add a [[point]]")


def entry_of(row: Row) -> PointName:
    """The dictionary's entry of a checked row."""
    entry = lookup(row.point)
    assert entry is not None, row.point
    return entry


def refuse(message_id: str, file: str, text: str, next_step: str) -> EdgegwError:
    return EdgegwError(message_id, f"{file}: {text}", next_step, EXIT_USAGE)
