"""The notices that wait: order, pauses, limits, and what is written down of them."""

from __future__ import annotations

import itertools

from telling_rig import DUTY, JOURNAL, MAIL, SMS, Station, happened, moment, stored_jobs, told, words

from edgegw.config.notify_model import Recipient, Route, TellingTable
from edgegw.rules.annunciation import WINDOWS
from edgegw.rules.limits import LIMITS, limits_of, windows_of
from edgegw.rules.notifiers.job import Job
from edgegw.rules.notifiers.pause import Trouble
from edgegw.rules.notifiers.queue import WAITING_MAX
from edgegw.rules.notifiers.routing import Target
from edgegw.rules.told import Why

SECOND = 1 / 60
GIVE_UP_MS, RETRY_FIRST_MS, RETRY_MAX_MS = LIMITS.give_up_ms, LIMITS.retry_first_ms, LIMITS.retry_max_ms
STORM_NOTICES, STORM_NOTICES_SEVERE, STORM_SPAN_MS = LIMITS.storm_notices, LIMITS.storm_notices_severe, LIMITS.storm_span_ms


def test_the_most_severe_goes_first():
    """
    Whatever came before it.
    """
    station = Station()
    station.note(told(1, level="minor"), told(2, level="critical"), told(3))
    assert ["#2 raised duty", "#3 raised duty", "#1 raised duty"] == station.deliver_all()


def test_a_delivery_is_written_down_and_leaves_nothing_behind():
    """
    The event has channel, recipient, alarm, attempts and the server's word; the store has no notice any more.
    """
    station = Station()
    station.note(told(7))
    station.fail()
    station.deliver(1)
    body = station.events[-1].body
    assert ("delivered", "sms", "duty", [7], 2, 60.0, "taken") == tuple(
        body[key] for key in ("outcome", "channel", "recipient", "numbers", "attempts", "waited_s", "detail")
    )
    assert [] == stored_jobs(station.store)


def test_a_failed_attempt_pauses_the_channel_longer_each_time():
    """
    Five seconds, then ten, up to five minutes; between them nothing is sent.
    """
    station = Station()
    station.note(told())
    minute, waits_s = 0.0, []
    for _ in range(9):
        assert station.fail(minute) is not None
        due = station.queue.due_ms("sms", moment(minute))
        assert station.pick(due / 60_000 - SECOND) is None
        waits_s.append(round(due / 1000 - minute * 60))
        minute = due / 60_000
    assert [5, 10, 20, 40, 80, 160, 300, 300, 300] == waits_s
    assert (RETRY_FIRST_MS, RETRY_MAX_MS) == (5_000, 300_000)


def test_something_new_is_tried_within_ten_seconds_on_a_channel_that_is_down():
    """
    A pause of five minutes does not hold up what came a moment ago.
    """
    station = Station()
    station.note(told(1))
    minute = 0.0
    for _ in range(8):
        station.fail(minute)
        minute = station.queue.due_ms("sms", moment(minute)) / 60_000
    station.fail(minute)
    station.note(told(2), minute=minute + 5 * SECOND)
    assert station.pick(minute + 9 * SECOND) is None
    assert "#2 raised duty" == words(station.pick(minute + 10 * SECOND))


def test_a_notice_that_is_put_off_does_not_hold_up_the_others():
    """
    A mailbox that is greylisted for one is no reason to keep the next waiting, even when it is less severe.
    """
    station = Station()
    station.note(told(1, level="critical"), told(2, level="minor"))
    station.fail()
    assert "#2 raised duty" == words(station.deliver(6 * SECOND))


def test_a_refused_notice_is_not_tried_again():
    """
    Refused for good it is ended at once, with the reason, and the next goes on without a pause.
    """
    station = Station()
    station.note(told(1), told(2))
    station.fail(later=False)
    assert "#2 raised duty" == words(station.deliver())
    assert [("refused", "no network"), ("delivered", "taken")] == [(event.body["outcome"], event.body["detail"]) for event in station.events]


