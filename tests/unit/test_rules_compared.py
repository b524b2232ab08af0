"""Conditions that compare: points with one another, with their own mean, with what another point does, with what was last known."""

from __future__ import annotations

import msgspec
import pytest
from rules_rig import EPOCH, WALL_MS, device, edges, keep, reading, rule, run, source, tick

from edgegw.config.model import Term
from edgegw.model import Point, Quality
from edgegw.rules.averages import Average
from edgegw.rules.engine import Engine
from edgegw.rules.groups import group_of
from edgegw.rules.shipped import shipped_rules

SHIPPED = {one.name: one for one in shipped_rules()}
OFFLINE = Quality.OFFLINE
STRINGS = source(1, "pv-01", tuple(Point(f"string.{number}.current", 2, "A", "measure") for number in range(1, 5)), "inverter", 30_000)
PT100 = source(2, "pt-01", tuple(Point(f"temperature.{number}", 1, "C", "measure") for number in (1, 2, 3, 8)), "sensor", 10_000)
UPS = source(3, "ups-01", (Point("ups.status", 0, "1", "text"),), "ups", 2_000)
METER = source(4, "m-01", tuple(Point(f"phase_voltage.{phase}", 1, "V", "measure") for phase in "abc"), "meter", 1_000)


def judge(rules, *sources, devices=None, restored=None):
    return Engine(rules, devices or [device(at.device) for at in sources], list(sources), EPOCH, restored or {})


def play(engine, at, script):
    """(second, value, value, ...) of one source; what happened by values and by time, of rules alone."""
    events = []
    for second, *values in script:
        events += [*tick(engine, second).events, *engine.evaluate(reading(at, second, *values)).events]
    return [line for line in edges([event for event in events if event.kind == "alarm"]) if "offline" not in line]


def every(step_s, first_s, last_s, *values):
    return [(second, *values) for second in range(first_s, last_s + 1, step_s)]


# -- strings


def test_a_string_that_carries_less_than_half_of_the_others_is_told_after_a_quarter_of_an_hour():
    """All at 9 A, then one at 0.2 A: 15 minutes later a minor alarm of that string, and no other."""
    engine = judge([SHIPPED["string-fault"]], STRINGS)
    script = [*every(30, 0, 600, 900, 910, 890, 905), *every(30, 630, 1620, 900, 910, 20, 905)]
    assert ["1530.0 raised string-fault pv-01"] == play(engine, STRINGS, script)
    (alarm,) = engine.open_alarms()
    assert ("string.3.current", "minor", 0.2, "String 3 current 0.20 A is below 50 % of the others") == (alarm.point, alarm.level, alarm.value, alarm.text)
    assert ["1650.0 cleared string-fault pv-01"] == play(engine, STRINGS, [(1650, 900, 910, 560, 905)])


def test_a_string_fault_stays_through_the_night():
    """Below 2 A of the others nobody can tell: what was told stays, what was pending begins anew."""
    engine = judge([SHIPPED["string-fault"]], STRINGS)
    play(engine, STRINGS, [*every(30, 0, 60, 900, 900, 900, 900), *every(30, 90, 1050, 900, 900, 10, 900)])
    assert [] == play(engine, STRINGS, [*every(30, 1080, 3000, 150, 150, 0, 150), *every(30, 3030, 3600, 0, 0, 0, 0)])
    assert ["string-fault"] == [alarm.rule for alarm in engine.open_alarms()]
    cloudy = judge([SHIPPED["string-fault"]], STRINGS)
    script = [*every(30, 0, 60, 900, 900, 900, 900), *every(30, 90, 900, 900, 900, 10, 900), (930, 150, 150, 10, 150), *every(30, 960, 1800, 900, 900, 10, 900)]
    assert [] == play(cloudy, STRINGS, script)


def test_an_input_without_a_string_is_no_fault():
    """It has never carried anything; the others are compared without it."""
    engine = judge([SHIPPED["string-fault"]], STRINGS)
    assert [] == play(engine, STRINGS, every(30, 0, 3600, 900, 910, 0, 905))


