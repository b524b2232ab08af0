"""What inverter, UPS, sensors and contacts of the simulated station show. Each role is a function of (world, device, seconds passed)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from edgegw.sim import physics
from edgegw.sim.meters import line_voltages, powers
from edgegw.sim.physics import PHASES, Measured
from edgegw.sim.station import SimDevice

if TYPE_CHECKING:
    from edgegw.sim.world import World

_UPS_RATED_W = 2000.0
_FLOAT_V, _EMPTY_V = 54.6, 42.0
# What it tells while it is charged; on battery it tells what is really left, which is less: the battery has aged.
_RUNTIME_FULL_S, _RUNTIME_ON_BATTERY_S = 1860.0, 660.0
# From full to low in 6 minutes, and full again in an hour.
_DISCHARGE_PERCENT_S, _CHARGE_PERCENT_S = 80 / 360, 100 / 3600
# Where it says itself that its battery is low.
_LOW_PERCENT = 20.0
# Huawei SUN2000: 0x0200 running, 0xA000 standby without irradiation (register 32089).
_PV_RUNNING, _PV_ASLEEP = 0x0200, 0xA000
# While it watches the grid that was lost: 0x0003 grid detecting, and bit 7 of alarm word 1, "2032" grid loss.
_PV_WATCHING, _PV_GRID_LOSS_BIT, _PV_GRID_LOSS = 0x0003, 7, "2032"
_PV_WORDS = {_PV_RUNNING: "On-grid", _PV_ASLEEP: "Standby: no irradiation", _PV_WATCHING: "Standby: grid detecting"}
_PV_STRINGS, _PV_TERMINALS = 8, 24
_PV_EFFICIENCY = 0.982
# What is left of a string with a fault.
_STRING_DOWN_A = 0.2
# Module of contacts: what its first input is wired to.
_MAINS_FAILURE_INPUT = 1


class Ups(msgspec.Struct, frozen=True):
    """The battery's memory."""

    charge_percent: float = 100.0
    on_battery_s: float = 0.0
    fault_v: float = physics.PHASE_V
    """The last input voltage that made it act, or the present one: what Megatec calls the fault voltage."""

    def after(self, passed_s: float, *, fed: bool, dip_share: float) -> Ups:
        """A while later, with the mains there or not."""
        fault_v = physics.PHASE_V * dip_share if dip_share < 1 else self.fault_v
        if fed:
            return Ups(min(100.0, self.charge_percent + passed_s * _CHARGE_PERCENT_S), 0.0, fault_v)
        return Ups(max(0.0, self.charge_percent - passed_s * _DISCHARGE_PERCENT_S), self.on_battery_s + passed_s, fault_v)

    @property
    def status(self) -> str:
        """In NUT's words."""
        if not self.on_battery_s:
            return "OL"
        return "OB LB" if self.charge_percent <= _LOW_PERCENT else "OB"


