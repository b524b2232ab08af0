"""Every mistake in one document, field by field (decision D11): msgspec would stop at the first.

The walk goes over msgspec's own description of the structs, so that the types in `model.py` are the only place where a rule is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from edgegw.config.finding import did_you_mean, nearest
from edgegw.config.lines import Path
from edgegw.config.model import Config
from edgegw.config.notify_model import HOURS

# Of a wrong value this much is shown: enough to know it again.
_SHOWN_CHARACTERS_MAX = 40

PATTERN_WORDS = {
    "^[A-Za-z0-9_-]{1,16}$": "1 to 16 letters A-Z a-z, digits, _ or -",
    "^[A-Za-z0-9_.-]{1,32}$": "1 to 32 letters A-Z a-z, digits, _, . or -",
    "^[0-9]{0,12}$": "up to 12 digits",
    "^mqtts?://[^/ ]+$": "like mqtts://host:8883",
    HOURS: "like 08:00-20:00",
    r"^(\+?[0-9]{3,15})?$": "a telephone number of 3 to 15 digits, with + in front where it is international",
}
"""Each pattern of the model in words (a test knows if one is missing)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong at a path; the line comes later."""

    path: Path
    id: str
    text: str


def find_mistakes(document: dict[str, Any]) -> list[Mistake]:
    """All mistakes of a document that tomllib has read, in the order of the structs."""
    found = _walk_struct(document, _config_type(), (), "")
    return list(found)


@cache
def _config_type() -> inspect.StructType:
    described = inspect.type_info(Config)
    assert isinstance(described, inspect.StructType)
    return described


# -- tables


def _walk_struct(table: dict[str, Any], kind: inspect.StructType, path: Path, where: str) -> Iterator[Mistake]:
    fields = {field.encode_name: field for field in kind.fields}
    for key, value in table.items():
        if key not in fields:
            yield Mistake((*path, key), "E-CFG-KEY", where + _unknown(key, value, fields, path))
        elif path:
            yield from _walk_value(value, fields[key].type, (*path, key), f"{where}{key}")
        else:
            yield from _walk_table(value, bare(fields[key].type), key)
    misspelt = {nearest(key, fields) for key in table if key not in fields}
    for key, field in fields.items():
        if field.required and key not in table and key not in misspelt:
            yield Mistake(path, "E-CFG-MISSING", f'{where}key "{key}" is missing' if path else f"table [{key}] is missing")


def _walk_table(value: Any, kind: inspect.Type, key: str) -> Iterator[Mistake]:
    """A table of the top level: `[gateway]` once, `[[bus]]` any number of times."""
    if isinstance(kind, inspect.StructType):
        if isinstance(value, dict):
            yield from _walk_struct(value, kind, (key,), f"[{key}]: ")
        else:
            yield Mistake((key,), "E-CFG-TYPE", f"[{key}] must be one table, written [{key}] with single brackets; found {show(value)}")
        return
    assert isinstance(kind, inspect.ListType)
    assert isinstance(kind.item_type, inspect.StructType)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        yield Mistake((key,), "E-CFG-TYPE", f"[[{key}]] must be written with double brackets, once for each {key}; found {show(value)}")
        return
    for number, item in enumerate(value):
        yield from _walk_struct(item, kind.item_type, (key, number), f"{title(key, number, item)}: ")


def title(table: str, number: int, item: dict[str, Any]) -> str:
    """How people know a table: `bus "rs485a"`, or its place when it has no name."""
    name = item.get("code", item.get("name"))
    return f"{table} {show(name)}" if isinstance(name, str) and name else f"{table} number {number + 1}"


def _unknown(key: str, value: Any, fields: dict[str, inspect.Field], path: Path) -> str:
    if path:
        return f'unknown key "{key}"{did_you_mean(key, fields) or _home(key)}'
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        return f'unknown table "{key}"{did_you_mean(key, fields)}'
    return f'unknown key "{key}" in front of the first table{_home(key)}'


def _home(key: str) -> str:
    """The tables that do have this key: the usual fault is a key behind the wrong header."""
    homes = [_header(field) for field in _config_type().fields if key in _keys_of(field)]
    return f"; it belongs into {' or '.join(homes)}" if homes else ""


def _header(field: inspect.Field) -> str:
    return f"[[{field.encode_name}]]" if isinstance(bare(field.type), inspect.ListType) else f"[{field.encode_name}]"


def _keys_of(field: inspect.Field) -> set[str]:
    kind = bare(field.type)
    if isinstance(kind, inspect.ListType):
        kind = kind.item_type
    return {field.encode_name for field in kind.fields} if isinstance(kind, inspect.StructType) else set()


# -- values


def _walk_value(value: Any, kind: inspect.Type, path: Path, where: str) -> Iterator[Mistake]:
    kind = bare(kind)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk_value(item, kind.item_type, (*path, number), f"{where}: element {number + 1}")
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        yield from _walk_struct(value, kind, path, f"{where}: ")
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict):
        for key, item in value.items():
            yield from _walk_value(item, kind.value_type, (*path, key), f"{where}.{key}")
    else:
        fault = _judge(value, kind)
        if fault:
            yield Mistake(path, fault[0], f"{where} {fault[1]}, found {show(value)}{fault[2]}")


_Fault = tuple[str, str, str] | None
"""(id, what it must be, hint behind the found value), or None when the value is right."""


def _judge(value: Any, kind: inspect.Type) -> _Fault:
    match kind:
        case inspect.StrType():
            fault = _judge_text(value, kind)
        case inspect.LiteralType():
            fault = _judge_choice(value, kind)
        case inspect.IntType():
            fault = _judge_range(value, kind) if type(value) is int else ("E-CFG-TYPE", "must be a whole number", _number_hint(value))
        case inspect.FloatType():
            fault = _judge_range(value, kind) if type(value) in (int, float) else ("E-CFG-TYPE", "must be a number", _number_hint(value))
        case inspect.BoolType():
            fault = None if type(value) is bool else ("E-CFG-TYPE", "must be true or false", "")
        case inspect.ListType() | inspect.VarTupleType():
            fault = "E-CFG-TYPE", 'must be a list, as in ["AC-01", "AC-02"]', ""
        case inspect.DictType(value_type=inspect.StructType()):
            fault = "E-CFG-TYPE", 'must be a table by number, as in { "4" = { contact = "nc" } }', ""
        case inspect.DictType(value_type=value_type):
            texts = isinstance(bare(value_type), inspect.StrType)
            fault = (
                "E-CFG-TYPE",
                'must be a table of texts, as in { mail = "duty@example.cn" }' if texts else "must be a table of groups, as in { electrical = 2 }",
                "",
            )
        case inspect.StructType():
            fault = "E-CFG-TYPE", "must be a table, as in { key = value }", ""
        case _:
            raise AssertionError(f"the model has a type that the walk does not know: {kind}")
    return fault


def _judge_text(value: Any, kind: inspect.StrType) -> _Fault:
    if not isinstance(value, str):
        return "E-CFG-TYPE", "must be a text", "; write it in quotes" if isinstance(value, int | float) else ""
    if _CONTROL.search(value):
        return "E-CFG-VALUE", "must not hold a tab or line break", ""
    if kind.pattern and not re.search(kind.pattern, value):
        return "E-CFG-VALUE", f"must be {PATTERN_WORDS[kind.pattern]}", ""
    if len(value) < (kind.min_length or 0):
        return "E-CFG-VALUE", "must not be empty", ""
    if kind.max_length is not None and len(value) > kind.max_length:
        return "E-CFG-VALUE", f"must have at most {kind.max_length} characters", f" ({len(value)} characters)"
    return None


def _judge_choice(value: Any, kind: inspect.LiteralType) -> _Fault:
    if value in kind.values and type(value) is type(kind.values[0]):
        return None
    must = f"must be one of {', '.join(show(choice) for choice in kind.values)}"
    texts = [choice for choice in kind.values if isinstance(choice, str)]
    if isinstance(value, str) and not texts:
        return "E-CFG-TYPE", must, _number_hint(value)
    return "E-CFG-VALUE", must, did_you_mean(value, texts) if isinstance(value, str) else ""


def _judge_range(value: float, kind: inspect.IntType | inspect.FloatType) -> _Fault:
    if not math.isfinite(value):
        return "E-CFG-RANGE", "must be a finite number", ""
    least, most = kind.ge, kind.le
    if (least is None or value >= least) and (most is None or value <= most):
        return None
    if least is not None and most is not None:
        return "E-CFG-RANGE", f"must be from {least:g} to {_plain(most)}", ""
    return "E-CFG-RANGE", f"must be at least {least:g}" if least is not None else f"must be at most {_plain(most)}", ""


def _plain(number: float | None) -> str:
    return "" if number is None else str(int(number)) if number == int(number) else str(number)


def _number_hint(value: Any) -> str:
    """A number that somebody put in quotes, with its unit, or with a comma."""
    found = re.fullmatch(r"\s*([-+]?\d+)(?:[.,](\d+))?\s*([A-Za-z%\u4e00-\u9fff]{0,4})\s*", value) if isinstance(value, str) else None
    if not found:
        return ""
    number = found[1] + (f".{found[2]}" if found[2] else "")
    return "; write it without quotes" if number == str(value).strip() else f"; write the number alone: {number}"


def bare(kind: inspect.Type) -> inspect.Type:
    """The type behind its description."""
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def show(value: Any) -> str:
    """A value as it was found, short, in one line, and never with a password in it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = re.sub(r"//[^@/]*@", "//...@", value)
            text = _CONTROL.sub(lambda control: repr(control.group())[1:-1], text)
            return f'"{text}"' if len(text) <= _SHOWN_CHARACTERS_MAX else f'"{text[:_SHOWN_CHARACTERS_MAX]}..."'
        case int() | float():
            return str(value)
        case list():
            return "a list"
        case dict():
            return "a table"
    return f"a date or time, {value}"