def test_a_string_that_died_before_a_restart_is_still_a_string():
    """The gateway restarts within the quarter of an hour, and each night behind it: what once carried 2 A is judged, an input without a string never."""
    store: dict[str, bytes] = {}
    engine = judge([SHIPPED["string-fault"]], STRINGS)
    for second, *values in (*every(30, 0, 60, 900, 910, 0, 905), (90, 900, 20, 0, 905)):
        keep(store, engine.evaluate(reading(STRINGS, second, *values)))
    again = judge([SHIPPED["string-fault"]], STRINGS, restored=store)
    assert ["900.0 raised string-fault pv-01"] == play(again, STRINGS, every(30, 0, 930, 900, 20, 0, 905))
    assert ["string.2.current"] == [alarm.point for alarm in again.open_alarms()]
    keep(store, tick(judge([], STRINGS, restored=store), 1))
    assert not any(key.startswith("rules/carried/") for key in store)


def test_strings_of_one_mppt_are_compared_with_one_another():
    """With two in a group the morning side is not measured by the evening side."""
    own = rule(name="strings", condition="below_others", point="string.*.current", limit=50, least=2, group_size=2, device_class="inverter")
    grouped, whole = judge([own], STRINGS), judge([rule(name="strings", condition="below_others", point="string.*.current", limit=50, least=2)], STRINGS)
    script = [(0, 900, 900, 900, 900), (30, 900, 890, 250, 260), (60, 900, 200, 250, 260)]
    assert ["60.0 raised strings pv-01"] == play(grouped, STRINGS, script)
    assert 2 == len([line for line in play(whole, STRINGS, script) if "raised" in line])
    assert [0, 0, 1, 1, 0] == [*(group_of(f"string.{number}.current", 2) for number in range(1, 5)), group_of("string.7.current", 0)]


def test_a_string_that_is_lost_is_no_fault_and_judges_no_other():
    """A value that is not good freezes its own alarm and leaves the median."""
    engine = judge([SHIPPED["string-fault"]], STRINGS)
    assert [] == play(engine, STRINGS, [(0, 900, 900, 900, 900), *every(30, 30, 2000, 900, 900, OFFLINE, 900)])


# -- busbars

BUSBAR = {"temperature.1": "busbar", "temperature.2": "busbar", "temperature.3": "busbar", "temperature.8": "ambient"}
JOINTS = [SHIPPED[name] for name in ("joint-hot", "joint-burning", "joint-rise", "busbar-sister")]


def test_a_busbar_that_warms_faster_than_the_air_is_told_before_it_is_hot():
    """12 K in 10 minutes are told once, at major; that it passes 70 C later is the same alarm, 90 C makes it critical."""
    engine = judge([*JOINTS], PT100, devices=[device("pt-01", roles=BUSBAR)])
    script = [(10 * step, 400, 400 + step * 2, 400, 300) for step in range(300)]
    lines = play(engine, PT100, script)
    assert ["raised joint-rise", "level joint-burning"] == [line.split(" ", 1)[1].removesuffix(" pt-01") for line in lines]
    assert ["critical"] == [alarm.level for alarm in engine.open_alarms()]


def test_a_rise_that_the_air_makes_too_is_none():
    """Morning sun warms busbars and air alike; without a point of the role ambient it would be told."""
    script = [(10 * step, *[300 + step * 3] * 4) for step in range(60)]
    with_air = judge([SHIPPED["joint-rise"]], PT100, devices=[device("pt-01", roles=BUSBAR)])
    assert [] == play(with_air, PT100, script)
    without = judge([SHIPPED["joint-rise"]], PT100)
    assert 4 == len(play(without, PT100, script))


def test_a_phase_warmer_than_its_sister_is_told():
    """16 K above the coolest phase for 30 s; a joint without the role busbar is no sister, and back at 10 K it ends."""
    engine = judge([SHIPPED["busbar-sister"]], PT100, devices=[device("pt-01", roles=BUSBAR)])
    script = [(0, 400, 410, 400, 900), *every(10, 10, 60, 400, 565, 410, 900), (70, 400, 505, 410, 900), (80, 400, 500, 410, 900)]
    assert ["40.0 raised busbar-sister pt-01", "80.0 cleared busbar-sister pt-01"] == play(engine, PT100, script)


