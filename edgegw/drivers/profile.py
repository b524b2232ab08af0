"""Profiles: how a product family is read, as data (`profiles/NAME.toml`).

A profile names its document, its groups (what is read at one period) and its points (where a quantity of the dictionary lies and
how its registers become a number). It is strict: an unknown key, an unknown point or an impossible value is refused with file and key.
Addresses are 0-based, as on the wire.
"""

from __future__ import annotations

import difflib
import tomllib
from fractions import Fraction
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.model import Point, Stream
from edgegw.points import PointName, lookup, suggest

# Modbus Application Protocol V1.1b3, 6.1-6.4: most registers and most bits in one request.
REGISTERS_MAX = 125
BITS_MAX = 2000
DECIMALS_MAX = 9

Address = Annotated[int, Meta(ge=0, le=65535)]
Range = tuple[Address, Address]
"""First and last address; both belong to it."""
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]

_REGISTERS = {"u16": 1, "i16": 1, "bit": 1, "bits": 1, "bcd16": 1, "u32": 2, "i32": 2, "f32": 2, "bcd32": 2, "u64": 4, "i64": 4, "f64": 4}
_INTEGERS = frozenset({"u16", "i16", "u32", "i32", "u64", "i64"})
# How the bytes of a value lie on the wire; A is the most significant.
_ORDERS = {
    1: frozenset({"AB", "BA"}),
    2: frozenset({"ABCD", "CDAB", "BADC", "DCBA"}),
    4: frozenset({"ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"}),
}
_WIDE_ORDER = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Head(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"device_class": "class"}):
    """`[profile]`: the product, and what its line and its requests must respect."""

    name: str
    maker: str
    title: str
    title_zh: str
    device_class: Literal["meter", "pile", "ups", "inverter", "sensor", "input", "relay"]
    protocol: Literal["modbus"]
    source: str
    """Document and page, or the public driver, from which the map is taken."""
    unproven: bool = False
    """No captured exchange stands behind it yet."""
    word_order: Order = "ABCD"
    max_registers: Annotated[int, Meta(ge=1, le=REGISTERS_MAX)] = REGISTERS_MAX
    max_gap: Annotated[int, Meta(ge=0, le=REGISTERS_MAX)] = 0
    """Registers of no interest that a block may read over; many devices refuse a block that touches an undefined one."""
    readable: list[Range] = []
    """Ranges that the device is known to read in one piece, holes and all."""
    forbidden: list[Range] = []
    """Ranges that no request may touch."""
    gap_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    connect_delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    baudrate: int = 9600
    """How the product leaves its maker."""
    parity: Literal["N", "E", "O"] = "N"