def _ups(world: World, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG001 - one signature for every role
    load_w = 560.0 + world.wander(device.code, 40)
    ups, on_battery = world.ups, world.ups.on_battery_s > 0
    battery_v = _EMPTY_V + (_FLOAT_V - _EMPTY_V) * ups.charge_percent / 100
    return {
        "input.voltage": world.phase_v(0),
        "input.voltage.fault": ups.fault_v,
        "input.frequency": world.frequency_hz(),
        "input.bypass.voltage": world.phase_v(0),
        "input.bypass.frequency": world.frequency_hz(),
        "output.voltage": 220.0 + world.wander(device.code, 0.3),
        "output.current": load_w / 0.9 / 220,
        "output.frequency": 50.0,
        "output.realpower": load_w,
        "output.power": load_w / 0.9,
        "ups.load": 100 * load_w / _UPS_RATED_W,
        "ups.temperature": physics.ambient_c(world.day_s) + 9,
        "ups.status": ups.status,
        "ups.route": 3.0 if on_battery else 2.0,
        "ups.alarm_word": 8.0,
        "ups.alarm": "on_line_type",
        **{f"ups.alarm_word.{number}": 0.0 for number in range(1, 11)},
        **{f"ups.alarm.{number}": "" for number in range(1, 11)},
        "battery.voltage": battery_v + world.wander(device.code, 0.1),
        "battery.charge": ups.charge_percent,
        "battery.runtime": max(0.0, _RUNTIME_ON_BATTERY_S - ups.on_battery_s) if on_battery else _RUNTIME_FULL_S,
        "battery.state": 2.0 if on_battery else 3.0,
    }


def _pv(world: World, device: SimDevice, passed_s: float) -> Measured:
    power_kw = world.pv_kw()
    state = _PV_RUNNING if power_kw else _PV_ASLEEP if world.sees_grid else _PV_WATCHING
    voltages = [world.phase_v(index) for index in range(3)]
    measured: Measured = {}
    for volt, name in zip(voltages, PHASES, strict=True):
        measured |= {f"phase_voltage.{name}": volt, f"current.{name}": power_kw / 3 / volt * 1000 if volt else 0.0}
    return {
        **measured,
        **line_voltages(voltages),
        **powers("", power_kw, power_kw / physics.POWER_FACTOR),
        **_strings(world, device, power_kw / _PV_EFFICIENCY),
        **_yield(world, device, passed_s, power_kw),
        "dc_power": power_kw / _PV_EFFICIENCY,
        "frequency": world.frequency_hz(),
        "efficiency": 100 * _PV_EFFICIENCY if power_kw else 0.0,
        "temperature.internal": physics.ambient_c(world.day_s) + 6 + power_kw / 2,
        "insulation_resistance": 3000.0,
        "state": float(state),
        "state_code": float(state),
        "fault_code": 0.0,
        **{f"alarm_word.{number}": 0.0 for number in (1, 2, 3)},
        **{f"alarms.{number}": "" for number in (1, 2, 3)},
        **({} if world.sees_grid else {"alarm_word.1": float(1 << _PV_GRID_LOSS_BIT), "alarms.1": _PV_GRID_LOSS}),
        "state.text": _PV_WORDS[state],
        "model": "SUN2000-50KTL-M0",
        "serial_number": f"SIM-{device.code}",
    }


def _strings(world: World, device: SimDevice, dc_kw: float) -> Measured:
    """Strings of a little unequal length; terminals beyond them are open."""
    volt = 620.0 + world.wander(device.code, 6) if dc_kw else 0.0
    measured: Measured = {}
    for number in range(1, _PV_TERMINALS + 1):
        fitted = number <= _PV_STRINGS and dc_kw > 0
        share = (1 + 0.01 * math.sin(number)) / _PV_STRINGS
        current_a = dc_kw * share / volt * 1000 if fitted else 0.0
        measured[f"string.{number}.voltage"] = volt if fitted else 0.0
        measured[f"string.{number}.current"] = min(current_a, _STRING_DOWN_A) if number in world.conditions.strings_down else current_a
    return measured


def _yield(world: World, device: SimDevice, passed_s: float, power_kw: float) -> Measured:
    """The day's counter begins anew at midnight, the other one never."""
    energy = world.energy[device.code]
    if world.day_s % 86_400 < passed_s:
        energy["energy.yield_today"] = 0.0
    for name in ("energy.yield", "energy.yield_today"):
        energy[name] += power_kw * passed_s / 3600
    return {"energy.yield": energy["energy.yield"], "energy.yield_today": energy["energy.yield_today"]}


def _air(world: World, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG001 - as above
    inside_k = 6.0 if device.role == "cabinet" else 0.0
    temperature_c = physics.ambient_c(world.day_s) + inside_k + world.wander(device.code, 0.6)
    return {
        "temperature": temperature_c,
        "humidity": 75.0 - temperature_c + world.wander(device.code, 2),
        "air_pressure": 1010.0 + world.wander(device.code, 3),
    }


def _joints(world: World, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG001 - as above
    """Eight resistance thermometers: busbar A, B, C, five cable joints."""
    warm_k = world.joints_warm_k or 0.0
    hot = dict(world.conditions.busbar_c)
    return {
        f"temperature.{number}": hot.get(number, physics.ambient_c(world.day_s) + warm_k + world.wander(f"{device.code}/{number}", 0.8))
        for number in range(1, 9)
    }


def _inputs(world: World, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG001 - as above
    contacts: Measured = {f"{kind}.{number}": 0.0 for kind in ("input", "relay") for number in range(1, 17)}
    contacts[f"input.{_MAINS_FAILURE_INPUT}"] = 0.0 if world.mains_works else 1.0
    return contacts


OTHERS: dict[str, Callable[[World, SimDevice, float], Measured]] = {
    "pv": _pv,
    "ups": _ups,
    "cabinet": _air,
    "outdoor": _air,
    "joints": _joints,
    "inputs": _inputs,
}
