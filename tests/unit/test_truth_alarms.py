"""What truth finds wrong is an alarm until it is over, with the level of its kind, also over a restart."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from truth_rig import ELECTRICAL, ENERGY, SOURCES, config, judge, keep, reading, words

from edgegw.config.model import Balance
from edgegw.model import Point, Quality, Source
from edgegw.rules import shipped
from edgegw.truth.dips import Dips
from edgegw.truth.standing import KINDS
from edgegw.truth.work import Moment, Work

QUARTER_S = 900
UPS = Source(9, "ups-01", "status", 2_000, (Point("input.voltage.fault", 1, "V", "measure"), Point("ups.status", 0, "1", "text")), "ups")
METER_POINTS = (Point("phase_voltage.a", 1, "V", "measure"), Point("current.a", 3, "A", "measure"), Point("active_power", 3, "kW", "measure"))


def reports(verdict):
    """`+ meter frozen major`, `- meter frozen`"""
    return [f"+ {report.rule} {report.level}" if report.raised else f"- {report.rule}" for report in verdict.reports]


def charge(the_judge, first_s, last_s, register, store=None):
    """7 kW flow and the register is read each quarter hour: what was reported, with the second."""
    found = []
    for second in range(first_s, last_s, 5):
        verdicts = [the_judge.judge(reading(ELECTRICAL, second, 7_000))]
        if second % QUARTER_S == 0:
            verdicts.append(the_judge.judge(reading(ENERGY, second, register(second))))
        for verdict in verdicts:
            keep(store if store is not None else {}, verdict)
            found += [f"{second} {line}" for line in reports(verdict)]
    return found


def test_a_register_that_stands_still_is_an_alarm_until_it_moves():
    """After a quarter hour of 7 kW, major; the first new value ends it."""
    the_judge = judge()
    assert ["900 + meter frozen major", "2700 - meter frozen"] == charge(the_judge, 0, 3000, lambda second: 1000 if second < 2700 else 1100)


def test_a_frozen_register_stays_frozen_over_a_restart():
    """The alarm is taken up before the first reading, and ends with the first value that moves, not before."""
    store: dict[str, bytes] = {}
    charge(judge(), 0, 1000, lambda _second: 1000, store)
    again = judge(restored=store)
    assert ["+ meter frozen major"] == reports(again.open_alarms())
    assert ["1800 - meter frozen"] == charge(again, 0, 2000, lambda second: 1000 if second < 1800 else 1005, store)
    assert [] == reports(judge(restored=store).open_alarms())


@pytest.mark.parametrize(("values", "rule"), [([50_000, 40_000, 40_001, 40_002], "meter runs backwards"), ([50_000, 90_000, 90_001, 90_002], "meter jump")])
def test_a_register_that_falls_or_jumps_is_an_alarm_until_it_has_gone_on(values, rule):
    """Confirmed by two more reads; over after 15 minutes in which it went on as it should."""
    the_judge = judge()
    found = []
    for second, value in enumerate([*values, *[values[-1]] * 10]):
        found += reports(the_judge.judge(reading(ENERGY, second, value)))
    assert [f"+ {rule} major"] == found
    assert [] == reports(the_judge.judge(reading(ENERGY, 890, values[-1] + 1)))
    assert [f"- {rule}"] == reports(the_judge.judge(reading(ENERGY, 910, values[-1] + 2)))


def test_an_outlier_is_no_alarm():
    """One wrong value between two good ones is an event, and nobody is called."""
    the_judge = judge()
    verdicts = [the_judge.judge(reading(ENERGY, second, value)) for second, value in enumerate([50_000, 0, 50_001])]
    assert [] == [line for verdict in verdicts for line in reports(verdict)]
    assert ["counter outlier"] == words([event for verdict in verdicts for event in verdict.events])


def test_a_balance_that_does_not_fit_is_a_minor_alarm():
    """From the window that does not fit to the next that does."""
    balance = Balance(name="station", total="m-01.active_power", parts=["pv-01.active_power"], window_s=100)
    the_judge = judge(config(balance=[balance]))
    found = []
    for second in range(0, 320, 5):
        found += reports(the_judge.judge(reading(ELECTRICAL, second, 7_000)))
        found += reports(the_judge.judge(reading(SOURCES[4], second, 5_000 if second < 110 else 7_000, 1)))
    assert ["+ energy balance minor", "- energy balance"] == found


def test_electrical_values_that_never_move_are_an_alarm_while_current_flows():
    """Ten minutes of the same voltage, current and power; a meter without current may say the same for ever."""
    meter = Source(2, "m-01", "electrical", 5_000, METER_POINTS, "meter")
    for current, expected in ((4_000, ["600 + values frozen minor", "605 - values frozen"]), (0, [])):
        the_judge = judge(sources=(meter,))
        found = []
        for second in range(0, 610, 5):
            verdict = the_judge.judge(reading(meter, second, 2_200 + (second == 605), current, 880 if current else 0))
            found += [f"{second} {line}" for line in reports(verdict)]
        assert expected == found


def test_a_value_that_was_not_read_begins_the_ten_minutes_anew():
    """What it was meanwhile nobody knows."""
    meter = Source(2, "m-01", "electrical", 5_000, METER_POINTS, "meter")
    the_judge = judge(sources=(meter,))
    values = [(second, (2_200, 4_000, 880) if second != 300 else (Quality.OFFLINE,) * 3) for second in range(0, 900, 5)]
    assert [] == [line for second, said in values for line in reports(the_judge.judge(reading(meter, second, *said)))]


def test_a_dip_that_only_the_ups_saw_is_an_event():
    """A new fault voltage of 132 V is one dip, however often it is read; 000.0 and one within 10 % are none, 250 V is a swell."""
    dips, told = Dips(UPS), []
    for second, value in enumerate([2280, 1320, 1320, 2280, 0, 2100, 2500]):
        work = Work(Moment(second * 1000, second * 1000, 1), reading(UPS, second, value, "OL"))
        dips(work)
        told += [(event.kind, event.body["value"], event.body["percent"]) for event in work.verdict().events]
    assert [("voltage_dip", 132.0, 60.0), ("voltage_swell", 250.0, 113.6)] == told


def test_the_table_of_what_is_judged_elsewhere_has_every_kind():
    """Names and levels of the alarms of truth are those of the program."""
    rows = tomllib.loads((Path(shipped.__file__).with_name("elsewhere.toml")).read_text(encoding="utf-8"))["row"]
    told = {row["subject"]: row["level"] for row in rows if row["subject"] in KINDS}
    assert {name: kind.level for name, kind in KINDS.items()} == told
    assert {"report", "event", "rule"} == {row["kind"] for row in rows}
    assert all(bool(row["level"]) == (row["kind"] == "report") for row in rows)
