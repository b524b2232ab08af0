"""What people do with alarms: it is written down, survives a restart, ends by itself, and never touches what is judged."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, WALL_MS, edges, engine, keep, reading, rule, run, source, tick

from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust
from edgegw.rules.engine import Engine, Moment, Word
from edgegw.rules.journal import RETURNED_MAX

WORD = Word("li", "on my way")
MAJOR = rule(level="major")


def at(second: float, clock: ClockTrust = ClockTrust.SYNCHRONISED) -> Moment:
    return Moment(round(second * 1000), WALL_MS + round(second * 1000), clock)


def raised(*rules, **more) -> Engine:
    """Alarm #1 is open since second 1."""
    judge = engine(rules or [MAJOR], **more)
    run(judge, source(), [(1, 462)])
    return judge


def said(judge: Engine) -> list[str]:
    return [event.body["edge"] for event in judge.changed().events if event.kind == "alarm"]


def test_acknowledgement_keeps_who_when_and_what():
    """An acknowledged alarm stays open and bears the name, the time and the note."""
    judge = raised()
    judge.desk.acknowledge(1, WORD, at(5))
    assert ["acknowledged"] == said(judge)
    (alarm,) = judge.open_alarms()
    assert (True, "li", WALL_MS + 5000, "on my way") == (alarm.acknowledged, alarm.acknowledged_by, alarm.acknowledged_at_ms, alarm.note)


def test_a_second_acknowledgement_changes_nothing():
    """It is harmless, says nothing, and the first name stays."""
    judge = raised()
    judge.desk.acknowledge(1, WORD, at(5))
    judge.changed()
    judge.desk.acknowledge(1, Word("wang"), at(6))
    assert not judge.changed()
    assert "li" == judge.open_alarms()[0].acknowledged_by


def test_what_ended_unseen_waits_for_somebody():
    """A major alarm that is over and not acknowledged is no open alarm any more, but stays listed until it is acknowledged, which closes it."""
    judge = raised()
    (cleared,) = run(judge, source(), [(9, 440)])
    assert ("cleared", False) == (cleared.body["edge"], cleared.body["closed"])
    assert ([], ["returned"]) == (judge.open_alarms(), [alarm.state for alarm in judge.all_alarms()])
    judge.desk.acknowledge(1, WORD, at(12))
    (event,) = judge.changed().events
    assert ("acknowledged", True) == (event.body["edge"], event.body["closed"])
    assert [] == judge.all_alarms()


@pytest.mark.parametrize("level", ["minor", "notice"])
def test_what_wants_no_acknowledgement_closes_itself(level):
    """A minor alarm that is over is closed."""
    judge = raised(rule(level=level))
    (cleared,) = run(judge, source(), [(9, 440)])
    assert cleared.body["closed"] is True
    assert [] == judge.all_alarms()


def test_unseen_alarms_are_bounded():
    """Of more than 500 the oldest is closed by itself, with its reason."""
    judge = engine([MAJOR])
    events = run(judge, source(), [(30 * number, 462 if number % 2 else 440) for number in range(1, 2 * RETURNED_MAX + 3)])
    closed = [event for event in events if event.body["edge"] == "closed"]
    assert [(1, f"nobody acknowledged it, and {RETURNED_MAX} others wait")] == [(event.body["number"], event.body["reason"]) for event in closed]
    assert RETURNED_MAX == len(judge.all_alarms())


def test_a_latched_alarm_waits_for_its_reset():
    """Its condition may end and come back; it is one alarm until somebody resets it, which is refused while the condition holds."""
    judge = raised(rule(latched=True))
    judge.desk.acknowledge(1, WORD, at(2))
    judge.changed()
    events = run(judge, source(), [(3, 440), (4, 462)])
    assert ["3.0 returned hot th-01", "4.0 again hot th-01"] == edges(events)
    assert not judge.open_alarms()[0].acknowledged
    with pytest.raises(EdgegwError, match="condition still holds"):
        judge.desk.reset(1, WORD, at(5))
    run(judge, source(), [(6, 440)])
    judge.changed()
    judge.desk.reset(1, WORD, at(7))
    assert ["reset"] == said(judge)
    assert [] == judge.all_alarms()


def test_a_shelved_alarm_is_hidden_and_comes_back_by_itself():
    """After an hour the alarm is shown again, with its reason; it never left the journal."""
    judge = raised()
    judge.desk.shelve(1, 3_600_000, WORD, at(5))
    assert ([], ["shelved"]) == (judge.open_alarms(), [alarm.visibility for alarm in judge.open_alarms(hidden=True)])
    judge.changed()
    assert 3_605_000 == judge.next_due_ms()
    event, told = tick(judge, 3605).events
    assert ("unshelved", "its time is over", "told") == (event.body["edge"], event.body["reason"], told.kind)
    assert ["shown"] == [alarm.visibility for alarm in judge.open_alarms()]


@pytest.mark.parametrize(
    ("for_h", "note", "safety", "reason"),
    [(1, "", False, "without a reason"), (25, "why", False, "longer than 24 h"), (2, "why", True, "longer than 1 h")],
)
def test_shelving_has_its_bounds(for_h, note, safety, reason):
    """Without a reason, for longer than a day, and for longer than an hour at a safety alarm it is refused."""
    judge = raised(rule(safety=safety))
    with pytest.raises(EdgegwError, match=reason):
        judge.desk.shelve(1, for_h * 3_600_000, Word("li", note), at(5))
    assert 1 == len(judge.open_alarms())


