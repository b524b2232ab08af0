"""A refused block is halved on the borders of its values until the holes are known, with a bounded number of questions."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from modbus_rig import plan_of, profile_of

from edgegw.config.model import Bus
from edgegw.drivers.holes import cut, worth_keeping

SERIAL = Bus(name="rs485a", kind="serial", path="/dev/null")


def search(count, is_refused):
    """(ranges that are answered, holes, refusals met, ranges met) of asking a device until nothing new is found."""
    refused, answered, met = frozenset(), set(), set()
    while True:
        ranges, holes = cut(count, refused)
        left = next((part for part in ranges if part not in answered), None)
        if left is not None and is_refused(*left):
            assert left not in met
            met.add(left)
            refused |= {left}
        elif left is not None:
            answered.add(left)
        elif refused == worth_keeping(refused):
            return ranges, holes, met, answered
        else:
            refused = worth_keeping(refused)


def pieces_of(ranges):
    return [piece for first, end in ranges for piece in range(first, end)]


@given(st.integers(1, 40).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1)))))
def test_every_hole_is_found_and_nothing_else(case):
    """What the device has is read in as few questions as its holes leave; the search takes a bounded number of them."""
    count, missing = case
    ranges, holes, met, answered = search(count, lambda first, end: any(first <= piece < end for piece in missing))
    assert sorted(missing) == holes
    assert [piece for piece in range(count) if piece not in missing] == pieces_of(ranges)
    assert all(end in missing or end == count for _, end in ranges)
    assert len(met) <= min(2 * count - 1, len(missing) * (math.ceil(math.log2(count)) + 1))
    assert len(met) + len(answered) <= 3 * count


@given(st.integers(2, 24).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(1, count - 1)), st.sets(st.integers(0, count - 1)))))
def test_an_undefined_register_between_values_costs_no_value(case):
    """Where two values cannot be read together they are asked apart, and only what is missing is a hole; no range is asked twice after its refusal."""
    count, borders, missing = case

    def is_refused(first, end):
        return any(first <= piece < end for piece in missing) or any(first < border < end for border in borders)

    ranges, holes, met, answered = search(count, is_refused)
    assert (sorted(missing), False) == (holes, any(is_refused(*part) for part in ranges))
    assert [piece for piece in range(count) if piece not in missing] == pieces_of(ranges)
    assert len(met) + len(answered) <= 8 * count


def test_a_device_that_refuses_all_is_all_holes():
    """Nothing is left to ask."""
    assert ([], [0, 1, 2]) == cut(3, frozenset({(0, 3), (0, 1), (1, 3), (1, 2), (2, 3)}))


def test_parts_cut_no_value_and_keep_the_order_of_points():
    """Values that share registers, an exponent and its mantissa, stay in one question; each part decodes its own points."""
    rows = """alarm_word.1, address = 0; type = 'u32'
        alarm_word.2, address = 1
        voltage, address = 2; type = 'i16'; exponent = 4
        current, address = 3; type = 'i16'; exponent = 4
        alarm_word.3, address = 6; type = 'u32'"""
    (planned,) = plan_of(profile_of(rows, "max_gap = 9"), SERIAL).sources
    assert 3 == planned.pieces
    division = planned.divide(planned.divide(frozenset({(0, 3), (1, 3), (2, 3)})).facts)
    assert ([((0, 2), (0, 4))], (4,)) == ([(part.pieces, part.positions) for part in division.parts], division.holes)
    assert (0, 5) == (division.parts[0].question.payload[3], division.parts[0].question.payload[5])
    halves = planned.divide(frozenset({(0, 3), (0, 2)})).parts
    assert [(0, 1), (1, 3)] == [part.pieces for part in halves]
    assert [(0, 2), (2, 6)] == [(part.question.payload[3], part.question.payload[5]) for part in halves]
    assert frozenset({(2, 3)}) == division.facts
    assert [(0, 1), (1, 2), (2, 3)] == [part.pieces for part in planned.divide(frozenset({(0, 2), (1, 3)})).parts]
