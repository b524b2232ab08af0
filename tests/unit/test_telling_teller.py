"""From what the engine decided to who is told, who is told next, and of the end."""

from __future__ import annotations

import time

import pytest
from telling_rig import DUTY, JOURNAL, MAIL, SIREN, SMS, WALL_MS, Station, episode, happened, moment, router, told, words

from edgegw.config.notify_model import Recipient, Route
from edgegw.model import ClockTrust, Event
from edgegw.rules.notifiers.job import JOB_PREFIX
from edgegw.rules.notifiers.routing import SUMMARY_EPISODES_MAX
from edgegw.rules.notifiers.teller import CASE_PREFIX, CASES_MAX, LINGER_MS
from edgegw.rules.told import Told, Why

ESCALATING = Route(name="r", recipients=["duty"], channels=["sms"], escalate_after_min=15, escalate_to=["boss"])


def test_who_was_told_of_an_alarm_is_told_of_its_end():
    """
    And nobody else; then nothing of the alarm is kept.
    """
    station = Station()
    station.note(told(1))
    station.deliver()
    station.note(happened(1, "cleared", 5, closed=True), told(1, Why.CLEARED, minute=5), minute=5)
    station.note(told(2, Why.CLEARED, minute=5), minute=5)
    assert ["#1 cleared duty"] == station.deliver_all(5)
    station.tick(5 + LINGER_MS / 60_000)
    assert {} == station.store


def test_a_route_may_leave_out_the_end():
    """
    And a siren never tells one.
    """
    station = Station(Route(name="r", recipients=["duty"], channels=["sms"], tell_cleared=False), Route(name="s", channels=["siren"]), channels=(SMS, SIREN))
    station.note(told(1))
    assert (["#1 raised duty"], ["#1 raised "]) == (station.deliver_all(), station.deliver_all(channel="siren"))
    station.note(happened(1, "cleared", closed=True), told(1, Why.CLEARED))
    assert 0 == len(station.queue)


def test_an_alarm_that_ended_before_it_could_be_told_is_told_all_the_same():
    """
    In one notice that says both, also after a restart.
    """
    station = Station()
    station.note(told(1))
    station.fail()
    station.note(happened(1, "cleared", 1, closed=True), told(1, Why.CLEARED, minute=1), minute=1)
    station.restart(moment(2))
    assert ["#1 raised+ended duty"] == station.deliver_all(2)


def test_a_level_that_rises_before_the_first_notice_went_out_is_told_in_it():
    """
    One notice with the level as it is now; delivered before, the new level is a notice of its own.
    """
    station = Station()
    station.note(told(1, level="minor"))
    station.note(told(1, Why.LEVEL, level="major"))
    job = station.deliver()
    assert ("#1 raised duty", "major") == (words(job), job.told.episode.facts.level)
    station.note(told(1, Why.LEVEL, level="critical"))
    assert ["#1 level duty"] == station.deliver_all()


def test_nobody_acknowledges_and_the_next_is_told():
    """
    After 15 minutes, once; the end is then told to both.
    """
    station = Station(ESCALATING)
    station.note(told(1))
    station.deliver()
    station.tick(14.9)
    assert [] == station.deliver_all(14.9)
    station.tick(15)
    job = station.deliver(15)
    assert ("#1 raised boss", 15) == (words(job), job.escalated_after_min)
    station.tick(40)
    station.note(happened(1, "cleared", 41, closed=True), told(1, Why.CLEARED, minute=41), minute=41)
    assert ["#1 cleared duty", "#1 cleared boss"] == station.deliver_all(41)


STOPS = [
    happened(1, "acknowledged", by="li"),
    happened(1, "shelved"),
    happened(1, "returned"),
    happened(1, "cleared"),
    happened(9, "raised", children=[episode(1).alarm_id]),
    Event("service", moment().wall_ms, 0, ClockTrust.SYNCHRONISED, "AC-01", {"state": "out_of_service"}),
]