def test_a_device_out_of_service_hides_all_its_alarms():
    """Also those raised later; an event says by whom and until when, and another that it is back."""
    judge = engine([MAJOR])
    judge.desk.service("th-01", 60_000, WORD, at(0))
    (event,) = judge.changed().events
    assert ("service", "th-01", "out_of_service", "li") == (event.kind, event.device, event.body["state"], event.body["by"])
    run(judge, source(), [(1, 462)])
    assert ([], ["out_of_service"]) == (judge.open_alarms(), [alarm.visibility for alarm in judge.all_alarms()])
    back, told = tick(judge, 60).events
    assert ("told", "raised") == (told.kind, told.body["why"])
    assert "in_service" == back.body["state"]
    assert 1 == len(judge.open_alarms())


def test_smoke_is_told_also_of_a_module_under_repair():
    """Out of service hides what a repair brings with it, not a danger that is seen."""
    judge = engine([rule(level="critical", safety=True)])
    judge.desk.service("th-01", 60_000, WORD, at(0))
    judge.changed()
    run(judge, source(), [(1, 462)])
    assert ["shown"] == [alarm.visibility for alarm in judge.open_alarms()]


def test_smoke_is_told_once_whatever_happens_to_its_module():
    """It was never hidden by the repair that is over now."""
    judge = engine([rule(level="critical", safety=True)])
    told = list(judge.evaluate(reading(source(), 1, 462)).told)
    judge.desk.service("th-01", 60_000, WORD, at(5))
    judge.changed()
    told += tick(judge, 100).told
    assert ["raised"] == [one.why.value for one in told]


def test_what_becomes_dangerous_comes_out_of_a_long_shelf():
    """Warm is shelved for a day; smoke of the same episode, which an hour may hide at most, is told, and hidden again with its end."""
    judge = raised(rule(name="warm", episode="heat"), rule(name="burning", limit=60.0, level="critical", safety=True, episode="heat"))
    tick(judge, 4)
    judge.desk.shelve(1, 24 * 3_600_000, WORD, at(5))
    judge.changed()
    assert ["burning"] == [told.episode.facts.rule for told in judge.evaluate(reading(source(), 10, 620)).told]
    assert ["shown"] == [alarm.visibility for alarm in judge.all_alarms()]
    judge.evaluate(reading(source(), 20, 462))
    assert ["shelved"] == [alarm.visibility for alarm in judge.all_alarms()]


def stored(*deeds) -> dict[str, bytes]:
    """Alarm #1 and these deeds."""
    store: dict[str, bytes] = {}
    judge = engine([MAJOR])
    keep(store, judge.evaluate(reading(source(), 1, 462)))
    for deed in deeds:
        deed(judge)
        keep(store, judge.changed())
    return store


def test_a_restart_forgets_no_deed():
    """Acknowledged and shelved before, acknowledged and shelved after; the shelf ends at its old time, and nothing is said twice."""
    store = stored(lambda judge: judge.desk.acknowledge(1, WORD, at(2)), lambda judge: judge.desk.shelve(1, 100_000, WORD, at(3)))
    judge = engine([MAJOR], store, epoch=EPOCH + 1)
    assert [] == run(judge, source(), [(10, None), (11, 462)])
    (alarm,) = judge.all_alarms()
    assert ("li", "shelved") == (alarm.acknowledged_by, alarm.visibility)
    assert 103_000 == judge.next_due_ms()


def test_a_shelf_of_before_ends_where_no_clock_can_tell_its_time():
    """After a restart without a trusted clock the alarm is shown: too much is the safe side."""
    store = stored(lambda judge: judge.desk.shelve(1, 100_000, WORD, at(3)))
    judge = engine([MAJOR], store, epoch=EPOCH + 1)
    event = judge.tick(10_000, WALL_MS, ClockTrust.UNSET).events[0]
    assert "unshelved" == event.body["edge"]
    assert ["shown"] == [alarm.visibility for alarm in judge.all_alarms()]


def test_what_waits_unseen_survives_a_restart():
    """A major alarm that was over and unseen before the restart is listed after it and can be acknowledged."""
    store: dict[str, bytes] = {}
    judge = engine([MAJOR])
    for second, value in ((1, 462), (2, 440)):
        keep(store, judge.evaluate(reading(source(), second, value)))
    again = engine([MAJOR], store, epoch=EPOCH + 1)
    assert ["returned"] == [alarm.state for alarm in again.all_alarms()]
    again.desk.acknowledge(1, WORD, at(5))
    keep(store, again.changed())
    assert {"rules/number": b"1"} == store


def test_recheck_ends_an_alarm_without_its_off_delay():
    """After the repair the last good value decides at once; while it still holds, nothing happens."""
    judge = raised(rule(off_delay_s=300))
    assert not judge.recheck(1, at(2))
    run(judge, source(), [(3, 440)])
    (event,) = judge.recheck(1, at(4)).events
    assert ("cleared", 44.0) == (event.body["edge"], event.body["value"])
    assert [] == judge.open_alarms()


def test_an_unknown_number_is_named():
    """E-ALARM says which, and where the numbers are."""
    with pytest.raises(EdgegwError, match="no open alarm #7") as refused:
        raised().desk.acknowledge(7, WORD, at(2))
    assert ("E-ALARM", "edgegw alarms") == (refused.value.message_id, refused.value.next_step)