class Group(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[group.NAME]`: what is read at one period."""

    period_s: Annotated[float, Meta(gt=0, le=86_400)]
    stream: Literal["telemetry", "energy"] = "telemetry"
    urgent: bool = False

    @property
    def lane(self) -> Stream:
        return Stream.ENERGY if self.stream == "energy" else Stream.TELEMETRY


class PointRow(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[point]]`: where one quantity lies, and how its raw value becomes the dictionary's."""

    point: str
    group: str
    address: Address
    type: Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bit", "bits", "string"] = "u16"
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
    """Raw value (decimal or 0x...) to state or text."""
    invalid: list[int] = []
    """Raw values that mean "no value"."""
    exponent: Address | None = None
    """Register of the same block that holds n, signed: the value is raw x 10^n x scale."""

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


class Profile(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """One file; equal only to itself, so that what was made of it can be kept under it."""

    profile: Head
    group: dict[str, Group]
    point: list[PointRow]

    def row_point(self, row: PointRow) -> Point:
        """The point as sources carry it: the dictionary's unit and kind, with decimals enough for every digit of the device."""
        entry = _entry(row)
        return Point(row.point, _decimals(row, entry), entry.unit, entry.kind)

    def row_order(self, row: PointRow) -> str:
        """Order of the value's bytes on the wire, one letter a byte."""
        if row.order or row.type == "string":
            return row.order
        return {1: "AB", 2: self.profile.word_order, 4: _WIDE_ORDER[self.profile.word_order]}.get(row.count, "")


def available() -> list[str]:
    """Names of the profiles that are here."""
    return sorted(item.name.removesuffix(".toml") for item in _directory().iterdir() if item.name.endswith(".toml"))


@cache
def load_profile(name: str) -> Profile:
    """The profile of this name, or of this file when it ends in `.toml`. Raises EdgegwError: E-PROFILE-UNKNOWN, or what is wrong with the file."""
    if name.endswith(".toml"):
        return _load_file(Path(name))
    if name not in available():
        near = difflib.get_close_matches(name, available(), n=1)
        hint = f'did you mean "{near[0]}"?' if near else "edgegw profiles list"
        raise EdgegwError("E-PROFILE-UNKNOWN", f'unknown profile "{name}"', hint, EXIT_UNKNOWN)
    profile = parse_profile(_directory().joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
    if profile.profile.name != name:
        raise _refuse("E-PROFILE-KEY", f"{name}.toml", f'profile.name is "{profile.profile.name}"', f'write name = "{name}"')
    return profile


def _load_file(path: Path) -> Profile:
    """A station's own profile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "is not UTF-8"
        raise EdgegwError("E-PROFILE-UNKNOWN", f"profile {path}: {why}", "give the full path of a profile that the service can read", EXIT_UNKNOWN) from fault
    return parse_profile(text, str(path))


def parse_profile(text: str, file: str) -> Profile:
    """A profile's text to the checked profile; `file` names it in errors."""
    try:
        profile = msgspec.convert(tomllib.loads(text), Profile)
    except tomllib.TOMLDecodeError as fault:
        raise _refuse("E-PROFILE-TOML", file, str(fault), "correct the file") from fault
    except msgspec.ValidationError as fault:
        raise _refuse("E-PROFILE-KEY", file, str(fault), "docs/profiles.md names the keys") from fault
    for first, last in (*profile.profile.readable, *profile.profile.forbidden):
        if last < first:
            raise _refuse("E-PROFILE-VALUE", file, f"the range [{first}, {last}] ends before it begins", "write the lower address first")
    for row in profile.point:
        _check_row(profile, row, file)
    _check_overlaps(profile, file)
    names = [row.point for row in profile.point]
    for name in names:
        if names.count(name) > 1:
            raise _refuse("E-PROFILE-POINT", file, f'point "{name}" stands there twice', "remove one of them")
    if not names:
        raise _refuse("E-PROFILE-POINT", file, "the profile has no point", "add a [[point]]")
    return profile


def _check_row(profile: Profile, row: PointRow, file: str) -> None:
    if lookup(row.point) is None:
        near = suggest(row.point)
        hint = f'did you mean "{near}"?' if near else "docs/points.md lists the names"
        raise _refuse("E-PROFILE-POINT", file, f'point "{row.point}" is not in the dictionary', hint)
    mistake = _mistake(profile, row)
    if mistake:
        raise _refuse("E-PROFILE-VALUE", file, f'point "{row.point}": {mistake}', "docs/profiles.md says what each key may hold")


def _check_overlaps(profile: Profile, file: str) -> None:
    """Values that share registers are read together, and so must fit into one request together."""
    reach: dict[tuple[str, int], Range] = {}
    for row in sorted(profile.point, key=lambda row: row.span):
        (first, last), key = row.span, (row.group, row.function)
        before = reach.get(key)
        if before is not None and first <= before[1]:
            first, last = before[0], max(last, before[1])
        reach[key] = first, last
        if not row.coil and last - first + 1 > profile.profile.max_registers:
            text = f'point "{row.point}" shares registers with others, from {first} to {last}: together they do not fit into one request'
            raise _refuse("E-PROFILE-VALUE", file, text, "put one of them into another group")


def _mistake(profile: Profile, row: PointRow) -> str:
    """What is wrong with a row whose types are right; empty when nothing is."""
    first, last = row.span
    try:
        row.ratio, row.addend, row.codes  # noqa: B018 - all raise when their text is no number
    except (ValueError, ZeroDivisionError):
        return "scale, offset or a key of map is not a number"
    idle = _without_meaning(row)
    place = f"function {row.function}" if row.coil else "a map" if row.map and idle != "map" else row.type
    kind = _entry(row).kind
    strange = next((raw for raw in (*row.invalid, *row.codes) if not _can_be(row, raw)), None)
    findings = (
        (bool(idle), f"{idle} has no meaning for {place}"),
        (row.group not in profile.group, f'group "{row.group}" does not exist'),
        (row.coil and row.type not in ("bit", "u16"), f"function {row.function} reads bits, not {row.type}"),
        (last > 65535 or last - first + 1 > profile.profile.max_registers, "the value does not fit into one request"),
        (any(first <= b and a <= last for a, b in profile.profile.forbidden), "it lies in a forbidden range"),
        (bool(row.order) and row.order not in _ORDERS.get(row.count, frozenset()), f'order "{row.order}" does not fit {row.type}'),
        (row.ratio == 0, "scale is 0"),
        (row.exponent is not None and row.type not in _INTEGERS, "exponent needs an integer type"),
        (row.type == "string" and kind != "text", "a string needs a point of kind text"),
        (row.type != "string" and kind == "text" and not row.map, "a point of kind text needs a string or a map"),
        (
            any(isinstance(code, str) != (kind == "text") for code in row.codes.values()),
            f"map gives {'numbers to a text' if kind == 'text' else 'text to a number'}",
        ),
        (strange is not None, f"{row.type} is never {strange}; write the number that it is read as"),
    )
    return next((text for wrong, text in findings if wrong), "")


def _without_meaning(row: PointRow) -> str:
    """The first key that would be passed over in silence, empty when there is none."""
    number = not (row.coil or row.map or row.type in ("string", "bit"))
    keys = {
        "bit": bool(row.bit) and (row.coil or row.type != "bit"),
        "length": row.length != 1 and row.type != "string",
        "map": bool(row.map) and (row.coil or row.type in ("string", "bit", "f32", "f64")),
        "invalid": bool(row.invalid) and (row.coil or row.type == "string"),
        "scale": row.ratio != 1 and not number,
        "offset": row.addend != 0 and not number,
        "mask": bool(row.mask) and (row.coil or row.type != "bits"),
        "exponent": row.exponent is not None and not number,
        "order": bool(row.order) and (row.coil or row.type == "string"),
    }
    return next((key for key, idle in keys.items() if idle), "")


def _can_be(row: PointRow, raw: int) -> bool:
    """Whether a register of this type can be read as this number."""
    if row.type in ("f32", "f64"):
        return True
    bits = 16 * row.count
    if row.mask and raw in row.codes:
        return raw & ~(row.mask // (row.mask & -row.mask)) == 0
    return -(1 << bits - 1) <= raw < 1 << bits - 1 if row.type.startswith("i") else 0 <= raw < 1 << bits


def _entry(row: PointRow) -> PointName:
    entry = lookup(row.point)
    assert entry is not None, row.point
    return entry


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


def _directory() -> Traversable:
    return files("edgegw.drivers").joinpath("profiles")


def _refuse(message_id: str, file: str, text: str, next_step: str) -> EdgegwError:
    return EdgegwError(message_id, f"{file}: {text}", next_step, EXIT_USAGE)
