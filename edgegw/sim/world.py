"""What every device of the station measures now: the day's physics with the memory that energy registers, batteries and sessions need.

`advance` is called with the seconds that have passed; `values` is replaced whole, so that the threads of the lines read it without a lock.
Values are in the units of the dictionary (kW, kWh, V, ...), save where a profile has its own (UPS power: W and VA). What each role shows is
in `roles.py`, `meters.py` and `piles.py`; here is what they share.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

from edgegw.sim import physics
from edgegw.sim.meters import METERS, first_energy
from edgegw.sim.physics import Measured
from edgegw.sim.piles import PILES
from edgegw.sim.roles import OTHERS, Ups
from edgegw.sim.scenario import Conditions, Scenario, conditions
from edgegw.sim.station import Station

# What each role measures: a pure reading of the world, which keeps the memory.
_ROLES = {**METERS, **PILES, **OTHERS}
# Below this share of its voltage nothing that is fed by the mains works.
MAINS_WORKS_SHARE = 0.5
# Energy registers begin somewhere, as a meter's do that has run for a while.
_FIRST_KWH = (200.0, 9_000.0)
# A grid-tied inverter watches the grid for a minute before it feeds in again; until then it tells the loss as an alarm.
GRID_WATCHED_S = 60.0
# Copper and its joints follow the current slowly: the time in which two thirds of a step are done.
JOINT_LAG_S = 1500.0
# Behind the UPS, or with a supply of their own.
_FED_BY_UPS = frozenset({"ups", "cabinet", "outdoor", "inputs", "joints"})
_AC_PILE_ROLES = frozenset({"ac_pile", "ac_control"})
_GUNS_OF_CONTROL = 2


class World:
    """The station's quantities. Single-threaded save for reading `values` and `silent`."""

    def __init__(self, station: Station, scenario: Scenario | None = None) -> None:
        self.seed = station.seed
        self.devices = station.device
        self._scenario = scenario or Scenario()
        self.day_s = station.start_hour * 3600
        chance = random.Random(station.seed)
        self._phase = {device.code: chance.uniform(0, 2 * math.pi) for device in station.device}
        self.guns = _guns(station)
        self.ac_piles = list(dict.fromkeys(device.pile_code for device in station.device if device.role in _AC_PILE_ROLES))
        self._sessions = {gun: physics.ac_sessions(chance) if gun[0] in self.ac_piles else physics.dc_sessions(chance) for gun in self.guns}
        for step in self._scenario.step:
            # A register that stands still shows only while something charges.
            self._sessions |= {gun: physics.begun_by(habit, step.begin_s) for gun, habit in self._sessions.items() if gun[0] == step.pile}
        self.energy = {device.code: first_energy(device, station.start_hour, chance.uniform(*_FIRST_KWH)) for device in station.device}
        self.ups = Ups()
        self.mains_since_s = GRID_WATCHED_S
        """For how long the mains have been there since they were lost last."""
        self.joints_warm_k: float | None = None
        """Above the air; None before the first look."""
        self.conditions = Conditions()
        self.values: Mapping[str, Measured] = {}
        self.silent: frozenset[str] = frozenset()
        """Devices that have no supply or whose line is dead, and inverters at night."""
        self.advance(0.0)

    @property
    def hour(self) -> float:
        return self.day_s / 3600 % 24

    def advance(self, passed_s: float) -> None:
        """Lets time pass and measures everything anew."""
        before_s = self.day_s
        self.day_s += passed_s
        self.conditions = conditions(self._scenario, before_s, self.day_s)
        self.ups = self.ups.after(passed_s, fed=self.mains_works, dip_share=self.conditions.dip_share)
        self.mains_since_s = self.mains_since_s + passed_s if self.mains_works else 0.0
        self._warm_joints(passed_s)
        self.values = {device.code: _ROLES[device.role](self, device, passed_s) for device in self.devices}
        dark = frozenset() if self.mains_works else frozenset(device.code for device in self.devices if device.role not in _FED_BY_UPS)
        asleep = {device.code for device in self.devices if device.role == "pv"} if physics.inverters_sleep(self.day_s) else frozenset()
        self.silent = dark | asleep | {device.code for device in self.devices if device.bus in self.conditions.dead_buses}

    def _warm_joints(self, passed_s: float) -> None:
        """Busbar and cable joints carry the station's current."""
        target_k = 12.0 + 18.0 * min(1.0, abs(sum(self.phase_powers_kw())) / 300)
        before_k = target_k if self.joints_warm_k is None else self.joints_warm_k
        self.joints_warm_k = before_k + (target_k - before_k) * (1 - math.exp(-passed_s / JOINT_LAG_S))

    # -- what the roles share

    @property
    def mains_works(self) -> bool:
        return self.conditions.mains_share >= MAINS_WORKS_SHARE

    @property
    def sees_grid(self) -> bool:
        """Whether an inverter may feed in."""
        return self.mains_since_s >= GRID_WATCHED_S

    def progress(self, gun: tuple[str, int]) -> float | None:
        """How far the session of this gun is, 0 to 1; None while nothing charges."""
        return self._sessions[gun].progress(self.day_s) if self.mains_works else None

    def gun_kw(self, gun: tuple[str, int]) -> float:
        """What the gun gives. The guns of a DC pile share its power."""
        progress = self.progress(gun)
        if gun[0] in self.ac_piles:
            return physics.ac_power_kw(progress) * (1 + self.wander(gun[0], 0.01))
        return physics.dc_power_kw(progress) / self.guns[gun] * (1 + self.wander(f"{gun[0]}/{gun[1]}", 0.01))

    def pile_kw(self, pile: str) -> float:
        """What all guns of the pile give."""
        return sum(self.gun_kw(gun) for gun in self.guns if gun[0] == pile)

    def pv_kw(self) -> float:
        has_pv = any(device.role == "pv" for device in self.devices)
        if not has_pv or not self.sees_grid:
            return 0.0
        return physics.pv_power_kw(self.day_s, self.seed)

    def phase_v(self, index: int) -> float:
        return self.conditions.mains_share * (physics.PHASE_V + physics.wander(self.day_s, 2.1 * index + self.seed, 2.5))

    def frequency_hz(self) -> float:
        return physics.FREQUENCY_HZ + physics.wander(self.day_s, 0.7, 0.04) if self.mains_works else 0.0

    def wander(self, code: str, depth: float) -> float:
        """A slow, bounded wandering around 0 of its own for each name."""
        phase = self._phase.get(code)
        if phase is None:
            phase = self._phase[code] = random.Random(f"{self.seed}/{code}").uniform(0, 2 * math.pi)
        return physics.wander(self.day_s, phase, depth)

    def phase_powers_kw(self) -> list[float]:
        """What each phase takes from the grid: AC piles are spread over the phases, everything else takes a third of each."""
        even_kw = physics.AUXILIARY_KW - self.pv_kw()
        even_kw += sum(self.gun_kw(gun) for gun in self.guns if gun[0] not in self.ac_piles) / physics.DC_PILE_EFFICIENCY
        phase_kw = [even_kw / 3] * 3
        for index, pile in enumerate(self.ac_piles):
            phase_kw[index % 3] += self.pile_kw(pile)
        return phase_kw


def _guns(station: Station) -> dict[tuple[str, int], int]:
    """(pile, gun) of the station to the number of guns of that pile, in the order of the file."""
    found: list[tuple[str, int]] = []
    for device in station.device:
        if device.role in _AC_PILE_ROLES or device.role in ("dc_pile", "dc_gun"):
            found.append((device.pile_code, device.gun))
        elif device.role == "dc_control":
            found += [(device.pile_code, number) for number in range(1, _GUNS_OF_CONTROL + 1)]
    guns = list(dict.fromkeys(found))
    number = Counter(pile for pile, _ in guns)
    return {gun: number[gun[0]] for gun in guns}
