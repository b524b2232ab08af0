"""What of a document with mistakes can still be looked at across its tables, so that one `config check` tells everything.

A wrong key is left out; a table that is no table without it is left out whole; who the gateway is does not matter here. What is said of
the rest holds whatever the mended keys will be: doubts that could come from what was left out are not told.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edgegw.config.lines import LineIndex, Path
from edgegw.config.model import Config
from edgegw.config.walk import Mistake, find_mistakes

_NOBODY = {"operator": "o", "station": "s", "gateway": "g"}
# What is wrong with a table whatever its other keys are.
_CERTAIN = frozenset({"E-CFG-DUP", "E-CFG-UNIT-DUP", "E-CFG-BUS", "E-CFG-PROFILE", "E-CFG-POINT"})
# What a device or bus that was left out could have answered.
_NEEDS_ALL_DEVICES = frozenset({"W-CFG-RULE", "W-CFG-EMPTY", "E-CFG-WRITE"})
_NEEDS_ALL_BUSES = frozenset({"E-CFG-BUS"})
_NEEDS_ALL_LEVELS = frozenset({"E-CFG-LEVEL", "W-CFG-ESCALATION"})
# Names of channels, recipients and routes that stand in one another.
_NEEDS_ALL_TOLD = frozenset({"E-CFG-TOLD", "W-CFG-UNTOLD"})


class Rest(msgspec.Struct, frozen=True):
    """A configuration of what is right, and where its tables stand in the file."""

    config: Config
    index: LineIndex
    places: Mapping[str, list[int]]
    touched: frozenset[Path]
    """(table, number in the file) of those with a mistake."""
    dropped: frozenset[str]
    """Tables of which some were left out."""

    def line(self, *path: str | int) -> int:
        return self.index.line(*self._in_file(path))

    def tells(self, doubt_id: str, path: Path) -> bool:
        """Whether a doubt about the rest holds for the whole."""
        if doubt_id in _NEEDS_ALL_DEVICES and any(table == "device" for table, *_ in self.touched):
            return False
        if doubt_id in _NEEDS_ALL_BUSES and "bus" in self.dropped:
            return False
        if doubt_id in _NEEDS_ALL_LEVELS and any(table == "level" for table, *_ in self.touched):
            return False
        if doubt_id in _NEEDS_ALL_TOLD and any(table in {"channel", "recipient", "route", "level", "device", "bus"} for table, *_ in self.touched):
            return False
        if path[-1:] == ("rules",) and "rule" in self.dropped:
            return False
        return doubt_id in _CERTAIN or self._in_file(path)[:2] not in self.touched

    def _in_file(self, path: Path) -> Path:
        match path:
            case (str(table), int(number), *rest) if table in self.places:
                return (table, self.places[table][number], *rest)
        return path


def salvage(document: dict[str, Any], mistakes: Iterable[Mistake], index: LineIndex) -> Rest | None:
    """The rest of a document, None when nothing can be made of it."""
    left = copy.deepcopy(document)
    touched = frozenset(mistake.path[:2] for mistake in mistakes)
    for mistake in mistakes:
        _leave_out(left, mistake.path)
    broken = {mistake.path[:2] for mistake in find_mistakes(left)}
    if broken & {(), ("gateway",)}:
        left["gateway"] = _NOBODY
    places, dropped = _drop(left, broken)
    try:
        return Rest(msgspec.convert(left, Config), index, places, touched, dropped)
    except msgspec.ValidationError:
        return None


def _leave_out(document: dict[str, Any], path: Path) -> None:
    """Removes the key at the end of the path; a path that ends at a table stays, what is missing there shows again."""
    at: Any = document
    for step in path[:-1]:
        at = at.get(step) if isinstance(at, dict) else at[step] if isinstance(at, list) and isinstance(step, int) else None
    if path and isinstance(path[-1], str) and isinstance(at, dict) and path != ("gateway",):
        at.pop(path[-1], None)


def _drop(document: dict[str, Any], broken: set[Path]) -> tuple[dict[str, list[int]], frozenset[str]]:
    """Leaves out the tables that are still wrong; returns where the others stood."""
    places: dict[str, list[int]] = {}
    dropped = set()
    for table, items in document.items():
        if isinstance(items, list):
            places[table] = [number for number in range(len(items)) if (table, number) not in broken]
            if len(places[table]) < len(items):
                dropped.add(table)
            document[table] = [items[number] for number in places[table]]
    return places, frozenset(dropped)