# -- UPS


def test_a_ups_that_falls_silent_on_battery_counts_as_empty():
    """15 s without a value after OB: low battery, critical; after OL it is just silent."""
    for status, expected in (("OB DISCHRG", ["17.0 raised ups-silent-on-battery ups-01", "20.0 cleared ups-silent-on-battery ups-01"]), ("OL", [])):
        engine = judge([SHIPPED["ups-silent-on-battery"]], UPS)
        assert expected == play(engine, UPS, [(0, status), *every(2, 2, 18, OFFLINE), (20, "OL")])


def test_a_silent_ups_keeps_its_alarm_over_a_restart():
    """It is one alarm, which stays until it answers."""
    store: dict[str, bytes] = {}
    engine = judge([SHIPPED["ups-silent-on-battery"]], UPS)
    for second, value in ((0, "OB"), *((second, OFFLINE) for second in range(2, 20, 2))):
        keep(store, engine.evaluate(reading(UPS, second, value)))
    again = judge([SHIPPED["ups-silent-on-battery"]], UPS, restored=store)
    assert [] == play(again, UPS, every(2, 1, 21, OFFLINE))
    assert ["critical"] == [alarm.level for alarm in again.open_alarms() if alarm.rule == "ups-silent-on-battery"]
    assert ["30.0 cleared ups-silent-on-battery ups-01"] == play(again, UPS, [(30, "OL")])


@pytest.mark.parametrize("at", [1, 3, 9, 15])
def test_what_a_ups_said_last_is_known_after_a_restart(at):
    """Killed between its last word and the end of the 15 s, or while it is silent already: it counts as empty 15 s after the start has missed it."""
    store: dict[str, bytes] = {}
    engine = judge([SHIPPED["ups-silent-on-battery"]], UPS)
    for second, value in ((0, "OB DISCHRG"), *((second, OFFLINE) for second in range(2, at, 2))):
        keep(store, engine.evaluate(reading(UPS, second, value)))
    again = judge([SHIPPED["ups-silent-on-battery"]], UPS, restored=store)
    assert ["17.0 raised ups-silent-on-battery ups-01"] == play(again, UPS, every(2, 2, 18, OFFLINE))


def test_a_ups_that_was_on_line_last_is_just_silent_after_a_restart():
    """It said OB once, and OL behind it: nothing of it is left in the store."""
    store: dict[str, bytes] = {}
    engine = judge([SHIPPED["ups-silent-on-battery"]], UPS)
    for second, value in ((0, "OB"), (2, OFFLINE), (4, "OL"), (6, OFFLINE)):
        keep(store, engine.evaluate(reading(UPS, second, value)))
    again = judge([SHIPPED["ups-silent-on-battery"]], UPS, restored=store)
    assert [] == play(again, UPS, every(2, 2, 60, OFFLINE))
    assert {} == store


def test_the_last_word_of_a_rule_that_is_gone_is_forgotten():
    """Else a rule that is taken back years later would find it."""
    store: dict[str, bytes] = {}
    keep(store, judge([SHIPPED["ups-silent-on-battery"]], UPS).evaluate(reading(UPS, 0, "OB")))
    assert ["rules/last/ups-01/ups.status/word/OB"] == list(store)
    keep(store, judge([], UPS, restored=store).evaluate(reading(UPS, 1, "OB")))
    assert {} == store


def test_what_is_missing_stays_missing_whatever_happens_beside_it():
    """A condition on another device that becomes known again does not end the alarm of a value that is still away."""
    here, there = source(1, "th-01"), source(2, "ups-01", (Point("ups.status", 0, "1", "text"),), "ups")
    chosen = rule(condition="missing", limit=5, when=[Term(point="ups.status", condition="word", word="OL", device_class="ups")])
    engine = judge([chosen], here, there)
    events = [*engine.evaluate(reading(there, 0, "OL")).events, *engine.evaluate(reading(here, 0.5, 300)).events]
    for second in range(1, 12):
        events += engine.evaluate(reading(here, second, OFFLINE)).events
        events += engine.evaluate(reading(there, second + 0.5, "OL" if second != 9 else Quality.BAD)).events
    assert ["6.0 raised hot th-01"] == [line for line in edges([event for event in events if event.kind == "alarm"]) if "offline" not in line]
    assert ["hot"] == [alarm.rule for alarm in engine.open_alarms() if alarm.rule == "hot"]


