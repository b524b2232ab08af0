"""What the energy meters of the simulated station show. Each role is a function of (world, device, seconds passed)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgegw.sim import physics
from edgegw.sim.physics import LINES, PHASES, Measured
from edgegw.sim.station import SimDevice

if TYPE_CHECKING:
    from edgegw.sim.world import World


def _ac_pile(world: World, device: SimDevice, passed_s: float) -> Measured:
    """One phase, in front of one AC pile."""
    return _single_phase(world, device, passed_s, world.pile_kw(device.pile_code), world.ac_piles.index(device.pile_code) % 3)


def _auxiliary(world: World, device: SimDevice, passed_s: float) -> Measured:
    """Lighting, controller, ventilation."""
    return _single_phase(world, device, passed_s, physics.AUXILIARY_KW * (1 + world.wander(device.code, 0.05)), 0)


def _single_phase(world: World, device: SimDevice, passed_s: float, power_kw: float, phase: int) -> Measured:
    voltage_v = world.phase_v(phase)
    apparent_kva = power_kw / physics.POWER_FACTOR
    current_a = apparent_kva / voltage_v * 1000 if voltage_v else 0.0
    return {
        "phase_voltage.a": voltage_v,
        "current.a": current_a,
        **powers("", power_kw, apparent_kva),
        **powers(".a", power_kw, apparent_kva),
        "frequency": world.frequency_hz(),
        **_registers(world, device, passed_s, power_kw),
    }


def _dc_pile(world: World, device: SimDevice, passed_s: float) -> Measured:
    """The DC side of one gun."""
    gun = (device.pile_code, device.gun)
    power_kw = world.gun_kw(gun)
    voltage_v = physics.dc_voltage_v(world.progress(gun)) + (world.wander(device.code, 0.4) if power_kw else 0.0)
    return {
        "voltage": voltage_v,
        "current": power_kw / voltage_v * 1000 if power_kw else 0.0,
        "power": power_kw,
        "temperature.internal": physics.ambient_c(world.day_s) + 8 + power_kw / 20,
        "wire_break": 0.0,
        "alarm_word.1": 0.0,
        "alarms.1": "",
        **_registers(world, device, passed_s, power_kw),
    }


def _incoming(world: World, device: SimDevice, passed_s: float) -> Measured:
    return _three_phases(world, device, passed_s, world.phase_powers_kw())


def _pv_meter(world: World, device: SimDevice, passed_s: float) -> Measured:
    """Counts what the inverter gives as import, as a yield meter is wired."""
    return _three_phases(world, device, passed_s, [world.pv_kw() / 3] * 3)


def _dc_input(world: World, device: SimDevice, passed_s: float) -> Measured:
    """The AC side of a DC pile."""
    return _three_phases(world, device, passed_s, [world.pile_kw(device.pile_code) / physics.DC_PILE_EFFICIENCY / 3] * 3)


def _three_phases(world: World, device: SimDevice, passed_s: float, phase_kw: Sequence[float]) -> Measured:
    power_kw = sum(phase_kw)
    voltages = [world.phase_v(index) for index in range(3)]
    measured: Measured = {}
    for name, volt, kilowatt in zip(PHASES, voltages, phase_kw, strict=True):
        apparent_kva = abs(kilowatt) / physics.POWER_FACTOR
        measured |= {
            f"phase_voltage.{name}": volt,
            f"current.{name}": apparent_kva / volt * 1000 if volt else 0.0,
            **powers(f".{name}", kilowatt, apparent_kva),
        }
    mean_v = sum(voltages) / 3
    return {
        **measured,
        **line_voltages(voltages),
        **powers("", power_kw, sum(abs(kilowatt) for kilowatt in phase_kw) / physics.POWER_FACTOR),
        "frequency": world.frequency_hz(),
        "voltage_unbalance": 100 * (max(voltages) / mean_v - 1) if mean_v else 0.0,
        "ratio.voltage": 1.0,
        "ratio.current": 1.0,
        "demand.import": max(0.0, power_kw),
        "demand.import_max": max(0.0, power_kw) + 20.0,
        **_registers(world, device, passed_s, power_kw),
    }


METERS: dict[str, Callable[[World, SimDevice, float], Measured]] = {
    "incoming": _incoming,
    "pv_meter": _pv_meter,
    "auxiliary": _auxiliary,
    "dc_input": _dc_input,
    "dc_pile": _dc_pile,
    "dc_gun": _dc_pile,
    "ac_pile": _ac_pile,
}


def _registers(world: World, device: SimDevice, passed_s: float, power_kw: float) -> Measured:
    """Energy registers: they integrate power and never fall. Piles give nothing back. A frozen one stands still."""
    energy = world.energy[device.code]
    hours, reactive = passed_s / 3600, math.tan(math.acos(physics.POWER_FACTOR))
    if device.pile and device.pile in world.conditions.frozen_piles:
        hours = 0.0
    taken, given = max(0.0, power_kw) * hours, max(0.0, -power_kw) * hours
    now = physics.tariff(world.day_s)
    for way, step in (("import", taken), ("export", given)):
        energy[f"energy.{way}"] += step
        energy[f"energy.{way}.{now}"] += step
        energy[f"energy.reactive_{way}"] += step * reactive
    registers: Measured = {**energy}
    for suffix in ("", *(f".{name}" for name in physics.TARIFFS)):
        registers[f"energy.total{suffix}"] = energy[f"energy.import{suffix}"] + energy[f"energy.export{suffix}"]
    return registers


def powers(suffix: str, power_kw: float, apparent_kva: float) -> Measured:
    """Active, reactive, apparent power and power factor that fit each other."""
    reactive_kvar = math.sqrt(max(0.0, apparent_kva**2 - power_kw**2))
    return {
        f"active_power{suffix}": power_kw,
        f"reactive_power{suffix}": reactive_kvar,
        f"apparent_power{suffix}": apparent_kva,
        f"power_factor{suffix}": power_kw / apparent_kva if apparent_kva else 1.0,
    }


def line_voltages(phase_v: Sequence[float]) -> Measured:
    """Between each two phases, 120 degrees apart."""
    volts = dict(zip(PHASES, phase_v, strict=True))
    return {f"line_voltage.{pair}": math.sqrt(volts[one] ** 2 + volts[two] ** 2 + volts[one] * volts[two]) for pair, one, two in LINES}


def first_energy(device: SimDevice, hour: float, import_kwh: float) -> dict[str, float]:
    """What the registers hold at the start. The tariffs add up to the total."""
    export_kwh = 0.1 * import_kwh if device.role == "incoming" else 0.0
    energy = {"energy.yield": import_kwh, "energy.yield_today": _yield_since_sunrise_kwh(hour)}
    for way, kwh in (("import", import_kwh), ("export", export_kwh)):
        energy |= {f"energy.{way}": kwh, f"energy.reactive_{way}": 0.2 * kwh}
        energy |= {f"energy.{way}.{name}": kwh / len(physics.TARIFFS) for name in physics.TARIFFS}
    return energy


def _yield_since_sunrise_kwh(hour: float) -> float:
    """The clear day's yield up to this hour: what an inverter would show that has run since sunrise."""
    span = physics.SUNSET_HOUR - physics.SUNRISE_HOUR
    share = min(max((hour - physics.SUNRISE_HOUR) / span, 0.0), 1.0)
    return physics.PV_PEAK_KW * span / math.pi * (1 - math.cos(math.pi * share))
