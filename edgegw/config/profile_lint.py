"""Every mistake of one profile, with its line (`edgegw profiles lint`). msgspec stops at the first: what it refuses is noted, mended and read again.

TOML -> each key's type, one after the other -> what the keys say together (drivers/profile_check.py)

What follows only from a mistake that is told already is not told again.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from edgegw.config.finding import ERROR, Finding, did_you_mean
from edgegw.config.lines import LineIndex, Path
from edgegw.drivers.catalogue import parse_profile, protocols
from edgegw.drivers.profile import AlsoRow, FaultBit, IdentityRow, IdentityTable, ModbusHead, PointRow, Profile
from edgegw.drivers.profile_base import Group
from edgegw.drivers.profile_check import find_mistakes, on_wire
from edgegw.errors import EdgegwError

# A profile of 500 points with every key wrong has fewer.
FINDINGS_MAX = 2000
_PLACE = re.compile(r" - at `\$(.*?)`$")
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+|\.\.\.)\]")
_WORDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "array": "a list", "object": "a table", "null": "nothing"}
# What stands for a required key that is missing or wrong, so that the rest of the file can be read.
_STAND_IN: dict[str, Any] = {"class": "meter", "protocol": "modbus", "period_s": 1.0, "group": "", "address": 0}
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)")


class _Refused(msgspec.Struct, frozen=True):
    path: Path
    text: str
    key: str
    """The key to mend at the end of the path; empty where it is the last step of the path."""


def lint(text: str, file: str) -> list[Finding]:
    """All findings in the order of their lines; empty when the profile is right."""
    index = LineIndex(text)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        found = _TOML_LINE.search(str(fault))
        return [Finding(ERROR, "E-PROFILE-TOML", int(found[1]) if found else None, str(fault), file)]
    head = table.get("profile")
    protocol = head.get("protocol") if isinstance(head, dict) else None
    if protocol == "modbus":
        found_all = list(_modbus(table, index, file))
    elif protocol in protocols():
        found_all = list(_other(text, index, file))
    else:
        said = "protocol is missing" if protocol is None else f'protocol "{protocol}" does not exist'
        found_all = [Finding(ERROR, "E-PROFILE-KEY", index.line("profile", "protocol"), f"[profile]: {said}; one of {', '.join(protocols())}", file)]
    return sorted(found_all, key=lambda finding: finding.line or 0)


def _other(text: str, index: LineIndex, file: str) -> Iterator[Finding]:
    """A profile of another protocol: its own reader tells the first mistake."""
    try:
        parse_profile(text, file)
    except EdgegwError as fault:
        told = fault.text.removeprefix(f"{file}: ")
        named = re.match(r'point "([^"]+)"', told)
        rows = tomllib.loads(text).get("point", [])
        number = next((k for k, row in enumerate(rows) if named and isinstance(row, dict) and row.get("point") == named[1]), None)
        line = index.line("profile") if number is None else index.line("point", number)
        yield Finding(ERROR, fault.message_id, line, f"{told}; {fault.next_step}", file)


def _modbus(table: dict[str, Any], index: LineIndex, file: str) -> Iterator[Finding]:
    profile, refusals = _read(table)
    for refused in refusals:
        if not any(other.path[:-1] == refused.path[:-1] and f'did you mean "{refused.key}"' in other.text for other in refusals):
            yield Finding(ERROR, "E-PROFILE-KEY", index.line(*refused.path), refused.text, file)
    hidden = {_hidden(refused.path) for refused in refusals}
    for mistake in find_mistakes(profile) if profile is not None else ():
        if not any(mistake.path[: len(path)] == path for path in hidden):
            yield Finding(ERROR, mistake.id, index.line(*mistake.path), f"{mistake.text}; {mistake.next_step}", file)


def _read(table: dict[str, Any]) -> tuple[Profile | None, list[_Refused]]:
    """The profile as far as it can be read, and what was refused and mended on the way."""
    mended = copy.deepcopy(table)
    refusals: list[_Refused] = []
    while len(refusals) < FINDINGS_MAX:
        try:
            return on_wire(msgspec.convert(mended, Profile)), refusals
        except msgspec.ValidationError as fault:
            refused = _refused(str(fault), mended)
            if refused in refusals:
                break  # What was mended is refused again: nothing more can be said of this file.
            refusals.append(refused)
            _mend(mended, refused)
    return None, refusals


def _hidden(path: Path) -> Path:
    """What cannot be judged any more: the row, where its point or its type was refused; else the key."""
    return path[:2] if len(path) > 2 and path[2] in ("point", "type") else path


# -- what msgspec says


def _refused(message: str, table: dict[str, Any]) -> _Refused:
    """Its message as a path, words, and the key to mend."""
    place = _PLACE.search(message)
    path = _path(place[1] if place else "", table)
    said = message[: place.start()] if place else message
    where = _title(path, table)
    if field := re.match(r"Object contains unknown field `(.+?)`", said):
        known = [str(name.encode_name) for name in _fields(path)]
        return _Refused((*path, field[1]), f'{where}unknown key "{field[1]}"{did_you_mean(field[1], known)}', field[1])
    if field := re.match(r"Object missing required field `(.+?)`", said):
        return _Refused((*path, field[1]), f'{where}key "{field[1]}" is missing', field[1])
    key = str(path[-1]) if path else ""
    named = f"{path[-2]}, element {int(key) + 1}," if path and isinstance(path[-1], int) else key
    return _Refused(path, f"{where}{named} {_must(said, path, table)}", key)


def _path(text: str, table: dict[str, Any]) -> Path:
    """`.point[3].faults[...].id` to keys and numbers; of a table whose key is not said the one that is wrong is looked for."""
    path: Path = ()
    for match in _STEP.finditer(text):
        key, number = match[1], match[2]
        step: str | int = key if key is not None else int(number) if number != "..." else _culprit(path, table)
        path = (*path, step)
    return path


def _culprit(path: Path, table: dict[str, Any]) -> str:
    """The key of a free table, which msgspec hides: the first of its values that cannot be read by itself."""
    values = _get(table, path)
    kind: Any = Group if path == ("group",) else FaultBit if path[-1:] == ("faults",) else int | str
    for key, value in values.items():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return str(key)
    return str(next(iter(values)))


def _fields(path: Path) -> tuple[inspect.Field, ...]:
    """The keys of the table at this path."""
    kind: Any = Profile
    if path:
        kind = {"profile": ModbusHead, "group": Group, "point": PointRow, "also": AlsoRow, "identity": IdentityTable}.get(str(path[0]), Profile)
        kind = IdentityRow if path[0] == "identity" and len(path) > 1 else FaultBit if "faults" in path else kind
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return described.fields


def _must(said: str, path: Path, table: dict[str, Any]) -> str:
    if match := re.match(r"Expected `(\w+)(?: \| \w+)*`, got `(\w+)`", said):
        return f"must be {_WORDS.get(match[1], match[1])}, found {_WORDS.get(match[2], match[2])}"
    if match := re.match(r"Expected `\w+` (>=|<=|>|<) (\S+)", said):
        return f"must be {dict(zip(('>=', '<=', '>', '<'), ('at least', 'at most', 'above', 'below'), strict=True))[match[1]]} {match[2]}"
    if said.startswith("Invalid enum value"):
        choices = _choices(path)
        value = str(_get(table, path))
        return f'may not be "{value}"{did_you_mean(value, choices)}; one of {", ".join(choices)}'
    if match := re.match(r"Expected `str` matching regex '(.*)'", said):
        return f"must be letters, digits and _ ({match[1]})"
    return said


def _choices(path: Path) -> list[str]:
    field = next((one for one in _fields(path[:-1]) if one.encode_name == path[-1]), None)
    kind = field.type if field else None
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    return [str(value) for value in kind.values] if isinstance(kind, inspect.LiteralType) else []


def _title(path: Path, table: dict[str, Any]) -> str:
    """How people know a table: `point "voltage": `."""
    if len(path) > 1 and path[0] in ("point", "also"):
        row = _get(table, path[:2])
        name = row.get("point") if isinstance(row, dict) else None
        return f'{path[0]} "{name}": ' if isinstance(name, str) else f"{path[0]} number {int(path[1]) + 1}: "
    return f"[{'.'.join(str(step) for step in path[: 2 if path[0] == 'group' else 1])}]: " if path else ""


# -- mending


def _get(table: Any, path: Path) -> Any:
    for step in path:
        table = table[step]
    return table


def _mend(table: dict[str, Any], refused: _Refused) -> None:
    """A key that may be left out is left out; for one that must be there something harmless stands in."""
    parent, key = refused.path[:-1], refused.path[-1] if refused.path else ""
    holder = _get(table, parent)
    required = any(field.required and field.encode_name == key for field in _fields(parent))
    if isinstance(holder, list) and parent in (("point",), ("also",)):
        holder[int(key)] = {"point": "state", "group": "", "address": 0}
    elif isinstance(holder, list):
        holder.pop(int(key))
    elif required:
        of_file: dict[str, Any] = {"profile": {}, "group": {}, "point": []}
        stand_in = {**_STAND_IN, "point": "state"} if parent else of_file
        holder[key] = copy.deepcopy(stand_in.get(str(key), "x"))
    else:
        holder.pop(key, None)
