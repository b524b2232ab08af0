"""Whether a day of sun gave what it should have given (pure).

    night ──light──► day ──two hours without light──► judged, night

A day is what lies between two nights of the sensor itself: no calendar, no place and no clock can put it wrong. Performance ratio (IEC 61724-1): energy over
rated power x irradiation, with 1 kW/m2 as the sun of the rating. Powers are W/m2 and kW, energies Wh/m2 and kWh, times ms on the monotonic clock.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

# Lamps of a station give a sensor some W/m2; an inverter needs more than this to run.
LIGHT_W_M2 = 20.0
# A storm is not that dark for so long; the shortest night between 55 degrees north and south is longer.
DARK_MS = 2 * 3_600_000
# The shortest day there has seven hours of light: dark before and behind a gap that is not longer, and it was night.
NIGHT_GAP_MS = 6 * 3_600_000
# The longest day there has less; what shines on is a sensor that hangs.
DAY_MS_MAX = 20 * 3_600_000
# Between the two ends of a gap a straight line is taken: an hour of it is some percent of the day.
MISSING_MS_MAX = 3_600_000
# At noon of a clear day a sensor with steps of 10 W/m2 tells the same for an hour; one that tells it for two hangs.
STILL_MS = 2 * 3_600_000
# A dull day: its light is scattered, inverters run at their worst, and what is missing is not worth a drive.
WH_M2_MIN = 1_000.0
# Of the day's irradiation, so much must lie between the two looks at the register.
COVERED_MIN = 0.9
RATIO_MIN = 0.7
# Steep modules beside a level sensor reach two in the winter of the north; more is a wrong register.
RATIO_MAX = 2.5
# A day is compared with earlier ones of about the same irradiation.
MEDIAN_SHARE = 0.6
COMPARABLE = 0.2
COMPARED_MIN = 3
DAYS_KEPT = 7
# What was low for so long is how the plant is now: days count as usual again, or its alarm would never end.
LOW_DAYS_MAX = 30

_HOUR_MS = 3_600_000


class Edge(StrEnum):
    """What a look at the sun has brought."""

    BEGUN = "begun"
    OVER = "over"
    LOST = "lost"
    """Nobody knows which days have passed since the look before."""


class Light(msgspec.Struct):
    """The sun of the present day, as the sensor sees it."""

    w_m2: float | None = None
    """At the last look."""
    is_night: bool = False
    """The day is over: the next light begins another one."""
    is_whole: bool = False
    """Known from its first light on, by a sensor that moves."""
    wh_m2: float = 0.0
    day_ms: int = 0
    missing_ms: int = 0
    dark_ms: int = 0
    still_ms: int = 0

    def see(self, w_m2: float, elapsed_ms: int | None, gap_ms: int) -> Edge | None:
        """One good value, `elapsed_ms` after the one before (None: unknown); what is longer than `gap_ms` was not measured."""
        before, self.w_m2 = self.w_m2, w_m2
        if before is None or elapsed_ms is None or not 0 <= elapsed_ms <= NIGHT_GAP_MS:
            self._begin(whole=False)
            return Edge.LOST
        if self.is_night and w_m2 < LIGHT_W_M2:
            return None
        begun = self.is_night
        if begun:
            self._begin(whole=True)
        self._pass(before, w_m2, elapsed_ms, gap_ms)
        if self.dark_ms >= DARK_MS:
            self.is_night = True
            return Edge.OVER
        return Edge.BEGUN if begun else None

    @property
    def doubt(self) -> str:
        """Why the day cannot be judged by its irradiation; empty: it can."""
        if not self.is_whole or self.missing_ms > MISSING_MS_MAX or self.day_ms > DAY_MS_MAX:
            return "the irradiance was not measured throughout the day"
        return "too little sun" if self.wh_m2 < WH_M2_MIN else ""

    def _begin(self, *, whole: bool) -> None:
        self.is_night, self.is_whole = False, whole
        self.wh_m2, self.day_ms, self.missing_ms, self.dark_ms, self.still_ms = 0.0, 0, 0, 0, 0

    def _pass(self, before: float, w_m2: float, elapsed_ms: int, gap_ms: int) -> None:
        self.day_ms += elapsed_ms
        if max(before, w_m2) < LIGHT_W_M2:
            self.dark_ms += elapsed_ms
            return
        self.dark_ms = 0
        self.wh_m2 += (before + w_m2) / 2 * elapsed_ms / _HOUR_MS
        if elapsed_ms > gap_ms:
            self.missing_ms += elapsed_ms
        self.still_ms = self.still_ms + elapsed_ms if w_m2 == before else 0
        if self.still_ms >= STILL_MS:
            self.is_whole = False


class Stand(NamedTuple):
    """Where the register of an inverter stood, and the irradiation of the day until then."""

    kwh: float
    wh_m2: float


class Day(NamedTuple):
    """One day of one inverter."""

    kwh: float
    wh_m2: float


class Judged(NamedTuple):
    """What the day came to. None: there was nothing to compare with."""

    kwh: float
    wh_m2: float
    ratio: float | None
    median_kwh: float | None
    low: bool


class Harvest(msgspec.Struct):
    """One inverter: its register over the day, and the days before."""

    begin: Stand | None = None
    last: Stand | None = None
    days: list[Day] = []
    """The last ones that were not low."""
    low_days: int = 0
    """Low ones in a row."""

    def see(self, kwh: float, light: Light) -> None:
        """A value of the register that is beyond doubt."""
        self.last = Stand(kwh, light.wh_m2)
        if self.begin is None:
            self.begin = self.last

    def turn(self, edge: Edge) -> None:
        """A day has begun: at night an inverter may answer nothing, so its register stands where it stood. Or nobody knows the day."""
        self.last = None if edge is Edge.LOST or self.last is None else Stand(self.last.kwh, 0.0)
        self.begin = self.last

    def judge(self, light: Light, rated_kw: float, step_kwh: float = 0.0) -> Judged | str:
        """At the end of the day; the reason where it cannot be judged. A register may owe one of its steps: the day has it to its credit."""
        from statistics import median  # noqa: PLC0415 - once an evening, at stations with PV

        if light.doubt:
            return light.doubt
        if self.begin is None or self.last is None or self.last.wh_m2 - self.begin.wh_m2 < COVERED_MIN * light.wh_m2:
            return "the register was not read throughout the day"
        kwh, wh_m2 = self.last.kwh - self.begin.kwh, self.last.wh_m2 - self.begin.wh_m2
        ratio = kwh / (rated_kw * wh_m2 / 1000) if rated_kw > 0 else None
        if kwh < 0 or (ratio is not None and ratio > RATIO_MAX):
            return "the register did not go on from its last value"
        alike = [day.kwh for day in self.days if abs(day.wh_m2 - wh_m2) <= COMPARABLE * wh_m2]
        usual_kwh = median(alike) if len(alike) >= COMPARED_MIN else None
        most_kwh = kwh + step_kwh
        low = most_kwh < RATIO_MIN * rated_kw * wh_m2 / 1000 or (usual_kwh is not None and most_kwh < MEDIAN_SHARE * usual_kwh)
        self.low_days = self.low_days + 1 if low else 0
        if not low or self.low_days > LOW_DAYS_MAX:
            self.days = [*self.days, Day(kwh, wh_m2)][-DAYS_KEPT:]
        if ratio is None and usual_kwh is None:
            return "too few days of such sun to compare with"
        return Judged(kwh, wh_m2, ratio, usual_kwh, low)