# -- phases


def test_one_or_two_phases_below_half_are_a_phase_loss_and_three_are_none():
    """One alarm of the meter, whichever phases it is; without any voltage it is no phase loss."""
    engine = judge([SHIPPED["phase-loss"]], METER)
    script = [(0, 2200, 2200, 2200), *every(1, 1, 5, 2200, 100, 2200), *every(1, 6, 9, 100, 100, 2200), (10, 2200, 2200, 2200)]
    assert ["4.0 raised phase-loss m-01", "10.0 cleared phase-loss m-01"] == play(engine, METER, script)
    dark = judge([SHIPPED["phase-loss"]], METER)
    assert [] == play(dark, METER, [(0, 2200, 2200, 2200), *every(1, 1, 20, 50, 50, 50)])


def test_a_lost_phase_explains_its_voltage():
    """That the phase is below 198 and 187 V as well is written down below it, and nobody is told twice."""
    engine = judge([SHIPPED[name] for name in ("phase-voltage-low", "phase-voltage-out-low", "phase-loss")], METER)
    play(engine, METER, [(0, 2200, 2200, 2200), *every(1, 1, 40, 2200, 100, 2200)])
    assert ["phase-loss"] == [alarm.rule for alarm in engine.open_alarms()]
    assert {"phase-loss", "phase-voltage-out-low"} == {alarm.rule for alarm in engine.open_alarms(hidden=True)}


def test_mains_that_come_back_are_over_when_both_signals_say_so():
    """The contact has gone back, the UPS is still on battery: not over; 30 s after the UPS is on line it is."""
    contact = source(5, "di-01", (Point("input.1", 0, "1", "flag"),), "input", 500)
    mains = rule(
        name="lost",
        condition="equals",
        point="input.1",
        limit=1,
        off_delay_s=30,
        hold="any",
        when=[Term(point="ups.status", condition="word", word="OB", device_class="ups")],
    )
    engine = judge([mains], contact, UPS)
    found = []
    for second in range(60):
        found += engine.evaluate(reading(UPS, second, "OB" if second < 15 else "OL")).events
        found += engine.evaluate(reading(contact, second + 0.5, int(second < 5))).events
    assert ["0.5 raised lost di-01", "45.0 cleared lost di-01"] == edges(found)


# -- means and words


def test_a_mean_is_judged_and_not_its_values():
    """0.8 and 0.98 in turn are 0.89 on average: below 0.90 after 15 minutes; 0.93 from then on raises the mean above 0.92."""
    point = source(points=(Point("power_factor", 3, "1", "measure"),), period_ms=10_000)
    chosen = rule(condition="low", point="power_factor", limit=0.90, deadband=0.02, average_s=900)
    engine = judge([chosen], point)
    script = [(second, 800 if second % 20 else 980) for second in range(0, 1000, 10)]
    lines = edges(run(engine, point, script))
    assert ["810.0 raised hot th-01"] == lines
    assert 0.89 == pytest.approx(engine.open_alarms()[0].value, abs=0.002)
    assert ["cleared hot th-01"] == [line.split(" ", 1)[1] for line in edges(run(engine, point, [(second, 930) for second in range(1000, 2000, 10)]))]


def test_a_mean_across_a_gap_is_not_known():
    """It begins anew with the first value behind it, and says nothing before nine tenths of its time."""
    average = Average(900_000)
    assert [None] * 81 == [average.add(10, second * 1000) for second in range(0, 810, 10)]
    assert 10 == average.add(10, 810_000)
    average.clear()
    assert average.add(1000, 820_000) is None


def test_a_mean_needs_no_more_room_the_faster_it_is_read():
    """A day of values every 100 ms leaves a few numbers."""
    average = Average(900_000)
    means = {average.add(second % 7, second * 100) for second in range(20_000)}
    assert means == {None, 3}
    assert len(average._parts) <= 62