@pytest.mark.parametrize("event", STOPS, ids=lambda event: str(event.body.get("edge", event.kind)))
def test_an_escalation_ends_when_somebody_has_it_in_hand_or_it_is_over(event):
    """
    Acknowledged, shelved, ended, explained by another alarm, or its device taken out of service.
    """
    station = Station(ESCALATING)
    station.note(told(1))
    station.deliver()
    station.note(event, minute=1)
    station.tick(20)
    assert [] == station.deliver_all(20)


def test_an_acknowledged_alarm_that_rises_is_waited_for_again():
    """
    What is worse must be acknowledged anew, and who has been told already is not told by the escalation.
    """
    station = Station(ESCALATING)
    station.note(told(1, level="minor"))
    station.note(happened(1, "acknowledged", by="li"))
    station.note(told(1, Why.LEVEL, minute=10), minute=10)
    station.deliver_all(10)
    station.tick(24.9)
    assert 0 == len(station.queue)
    station.tick(25)
    assert ["#1 level boss"] == station.deliver_all(25)


@pytest.mark.parametrize(
    ("trust", "wall", "due"),
    [
        (ClockTrust.SYNCHRONISED, 10, 5),
        (ClockTrust.SYNCHRONISED, 60, 0),
        (ClockTrust.SYNCHRONISED, -900, 15),
        (ClockTrust.UNSET, 10, 0),
        (ClockTrust.HELD, 10, 0),
    ],
)
def test_an_escalation_survives_a_restart(trust, wall, due):
    """
    It goes on where the wall clock says, never later than its whole time; without a clock to trust it is due at once.
    """
    station = Station(ESCALATING)
    station.note(told(1))
    station.deliver()
    at = moment(0, trust, wall)
    station.restart(at)
    assert due * 60_000 == station.teller.next_due_ms()


def test_what_waits_reads_who_has_acknowledged_it():
    """
    A notice that goes out late says that somebody is on it.
    """
    station = Station()
    station.note(told(1))
    station.note(happened(1, "acknowledged", 3, by="li"), minute=3)
    found = station.deliver(4).told.episode
    assert (True, "li", moment(3).wall_ms) == (found.acknowledged, found.acknowledged_by, found.acknowledged_at_ms)


def test_an_alarm_in_a_summary_that_waits_is_brought_up_to_date():
    """
    Its end is in the summary.
    """
    station = Station()
    station.note(*(told(number, level="minor") for number in range(1, 13)))
    summary = station.fail()
    station.note(happened(3, "cleared", 1, closed=True), minute=1)
    assert "12 alarms duty" == words(summary)
    assert [moment(1).wall_ms] == [one.cleared_at_ms for one in station.deliver(2).episodes if one.number == 3]


def test_one_alarm_goes_by_every_channel_on_its_own():
    """
    Each channel has its own notices: what fails by one is delivered by the others.
    """
    station = Station(Route(name="r", recipients=["duty"]), Route(name="j", channels=["journal"]), channels=(MAIL, SMS, JOURNAL))
    station.note(told(1))
    station.fail(channel="mail")
    assert (["#1 raised duty"], ["#1 raised "]) == (station.deliver_all(), station.deliver_all(channel="journal"))
    assert ["#1 raised duty"] == [words(job) for job in station.queue.jobs()]


def test_a_summary_tells_each_team_of_its_own():
    """
    However far behind it stands among three hundred: nobody is left out of a flood, nobody reads what is for others, and all of it is counted.
    """
    team = Recipient(name="power", address={"sms": "+863"})
    routes = (Route(name="piles", device_class="pile", recipients=["duty"]), Route(name="power", device_class="ups", recipients=["power"]))
    station = Station(*routes, recipients=(DUTY, team))
    many = [episode(number, "minor") for number in range(1, 300)] + [episode(300, "minor", "UPS-01")]
    station.note(Told(Why.SUMMARY, WALL_MS, many[0], others=tuple(many), count=305))
    found = {job.target.recipient: job.told for job in station.queue.jobs()}
    assert {"duty": 304, "power": 6} == {name: one.count for name, one in found.items()}
    assert (SUMMARY_EPISODES_MAX, [300]) == (len(found["duty"].others), [one.number for one in found["power"].others])
    assert "UPS-01" == found["power"].episode.facts.device


