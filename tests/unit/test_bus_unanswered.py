"""The late-answer guard: what may be asked when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgegw.bus.unanswered import Unanswered

LONG, SHORT, OTHER = (1, 3, 40), (1, 3, 2), (2, 3, 40)
MS = 1_000_000


def test_a_question_without_answer_is_held_back_for_the_guard():
    """What a late answer could fit is not asked until it can no longer come; everything else may be."""
    guard = Unanswered(100)
    guard.timed_out(LONG, 0)
    assert (100 * MS, 0, 0) == (guard.blocked_until_ns(LONG, 1), guard.blocked_until_ns(SHORT, 1), guard.blocked_until_ns(OTHER, 1))
    assert 0 == guard.blocked_until_ns(LONG, 100 * MS)


def test_an_answer_that_fits_no_other_question_ends_the_doubt():
    """A device answers in order: after the answer to a younger, different question nothing older can come."""
    guard = Unanswered(100)
    guard.timed_out(LONG, 0)
    guard.answered(SHORT, 1)
    assert 0 == guard.blocked_until_ns(LONG, 2)


def test_an_exception_proves_nothing():
    """An exception may belong to the older question, so the younger one is in doubt as well."""
    guard = Unanswered(100)
    guard.timed_out(LONG, 0)
    guard.refused(SHORT, 1)
    assert guard.blocked_until_ns(LONG, 2) > 0
    assert guard.blocked_until_ns(SHORT, 2) > 0


def test_an_exception_alone_is_the_answer():
    """With nothing unanswered an exception belongs to the question asked."""
    guard = Unanswered(100)
    guard.refused(SHORT, 1)
    assert 0 == guard.blocked_until_ns(SHORT, 2)


def test_an_answer_to_a_repeated_question_starts_the_guard_again():
    """A device that wakes up works off what it was asked: more of the same may follow."""
    guard = Unanswered(100)
    for at in (0, 1000, 2000):
        guard.timed_out(SHORT, at * MS)
    guard.answered(SHORT, 5000 * MS)
    assert 5100 * MS == guard.blocked_until_ns(SHORT, 5001 * MS)


def test_what_was_asked_before_the_first_of_the_answered_is_over():
    """An answer with a known key ends the doubt about everything older than its first question, not about the younger."""
    guard = Unanswered(100)
    younger = (1, 3, 10)
    for key in (LONG, SHORT, SHORT, younger):
        guard.timed_out(key, 0)
    guard.answered(SHORT, 10)
    assert (0, True) == (guard.blocked_until_ns(LONG, 11), guard.blocked_until_ns(younger, 11) > 0)


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


@given(STEPS)
def test_no_allowed_question_has_a_late_twin(steps):
    """Against a device that answers in order, as late as it likes within the guard, an allowed question never meets an older answer of its key."""
    guard_ms = 50
    guard = Unanswered(guard_ms)
    owed: list[tuple[int, tuple[int, ...], int]] = []  # (number of the question, key, no longer answered after)
    now = 0
    for number, (size, work_off, comes_now) in enumerate(steps):
        key = (1, 3, 2 * size)
        now += 1
        owed = [item for item in owed if item[2] > now]
        if guard.blocked_until_ns(key, now * MS):
            now += 7
            continue
        for item in owed[:work_off]:  # Late answers come before this one's.
            assert item[1] != key
        del owed[:work_off]
        if comes_now and not owed:
            guard.answered(key, now * MS)
        else:
            now += 10
            guard.timed_out(key, now * MS)
            owed.append((number, key, now + guard_ms))
