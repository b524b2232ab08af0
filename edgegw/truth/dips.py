"""Dips and swells of the mains that a UPS saw between two polls: the event `voltage_dip` or `voltage_swell`.

A UPS of the Megatec family tells the last abnormal input voltage beside the present one. It goes on telling it, or tells 000.0 where it has none:
only a change to a voltage outside 0.9 to 1.1 of the nominal one is news (the limits of a dip and a swell in GB/T 30137).
"""

from __future__ import annotations

from edgegw.model import Quality, Source
from edgegw.truth.work import Work, in_unit

NOMINAL_V = 220.0
DIP, SWELL = 0.9, 1.1
# Below this the mains were gone, and the alarms of that tell it; many UPS say 0 where they have nothing to say.
INTERRUPTION = 0.1
_POINT = "input.voltage.fault"


class Dips:
    """The step of a source that has the fault voltage of a UPS."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.positions = [position for position, point in enumerate(source.points) if point.name == _POINT]
        self._last: int | None = None

    def __call__(self, work: Work) -> None:
        position = self.positions[0]
        value = work.value(position)
        if type(value) is not int or work.wrong or work.quality(position) is not Quality.GOOD:
            return
        before, self._last = self._last, value
        if before is None or before == value:
            return
        point = self._source.points[position]
        share = in_unit(value, point) / NOMINAL_V
        if share > SWELL or INTERRUPTION < share < DIP:
            kind = "voltage_swell" if share > SWELL else "voltage_dip"
            work.tell(kind, self._source.device, {"point": point.name, "value": in_unit(value, point), "unit": point.unit, "percent": round(100 * share, 1)})
