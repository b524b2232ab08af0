"""Which registers of a model are asked for together, and where each field then lies in the answers. Pure.

    ranges      (first register of the model, registers): at most `limit` each, the first from the header on, so that every poll proves the model
    value       lies in the same answer as its scale factor
                ... or, where the two are further apart than the device answers: the factor is read before and after, and must be the same

A value is never cut. Text may be: it does not change while it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgegw.drivers.sunspec_models import HEADER, Field

Range = tuple[int, int]
"""First register of the model, and how many."""
_Piece = tuple[int, int]
"""First register, and the one behind the last: read in one answer."""


class Wanted(NamedTuple):
    """A field, and the scale factor that it needs."""

    field: Field
    scale: Field | None


class Part(NamedTuple):
    """Bytes of one answer."""

    answer: int
    first: int
    end: int


class Spot(NamedTuple):
    """Where a field lies."""

    value: tuple[Part, ...]
    """One; of long text several, in order."""
    scale: tuple[Part, ...]
    """All must say the same; empty where there is none."""


def cover(wanted: Sequence[Wanted], limit: int) -> tuple[Range, ...]:
    """What to ask, in this order, for all fields."""
    pieces: set[_Piece] = {(0, HEADER)}
    apart: set[_Piece] = set()
    for field, scale in wanted:
        first, end = _span(field, scale)
        if end - first <= limit:
            pieces.add((first, end))
            continue
        pieces |= {(at, min(at + limit, field.end)) for at in range(field.at, field.end, limit)}
        if scale is not None:
            apart.add((scale.at, scale.end))
    ranges = _packed(pieces | apart, limit)
    if len(ranges) == 1 or not apart:
        return ranges
    factors = _packed({(0, HEADER), *apart}, limit)
    before = () if all(_holds(ranges[0], first, end) for first, end in apart) else factors
    return (*before, *ranges, *factors)


def locate(one: Wanted, ranges: Sequence[Range]) -> Spot:
    """Where a field lies in the answers to these ranges."""
    field, scale = one
    if scale is None or field.type == "string":
        return Spot(_parts(field, ranges), ())
    for number, within in enumerate(ranges):
        if _holds(within, field.at, field.end) and _holds(within, scale.at, scale.end):
            return Spot((_part(number, within, field.at, field.end),), (_part(number, within, scale.at, scale.end),))
    factors = tuple(_part(number, within, scale.at, scale.end) for number, within in enumerate(ranges) if _holds(within, scale.at, scale.end))
    return Spot(_parts(field, ranges), factors)


def _span(field: Field, scale: Field | None) -> _Piece:
    return (field.at, field.end) if scale is None else (min(field.at, scale.at), max(field.end, scale.end))


def _packed(pieces: Iterable[_Piece], limit: int) -> tuple[Range, ...]:
    """As few ranges as there can be, what lies between two pieces read over."""
    ranges: list[Range] = []
    for first, end in sorted(pieces):
        if ranges and end - ranges[-1][0] <= limit:
            ranges[-1] = ranges[-1][0], max(sum(ranges[-1]), end) - ranges[-1][0]
        else:
            ranges.append((first, end - first))
    return tuple(ranges)


def _holds(within: Range, first: int, end: int) -> bool:
    return within[0] <= first and end <= sum(within)


def _part(number: int, within: Range, first: int, end: int) -> Part:
    return Part(number, 2 * (first - within[0]), 2 * (end - within[0]))


def _parts(field: Field, ranges: Sequence[Range]) -> tuple[Part, ...]:
    """The whole field in one answer, or else its pieces."""
    whole = next((_part(number, within, field.at, field.end) for number, within in enumerate(ranges) if _holds(within, field.at, field.end)), None)
    if whole is not None:
        return (whole,)
    parts: list[Part] = []
    at = field.at
    while at < field.end:
        number, within = next((number, within) for number, within in enumerate(ranges) if within[0] <= at < sum(within))
        end = min(field.end, sum(within))
        parts.append(_part(number, within, at, end))
        at = end
    return tuple(parts)
