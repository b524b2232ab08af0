"""The station's day: what each kind of device measures at an hour of it. Pure functions of the time and a seed; `world.py` adds what has a memory.

Small on purpose: powers follow the day, voltages and frequency wander, and the meters agree with each other (incoming = piles + auxiliary - PV).
All powers in kW. An `hour` is the hour of the day with its fraction, a `day_s` the seconds since the first midnight.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache

import msgspec

Measured = dict[str, float | str]
"""Point to its value, in the dictionary's unit."""

PHASES = ("a", "b", "c")
TARIFFS = ("sharp", "peak", "flat", "valley")
LINES = (("ab", "a", "b"), ("bc", "b", "c"), ("ca", "c", "a"))

# Sunrise at 7, a half-sine to 45 kW at 12:30.
SUNRISE_HOUR = 7.0
SUNSET_HOUR = 18.0
PV_PEAK_KW = 45.0
# So long after sunset an inverter still says that there is no sun; then it is silent until sunrise.
PV_DUSK_S = 600.0
# Clouds take up to 30 % in bursts of 5 minutes; how many of the bursts are cloudy is chosen.
CLOUD_DEPTH = 0.3
CLOUD_BURST_S = 300.0
CLOUDY_SHARE = 0.4

AC_PILE_KW = 6.6
DC_PILE_KW = 100.0
DC_PILE_END_KW = 30.0
# A DC session is at full power for this share of its time and tapers after it.
DC_FULL_SHARE = 0.6
# When most people want it, for how long, and what is left of it at night.
DC_PEAK_HOURS = (12.0, 19.0)
DC_PEAK_WIDTH_H = 2.0
DC_DEMAND_MIN = 0.25
# Sessions of a day at all guns of the largest station.
WHIMS_KEPT = 4096
# Lighting, controller, ventilation.
AUXILIARY_KW = 2.4
# What a DC pile takes from the grid for what it gives.
DC_PILE_EFFICIENCY = 0.95

PHASE_V = 230.0
FREQUENCY_HZ = 50.0
POWER_FACTOR = 0.985


class Sessions(msgspec.Struct, frozen=True):
    """A pile's habit: a session of `length_s` every `every_s`, the first one `first_s` after midnight."""

    first_s: float
    every_s: float
    length_s: float
    by_demand: bool = False
    """Only as many of them take place as people come at that hour."""

    def progress(self, day_s: float) -> float | None:
        """How far the session of this moment is, 0 to 1; None between two."""
        number, since_s = divmod(day_s - self.first_s, self.every_s)
        if since_s >= self.length_s or (self.by_demand and not self._takes_place(int(number))):
            return None
        return since_s / self.length_s

    def _takes_place(self, number: int) -> bool:
        return demand((self.first_s + number * self.every_s + self.length_s / 2) / 3600 % 24) > _whim(self.first_s, number)


def demand(hour: float) -> float:
    """How much of the DC piles is in use: all of them at noon and in the evening, few at night."""
    return DC_DEMAND_MIN + (1 - DC_DEMAND_MIN) * max(math.exp(-(((hour - peak) / DC_PEAK_WIDTH_H) ** 2)) for peak in DC_PEAK_HOURS)


@lru_cache(maxsize=WHIMS_KEPT)
def _whim(first_s: float, number: int) -> float:
    """0 to 1, the same whenever it is asked."""
    return random.Random(f"{first_s}/{number}").random()


def ac_sessions(chance: random.Random) -> Sessions:
    """3-6 h at an AC pile, with a pause between the cars."""
    length_s = chance.uniform(3, 6) * 3600
    return Sessions(chance.uniform(0, length_s), length_s + chance.uniform(0.5, 2) * 3600, length_s)


def dc_sessions(chance: random.Random) -> Sessions:
    """About 40 minutes at a DC pile, one after the other where people wait."""
    length_s = chance.uniform(30, 50) * 60
    return Sessions(chance.uniform(0, length_s), length_s + chance.uniform(5, 20) * 60, length_s, by_demand=True)


def begun_by(habit: Sessions, day_s: float) -> Sessions:
    """The same habit, moved so that a session has begun an hour before this time."""
    return msgspec.structs.replace(habit, first_s=day_s - 3600)


def ac_power_kw(progress: float | None) -> float:
    return AC_PILE_KW if progress is not None else 0.0


def dc_power_kw(progress: float | None) -> float:
    """Full power, then a straight taper."""
    if progress is None:
        return 0.0
    taper = max(0.0, progress - DC_FULL_SHARE) / (1 - DC_FULL_SHARE)
    return DC_PILE_KW + taper * (DC_PILE_END_KW - DC_PILE_KW)


def dc_voltage_v(progress: float | None) -> float:
    """The battery's voltage rises while it is charged; between sessions the contactor is open."""
    return 0.0 if progress is None else 680.0 + 90.0 * progress


def pv_power_kw(day_s: float, seed: int) -> float:
    hour = day_s / 3600 % 24
    if not SUNRISE_HOUR < hour < SUNSET_HOUR:
        return 0.0
    clear = PV_PEAK_KW * math.sin(math.pi * (hour - SUNRISE_HOUR) / (SUNSET_HOUR - SUNRISE_HOUR))
    return clear * (1 - cloud_share(day_s, seed))


def inverters_sleep(day_s: float) -> bool:
    hour = day_s / 3600 % 24
    return not SUNRISE_HOUR <= hour < SUNSET_HOUR + PV_DUSK_S / 3600


def cloud_share(day_s: float, seed: int) -> float:
    """What the clouds take. Each burst has its depth; the edges are a minute long, as a cloud's edge over a field of modules is."""
    burst, into_s = divmod(day_s, CLOUD_BURST_S)
    before, now = _burst_depth(int(burst) - 1, seed), _burst_depth(int(burst), seed)
    return before + (now - before) * min(1.0, into_s / 60)


def _burst_depth(burst: int, seed: int) -> float:
    chance = random.Random(f"{seed}/cloud/{burst}")
    return chance.uniform(0.05, CLOUD_DEPTH) if chance.random() < CLOUDY_SHARE else 0.0


def wander(day_s: float, phase: float, depth: float) -> float:
    """A slow, bounded wandering around 0 within +-`depth`: never the same value twice in a row, never a jump."""
    return depth * (0.5 * math.sin(day_s / 7.3 + phase) + 0.3 * math.sin(day_s / 61 + 2 * phase) + 0.2 * math.sin(day_s / 587 + 3 * phase))


def ambient_c(day_s: float) -> float:
    """Coolest at 5, warmest at 15 o'clock."""
    return 24.0 - 7.0 * math.cos(2 * math.pi * (day_s / 3600 - 3) / 24)


def tariff(day_s: float) -> str:
    """A usual timetable of four tariffs."""
    hour = day_s / 3600 % 24
    if 19 <= hour < 21:
        return "sharp"
    if 8 <= hour < 11 or 17 <= hour < 23:
        return "peak"
    return "flat" if 7 <= hour < 23 else "valley"
