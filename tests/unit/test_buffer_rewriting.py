"""What memory holds, divided into parts that the log can take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgegw.buffer.groups import EventRow, Group, TailRow
from edgegw.buffer.intake import Package
from edgegw.buffer.rewriting import Memory, portions_of, runs
from tests.unit.buffer_rig import METER, OTHER, reading

BYTES_MAX = 1_000
sizes = st.integers(0, 1_500)


def tail(row_id, size):
    return TailRow(row_id, 3, row_id, row_id, bytes(size), [], 1)


def event(number, size=10):
    return EventRow(number, number, "alarm", None, 0, bytes(size))


def bytes_of(group):
    return sum(len(row.body) for row in (*group.tails, *group.events))


@given(st.lists(sizes, max_size=20), st.lists(sizes, max_size=20))
def test_parts_hold_everything_once_in_order_and_are_small(tails, events):
    """
    Whatever is held: each row is in one part, in its order, and no part exceeds the bound unless it is a single row.
    """
    groups = [Group([tail(number, 5)], [event(number, size)], {"a": b"1"}) for number, size in enumerate(events)]
    held = [tail(number, size) for number, size in enumerate(tails)]
    parts = list(Memory(groups, held, {}, {}).parts(BYTES_MAX))
    assert held == [row for part in parts for row in part.tails]
    assert [group.events[0] for group in groups] == [row for part in parts for row in part.events]
    assert all(bytes_of(part) <= BYTES_MAX or 1 == len(part.tails) + len(part.events) for part in parts)
    assert all(not part.states for part in parts)


def test_a_removal_stays_whole_and_in_its_place():
    """
    The loss event goes with what it removes, behind the events that were numbered before it, and comes first where room must be made.
    """
    plain, removal = Group([], [event(1)], {}), Group([tail(1, 5)], [event(2, 5_000)], {}, (7, 8))
    memory = Memory([plain, removal, Group([], [event(3)], {})], [], {}, {})
    whole = Group([], removal.events, {}, (7, 8))
    assert [Group([], [event(1)], {}), whole, Group([], [event(3)], {})] == list(memory.parts(BYTES_MAX))
    assert [whole] == memory.removals


@given(st.lists(sizes, max_size=20))
def test_runs_of_groups_are_small_and_there_is_one(found):
    """
    What a stall has piled up becomes transactions of bounded size; a commit without rows is one run without groups.
    """
    groups = [Group([tail(number, size)], [], {}) for number, size in enumerate(found)]
    made = runs(groups, BYTES_MAX)
    assert groups == [group for run in made for group in run]
    assert all(sum(map(bytes_of, run)) <= BYTES_MAX or 1 == len(run) for run in made)
    assert len(made) >= 1


def test_a_package_is_never_divided():
    """
    One call of the loop is one transaction, however large; several are put together as far as they fit.
    """
    small, large = (Package([reading(METER, 1)] * 10, [], {}, 0.0), Package([reading(OTHER, 1)] * 100, [], {}, 0.0))
    found = portions_of([small, small, large, small], BYTES_MAX)
    assert [[small, small], [large], [small]] == [portion.packages for portion in found]
    assert [720, 3600, 360] == [portion.bytes for portion in found]
    assert [([], 0)] == [tuple(portion) for portion in portions_of([], BYTES_MAX)]
