"""A Modbus profile's tables to the checked profile, and everything that is wrong with one: each mistake under the path of its key, so that a line can be found for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from edgegw.drivers.profile import AlsoRow, IdentityRow, PointRow, Profile, Range
from edgegw.drivers.profile_base import entry_of, refuse
from edgegw.points import lookup, suggest

_INTEGERS = frozenset({"u16", "i16", "u32", "i32", "u64", "i64"})
# How the bytes of a value lie on the wire; A is the most significant.
_ORDERS = {
    1: frozenset({"AB", "BA"}),
    2: frozenset({"ABCD", "CDAB", "BADC", "DCBA"}),
    4: frozenset({"ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"}),
}
_FAULT_TYPES = frozenset({"bits", "u16", "u32"})
_NO_NUMBER = frozenset({"string", "bit", "datetime"})
_KEYS = "docs/profiles.md says what each key may hold"
Path = tuple[str | int, ...]
RowType = TypeVar("RowType", PointRow, AlsoRow, IdentityRow)


class Mistake(NamedTuple):
    """`path` leads to the key in the file, as in ("point", 3, "scale")."""

    path: Path
    id: str
    text: str
    next_step: str


def from_table(table: Mapping[str, object], file: str) -> Profile:
    """A Modbus profile's tables, as TOML gives them, to the checked profile; `file` names it in errors. Raises EdgegwError, msgspec.ValidationError."""
    profile = on_wire(msgspec.convert(table, Profile))
    for mistake in find_mistakes(profile):
        raise refuse(mistake.id, file, mistake.text, mistake.next_step)
    return profile


def on_wire(profile: Profile) -> Profile:
    """Addresses as they travel: without the base from which the document counts."""
    base, identity = profile.profile.base, profile.identity
    if not base:
        return profile
    if identity is not None:
        moved = {name: _moved(row, base) for name in ("serial_number", "model", "firmware") if (row := getattr(identity, name)) is not None}
        identity = msgspec.structs.replace(identity, **moved)
    head = msgspec.structs.replace(
        profile.profile,
        readable=[(first - base, last - base) for first, last in profile.profile.readable],
        forbidden=[(first - base, last - base) for first, last in profile.profile.forbidden],
    )
    point = [_moved(row, base) for row in profile.point]
    also = [_moved(row, base) for row in profile.also]
    return msgspec.structs.replace(profile, profile=head, point=point, also=also, identity=identity)


def _moved(row: RowType, base: int) -> RowType:
    moved = msgspec.structs.replace(row, address=row.address - base)
    exponent = getattr(row, "exponent", None)
    return moved if exponent is None else msgspec.structs.replace(moved, exponent=exponent - base)


def find_mistakes(profile: Profile) -> Iterator[Mistake]:
    """All that is wrong with a profile whose keys and types are right."""
    head = profile.profile
    for key in ("readable", "forbidden"):
        for number, (first, last) in enumerate(getattr(head, key)):
            if last < first:
                text = f"the range [{first}, {last}] ends before it begins"
                yield Mistake(("profile", key, number), "E-PROFILE-VALUE", text, "write the lower address first")
    seen = Counter[str]()
    for number, row in enumerate(profile.point):
        yield from _row(profile, row, ("point", number), frozenset(profile.group))
        seen[row.point] += 1
        if seen[row.point] > 1:
            yield Mistake(("point", number, "point"), "E-PROFILE-POINT", f'point "{row.point}" stands there twice', "remove one of them")
    for number, also in enumerate(profile.also):
        yield from _row(profile, also, ("also", number), frozenset({"", *profile.group}))
    if not profile.point:
        yield Mistake(("profile",), "E-PROFILE-POINT", "the profile has no point", "add a [[point]]")
    yield from _overlaps(profile)


def _row(profile: Profile, row: PointRow, path: Path, groups: frozenset[str]) -> Iterator[Mistake]:
    if lookup(row.point) is None:
        near = suggest(row.point)
        hint = f'did you mean "{near}"?' if near else "docs/points.md lists the names"
        yield Mistake((*path, "point"), "E-PROFILE-POINT", f'point "{row.point}" is not in the dictionary', hint)
        return
    if row.group not in groups:
        yield Mistake((*path, "group"), "E-PROFILE-VALUE", f'point "{row.point}": group "{row.group}" does not exist', _KEYS)
    for key, text in _row_mistakes(profile, row):
        yield Mistake((*path, key), "E-PROFILE-VALUE", f'point "{row.point}": {text}', _KEYS)


def _overlaps(profile: Profile) -> Iterator[Mistake]:
    """Values that share registers are read together, and so must fit into one request together."""
    reach: dict[tuple[str, int], Range] = {}
    for number, row in sorted(enumerate(profile.point), key=lambda numbered: numbered[1].span):
        (first, last), key = row.span, (row.group, row.function)
        before = reach.get(key)
        if before is not None and first <= before[1]:
            first, last = before[0], max(last, before[1])
        reach[key] = first, last
        alone = row.span == (first, last)
        if not row.coil and not alone and last - first + 1 > profile.profile.max_registers:
            text = f'point "{row.point}" shares registers with others, from {first} to {last}: together they do not fit into one request'
            yield Mistake(("point", number, "address"), "E-PROFILE-VALUE", text, "put one of them into another group")


