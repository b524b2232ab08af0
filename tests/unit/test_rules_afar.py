"""Acknowledgements that were said elsewhere and heard later: the first counts by the time it was said, and all are written down."""

from __future__ import annotations

import asyncio

import pytest
from rules_rig import EPOCH, WALL_MS, engine, keep, reading, rule, run, source

from edgegw.alarming import Alarming
from edgegw.clock import Clock
from edgegw.model import ClockTrust
from edgegw.rules.engine import Engine, Moment, Word
from edgegw.uplink.envelope import Command

ID = f"{EPOCH:016x}-1"
AFAR = Word("wang (cloud)", "sending a team")
HERE = Word("li", "on my way")


def at(second: float) -> Moment:
    return Moment(round(second * 1000), WALL_MS + round(second * 1000), ClockTrust.SYNCHRONISED)


def said_at(second: float) -> int:
    return WALL_MS + round(second * 1000)


def raised(**more) -> Engine:
    """Alarm #1 is open since second 10."""
    judge = engine([rule(**{"level": "major", **more})])
    run(judge, source(), [(10, 462)])
    judge.changed()
    return judge


def written(judge: Engine) -> list[dict]:
    return [dict(event.body) for event in judge.changed().events if event.body["edge"] == "acknowledged"]


def test_the_word_of_the_control_room_counts():
    """
    An alarm is acknowledged by who said so, at the time it was said; the event tells when it was heard too.
    """
    judge = raised()
    assert "#1 acknowledged for wang (cloud)" == judge.desk.acknowledge_from_afar(ID, AFAR, said_at(20), at(300))
    (alarm,) = judge.open_alarms()
    assert ("wang (cloud)", "sending a team", said_at(20)) == (alarm.acknowledged_by, alarm.note, alarm.acknowledged_at_ms)
    assert [("wang (cloud)", said_at(20))] == [(body["by"], body["said_at_ms"]) for body in written(judge)]


def test_of_two_words_the_first_that_was_said_counts():
    """
    After a cut an earlier word of the cloud takes the place of the local one, a later one does not; both are events.
    """
    judge = raised()
    judge.desk.acknowledge(1, HERE, at(60))
    judge.changed()
    assert "#1 was acknowledged by li before" == judge.desk.acknowledge_from_afar(ID, Word("zhao (cloud)"), said_at(70), at(300))
    assert [{"by": "li", "at_ms": said_at(60)}] == [body["counts"] for body in written(judge)]
    assert "li" == judge.open_alarms()[0].acknowledged_by
    assert "#1 acknowledged for wang (cloud), who was before li" == judge.desk.acknowledge_from_afar(ID, AFAR, said_at(50), at(301))
    assert [{"by": "li", "at_ms": said_at(60)}] == [body["before"] for body in written(judge)]
    assert ("wang (cloud)", said_at(50)) == (judge.open_alarms()[0].acknowledged_by, judge.open_alarms()[0].acknowledged_at_ms)


def test_a_repetition_is_harmless():
    """
    The same word again changes nothing and says so.
    """
    judge = raised()
    judge.desk.acknowledge_from_afar(ID, AFAR, said_at(20), at(30))
    judge.changed()
    assert "#1 was acknowledged for wang (cloud) already" == judge.desk.acknowledge_from_afar(ID, AFAR, said_at(25), at(31))
    assert not judge.changed()


@pytest.mark.parametrize("alarm_id", ["0" * 16 + "-7", "", "x"])
def test_an_unknown_id_is_answered(alarm_id):
    """
    What is not open is named, and nothing changes.
    """
    judge = raised()
    assert f"no open alarm {alarm_id}: it is over, or never was" == judge.desk.acknowledge_from_afar(alarm_id, AFAR, said_at(20), at(30))
    assert not judge.changed()