def test_one_of_several_words_is_enough():
    """Alarm ids of an inverter, in whichever of its words; one alarm of the device."""
    words = source(points=(Point("alarms.1", 0, "1", "text"), Point("alarms.3", 0, "1", "text")), device_class="inverter")
    engine = judge([SHIPPED["string-alarm"]], words)
    script = [(1, "2001", ""), (2, "2013 2001", ""), (3, "2013", "2015"), (4, "", "2015"), (5, "2032", "")]
    assert ["2.0 raised string-alarm th-01", "5.0 cleared string-alarm th-01"] == play(engine, words, script)


# -- whom a rule judges


def test_a_rule_changes_for_a_class_a_device_and_a_point():
    """The shipped limit for all meters; 240 V for one of them, none for a phase of another."""
    points = tuple(Point(f"phase_voltage.{phase}", 1, "V", "measure") for phase in "ab")
    meters = [source(number, code, points, "meter") for number, code in enumerate(("m-01", "m-02", "m-03"), 1)]
    rules = [
        rule(name="phase-voltage-high", condition="high", point="phase_voltage.*", limit=235.4, device_class="meter", devices=["m-01"]),
        rule(name="high-m-02", condition="high", point="phase_voltage.*", limit=240.0, devices=["m-02"]),
        rule(name="high-m-03", condition="high", point="phase_voltage.a", limit=235.4, devices=["m-03"]),
    ]
    engine = judge(rules, *meters)
    events = [event for at in meters for event in engine.evaluate(reading(at, 1, 2380, 2380)).events if event.kind == "alarm"]
    assert [("m-01", "phase_voltage.a"), ("m-01", "phase_voltage.b"), ("m-03", "phase_voltage.a")] == [(event.device, event.body["point"]) for event in events]
    assert {WALL_MS + 1000} == {event.at_ms for event in events}


def test_one_device_or_one_point_may_have_another_limit():
    """The other devices and points keep the rule that every station has; with enabled = false one is not judged at all."""
    points = tuple(Point(f"phase_voltage.{phase}", 1, "V", "measure") for phase in "ab")
    meters = [source(number, code, points, "meter") for number, code in enumerate(("m-01", "m-02", "m-03"), 1)]
    shipped = msgspec.structs.replace(SHIPPED["phase-voltage-high"], on_delay_s=0)
    rules = [
        shipped,
        rule(name="m-02", instead_of=shipped.name, condition="high", point="phase_voltage.a", limit=250.0, devices=["m-02"], episode="voltage high"),
        rule(name="m-03", instead_of=shipped.name, condition="high", point="phase_voltage.*", devices=["m-03"], enabled=False),
    ]
    engine = judge(rules, *meters)
    found = [event for at in meters for event in engine.evaluate(reading(at, 1, 2380, 2380)).events if event.kind == "alarm"]
    assert [("m-01", "phase_voltage.a"), ("m-01", "phase_voltage.b"), ("m-02", "phase_voltage.b")] == [(event.device, event.body["point"]) for event in found]
    assert ["m-02"] == [event.body["rule"] for event in engine.evaluate(reading(meters[1], 2, 2510, 2380)).events if event.kind == "alarm"]


def test_taking_the_place_of_what_is_not_there_is_told(caplog):
    """A name that is written wrongly would leave both rules at work."""
    with caplog.at_level("WARNING", "edgegw.rules"):
        judge([rule(instead_of="phase-voltage-hihg")], source())
    assert "phase-voltage-hihg, which there is not" in caplog.text


def test_a_role_is_a_wish_of_the_configuration():
    """The battery box is judged by its own limits, the cabinet beside it by those of cabinets."""
    sources = [source(1, "th-01", period_ms=10_000), source(2, "th-02", period_ms=10_000)]
    devices = [device("th-01", roles={"temperature": "battery_box"}), device("th-02")]
    engine = judge([SHIPPED[name] for name in ("battery-box-warm", "battery-box-hot", "cabinet-warm", "cabinet-hot")], *sources, devices=devices)
    for second in range(0, 400, 10):
        for at in sources:
            engine.evaluate(reading(at, second, 380))
    assert [("th-01", "minor", "battery-box-warm")] == [(alarm.device, alarm.level, alarm.rule) for alarm in engine.open_alarms()]