def test_what_cannot_be_told_for_a_day_is_given_up():
    """
    With an event, and not before.
    """
    station = Station()
    station.note(told())
    minute = 0.0
    while station.fail(minute) is not None and not station.outcomes():
        due = station.queue.due_ms("sms", moment(minute))
        if due is None:
            break
        minute = due / 60_000
    assert ["given_up"] == station.outcomes()
    assert GIVE_UP_MS <= station.events[-1].mono_ms <= GIVE_UP_MS + RETRY_MAX_MS
    assert round(station.events[-1].mono_ms / 1000) == round(station.events[-1].body["waited_s"])


def test_what_never_had_its_turn_is_given_up_too():
    """
    After a day of waiting, over a restart; but not for waiting until the hours of its route begin.
    """
    station = Station()
    station.note(told(1))
    station.tick(12 * 60)
    station.restart(moment(12 * 60))
    station.tick(12 * 60)
    station.note(told(2, minute=12 * 60), minute=12 * 60)
    station.queue.add(Job("later", Target("sms", "duty"), told(3), not_before_ms=moment(60 * 60).wall_ms), moment(12 * 60))
    station.tick(36 * 60)
    assert ["given_up", "given_up"] == station.outcomes()
    station.tick(60 * 60)
    assert "#3 raised duty" == words(station.fail(60 * 60))
    assert 1 == len(station.queue)


def test_the_oldest_of_the_least_severe_goes_when_too_many_wait():
    """
    What has no recipient cannot be joined: counted, with an event; what is more severe stays.
    """
    station = Station(channels=(JOURNAL,))
    for number in range(1, WAITING_MAX + 2):
        station.queue.add(Job(f"n{number}", Target("journal"), told(number, level="minor" if number in (2, 3) else "major")), moment())
    station.keep()
    assert [("dropped", [2])] == [(event.body["outcome"], event.body["numbers"]) for event in station.events]
    assert (WAITING_MAX, 1) == (len(station.queue), station.queue.counts.dropped)


def test_what_may_have_arrived_is_sent_again_ever_more_seldom():
    """
    A provider that sends and answers something unexpected does so at each attempt: a handful in a day, and one at once when the channel works again.
    """
    station = Station()
    station.note(told(1))
    tried = []
    for second in range(0, 86_400, 5):
        job = station.pick(second * SECOND)
        if job is not None:
            tried.append(second)
            station.queue.failed(job, "E-TELL-REFUSED: ok is not in its answer", moment(second * SECOND), later=True, unsure=True)
            station.keep()
    assert [20, 80, 320, 1280, 5120, 20480] == [after - before for before, after in itertools.pairwise(tried)]
    station.note(told(2, minute=1436), minute=1436)
    assert ["#2 raised duty", "#1 raised duty"] == station.deliver_all(1436)
    assert [("delivered", [1], len(tried))] == [(event.body["outcome"], event.body["numbers"], event.body["unsure"]) for event in station.events[1:]]


def test_a_channel_that_fails_for_one_recipient_alone_says_whom():
    """
    A mailbox that is full for a quarter of an hour says nothing of the others; a network that is down does.
    """
    for error, expected in (("E-TELL-RECIPIENT: mailbox full", "duty"), ("E-TELL-SERVER: no answer", "")):
        station = Station()
        station.note(told(1))
        for minute in range(0, 30, 10):
            job = station.pick(minute)
            assert job is not None
            station.queue.failed(job, error, moment(minute), later=True)
        assert {"sms": Trouble(error, expected)} == station.queue.failing(moment(20))


def test_a_storm_while_the_channels_are_away_leaves_nobody_uncounted():
    """
    Three hundred alarms of each sort for two people by two ways are more than may wait: they are joined, the lesser ones first, and none is dropped.
    """
    people = (DUTY, Recipient(name="boss", address={"mail": "boss@x", "sms": "+862"}))
    station = Station(Route(name="r", recipients=["duty", "boss"]), channels=(MAIL, SMS), recipients=people)
    levels = ("critical", "major", "minor")
    for number in range(1, 301):
        station.note(told(number, level=levels[number % 3]))
    assert len(station.queue) <= WAITING_MAX
    station.restart(moment(1))
    for who in (("mail", "duty"), ("mail", "boss"), ("sms", "duty"), ("sms", "boss")):
        mine = [job for job in station.queue.jobs() if job.target.who == who]
        assert 300 == sum(job.told.count for job in mine)
        assert 100 == sum(job.told.count == 1 and job.is_urgent for job in mine)
    assert {"joined"} == set(station.outcomes())


