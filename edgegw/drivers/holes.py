"""What to ask when a device refuses a block: halves of it, until the values that it does not have are known. Pure.

A source is a row of pieces: values that are never parted (an exponent from its mantissa, two views of one register). What is known
is a set of refused ranges of pieces, (first, end). All follows from that set alone:

    a refused range of one piece        a hole: its values are refused, and nothing asks for it
    a refused range of more pieces      asked in halves (two values with an undefined register between them are two halves)

Each refusal adds a range of a tree of halves: a source of n pieces costs 2n - 1 refusals at most. When no half is refused any more, what a hole
explains is dropped from the set (`worth_keeping`), and with it the halving: then

    what lies between two holes         is asked in one piece, halved only around refused ranges that no hole explains
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

Range = tuple[int, int]
"""First piece and the one behind the last."""


def cut(count: int, refused: frozenset[Range]) -> tuple[list[Range], list[int]]:
    """(ranges to ask, holes) of a source of `count` pieces."""
    holes = _holes(refused)
    if refused != worth_keeping(refused):
        return list(_parts((0, count), refused)), holes
    edges = [-1, *holes, count]
    runs = [(before + 1, after) for before, after in pairwise(edges) if before + 1 < after]
    return [part for run in runs for part in _parts(run, refused)], holes


def worth_keeping(refused: frozenset[Range]) -> frozenset[Range]:
    """The holes, and the smallest refused ranges without one inside: what the others follow from."""
    holes = _holes(refused)
    return frozenset({*((piece, piece + 1) for piece in holes), *_unexplained(refused, holes)})


def _holes(refused: frozenset[Range]) -> list[int]:
    return sorted(first for first, end in refused if end == first + 1)


def _unexplained(refused: frozenset[Range], holes: list[int]) -> list[Range]:
    open_ranges = [(first, end) for first, end in refused if not any(first <= piece < end for piece in holes)]
    return [outer for outer in open_ranges if not any(_within(inner, outer) for inner in open_ranges if inner != outer)]


def _within(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _parts(run: Range, refused: frozenset[Range]) -> Iterator[Range]:
    """The run, halved as long as a half holds a refused range; a single piece that is refused is none."""
    first, end = run
    if not any(_within(bad, run) for bad in refused):
        yield run
    elif end - first > 1:
        middle = (first + end) // 2
        yield from _parts((first, middle), refused)
        yield from _parts((middle, end), refused)
