"""Connectors and safety inputs: every change is an event, a contact is turned round, settled and lost as it is wired."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from truth_rig import MODULE, PILE, config, judge, keep, moment, offline, reading, words

from edgegw.config.model import Contact as ContactSettings
from edgegw.model import Quality
from edgegw.truth.contact import Contact, Wiring, see


def test_each_transition_of_a_connector_is_an_event():
    """
    A state that lasted one poll is told like any other, with the pile's own code.
    """
    truth = judge()
    events = [
        event
        for second, (state, code) in enumerate([(1, 7), (2, 8), (3, 9), (1, 7), (1, 7)])
        for event in truth.judge(reading(PILE, second, state, code)).events
    ]
    assert ["connector 1>2", "connector 2>3", "connector 3>1"] == words(events)
    assert {"gun": 1, "from_word": "connected", "to_word": "charging", "raw": 9, "over_restart": False}.items() <= events[1].body.items()


def test_a_transition_over_a_silence_and_over_a_restart_is_told():
    """
    What changed while nobody could see it is told with the first reading behind it.
    """
    store: dict[str, bytes] = {}
    first = judge()
    keep(store, first.judge(reading(PILE, 0, 1, 7)))
    assert [] == words(first.judge(offline(PILE, 1)).events)
    second = judge(restored=store)
    verdict = second.judge(reading(PILE, 0, 3, 9))
    assert ["connector 1>3"] == words(verdict.events)
    assert verdict.events[0].body["over_restart"]
    assert not second.judge(reading(PILE, 1, 2, 8)).events[0].body["over_restart"]


# -- inputs


def test_a_normally_closed_contact_is_turned_round():
    """
    A closed circuit is 0, an open one is the alarm; an input that nobody configured stays as it is.
    """
    truth = judge(config(di_01={"input": {"4": ContactSettings(contact="nc")}}))
    assert [(1, 0), (0, 1)] == [truth.judge(reading(MODULE, second, raw, raw)).readings[0].values for second, raw in enumerate((1, 0))]


def test_a_value_counts_when_it_was_unchanged_for_its_time():
    """
    With 1 s of debounce and a poll of 0.5 s the third read of an open circuit counts; until then it is suspect, and as it is.
    """
    truth = judge()
    for tenth in (0, 5, 10, 15):
        truth.judge(reading(MODULE, tenth / 10, 0, 1))
    verdicts = [truth.judge(reading(MODULE, tenth / 10, 0, 0)) for tenth in (20, 25, 30)]
    assert [(0, 1)] * 3 == [verdict.readings[0].values for verdict in verdicts]
    assert [{1: Quality.SUSPECT}, {1: Quality.SUSPECT}, {}] == [verdict.readings[0].quality for verdict in verdicts]
    assert ["input 0>1"] == words([event for verdict in verdicts for event in verdict.events])
    assert ("烟感", 0, 0) == (verdicts[2].events[0].body["name"], verdicts[2].events[0].body["raw"], verdicts[2].events[0].body["glitches"])


def test_a_glitch_is_counted_and_no_change():
    """
    A value that goes back before its time is over is told with the next real change.
    """
    truth = judge()
    raws = [1, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0]
    events = [event for half, raw in enumerate(raws) for event in truth.judge(reading(MODULE, half / 2, 0, raw)).events]
    assert ["input 0>1"] == words(events)
    assert 2 == events[0].body["glitches"]


def test_the_time_of_the_debounce_is_the_monotonic_one():
    """
    A step of the wall clock settles nothing.
    """
    truth = judge()
    for half in range(4):
        truth.judge(reading(MODULE, half / 2, 0, 1))
    verdict = truth.judge(reading(MODULE, 2, 0, 0))
    stepped = truth.judge(reading(MODULE, 2.5, 0, 0, wall_ms=1_900_000_000_000))
    assert {1: Quality.SUSPECT} == verdict.readings[0].quality == stepped.readings[0].quality


def test_one_lost_answer_is_no_blind_input():
    """
    The guard against late answers holds the next question back for 3 s behind the time-out: only when that is not answered either the input is lost.
    """
    truth = judge(config(di_01={"input": {"1": ContactSettings(fail_safe=True)}}))
    truth.judge(reading(MODULE, 0, 0, 0))
    truth.judge(offline(MODULE, 0.2))
    assert None is truth.tick(moment(4.0))
    assert [] == words(truth.judge(reading(MODULE, 4.1, 0, 0)).events)
    truth.judge(offline(MODULE, 5.0))
    assert None is truth.tick(moment(9.4))
    assert ["input_lost raised"] == words(truth.tick(moment(9.5)).events)


def test_a_lost_module_is_a_fault_of_every_fail_safe_input():
    """
    After 3 s without a value each of them is lost, by time alone, once; the first value brings it back.
    """
    both = ContactSettings(fail_safe=True)
    truth = judge(config(di_01={"input": {"1": both, "4": both}}))
    truth.judge(reading(MODULE, 0, 0, 0))
    truth.judge(offline(MODULE, 1))
    truth.judge(offline(MODULE, 1.5))
    assert None is truth.tick(moment(3.9))
    lost = truth.tick(moment(4.1))
    assert ["input_lost raised", "input_lost raised"] == words(lost.events)
    assert ["input.1", "input.4"] == [event.body["point"] for event in lost.events]
    assert [] == words(truth.judge(offline(MODULE, 5)).events)
    assert ["input_lost cleared", "input_lost cleared"] == words(truth.judge(reading(MODULE, 9, 0, 0)).events)


def test_one_lost_answer_loses_no_input():
    """
    A gap of less than 3 s is noise of the line.
    """
    truth = judge()
    events = [*truth.judge(reading(MODULE, 0, 0, 1)).events, *truth.judge(offline(MODULE, 1)).events, *truth.judge(reading(MODULE, 2, 0, 1)).events]
    assert [] == events
    assert None is truth.tick(moment(10))


def test_a_lost_input_is_not_told_again_after_a_restart():
    """
    It comes back where it was lost, or stays lost without a second word.
    """
    store: dict[str, bytes] = {}
    first = judge()
    keep(store, first.judge(reading(MODULE, 0, 0, 1)))
    for second in (1, 2, 5):
        keep(store, first.judge(offline(MODULE, second)))
    again = judge(restored=store)
    assert () == again.judge(offline(MODULE, 0)).events + again.judge(offline(MODULE, 9)).events
    assert ["input_lost cleared"] == words(again.judge(reading(MODULE, 10, 0, 1)).events)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3000)), max_size=50), st.integers(0, 2000), st.booleans())
def test_an_input_settles_whatever_came_before(course, debounce_ms, inverted):
    """
    A value that is seen for its whole time is accepted, and never one that was not.
    """
    wiring = Wiring(inverted, debounce_ms=debounce_ms)
    contact, at_ms, since_ms, last = Contact(), 0, 0, None
    for raw, gap_ms in course:
        at_ms += gap_ms
        since_ms = since_ms if raw == last else at_ms
        last = raw
        told = see(wiring, contact, raw, at_ms)
        contact = told.contact
        assert not told.changed or at_ms - since_ms >= debounce_ms
    see_again = see(wiring, see(wiring, contact, 1, at_ms + 1).contact, 1, at_ms + 1 + debounce_ms)
    assert (0 if inverted else 1) == see_again.contact.accepted