def test_a_storm_is_told_singly_up_to_the_limit_and_then_as_one():
    """
    Ten notices, then nothing until the ten minutes are over, then one that stands for the others.
    """
    station = Station()
    for number in range(1, 31):
        station.note(told(number, minute=number * SECOND, level="minor"), minute=number * SECOND)
        station.deliver(number * SECOND)
    assert ["delivered"] * STORM_NOTICES == station.outcomes()
    again = station.queue.due_ms("sms", moment(1)) / 60_000
    assert (STORM_SPAN_MS + 1000) / 60_000 == again
    assert ["20 alarms duty"] == station.deliver_all(again)
    assert ["joined", "delivered"] == station.outcomes()[STORM_NOTICES:]
    assert list(range(11, 31)) == station.events[-1].body["numbers"]


def test_what_was_held_up_comes_as_one_even_when_there_is_room_for_each():
    """
    Three that came beyond the limit are one summary when all ten are ten minutes old.
    """
    station = Station()
    for number in range(1, STORM_NOTICES + 1):
        station.note(told(number, level="minor"))
        station.deliver()
    station.note(*(told(number, level="minor") for number in (11, 12, 13)))
    assert station.pick() is None
    assert ["3 alarms duty"] == station.deliver_all(STORM_SPAN_MS / 60_000)


def test_what_gathered_while_a_channel_was_away_is_told_as_one():
    """
    More than ten that wait for one person become one summary at once.
    """
    station = Station()
    station.note(*(told(number, level="minor") for number in range(1, 26)))
    assert ["25 alarms duty"] == station.deliver_all()
    assert (25, 20) == (station.events[-1].body["count"], len(station.events[-1].body["numbers"]))


def test_no_limit_holds_up_the_most_severe():
    """
    Critical and safety alarms are told singly in the middle of a storm.
    """
    station = Station()
    for number in range(1, STORM_NOTICES_SEVERE + 2):
        station.note(told(number))
        station.deliver()
    assert STORM_NOTICES_SEVERE == len(station.outcomes())
    station.note(told(50, level="critical"), told(51, level="minor", safety=True))
    assert ["#50 raised duty", "#51 raised duty"] == station.deliver_all()


def test_the_second_highest_level_waits_for_no_lesser_one():
    """
    Majors are told singly behind ten minors, and up to thirty of them; the minors behind them wait.
    """
    station = Station()
    for number in range(1, STORM_NOTICES + 1):
        station.note(told(number, level="minor"))
        station.deliver()
    station.note(told(11, level="minor"), told(12), told(13, level="notice"), told(14))
    assert ["#12 raised duty", "#14 raised duty"] == station.deliver_all()
    assert ["2 alarms duty"] == station.deliver_all(STORM_SPAN_MS / 60_000)


def test_what_is_severe_counts_for_the_lesser_ones():
    """
    Who has had ten notices, whatever their level, gets the minors as one summary.
    """
    station = Station()
    station.note(*(told(number) for number in range(1, 10)), told(10, level="critical"))
    station.deliver_all()
    station.note(told(11, level="minor"), told(12, level="minor"))
    assert [] == station.deliver_all(1)
    assert ["2 alarms duty"] == station.deliver_all(STORM_SPAN_MS / 60_000)


def test_a_storm_of_severe_alarms_is_bounded_too():
    """
    Thirty majors are told singly, the others in one summary when the ten minutes are over: what a person can read and an SMS bill can bear.
    """
    station = Station()
    for number in range(1, 51):
        station.note(told(number, minute=number * SECOND), minute=number * SECOND)
        station.deliver(number * SECOND)
    assert ["delivered"] * STORM_NOTICES_SEVERE == station.outcomes()
    again = station.queue.due_ms("sms", moment(1)) / 60_000
    assert (STORM_SPAN_MS + 1000) / 60_000 == again
    assert ["20 alarms duty"] == station.deliver_all(again)


