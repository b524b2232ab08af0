"""Levels as data: what a station's own levels change for its alarms."""

from __future__ import annotations

import pytest
from rules_rig import EPOCH, WALL_MS, engine, keep, reading, rule, run, source

from edgegw.config.level_model import Level
from edgegw.model import ClockTrust
from edgegw.rules import levels
from edgegw.rules.engine import Moment, Word

OWN = (
    Level(name="disaster", name_zh="灾难", acknowledge=True, deadlines_h={"arrive": 1, "plan": 0.5}),
    Level(name="urgent", acknowledge=True, formerly=["critical", "major"]),
    Level(name="slight", name_zh="轻", acknowledge=True, formerly=["minor"]),
    Level(name="notice"),
)


def of_life(events):
    """Beside them it is written down what people are told."""
    return [event for event in events if event.body["edge"] in ("raised", "level", "cleared")]


@pytest.fixture
def own():
    levels.use(OWN)
    yield
    levels.use(())


def test_the_shipped_levels_are_there_without_any(own):
    """
    No [[level]] means critical, major, minor and notice with their Chinese names, ranks and promises.
    """
    levels.use(())
    assert ("critical", "major", "minor", "notice") == levels.LEVELS
    assert [("重大", 0), ("较严重", 1), ("轻微", 2), ("提示", 3)] == [(levels.name_zh(name), levels.rank(name)) for name in levels.LEVELS]
    assert [True, True, False, False] == [levels.wants_acknowledgement(name) for name in levels.LEVELS]
    assert [("plan", 4 * 3_600_000), ("arrive", 8 * 3_600_000)] == list(levels.deadlines("critical", 0))


def test_a_stations_own_levels_have_their_rank_promises_and_former_names(own):
    """
    The order is the rank, the earliest promise comes first, a former name stands for the level it has gone into.
    """
    assert [0, 1, 1, 2, 3] == [levels.rank(name) for name in ("disaster", "critical", "major", "minor", "notice")]
    assert [("plan", 1_800_000), ("arrive", 3_600_000)] == list(levels.deadlines("disaster", 0))
    assert ("urgent", "轻", True) == (levels.current_name("critical"), levels.name_zh("minor"), levels.wants_acknowledgement("minor"))


def test_an_alarm_bears_the_name_that_its_level_has_now(own):
    """
    A rule of a renamed level raises an alarm of the new name, which wants the acknowledgement that the new level wants.
    """
    judge = engine([rule(level="minor")])
    events = run(judge, source(), [(1, 462), (9, 440)])
    assert [("raised", "slight"), ("cleared", "slight")] == [(event.body["edge"], event.body["level"]) for event in of_life(events)]
    assert ["returned"] == [alarm.state for alarm in judge.all_alarms()]


def test_the_most_severe_of_an_episode_is_so_by_the_order_of_the_levels(own):
    """
    Of two rules of one episode the one whose level stands first speaks.
    """
    judge = engine([rule(name="warm", level="urgent", limit=40.0, episode="t"), rule(name="hot", level="disaster", limit=45.0, episode="t")])
    events = run(judge, source(), [(1, 462)])
    assert ["disaster"] == [event.body["level"] for event in of_life(events)]


def test_nothing_is_lost_of_an_alarm_whose_level_is_gone(own, caplog):
    """
    A restored alarm of a level that the configuration does not have any more keeps id, number and level's name, counts as the most severe, and lives on.
    """
    before, store = engine([rule(level="disaster")]), {}
    keep(store, before.evaluate(reading(source(), 1, 462)))
    levels.use(OWN[1:])
    again = engine([rule(level="slight")], restored=store, epoch=EPOCH + 1)
    (alarm,) = again.open_alarms()
    assert (f"{EPOCH:016x}-1", 1, "disaster", 0) == (alarm.alarm_id, alarm.number, alarm.level, levels.rank(alarm.level))
    assert "alarm #1 is of level disaster" in caplog.text
    again.desk.acknowledge(1, Word("li"), Moment(2000, WALL_MS + 2000, ClockTrust.SYNCHRONISED))
    assert ["acknowledged"] == [event.body["edge"] for event in again.changed().events]
    assert ["cleared"] == [event.body["edge"] for event in of_life(run(again, source(), [(9, 440)]))]


def test_a_stored_alarm_of_a_renamed_level_has_the_new_name(own):
    """
    After the configuration renamed its level an open alarm is of the new one, under its id, and nothing is told of that.
    """
    levels.use(())
    store: dict[str, bytes] = {}
    keep(store, engine([rule(level="major")]).evaluate(reading(source(), 1, 462)))
    levels.use(OWN)
    again = engine([rule(level="major")], restored=store, epoch=EPOCH + 1)
    assert [("urgent", 1)] == [(alarm.level, alarm.number) for alarm in again.open_alarms()]
    assert [] == of_life(run(again, source(), [(1, 463)]))