def _row_mistakes(profile: Profile, row: PointRow) -> list[tuple[str, str]]:
    """(key, what is wrong) of a row whose types are right."""
    unread = [key for key in ("scale", "offset", "map", "faults") if not _is_numeric(row, key)]
    if unread:
        return [(unread[0], f"{unread[0]} {'has a key that' if unread[0] in ('map', 'faults') else ''} is not a number".replace("  ", " "))]
    idle = _without_meaning(row)
    place = (
        f"function {row.function}"
        if row.coil
        else "a map"
        if row.map and "map" not in idle
        else "fault bits"
        if row.faults and "faults" not in idle
        else row.type
    )
    findings = [(key, f"{key} has no meaning for {place}") for key in idle]
    return findings + [(key, text) for wrong, key, text in (*_place_findings(profile, row), *_meaning_findings(row)) if wrong]


def _place_findings(profile: Profile, row: PointRow) -> Sequence[tuple[bool, str, str]]:
    """Where it lies, and how it is read."""
    first, last = row.span
    fits = last <= 65535 and last - first + 1 <= profile.profile.max_registers
    return (
        (row.coil and row.type not in ("bit", "u16"), "type", f"function {row.function} reads bits, not {row.type}"),
        (not fits, "address", "the value does not fit into one request"),
        (first < 0, "address", "the address is below the base of the profile"),
        (any(first <= b and a <= last for a, b in profile.profile.forbidden), "address", "it lies in a forbidden range"),
        (bool(row.order) and row.order not in _ORDERS.get(row.count, frozenset()), "order", f'order "{row.order}" does not fit {row.type}'),
        (row.ratio == 0, "scale", "scale is 0"),
        (row.exponent is not None and row.type not in _INTEGERS, "exponent", "exponent needs an integer type"),
    )


def _meaning_findings(row: PointRow) -> Sequence[tuple[bool, str, str]]:
    """What its number says."""
    kind = entry_of(row).kind
    switch = row.write is not None
    relay = row.point.startswith("relay.") and not isinstance(row, AlsoRow) and (row.coil if row.write in (5, 15) else not row.coil and row.type == "u16")
    strange = next((raw for raw in (*row.invalid, *row.codes) if not _can_be(row, raw)), None)
    words = row.type in ("string", "datetime")
    beyond = next((bit for bit in row.fault_bits if not 0 <= bit < 16 * row.count), None)
    mixed = any(isinstance(code, str) != (kind == "text") for code in row.codes.values())
    return (
        (words and kind != "text", "type", f"a {row.type} needs a point of kind text"),
        (bool(row.faults) and kind != "text", "faults", "fault bits need a point of kind text"),
        (not words and kind == "text" and not row.map and not row.faults, "type", "a point of kind text needs a string or a map"),
        (mixed, "map", f"map gives {'numbers to a text' if kind == 'text' else 'text to a number'}"),
        (strange is not None, "invalid" if row.invalid else "map", f"{row.type} is never {strange}; write the number that it is read as"),
        (beyond is not None, "faults", f"{row.type} has no bit {beyond}"),
        (switch and not relay, "write", "only a relay may be written: relay.N of a coil with function 5 or 15, of a u16 register with 6 or 16"),
        (switch and row.write_on == row.write_off, "write_on", "write_on and write_off are the same"),
        (row.write == 15 and (row.write_on is not None or row.write_off != 0), "write_on", "function 15 says 1 and 0, and nothing else"),
        (not switch and (row.write_on is not None or row.write_off != 0), "write", "write_on and write_off need write"),
    )


def _is_numeric(row: PointRow, key: str) -> bool:
    read: dict[str, Any] = {"scale": "ratio", "offset": "addend", "map": "codes", "faults": "fault_bits"}
    try:
        getattr(row, read[key])
    except (ValueError, ZeroDivisionError):
        return False
    return True


def _without_meaning(row: PointRow) -> list[str]:
    """The keys that would be passed over in silence."""
    number = not (row.coil or row.map or row.faults or row.type in _NO_NUMBER)
    words = row.type in ("string", "datetime")
    keys = {
        "bit": bool(row.bit) and (row.coil or row.type != "bit"),
        "length": row.length != 1 and row.type != "string",
        "map": bool(row.map) and (row.coil or bool(row.faults) or row.type in (*_NO_NUMBER, "f32", "f64")),
        "faults": bool(row.faults) and (row.coil or row.type not in _FAULT_TYPES),
        "invalid": bool(row.invalid) and (row.coil or words),
        "scale": row.ratio != 1 and not number,
        "offset": row.addend != 0 and not number,
        "mask": bool(row.mask) and (row.coil or bool(row.faults) or row.type != "bits"),
        "exponent": row.exponent is not None and not number,
        "order": bool(row.order) and (row.coil or words),
    }
    return [key for key, idle in keys.items() if idle]


def _can_be(row: PointRow, raw: int) -> bool:
    """Whether a register of this type can be read as this number."""
    if row.type in ("f32", "f64"):
        return True
    bits = 16 * row.count
    if row.mask and raw in row.codes:
        return raw & ~(row.mask // (row.mask & -row.mask)) == 0
    return -(1 << bits - 1) <= raw < 1 << bits - 1 if row.type.startswith("i") else 0 <= raw < 1 << bits