def test_two_summaries_tell_each_level_by_itself():
    """
    Majors and minors that were held up do not go into one: the majors come first, by name.
    """
    station = Station()
    station.note(*(told(number, level="minor") for number in range(1, 21)), *(told(number) for number in range(21, 61)))
    assert ["40 alarms duty", "20 alarms duty"] == station.deliver_all()


def test_the_limits_are_those_of_the_configuration():
    """
    Two notices within a minute, then a summary; a second attempt after a second, given up after an hour.
    """
    limits = limits_of(TellingTable(storm_notices=2, storm_span_s=60, retry_first_s=1, retry_max_s=60, give_up_h=1))
    station = Station(limits=limits)
    for number in range(1, 6):
        station.note(told(number, level="minor"))
    assert ["5 alarms duty"] == station.deliver_all()
    station.note(told(6, level="minor"), told(7, level="minor"), told(8, level="minor"))
    assert ["3 alarms duty"] == station.deliver_all()
    station.note(told(9, level="minor"))
    assert [[], ["#9 raised duty"]] == [station.deliver_all(), station.deliver_all(1)]
    station.note(told(10), minute=1)
    station.fail(1)
    assert moment(1).mono_ms + 1000 == station.queue.due_ms("sms", moment(1))
    station.tick(61)
    assert "given_up" == station.outcomes()[-1]


def test_without_configuration_the_limits_are_the_ones_of_the_program():
    """
    The defaults of `[telling]` are what the queue and the engine do by themselves.
    """
    assert (LIMITS, WINDOWS) == (limits_of(TellingTable()), windows_of(TellingTable()))


def test_the_limit_is_of_one_person():
    """
    Another one is told meanwhile.
    """
    station = Station(Route(name="all", recipients=["duty"]), Route(name="boss", recipients=["boss"], rules=["smoke"]))
    for number in range(1, STORM_NOTICES + 2):
        station.note(told(number, level="minor"))
        station.deliver()
    station.note(told(60, rule="smoke", level="minor"))
    assert ["#60 raised boss"] == station.deliver_all()


def test_the_end_never_arrives_before_the_alarm():
    """
    An alarm that ends while its notice is under way, which then fails, is told in one notice that says both.
    """
    station = Station()
    station.note(told(1))
    job = station.pick()
    station.note(happened(1, "cleared", 1, closed=True), told(1, Why.CLEARED, minute=1), minute=1)
    station.queue.failed(job, "no network", moment(1), later=True)
    station.keep()
    assert ["#1 raised+ended duty"] == station.deliver_all(2)


def test_a_notice_keeps_its_id_over_attempts_and_restarts():
    """
    So that a repeat is known as one; an id is never given twice.
    """
    station = Station()
    station.note(told(1))
    first = station.fail()
    station.restart(moment(1))
    again = station.pick(1)
    station.note(told(2), minute=1)
    assert (first.notice_id, 1) == (again.notice_id, again.attempts)
    assert 2 == len({job.notice_id for job in station.queue.jobs()})


def test_an_attempt_that_is_broken_off_is_made_again_after_the_others():
    """
    Nobody knows how far it came; what else is ready goes first, so that a notice that breaks its channel does not stop it.
    """
    station = Station()
    station.note(told(1, level="critical"), told(2))
    station.queue.abandoned(station.pick())
    assert ["#2 raised duty", "#1 raised duty"] == station.deliver_all()


def test_who_is_gone_from_the_configuration_is_given_up_at_the_start():
    """
    With an event that says so.
    """
    station = Station()
    station.note(told(1))
    station.router = Station(Route(name="all", recipients=["other"]), channels=(SMS,), recipients=(Recipient(name="other", address={"sms": "+863"}),)).router
    station.restart(moment(1))
    assert ["given_up"] == station.outcomes()
    assert "duty" in station.events[-1].body["detail"]
