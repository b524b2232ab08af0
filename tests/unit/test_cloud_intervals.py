"""Sets of sequences behave like sets of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edgegw.cloud.intervals import IntervalSet

RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=20)


def numbers(intervals) -> set[int]:
    return {number for first, last in intervals for number in range(first, last + 1)}


@given(RANGES, st.tuples(st.integers(1, 70), st.integers(0, 20)))
def test_an_interval_set_is_a_set(ranges, asked):
    """
    Whatever is added in whatever order, the set holds these numbers in disjoint intervals that do not touch, and knows what is missing.
    """
    held = IntervalSet()
    for first, last in ranges:
        before = numbers(held)
        swallowed, merged = held.add(first, last)
        assert numbers(held) == before | set(range(first, last + 1))
        assert numbers([merged]) == numbers(swallowed) | set(range(first, last + 1))
    found = list(held)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(found))
    wanted = set(range(asked[0], asked[0] + asked[1] + 1))
    assert wanted - numbers(ranges) == numbers(held.missing(asked[0], asked[0] + asked[1]))
    assert (asked[0] in held) == (asked[0] in numbers(ranges))
