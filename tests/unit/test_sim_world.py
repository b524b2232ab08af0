"""The small physics of the simulated station."""

from __future__ import annotations

import msgspec
import pytest

from edgegw.drivers.catalogue import load_profile
from edgegw.sim import physics
from edgegw.sim.bodies import build_body
from edgegw.sim.station import load_station
from edgegw.sim.world import World

STATION = load_station(None)


def world(start_hour=11.0):
    return World(msgspec.structs.replace(STATION, start_hour=start_hour))


def test_every_point_of_the_default_station_is_measured():
    """
    Each device of the default station has a value of its own for every point of its profile, and each can be sent.
    """
    values = world().values
    for device in STATION.device:
        image = build_body(device.profile)
        assert set() == set(image.points) - set(values[device.code]), device.code
        for point in image.points:
            image.check(point, values[device.code][point])


def test_energy_registers_integrate_power_and_never_fall():
    """
    Over a day each register only grows, the tariffs grow as much as the total, and an AC pile's total is its power times the time.
    """
    simulated, step_s = world(0.0), 30.0
    before = simulated.values
    first, used_kwh = before["M-AC1"]["energy.import"], 0.0
    for _ in range(24 * 120):
        simulated.advance(step_s)
        now = simulated.values
        used_kwh += now["M-AC1"]["active_power"] * step_s / 3600
        for code, name in ((code, name) for code, measured in now.items() for name in measured if name.startswith("energy.") and name != "energy.yield_today"):
            assert before[code][name] <= now[code][name]
        before = now
    assert used_kwh > 20
    assert used_kwh == pytest.approx(now["M-AC1"]["energy.import"] - first)
    meter, start = now["M-IN"], world(0.0).values["M-IN"]
    grown = [meter[f"energy.import.{name}"] - start[f"energy.import.{name}"] for name in physics.TARIFFS]
    assert sum(grown) == pytest.approx(meter["energy.import"] - start["energy.import"])
    assert min(grown) > 0


@pytest.mark.parametrize("hour", [0.0, 8.0, 12.5, 19.0])
def test_the_meters_agree_with_each_other(hour):
    """
    The incoming meter shows what piles and auxiliaries take, less what the PV gives.
    """
    values = world(hour).values
    piles_kw = sum(values[f"M-AC{number}"]["active_power"] for number in (1, 2, 3, 4))
    piles_kw += sum(values[f"M-DC{number}"]["power"] for number in (1, 2)) / physics.DC_PILE_EFFICIENCY
    assert values["M-IN"]["active_power"] == pytest.approx(piles_kw + physics.AUXILIARY_KW - values["PV-01"]["active_power"])


def test_the_sun_rises_and_sets():
    """
    The inverter sleeps at night, peaks around noon below its rating, and counts its day anew at midnight.
    """
    night, noon = world(2.0).values["PV-01"], world(12.5).values["PV-01"]
    assert (0.0, 0xA000, 0.0) == (night["active_power"], night["state"], night["string.1.current"])
    assert physics.PV_PEAK_KW * (1 - physics.CLOUD_DEPTH) <= noon["active_power"] <= physics.PV_PEAK_KW
    late = world(23.99)
    assert late.values["PV-01"]["energy.yield_today"] > 200
    late.advance(60.0)
    assert 0.0 == late.values["PV-01"]["energy.yield_today"]


def test_a_session_is_full_then_tapers():
    """
    A DC pile gives 100 kW, ends at 30 kW and nothing between sessions, where its contactor is open.
    """
    assert 100.0 == physics.dc_power_kw(0.0) == physics.dc_power_kw(0.6)
    assert 30.0 == pytest.approx(physics.dc_power_kw(1.0))
    assert (0.0, 0.0) == (physics.dc_power_kw(None), physics.dc_voltage_v(None))
    habit = physics.Sessions(100.0, 1000.0, 400.0)
    assert [0.0, 0.5, None, 0.0] == [habit.progress(at) for at in (100, 300, 600, 1100)]


def test_the_same_seed_is_the_same_day():
    """
    Two stations of one seed measure the same, one of another seed does not.
    """
    other = World(msgspec.structs.replace(STATION, seed=2))
    assert world().values == world().values
    assert world().values["TH-01"] != other.values["TH-01"]


def test_values_wander():
    """
    A voltage moves with every look and stays within its bounds.
    """
    volts = [physics.PHASE_V + physics.wander(second / 10, 1.0, 2.5) for second in range(10_000)]
    assert 9_990 < len(set(volts))
    assert 227.5 <= min(volts) < 228.5
    assert 231.5 < max(volts) <= 232.5


def test_profiles_of_the_default_station_are_of_many_classes():
    """
    The default station has meters, an inverter, a UPS, sensors and inputs.
    """
    assert {"meter", "inverter", "ups", "sensor", "input"} == {load_profile(device.profile).profile.device_class for device in STATION.device}
