"""The yield of the inverters of a station against the sun: the event `yield` at the end of a day, and the alarm `low yield`.

One irradiance sensor sees the sun for all of them. At the first dark hours its day is judged, of each inverter by its own register (pv_yield.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from edgegw.config.model import Device
from edgegw.model import ClockTrust, Quality
from edgegw.truth.meters import NO_WIDTH, Widths
from edgegw.truth.pv_yield import Edge, Harvest, Judged, Light
from edgegw.truth.standing import LOW_YIELD, Standing
from edgegw.truth.sums import Place, Places
from edgegw.truth.work import KEY_PREFIX, Moment, Work, encode, in_unit, recall

SUN_POINT, REGISTER = "irradiance", "energy.yield"
# Of two sensors one lies as the modules do: it has this role.
SUN_ROLE = "array"
INVERTER_CLASS = "inverter"
# Kept this often: what a start does not know of the day is a gap of it, and flash is spared.
KEEP_EVERY_MS = 900_000
# What is not measured for so many periods, at least a minute, is a gap.
GAP_PERIODS = 3
GAP_MS_MIN = 60_000
_BELIEVED = frozenset({Quality.GOOD, Quality.LATE})


class Kept(msgspec.Struct):
    """As it is kept for the next start."""

    light: Light
    at_ms: int
    """Wall time of its last look at the sun."""
    clock: ClockTrust
    harvests: dict[str, Harvest]


def sun_of(devices: Sequence[Device], places: Places) -> Place | None:
    """The only irradiance sensor of the station, or the only one with the role; nobody else says which of two is meant."""
    found = [device for device in devices if f"{device.code}.{SUN_POINT}" in places]
    if len(found) > 1:
        found = [device for device in found if device.roles.get(SUN_POINT) == SUN_ROLE]
    return places[f"{found[0].code}.{SUN_POINT}"] if len(found) == 1 else None


class Yields:
    """The step of the source that has the irradiance, and of those that have the registers of inverters."""

    def __init__(  # noqa: PLR0913, PLR0917 - the station, and what is known of it
        self, sun: Place, devices: Sequence[Device], places: Places, widths: Widths, standings: Mapping[str, Standing], restored: Mapping[str, bytes]
    ) -> None:
        self.key = f"{KEY_PREFIX}yield/{sun.source.device}"
        self._sun = sun
        self._gap_ms = max(GAP_PERIODS * sun.source.period_ms, GAP_MS_MIN)
        self._rated_kw = {device.code: device.rated_kw for device in devices}
        self._standings = standings
        found = [places[name] for device in devices if (name := f"{device.code}.{REGISTER}") in places]
        self._registers = {place.source.device: place for place in found if place.source.device_class == INVERTER_CLASS}
        self._steps_kwh = {code: in_unit(widths.get((code, REGISTER), NO_WIDTH).step, place.point) for code, place in self._registers.items()}
        self._of_source = {place.source.source_id: place for place in self._registers.values()}
        kept = cast("Kept | None", recall(restored, self.key, Kept))
        self._kept_at = None if kept is None else (kept.at_ms, kept.clock)
        self._light = Light() if kept is None else kept.light
        self._harvests = {code: Harvest() if kept is None else kept.harvests.get(code, Harvest()) for code in self._registers}
        self._seen_ms: int | None = None
        self._keep_ms = 0

    @property
    def source_ids(self) -> set[int]:
        return {self._sun.source.source_id, *self._of_source}

    @property
    def devices(self) -> frozenset[str]:
        """The inverters that are judged."""
        return frozenset(self._registers)

    def forget(self, device: str) -> None:
        """Another inverter has taken the place: its register and its past are another's."""
        if device in self._harvests:
            self._harvests[device] = Harvest()

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        source_id = work.reading.source.source_id
        place = self._of_source.get(source_id)
        if place is not None and (kwh := _believed(place, work)) is not None:
            self._harvests[place.source.device].see(kwh, self._light)
        if source_id == self._sun.source.source_id and (w_m2 := _believed(self._sun, work)) is not None:
            self._look(w_m2, work)

    def _look(self, w_m2: float, work: Work) -> None:
        edge = self._light.see(w_m2, self._elapsed_ms(work.now), self._gap_ms)
        self._seen_ms = work.now.mono_ms
        for device, harvest in self._harvests.items():
            if edge is Edge.OVER and self._light.wh_m2:
                self._judge(device, harvest, work)
            elif edge is Edge.BEGUN or edge is Edge.LOST:
                harvest.turn(edge)
        if edge is not None or work.now.mono_ms >= self._keep_ms:
            self._keep_ms = work.now.mono_ms + KEEP_EVERY_MS
            work.states[self.key] = encode(Kept(self._light, work.now.wall_ms, work.now.clock, self._harvests))

    def _elapsed_ms(self, now: Moment) -> int | None:
        """Since the look before; over a restart by the wall clock, where it can be believed."""
        if self._seen_ms is not None:
            return now.mono_ms - self._seen_ms
        if self._kept_at is None or ClockTrust.UNSET in (self._kept_at[1], now.clock):
            return None
        return now.wall_ms - self._kept_at[0]

    def _judge(self, device: str, harvest: Harvest, work: Work) -> None:
        place = self._registers[device]
        found = harvest.judge(self._light, self._rated_kw[device], self._steps_kwh[device])
        body: dict[str, object] = {"point": REGISTER, "verdict": "not judged", "irradiation_wh_m2": round(self._light.wh_m2)}
        if isinstance(found, Judged):
            (self._standings[device].begin if found.low else self._standings[device].end)(LOW_YIELD, REGISTER, work)
            body |= {
                "verdict": "low" if found.low else "normal",
                "irradiation_wh_m2": round(found.wh_m2),
                "value": round(found.kwh, 3),
                "unit": place.point.unit,
                "performance_ratio": _rounded(found.ratio),
                "median": _rounded(found.median_kwh),
            }
        else:
            body["reason"] = found
        work.tell("yield", device, body)


def _believed(place: Place, work: Work) -> float | None:
    value = work.value(place.position)
    return in_unit(value, place.point) if type(value) is int and work.quality(place.position) in _BELIEVED else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
