"""The compressed day of the reference station in virtual time: what happens, when, to whom, and the same again from one seed."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import msgspec
import pytest

from edgegw.errors import EdgegwError
from edgegw.sim import physics
from edgegw.sim.meters import METERS
from edgegw.sim.piles import CHARGING, IDLE, PILES
from edgegw.sim.roles import OTHERS, Ups
from edgegw.sim.scenario import Conditions, Scenario, Step, conditions, load_scenario
from edgegw.sim.station import load_station
from edgegw.sim.world import World

STATION = load_station(Path(__file__).parents[2] / "examples" / "r10-station.toml")
DAY = load_scenario("day")
STEP_S = 20.0
# Behind the UPS, or the UPS itself.
FED_IN_AN_OUTAGE = {"UPS-01", "DI-01", "DO-01", "PT-01", *(f"TH-0{number}" for number in range(1, 7))}
COM4 = {"PT-01", "DI-01", "DO-01", *(f"TH-0{number}" for number in range(1, 7))}


def world(start_hour, seed=STATION.seed):
    return World(msgspec.structs.replace(STATION, start_hour=start_hour, seed=seed), DAY)


def clock(text):
    hours, minutes, *seconds = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + sum(seconds)


def at(text, step_s=STEP_S, back_s=600.0):
    """The world at this time of the day, after ten minutes of it."""
    simulated = world((clock(text) - back_s) / 3600)
    while simulated.day_s < clock(text) - 1e-6:
        simulated.advance(min(step_s, clock(text) - simulated.day_s))
    return simulated


@pytest.fixture(scope="module")
def day():
    """A whole day from midnight, each STEP_S: time of the day to what was measured, who was silent, and what held."""
    simulated, seen = world(0.0), {}
    while simulated.day_s < 86_400 - STEP_S:
        simulated.advance(STEP_S)
        seen[round(simulated.day_s)] = (simulated.values, simulated.silent, simulated.conditions)
    return seen


def course(day, code, point, begin, end):
    return [values[code][point] for second, (values, _, _) in day.items() if clock(begin) <= second < clock(end)]


def test_the_sun_is_a_half_sine_with_clouds(day):
    """
    Nothing before 07:00 and after 18:00, at most 45 kW, most within an hour of 12:30, clouds of up to 30 % but not always, in bursts of five minutes.
    """
    assert {0.0} == {*course(day, "PV-01", "active_power", "00:00", "07:00"), *course(day, "PV-01", "active_power", "18:01", "23:59")}
    clear = {second: physics.PV_PEAK_KW * max(0.0, physics.math.sin(physics.math.pi * (second / 3600 - 7) / 11)) for second in day}
    watching = range(clock("15:20"), clock("15:28"))  # The grid is lost, and watched for a minute after it.
    shares = [values["PV-01"]["active_power"] / clear[second] for second, (values, _, _) in day.items() if clear[second] > 10 and second not in watching]
    assert 0.7 <= min(shares) < 0.8
    assert 1.0 == pytest.approx(max(shares))
    assert 0.3 < sum(share > 0.999 for share in shares) / len(shares) < 0.8
    best = max(day, key=lambda second: day[second][0]["PV-01"]["active_power"])
    assert clock("11:30") < best < clock("13:30")


def test_the_piles_charge_as_cars_do(day):
    """
    AC piles give 6.6 kW or nothing, in sessions of three to six hours; DC piles at most 100 kW for all guns of a pile, and most at noon and in the evening.
    """
    for number in range(1, 9):
        powers = course(day, f"AC-0{number}", "gun1.power", "00:00", "24:00")
        assert {"charging": True, "idle": True} == {"charging": max(powers) > 6.4, "idle": min(powers) == 0.0}
        assert all(power == 0.0 or 6.5 < power < 6.7 for power in powers)
    piles = [[sum(values[code][f"gun{gun}.power"] for gun in (1, 2)) for values, _, _ in day.values()] for code in ("DC-01", "DC-02")]
    assert all(max(powers) <= 101.0 for powers in piles)

    def busy(begin, end):
        return mean(sum(course(day, code, f"gun{gun}.power", begin, end)) for code in ("DC-01", "DC-02") for gun in (1, 2)) / (clock(end) - clock(begin))

    assert min(busy("11:00", "13:00"), busy("18:00", "20:00")) > 2 * busy("01:00", "06:00")


def test_states_follow_the_power(day):
    """
    A gun is charging exactly while it gives power, of the same AC pile its meter counts it.
    """
    for values, silent, _ in day.values():
        if "AC-01" not in silent:
            assert (CHARGING if values["AC-01"]["gun1.power"] else IDLE) == values["AC-01"]["gun1.state"]
            assert values["M-AC1"]["active_power"] == pytest.approx(values["AC-01"]["gun1.power"])


def test_the_dip_is_seen_by_the_ups_alone():
    """
    300 ms at 11:40 between two looks: no meter sees it, nothing goes silent, the UPS keeps 0.6 of the voltage as its input fault voltage.
    """
    before, after = at("11:39:59"), at("11:40:10")
    assert (230.0, 138.0) == (before.values["UPS-01"]["input.voltage.fault"], after.values["UPS-01"]["input.voltage.fault"])
    assert after.values["M-IN"]["phase_voltage.a"] > 220
    assert (frozenset(), "OL") == (after.silent, after.values["UPS-01"]["ups.status"])


def test_the_mains_are_lost_for_seven_minutes(day):
    """
    From 15:20 everything that the mains feed is silent; the UPS is on battery, low after six minutes, its contact and its voltages say so; at 15:27 all is back.
    """
    fed = {device.code for device in STATION.device} - FED_IN_AN_OUTAGE
    away = [second for second, (_, silent, _) in day.items() if "M-IN" in silent]
    assert (clock("15:20"), clock("15:27") - STEP_S) == (min(away), max(away))
    assert all(silent == fed for second, (_, silent, _) in day.items() if second in away)
    words = {second: values["UPS-01"]["ups.status"] for second, (values, _, _) in day.items()}
    assert clock("15:26") == next(second for second, word in words.items() if word == "OB LB")
    assert {"OL"} == {word for second, word in words.items() if second not in away}
    values = day[clock("15:24")][0]
    assert (0.0, 1.0) == (values["UPS-01"]["input.voltage"], values["DI-01"]["input.1"])
    assert {0.0} == {values["DI-01"][f"input.{number}"] for number in range(2, 9)}
    assert course(day, "UPS-01", "battery.runtime", "15:26", "15:27")[0] <= 300
    assert 0.0 == day[clock("15:28")][0]["DI-01"]["input.1"]


def test_the_inverter_watches_the_grid_before_it_feeds_in(day):
    """
    For a minute after the mains it gives nothing and tells the loss of the grid; before and after it has no alarm.
    """
    words = {second: values["PV-01"]["alarms.1"] for second, (values, silent, _) in day.items() if "PV-01" not in silent}
    assert [clock("15:27"), clock("15:27:20")] == [second for second, word in words.items() if word == "2032"]
    assert {"", "2032"} == set(words.values())
    assert {0.0} == set(course(day, "PV-01", "active_power", "15:20", "15:27:40"))


def test_the_inverter_sleeps_at_night(day):
    """
    Ten minutes after sunset it falls silent, and it answers with the sun; its last word is that there is no irradiation.
    """
    asleep = {second for second, (_, silent, _) in day.items() if silent == {"PV-01"}}
    assert (min(asleep), max(second for second in asleep if second < clock("07:00"))) == (STEP_S, clock("07:00") - STEP_S)
    assert clock("18:10") == min(second for second in asleep if second > clock("12:00"))
    assert "Standby: no irradiation" == day[clock("18:09")][0]["PV-01"]["state.text"]


@pytest.mark.parametrize("seed", range(1, 30))
def test_the_pile_of_the_frozen_meter_charges(seed):
    """
    Whatever the seed: a register that stands still shows only while power flows.
    """
    powers = [world(hours, seed).gun_kw(("AC-03", 1)) for hours in (16.1, 17.0, 17.4, 17.7)]
    assert 6.5 < min(powers)


def test_one_string_falls(day):
    """
    From 16:00 to 17:30 string 3 has at most 0.2 A while the others go on.
    """
    for begin, end, down in (("15:40", "16:00", False), ("16:00", "17:30", True), ("17:30", "17:40", False)):
        third, fourth = (course(day, "PV-01", f"string.{number}.current", begin, end) for number in (3, 4))
        assert down == (max(third) <= 0.2)
        assert min(fourth) > 0.2


def test_one_register_stands_still_and_goes_on(day):
    """
    The registers of the meter of AC-03 stand from 17:00 to 17:40, its neighbour's do not, and afterwards they go on from where they stood.
    """
    frozen = course(day, "M-AC3", "energy.import", "17:00", "17:40")
    assert 1 == len(set(frozen))
    assert {True} == {second in range(clock("17:00"), clock("17:40")) for second, (_, _, held) in day.items() if held.frozen_piles}
    later = course(day, "M-AC3", "energy.import", "17:40", "23:59")
    assert frozen[0] <= later[0] < frozen[0] + physics.AC_PILE_KW * STEP_S / 3600 + 0.001
    assert later == sorted(later)


def test_a_joint_is_hot_and_a_line_is_dead(day):
    """
    Phase B has 82 C from 18:30 to 19:00, its sisters have not; at 22:00 all of com4 is silent for five minutes; from 20:00 the mobile network is away.
    """
    hot = [second for second, (values, _, _) in day.items() if values["PT-01"]["temperature.2"] == 82.0]
    assert (clock("18:30"), clock("19:00") - STEP_S) == (min(hot), max(hot))
    assert max(course(day, "PT-01", "temperature.1", "18:30", "19:00")) < 70
    dead = {second: silent - {"PV-01"} for second, (_, silent, _) in day.items() if silent > {"PV-01"} and "M-IN" not in silent}
    assert (clock("22:00"), clock("22:05") - STEP_S, {frozenset(COM4)}) == (min(dead), max(dead), set(dead.values()))
    away = [second for second, (_, _, held) in day.items() if held.uplink_away]
    assert (clock("20:00"), clock("21:30") - STEP_S) == (min(away), max(away))


def test_smoke_water_and_the_other_contacts_stay_quiet(day):
    """
    Only the mains' own contact moves in the whole day: what is told besides would be invented.
    """
    moved = {f"input.{number}" for values, _, _ in day.values() for number in range(1, 9) if values["DI-01"][f"input.{number}"]}
    assert {"input.1"} == moved


def test_one_seed_is_one_day():
    """
    Two stations of one seed measure the same through the outage, one of another seed does not.
    """
    first, second, other = (world(15.3, seed) for seed in (10, 10, 11))
    for _ in range(30):
        for simulated in (first, second, other):
            simulated.advance(STEP_S)
        assert (first.values, first.silent) == (second.values, second.silent)
    assert first.values["M-IN"] != other.values["M-IN"]


def test_every_role_has_its_module():
    """
    Each role of the reference station is measured by one of the three tables, none by two.
    """
    tables = [set(METERS), set(PILES), set(OTHERS)]
    assert {device.role for device in STATION.device} <= set.union(*tables)
    assert len(set.union(*tables)) == sum(map(len, tables))


# -- scenario.py


def test_a_step_is_seen_even_between_two_looks():
    """
    What begins and ends between two looks is touched but does not hold; over midnight a step holds as well.
    """
    step = Step(at="11:40", for_s=0.3, kind="mains", share=0.6)
    late = Step(at="23:59:30", for_s=60, kind="uplink")
    scenario = Scenario((step, late))
    noon = clock("11:40")
    assert [step] == scenario.touched(noon - 1, noon + 1)
    assert [] == scenario.touched(noon + 1, noon + 2)
    assert (0.6, 1.0) == (conditions(scenario, noon - 1, noon + 1).dip_share, conditions(scenario, noon - 1, noon + 1).mains_share)
    assert Conditions(dip_share=0.6) == conditions(scenario, noon, noon + 0.1)
    assert [True, True, False] == [conditions(scenario, second - 1, second).uplink_away for second in (86_399, 86_415, 86_431)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[step]]\nat = "25:00"\nfor_s = 1\nkind = "uplink"', "at"),
        ('[[step]]\nat = "11:00"\nfor_s = 0\nkind = "uplink"', "for_s"),
        ('[[step]]\nat = "11:00"\nfor_s = 1\nkind = "bus"', 'the step at 11:00 of kind "bus" needs bus'),
        ('[[step]]\nat = "11:00"\nfor_s = 1\nkind = "busbar"\nnumber = 1', "needs celsius"),
        ("[[step]", "line 1"),
    ],
)
def test_a_wrong_scenario_is_refused(tmp_path, text, said):
    """
    A scenario that cannot happen is refused with its name and what is wrong.
    """
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(EdgegwError) as refused:
        load_scenario(str(file))
    assert (True, True) == (said in str(refused.value), "wrong.toml" in str(refused.value))


def test_a_scenario_that_is_not_there_is_refused():
    """
    Neither a name nor a file: the sentence says what may be written.
    """
    with pytest.raises(EdgegwError, match=r"scenario night: cannot be read"):
        load_scenario("night")


# -- roles.py


def test_the_battery_remembers():
    """
    It falls to low in six minutes without mains, and is full again an hour after they are back.
    """
    battery = Ups()
    for _ in range(360):
        battery = battery.after(1.0, fed=False, dip_share=0.0)
    assert ("OB LB", 20.0, 360.0) == (battery.status, pytest.approx(battery.charge_percent), battery.on_battery_s)
    battery = battery.after(1.0, fed=True, dip_share=1.0)
    assert ("OL", 0.0, 0.0) == (battery.status, battery.on_battery_s, battery.fault_v)
    assert 100.0 == battery.after(3600.0, fed=True, dip_share=1.0).charge_percent
