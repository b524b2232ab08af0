"""Sets of sequences behave like sets of integers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.intervals import IntervalSet

pairs = st.tuples(st.integers(1, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.booleans(), pairs), max_size=40))
def test_intervals_behave_like_a_set_of_integers(steps):
    """
    Whatever is added and removed, the intervals hold what a plain set would hold, count what was new, and are as few as can be.
    """
    intervals, model = IntervalSet(), set()
    for adds, (first, last) in steps:
        span = set(range(first, last + 1))
        if adds:
            before = set(intervals)
            swallowed, merged, new = intervals.add(first, last)
            assert len(span - model) == new
            assert set(swallowed) == before - set(intervals) | ({merged} & before)
            assert merged in set(intervals)
            model |= span
        else:
            intervals.remove(first, last)
            model -= span
        assert model == {number for low, high in intervals for number in range(low, high + 1)}
        assert all(low <= high for low, high in intervals)
        assert all(high + 1 < low for (_, high), (low, _) in pairwise(intervals))
    for first, last in ((1, 5), (10, 30), (7, 7)):
        span = set(range(first, last + 1))
        assert (span <= model) == intervals.covers(first, last)
        assert span - model == {number for low, high in intervals.missing(first, last) for number in range(low, high + 1)}
        assert (first in model) == (first in intervals)


@pytest.mark.parametrize(("first", "last", "covered"), [(1, 10, True), (3, 4, True), (0, 3, False), (10, 11, False), (20, 25, True), (9, 20, False)])
def test_covering_needs_every_integer(first, last, covered):
    """
    A range is covered when one interval holds all of it.
    """
    intervals = IntervalSet()
    intervals.add(1, 10)
    intervals.add(20, 25)
    assert covered == intervals.covers(first, last)


def test_a_set_is_made_from_its_own_intervals():
    """
    What is stored of a set makes the same set again, in any order.
    """
    intervals = IntervalSet([(20, 25), (1, 10)])
    assert [(1, 10), (20, 25)] == list(intervals) == list(IntervalSet(reversed(list(intervals))))
