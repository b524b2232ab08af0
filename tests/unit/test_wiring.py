"""Truth and rules together: what truth finds out reaches the rules in the right order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from truth_rig import ELECTRICAL, ENERGY, INVERTER, SOURCES, config, judge, moment, offline, reading, words

from edgegw.config.model import Computed, Rule
from edgegw.model import Quality
from edgegw.rules.engine import Engine
from edgegw.truth.sums import make_computers
from edgegw.wiring import Judging

# 2024-06-21 23:00 in Shanghai, and half past seven the next morning.
NIGHT_MS, MORNING_MS = 1_718_982_000_000, 1_719_012_600_000
SHANGHAI = {"latitude": 31.23, "longitude": 121.47}


class HandClock:
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.second, self.base_ms = 0.0, NIGHT_MS
        self.trust = moment(0).clock

    def mono_ms(self) -> int:
        return round(self.second * 1000)

    def wall_ms(self, mono_ms: int) -> int:
        return self.base_ms + mono_ms


def station(rules: list[Rule] | None = None, **more: object) -> tuple[Judging, Engine]:
    settings = config(place=SHANGHAI, **more)
    sources = [*SOURCES, *(computer.source for computer in make_computers(settings.computed, SOURCES, 100))]
    engine = Engine(rules or [], settings.device, sources, 1, {})
    return Judging(judge(settings), engine), engine


def fall_asleep(judging: Judging) -> list[str]:
    judging.take(reading(INVERTER, 0, 0, 1, wall_ms=NIGHT_MS))
    return words([event for second in (1, 2, 30) for event in judging.take(offline(INVERTER, second, NIGHT_MS)).events])


def test_a_sleeping_inverter_raises_no_alarm_all_night_nor_when_it_wakes():
    """
    Its first answer in the morning is counted before its excuse ends.
    """
    judging, engine = station()
    clock: Any = HandClock()
    assert ["asleep raised"] == fall_asleep(judging)
    clock.second = 3600
    assert () == judging.tick(clock).events
    awake = judging.take(reading(INVERTER, 30_000, 0, 1, wall_ms=NIGHT_MS))
    assert ["asleep cleared"] == words(awake.events)
    assert [] == engine.open_alarms()


def test_an_inverter_that_is_dead_in_the_morning_is_offline():
    """
    With the end of the night, by time alone.
    """
    judging, engine = station()
    clock: Any = HandClock()
    fall_asleep(judging)
    clock.second = (MORNING_MS - NIGHT_MS) / 1000
    judging.tick(clock)
    clock.second += 1
    judging.tick(clock)
    assert ["device offline"] == [alarm.rule for alarm in engine.open_alarms()]


def test_a_value_in_doubt_raises_no_alarm():
    """
    A rule looks at good values only: the outlier is none.
    """
    rule = Rule(name="low", condition="low", point="energy.import", limit=1.0, devices=["m-01"])
    judging, engine = station([rule])
    for second, value in enumerate([50_000, 0, 50_001]):
        judging.take(reading(ENERGY, second, value))
    assert [] == engine.open_alarms()
    for second, value in enumerate([0, 0, 1], 10):
        judging.take(reading(ENERGY, second, value))
    assert {"low", "meter runs backwards"} == {alarm.rule for alarm in engine.open_alarms()}


def test_a_frozen_meter_is_told_once_over_a_restart():
    """
    Raised at its level, taken up by the next start under its id, ended by the first value that moves.
    """
    store: dict[str, bytes] = {}
    edges, ids = [], set()
    for epoch, first_s, move_s in ((1, 0, 9_999), (2, 0, 1_800)):
        settings = config()
        engine = Engine([], settings.device, list(SOURCES), epoch, dict(store))
        judging = Judging(judge(settings, dict(store)), engine)
        clock: Any = HandClock()
        takings = [judging.begin([], {}, lambda _name, step: step(), clock)]
        for second in range(first_s, 2000, 5):
            takings.append(judging.take(reading(ELECTRICAL, second, 7_000)))
            if second % 900 == 0:
                takings.append(judging.take(reading(ENERGY, second, 1000 if second < move_s else 1100)))
        for taken in takings:
            for key, data in taken.states.items():
                store[key] = data or b""
                if data is None:
                    del store[key]
            found = [event for event in taken.events if event.kind == "alarm"]
            edges += [f"{event.body['edge']} {event.body['level']} {event.body['rule']}" for event in found]
            ids |= {event.body["id"] for event in found}
    assert ["raised major meter frozen", "cleared major meter frozen"] == edges
    assert 1 == len(ids)


def test_rules_judge_computed_points():
    """
    By their device, like any other point.
    """
    total = Computed(code="SUM", point="energy.import", operation="sum", inputs=["m-01.energy.import", "m-01.energy.import"])
    rule = Rule(name="high", condition="high", point="energy.import", limit=900.0, device_class="computed")
    judging, engine = station([rule], computed=[total])
    taken = judging.take(reading(ENERGY, 0, 50_000))
    assert [(50_000,), (100_000,)] == [each.values for each in taken.readings]
    assert ["SUM"] == [alarm.device for alarm in engine.open_alarms()]


def broken(*_: object) -> None:
    raise TypeError("a mistake of ours")


@pytest.mark.parametrize("step", ["judge", "tick"])
def test_a_mistake_of_ours_in_truth_is_told_as_its_own(step, monkeypatch):
    """
    The reading goes on, in doubt; the rules do not notice.
    """
    judging, _engine = station()
    told: list[str] = []

    def guard(name: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except TypeError:
            told.append(name)
            return None

    monkeypatch.setattr(judging, "_guard", guard)
    monkeypatch.setattr(judging.judge, step, broken)
    clock: Any = HandClock()
    taken = judging.take(reading(ENERGY, 0, 50_000))
    judging.tick(clock)
    assert ["truth"] == told
    assert (step == "judge") == (taken.readings[0].quality == {0: Quality.SUSPECT})