@pytest.fixture
def utc(monkeypatch):
    """The machine's zone, for what asks for it."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_what_comes_outside_the_hours_is_told_when_they_begin():
    """
    Raised at 08:00, told at 09:00, and where the clock is lost meanwhile at once.
    """
    station = Station(Route(name="day", recipients=["duty"], hours="09:00-18:00"))
    station.note(told(1))
    assert 60 * 60_000 == station.queue.due_ms("sms", moment())
    assert [] == station.deliver_all(59)
    assert station.queue.due_ms("sms", moment(10, ClockTrust.UNSET)) == 10 * 60_000
    assert ["#1 raised duty"] == station.deliver_all(60)


@pytest.mark.usefixtures("utc")
def test_a_clock_that_is_set_back_by_a_month_holds_up_nobody():
    """
    The hours would begin in a month by it: what waits for them is told now, and only set back by an hour it waits for that hour.
    """
    station = Station(Route(name="day", recipients=["duty"], hours="09:00-18:00"))
    station.note(told(1))
    assert station.queue.pick("sms", moment(10, wall=-50)) is None
    job = station.queue.pick("sms", moment(11, wall=-30 * 1440))
    assert job is not None
    assert "#1 raised duty" == words(job)


def test_nobody_is_told_an_end_by_a_channel_that_is_gone():
    """
    Nor does an escalation wait for who is no longer there: nothing would ever send it.
    """
    station = Station(ESCALATING)
    station.note(told(1))
    station.deliver()
    station.router = router([Route(name="m", recipients=["duty"])], (MAIL,), (DUTY,))
    station.restart(moment(1))
    station.tick(20)
    station.note(happened(1, "cleared", 21, closed=True), told(1, Why.CLEARED, minute=21), minute=21)
    assert 0 == len(station.queue)


def test_alarms_that_are_forgotten_are_bounded():
    """
    Beyond the bound the oldest case goes, those that are over first.
    """
    station = Station(ESCALATING)
    station.note(*(told(number) for number in range(1, CASES_MAX + 1)))
    station.note(happened(500, "cleared", closed=True))
    station.note(told(CASES_MAX + 1))
    cases = {key for key in station.store if key.startswith(CASE_PREFIX)}
    assert CASES_MAX == len(cases)
    assert CASE_PREFIX + episode(500).alarm_id not in cases


def test_states_that_cannot_be_read_are_forgotten():
    """
    A damaged notice or case costs the others nothing.
    """
    station = Station()
    station.note(told(1))
    station.store |= {JOB_PREFIX + "x": b"{", CASE_PREFIX + "y": b"\xff"}
    station.restart(moment(1))
    assert ["#1 raised duty"] == station.deliver_all(1)
    assert [CASE_PREFIX + episode(1).alarm_id] == list(station.store)


def test_a_report_goes_by_mail_to_who_was_told():
    """
    Once, as a notice of its own that nothing merges with: not by SMS, not of an alarm that nobody was told of, and also when the alarm is over by then.
    """
    station = Station(Route(name="r", recipients=["duty"]), channels=(MAIL, SMS))
    record = [Event("alarm_report", WALL_MS, 61_000, ClockTrust.SYNCHRONISED, "AC-01", {"id": episode(number).alarm_id, "series": []}) for number in (1, 2)]
    station.note(told(1, level="critical"))
    assert (["#1 raised duty"], ["#1 raised duty"]) == (station.deliver_all(), station.deliver_all(channel="mail"))
    station.note(happened(1, "cleared", 1, closed=True), told(1, Why.CLEARED, minute=1), minute=1)
    station.note(*record, minute=1.5)
    assert "#1 report+ended duty" == words(station.fail(1.5, "mail") or station.pick(1.5, "mail"))
    station.restart(moment(2))
    station.note(told(1, Why.LEVEL, level="critical", minute=2), minute=2)
    found = sorted(station.deliver_all(2.5, channel="mail"))
    assert ["#1 cleared duty", "#1 level duty", "#1 report+ended duty"] == found
    assert ["#1 cleared duty", "#1 level duty"] == sorted(station.deliver_all(2.5))
