"""What every device of the station measures now: the day's physics with the memory that energy registers, batteries and sessions need.

`advance` is called with the seconds that have passed; `values` is replaced whole, so that the threads of the lines read it without a lock.
Values are in the units of the dictionary (kW, kWh, V, ...), save where a profile has its own (UPS power: W and VA).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from edgegw.sim import physics
from edgegw.sim.physics import LINES, PHASES
from edgegw.sim.station import SimDevice, Station

Measured = dict[str, float | str]

# Energy registers begin somewhere, as a meter's do that has run for a while.
_FIRST_KWH = (200.0, 9_000.0)
_UPS_RATED_W = 2000.0
_UPS_BATTERY_V = 54.6
_UPS_RUNTIME_S = 1860.0
# Huawei SUN2000: 0x0200 running, 0xA000 standby without irradiation (register 32089).
_PV_RUNNING, _PV_ASLEEP = 0x0200, 0xA000
_PV_STRINGS, _PV_TERMINALS = 8, 24
_PV_EFFICIENCY = 0.982


class World:
    """The station's quantities. Single-threaded save for reading `values`."""

    def __init__(self, station: Station) -> None:
        self._seed = station.seed
        self._devices = station.device
        self._day_s = station.start_hour * 3600
        chance = random.Random(station.seed)
        self._phase = {device.code: chance.uniform(0, 2 * math.pi) for device in station.device}
        self._sessions = {device.code: _sessions(device, chance) for device in station.device}
        self._energy = {device.code: _first_energy(device, station.start_hour, chance.uniform(*_FIRST_KWH)) for device in station.device}
        self._ac_piles = [device.code for device in station.device if device.role == "ac_pile"]
        self.values: Mapping[str, Measured] = {}
        self.advance(0.0)

    @property
    def hour(self) -> float:
        return self._day_s / 3600 % 24

    def advance(self, passed_s: float) -> None:
        """Lets time pass and measures everything anew."""
        self._day_s += passed_s
        self.values = {device.code: self._measured(device, passed_s) for device in self._devices}

    def _measured(self, device: SimDevice, passed_s: float) -> Measured:
        measure: Mapping[str, Callable[[SimDevice, float], Measured]] = {
            "incoming": self._incoming,
            "ac_pile": self._ac_pile,
            "dc_pile": self._dc_pile,
            "pv": self._pv,
            "ups": self._ups,
            "cabinet": self._air,
            "outdoor": self._air,
            "inputs": self._inputs,
        }
        return measure[device.role](device, passed_s)

    # -- meters

    def _ac_pile(self, device: SimDevice, passed_s: float) -> Measured:
        power_kw = self._pile_kw(device)
        voltage_v = self._phase_v(self._ac_piles.index(device.code) % 3)
        apparent_kva = power_kw / physics.POWER_FACTOR
        return {
            "phase_voltage.a": voltage_v,
            "current.a": apparent_kva / voltage_v * 1000,
            **_powers("", power_kw, apparent_kva),
            "frequency": self._frequency_hz(),
            **self._registers(device, passed_s, power_kw),
        }

    def _dc_pile(self, device: SimDevice, passed_s: float) -> Measured:
        power_kw = self._pile_kw(device)
        voltage_v = physics.dc_voltage_v(self._progress(device)) + (self._wander(device, 0.4) if power_kw else 0.0)
        return {
            "voltage": voltage_v,
            "current": power_kw / voltage_v * 1000 if power_kw else 0.0,
            "power": power_kw,
            "temperature.internal": physics.ambient_c(self._day_s) + 8 + power_kw / 20,
            "wire_break": 0.0,
            "alarm_word.1": 0.0,
            **self._registers(device, passed_s, power_kw),
        }

    def _incoming(self, device: SimDevice, passed_s: float) -> Measured:
        phase_kw = self._phase_powers_kw()
        power_kw = sum(phase_kw)
        voltages = [self._phase_v(index) for index in range(3)]
        measured: Measured = {}
        for name, volt, kilowatt in zip(PHASES, voltages, phase_kw, strict=True):
            apparent_kva = abs(kilowatt) / physics.POWER_FACTOR
            measured |= {f"phase_voltage.{name}": volt, f"current.{name}": apparent_kva / volt * 1000, **_powers(f".{name}", kilowatt, apparent_kva)}
        return {
            **measured,
            **_line_voltages(voltages),
            **_powers("", power_kw, sum(abs(kilowatt) for kilowatt in phase_kw) / physics.POWER_FACTOR),
            "frequency": self._frequency_hz(),
            "voltage_unbalance": 100 * (max(voltages) / (sum(voltages) / 3) - 1),
            "ratio.voltage": 1.0,
            "ratio.current": 1.0,
            **self._registers(device, passed_s, power_kw),
        }

    def _phase_powers_kw(self) -> list[float]:
        """What each phase takes from the grid: AC piles are spread over the phases, everything else takes a third of each."""
        even_kw = physics.AUXILIARY_KW - self._pv_kw()
        even_kw += sum(self._pile_kw(device) for device in self._devices if device.role == "dc_pile") / physics.DC_PILE_EFFICIENCY
        phase_kw = [even_kw / 3] * 3
        for device in self._devices:
            if device.role == "ac_pile":
                phase_kw[self._ac_piles.index(device.code) % 3] += self._pile_kw(device)
        return phase_kw

    def _registers(self, device: SimDevice, passed_s: float, power_kw: float) -> Measured:
        """Energy registers: they integrate power and never fall. Piles give nothing back."""
        energy = self._energy[device.code]
        hours, reactive = passed_s / 3600, math.tan(math.acos(physics.POWER_FACTOR))
        taken, given = max(0.0, power_kw) * hours, max(0.0, -power_kw) * hours
        now = physics.tariff(self._day_s)
        for way, step in (("import", taken), ("export", given)):
            energy[f"energy.{way}"] += step
            energy[f"energy.{way}.{now}"] += step
            energy[f"energy.reactive_{way}"] += step * reactive
        registers: Measured = {**energy}
        for suffix in ("", *(f".{name}" for name in physics.TARIFFS)):
            registers[f"energy.total{suffix}"] = energy[f"energy.import{suffix}"] + energy[f"energy.export{suffix}"]
        return registers

    # -- the others

    def _pv(self, device: SimDevice, passed_s: float) -> Measured:
        power_kw = self._pv_kw()
        voltages = [self._phase_v(index) for index in range(3)]
        measured: Measured = {}
        for volt, name in zip(voltages, PHASES, strict=True):
            measured |= {f"phase_voltage.{name}": volt, f"current.{name}": power_kw / 3 / volt * 1000}
        return {
            **measured,
            **_line_voltages(voltages),
            **_powers("", power_kw, power_kw / physics.POWER_FACTOR),
            **self._strings(device, power_kw / _PV_EFFICIENCY),
            **self._yield(device, passed_s, power_kw),
            "dc_power": power_kw / _PV_EFFICIENCY,
            "frequency": self._frequency_hz(),
            "efficiency": 100 * _PV_EFFICIENCY if power_kw else 0.0,
            "temperature.internal": physics.ambient_c(self._day_s) + 6 + power_kw / 2,
            "insulation_resistance": 3000.0,
            "state": float(_PV_RUNNING if power_kw else _PV_ASLEEP),
            "fault_code": 0.0,
            **{f"alarm_word.{number}": 0.0 for number in (1, 2, 3)},
            "model": "SUN2000-50KTL-M0",
            "serial_number": f"SIM-{device.code}",
        }

    def _strings(self, device: SimDevice, dc_kw: float) -> Measured:
        """Strings of a little unequal length; terminals beyond them are open."""
        volt = 620.0 + self._wander(device, 6) if dc_kw else 0.0
        measured: Measured = {}
        for number in range(1, _PV_TERMINALS + 1):
            fitted = number <= _PV_STRINGS and dc_kw > 0
            share = (1 + 0.01 * math.sin(number)) / _PV_STRINGS
            measured[f"string.{number}.voltage"] = volt if fitted else 0.0
            measured[f"string.{number}.current"] = dc_kw * share / volt * 1000 if fitted else 0.0
        return measured

    def _yield(self, device: SimDevice, passed_s: float, power_kw: float) -> Measured:
        """The day's counter begins anew at midnight, the other one never."""
        energy = self._energy[device.code]
        if self._day_s % 86_400 < passed_s:
            energy["energy.yield_today"] = 0.0
        for name in ("energy.yield", "energy.yield_today"):
            energy[name] += power_kw * passed_s / 3600
        return {"energy.yield": energy["energy.yield"], "energy.yield_today": energy["energy.yield_today"]}

    def _ups(self, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG002 - one signature for every role
        """On line, battery floating. A test that wants it on battery sets the points."""
        load_w = 560.0 + self._wander(device, 40)
        return {
            "input.voltage": self._phase_v(0),
            "input.frequency": self._frequency_hz(),
            "input.bypass.voltage": self._phase_v(0),
            "input.bypass.frequency": self._frequency_hz(),
            "output.voltage": 220.0 + self._wander(device, 0.3),
            "output.current": load_w / 0.9 / 220,
            "output.frequency": 50.0,
            "output.realpower": load_w,
            "output.power": load_w / 0.9,
            "ups.load": 100 * load_w / _UPS_RATED_W,
            "ups.temperature": physics.ambient_c(self._day_s) + 9,
            "ups.status": "OL",
            "ups.route": 2.0,
            "ups.alarm_word": 8.0,
            "battery.voltage": _UPS_BATTERY_V + self._wander(device, 0.1),
            "battery.charge": 100.0,
            "battery.runtime": _UPS_RUNTIME_S,
            "battery.state": 3.0,
        }

    def _air(self, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG002 - as above
        inside_k = 6.0 if device.role == "cabinet" else 0.0
        temperature_c = physics.ambient_c(self._day_s) + inside_k + self._wander(device, 0.6)
        return {"temperature": temperature_c, "humidity": 75.0 - temperature_c + self._wander(device, 2), "air_pressure": 1010.0 + self._wander(device, 3)}

    def _inputs(self, device: SimDevice, passed_s: float) -> Measured:  # noqa: ARG002 - as above
        return {f"{kind}.{number}": 0.0 for kind in ("input", "relay") for number in range(1, 17)}

    # -- what they share

    def _progress(self, device: SimDevice) -> float | None:
        sessions = self._sessions[device.code]
        return sessions.progress(self._day_s) if sessions else None

    def _pile_kw(self, device: SimDevice) -> float:
        progress = self._progress(device)
        power_kw = physics.dc_power_kw(progress) if device.role == "dc_pile" else physics.ac_power_kw(progress)
        return power_kw * (1 + self._wander(device, 0.01))

    def _pv_kw(self) -> float:
        return physics.pv_power_kw(self._day_s, self._seed) if any(device.role == "pv" for device in self._devices) else 0.0

    def _phase_v(self, index: int) -> float:
        return physics.PHASE_V + physics.wander(self._day_s, 2.1 * index + self._seed, 2.5)

    def _frequency_hz(self) -> float:
        return physics.FREQUENCY_HZ + physics.wander(self._day_s, 0.7, 0.04)

    def _wander(self, device: SimDevice, depth: float) -> float:
        return physics.wander(self._day_s, self._phase[device.code], depth)


def _sessions(device: SimDevice, chance: random.Random) -> physics.Sessions | None:
    if device.role == "ac_pile":
        return physics.ac_sessions(chance)
    return physics.dc_sessions(chance) if device.role == "dc_pile" else None


def _powers(suffix: str, power_kw: float, apparent_kva: float) -> Measured:
    reactive_kvar = math.sqrt(max(0.0, apparent_kva**2 - power_kw**2))
    return {
        f"active_power{suffix}": power_kw,
        f"reactive_power{suffix}": reactive_kvar,
        f"apparent_power{suffix}": apparent_kva,
        f"power_factor{suffix}": power_kw / apparent_kva if apparent_kva else 1.0,
    }


def _line_voltages(phase_v: Sequence[float]) -> Measured:
    """Between each two phases, 120 degrees apart."""
    volts = dict(zip(PHASES, phase_v, strict=True))
    return {f"line_voltage.{pair}": math.sqrt(volts[one] ** 2 + volts[two] ** 2 + volts[one] * volts[two]) for pair, one, two in LINES}


def _first_energy(device: SimDevice, hour: float, import_kwh: float) -> dict[str, float]:
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
