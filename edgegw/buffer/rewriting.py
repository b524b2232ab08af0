"""What memory holds, as parts that the log can take one after the other (pure): after a stall, and all of it again after a fault.

Every part writes rows under the identities that they have, so that a repetition changes nothing. The order is that of the numbering: a row
whose removal is told later goes in before it goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from edgegw.buffer.groups import EventRow, Group, TailRow
from edgegw.buffer.intake import Package

# An event's row without its body.
_EVENT_ROW_BYTES = 64


# Bytes that a value takes in a tail row, at most as a rule.
_BYTES_A_VALUE = 9


class Portion(NamedTuple):
    """Packages of one transaction, and about how many bytes they come to."""

    packages: list[Package]
    bytes: int


class Memory(NamedTuple):
    """What is not out of danger, at one moment."""

    groups: list[Group]
    """What no sync has confirmed, in the order it came."""
    held: list[TailRow]
    """What is in no block yet."""
    lasts: Mapping[tuple[int, int], int]
    """(epoch number, stream) to the last sequence given."""
    states: Mapping[str, bytes | None]

    @property
    def removals(self) -> list[Group]:
        """They make room for the rest."""
        return [_without_tails(group) for group in self.groups if group.removed]

    def parts(self, bytes_max: int) -> Iterator[Group]:
        """Of so many bytes, but for a single removal or row that is larger."""
        events: list[EventRow] = []
        size = 0
        for group in self.groups:
            if group.removed:
                yield from _events(events)
                events, size = [], 0
                yield _without_tails(group)
                continue
            for event in list(group.events):  # the ring may give up some meanwhile
                size += len(event.body) + _EVENT_ROW_BYTES
                if events and size > bytes_max:
                    yield from _events(events)
                    events, size = [], len(event.body) + _EVENT_ROW_BYTES
                events.append(event)
        yield from _events(events)
        yield from self._tails(bytes_max)

    def _tails(self, bytes_max: int) -> Iterator[Group]:
        rows: list[TailRow] = []
        size = 0
        for row in self.held:
            size += len(row.body)
            if rows and size > bytes_max:
                yield Group(rows, [], {})
                rows, size = [], len(row.body)
            rows.append(row)
        if rows:
            yield Group(rows, [], {})


def portions_of(packages: Iterable[Package], bytes_max: int) -> list[Portion]:
    """In their order; no package is divided, since one transaction holds all of it. At least one portion, which may be empty."""
    found = [Portion([], 0)]
    for package in packages:
        size = _BYTES_A_VALUE * sum(len(reading.values) for reading in package.readings)
        if found[-1].packages and found[-1].bytes + size > bytes_max:
            found.append(Portion([], 0))
        found[-1].packages.append(package)
        found[-1] = Portion(found[-1].packages, found[-1].bytes + size)
    return found


def runs(groups: Iterable[Group], bytes_max: int) -> list[list[Group]]:
    """In their order, of so many bytes but for a single group that is larger; at least one, which may be empty."""
    found: list[list[Group]] = [[]]
    size = 0
    for group in groups:
        group_bytes = sum(len(row.body) for row in group.tails) + sum(len(row.body) for row in group.events)
        size += group_bytes
        if found[-1] and size > bytes_max:
            found.append([])
            size = group_bytes
        found[-1].append(group)
    return found


def _events(rows: list[EventRow]) -> Iterator[Group]:
    if rows:
        yield Group([], rows, {})


def _without_tails(group: Group) -> Group:
    """What of them is not sealed is held."""
    return Group([], group.events, {}, group.removed, group.removed_events, group.blocks, group.documents)
