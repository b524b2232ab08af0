"""What truth found wrong with a device and people are told as an alarm, until it is over. Survives a restart.

One alarm a device and kind, whichever of its points caused it. Names have a space: no configured rule can have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, cast

from edgegw.points import lookup
from edgegw.truth.work import KEY_PREFIX, Report, Work, encode, recall


class Kind(NamedTuple):
    """An alarm of truth: its level, and what it says of a point."""

    level: str
    text: str
    text_zh: str


METER_FROZEN: Final = "meter frozen"
RUNS_BACKWARDS: Final = "meter runs backwards"
JUMP: Final = "meter jump"
BALANCE: Final = "energy balance"
VALUES_FROZEN: Final = "values frozen"
LOW_YIELD: Final = "low yield"
KINDS: Final[Mapping[str, Kind]] = {
    METER_FROZEN: Kind("major", "{} stands still while power flows", "{}：有功率流过却不变化"),
    RUNS_BACKWARDS: Kind("major", "{} is lower than before", "{}：比之前的读数低"),
    JUMP: Kind("major", "{} grew by more than the rated power allows", "{}：增量超过额定功率所能产生"),
    BALANCE: Kind("minor", "{}: the parts do not add up to the whole", "{}：分项之和与总量不符"),
    VALUES_FROZEN: Kind("minor", "all electrical values unchanged for 10 minutes while current flows", "有电流而全部电气量 10 分钟不变"),
    LOW_YIELD: Kind("notice", "less energy than the sun of the day allows", "当日发电量低于辐照应有水平"),
}


class Standing:
    """The alarms of one device that last."""

    def __init__(self, device: str, restored: Mapping[str, bytes]) -> None:
        self.key = f"{KEY_PREFIX}alarm/{device}"
        self._device = device
        kept = cast("dict[str, dict[str, int]]", recall(restored, self.key, dict[str, dict[str, int]]) or {})
        self._found = {rule: points for rule, points in kept.items() if rule in KINDS and points}

    @property
    def is_raised(self) -> bool:
        """Whether there is any."""
        return bool(self._found)

    def value(self, rule: str, point: str) -> int | None:
        """What was given at the begin, None where there is no such alarm of this point."""
        return self._found.get(rule, {}).get(point)

    def begin(self, rule: str, point: str, work: Work, value: int = 0) -> None:
        points = self._found.setdefault(rule, {})
        if point not in points:
            points[point] = value
            self._keep(work)
            if len(points) == 1:
                work.reports.append(self._report(rule, point))

    def end(self, rule: str, point: str, work: Work) -> None:
        """Nothing where there is no such alarm."""
        points = self._found.get(rule, {})
        if points.pop(point, None) is None:
            return
        if not points:
            del self._found[rule]
            work.reports.append(Report(rule, self._device, raised=False))
        self._keep(work)

    def drop(self, rule: str) -> bool:
        """At the start: nothing judges it any more. True where it lasted; an alarm that a start does not report is over."""
        return self._found.pop(rule, None) is not None

    def open_alarms(self) -> Iterator[Report]:
        """Those that lasted at the last start."""
        return (self._report(rule, next(iter(points))) for rule, points in self._found.items())

    def _report(self, rule: str, point: str) -> Report:
        kind, entry = KINDS[rule], lookup(point)
        text, text_zh = kind.text.format(entry.en if entry else point), kind.text_zh.format(entry.zh if entry else point)
        return Report(rule, self._device, raised=True, text=text, text_zh=text_zh, level=kind.level)

    @property
    def state(self) -> bytes | None:
        """For the next start; None: nothing."""
        return encode(self._found) if self._found else None

    def _keep(self, work: Work) -> None:
        work.states[self.key] = self.state
