"""The dictionary of point names: one name, one unit, one meaning in every class of device (`points.toml`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import msgspec

UNITS = frozenset(
    "V A kW kvar kVA W VA kWh kvarh kVAh Hz C K % %RH hPa W/m2 kOhm dBm ms s min h m/s r/min deg B MiB 1".split()  # noqa: SIM905 - one line to read
)
LINK_POINTS = ("link.state", "link.error_rate")
"""What the gateway tells of its link to every device."""
LINK_CLASS = "link"
"""Of the sources of these: nobody asked the device for them, and rules name them by it."""
KINDS = frozenset({"measure", "counter", "state", "flag", "text"})

_PLACEHOLDERS = {
    "{x}": "(a|b|c)",
    "{l}": "(ab|bc|ca)",
    "{t}": "(sharp|peak|flat|valley)",
    "{n}": "([1-9][0-9]?)",
}


class PointName(msgspec.Struct, frozen=True):
    """What the dictionary says of one name. The plausible range is in `unit`; None where none is stated (text)."""

    name: str
    unit: str
    kind: str
    decimals: int
    range: tuple[float, float] | None
    en: str
    zh: str


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: str
    kind: str
    decimals: int
    en: str
    zh: str
    range: tuple[float, float] | None = None


@cache
def lookup(name: str) -> PointName | None:
    """The dictionary's entry of `name` with the placeholder's value in its titles, or None when there is no such name."""
    for written in _written():
        # Most names are told apart by their beginning; a pattern is compiled only for those that are not: every start pays for it.
        if name.startswith(written.partition("{")[0]) and (found := _pattern(written).fullmatch(name)):
            words, entry = found.groups(), _entry(written)
            return PointName(name, entry.unit, entry.kind, entry.decimals, entry.range, entry.en.format(*words), entry.zh.format(*words))
    return None


def suggest(name: str) -> str | None:
    """The nearest name of the dictionary, for "did you mean"."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    near = difflib.get_close_matches(name, patterns(), n=1, cutoff=0.6)
    return near[0] if near else None


def wants(patterns: Sequence[str], name: str) -> bool:
    """Whether a choice of points by name, in which * stands for any letters, has this one; an empty choice has all."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


@cache
def patterns() -> tuple[str, ...]:
    """Every name as it stands in the dictionary, placeholders and all, in its order."""
    return tuple(_written())


@cache
def _written() -> dict[str, str]:
    """Name to its line. A start reads what its profiles name: all of it at once would take longer than all else of the configuration."""
    lines = Path(__file__).with_name("points.toml").read_text(encoding="utf-8").splitlines()
    return {line[1 : line.index('"', 1)]: line for line in lines if line.startswith('"')}


@cache
def _entry(name: str) -> _Entry:
    return msgspec.convert(tomllib.loads(_written()[name])[name], _Entry)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    expression = re.escape(name)
    for placeholder, choices in _PLACEHOLDERS.items():
        expression = expression.replace(re.escape(placeholder), choices)
    return re.compile(expression)