def test_what_was_said_before_it_became_worse_does_not_acknowledge_that():
    """
    A word about the minor alarm, heard when it is critical, leaves it unacknowledged; one that was said afterwards counts.
    """
    judge = engine([rule(name="warm", limit=40.0, episode="t"), rule(name="hot", limit=45.0, level="critical", episode="t")])
    run(judge, source(), [(10, 410), (100, 462)])
    judge.changed()
    assert "#1 came back or became worse after that was said: not acknowledged" == judge.desk.acknowledge_from_afar(ID, AFAR, said_at(20), at(200))
    assert not judge.open_alarms()[0].acknowledged
    judge.desk.acknowledge_from_afar(ID, AFAR, said_at(101), at(201))
    assert judge.open_alarms()[0].acknowledged


def test_a_clock_that_was_an_hour_ahead_refuses_no_word():
    """
    It became worse at what was called an hour later; the clock is set back, and who speaks now speaks of that.
    """
    judge = engine([rule(name="warm", limit=40.0, episode="t"), rule(name="hot", limit=45.0, level="critical", episode="t")])
    run(judge, source(), [(3610, 410), (3700, 462)])
    judge.changed()
    assert "#1 acknowledged for wang (cloud)" == judge.desk.acknowledge_from_afar(ID, AFAR, said_at(300), at(301))
    assert judge.open_alarms()[0].acknowledged


def test_a_word_of_the_future_or_of_before_the_alarm_counts_within_its_life():
    """
    Where the cloud's clock is ahead or a little behind, the time of the word is held between raise and now.
    """
    judge = raised()
    judge.desk.acknowledge_from_afar(ID, AFAR, said_at(7), at(30))
    assert said_at(10) == judge.open_alarms()[0].acknowledged_at_ms
    ahead = raised()
    ahead.desk.acknowledge_from_afar(ID, AFAR, said_at(999), at(30))
    assert said_at(30) == ahead.open_alarms()[0].acknowledged_at_ms


def test_an_alarm_that_is_over_and_waits_is_closed_from_afar():
    """
    What ended unseen is closed by the control room's word, also after a restart.
    """
    judge, store = engine([rule(level="major")]), {}
    for second, value in ((10, 462), (20, 440)):
        keep(store, judge.evaluate(reading(source(), second, value)))
    again = engine([rule(level="major")], restored=store, epoch=EPOCH + 1)
    assert "#1 acknowledged for wang (cloud)" == again.desk.acknowledge_from_afar(ID, AFAR, said_at(15), at(60))
    assert [True] == [body["closed"] for body in written(again)]
    assert [] == again.all_alarms()


GOOD = (ID, "wang", "sending a team")


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (GOOD, "#1 acknowledged for wang (main)"),
        (GOOD[:2], "#1 acknowledged for wang (main)"),
        ((ID, ""), "refused: an acknowledgement is [alarm id, by, note]"),
        ((), "refused: an acknowledgement is [alarm id, by, note]"),
        ((7, "wang"), "refused: an acknowledgement is [alarm id, by, note]"),
        ((ID, "w" * 49), "refused: an acknowledgement is [alarm id, by, note]"),
        ((ID, "wang", "x", "y"), "refused: an acknowledgement is [alarm id, by, note]"),
        ((ID, "wang", 3), "refused: a note is a text of at most 200 characters"),
        ((ID, "wang", "x" * 201), "refused: a note is a text of at most 200 characters"),
        (("f" * 16 + "-1", "wang"), f"no open alarm {'f' * 16}-1: it is over, or never was"),
    ],
)
def test_a_command_says_what_came_of_it(arguments, result):
    """
    The words of a command are judged before anything is done; what it changed is stored.
    """
    judge, stored = raised(), []
    alarming = Alarming(None, judge, Clock(), None, stored.append)  # type: ignore[arg-type]
    command = Command("op/st/gw", 5, WALL_MS + 20_000, WALL_MS + 10**9, "ack", arguments)
    assert result == asyncio.run(alarming.ordered("main", command))
    assert ("acknowledged" in result) is any(changes.events for changes in stored)
