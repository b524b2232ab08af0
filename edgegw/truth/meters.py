"""Meters: their registers one by one, registers against power, power against voltage and current."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from edgegw.model import ClockTrust, Point, Quality, Source
from edgegw.points import lookup
from edgegw.truth.counters import Count, Finding, Register, What, allowance, step
from edgegw.truth.electric import READINGS_MIN, Check, compile_checks, expected_kw, fits
from edgegw.truth.flow import Flow
from edgegw.truth.standing import JUMP, METER_FROZEN, RUNS_BACKWARDS, Standing
from edgegw.truth.work import KEY_PREFIX, Work, encode, in_unit, recall

# Where each register stands is kept this often: an older value only allows a larger step after a restart, and flash is spared.
KEEP_EVERY_MS = 900_000
# A register that fell or jumped is told until it has gone on as it should for so long.
GOES_ON_MS = 900_000
# Of one register so often at most: a meter that alternates would fill the store with its outliers.
OUTLIER_TOLD_EVERY_MS = 3_600_000
# They begin anew by their nature.
_PERIODICAL = ("_today", "_yesterday", "_month", "_year", "_session")
_ENERGY = frozenset({"kWh", "kvarh", "kVAh"})
# Register, the power that moves it, and its direction (1 taken, -1 given, 0 either).
_MOVED_BY = {
    "energy.import": (("active_power", 1), ("power", 0)),
    "energy.export": (("active_power", -1),),
    "energy.yield": (("active_power", 0),),
}


class Width(NamedTuple):
    """What a profile says of a register, in scaled integers."""

    modulus: int | None
    step: int


Widths = Mapping[tuple[str, str], Width]
"""(device, point) to its register."""
NO_WIDTH = Width(None, 1)


class Kept(NamedTuple):
    """A register as it is kept for the next start."""

    value: int
    at_ms: int
    """Wall time."""
    clock: int


class Registers:
    """The counters of one source."""

    def __init__(self, source: Source, rated_kw: float, widths: Widths, standing: Standing, restored: Mapping[str, bytes]) -> None:
        self._standing = standing
        self._told_ms: dict[int, int] = {}
        """Position to when its alarm began, or was first looked at since the start."""
        self.key = f"{KEY_PREFIX}counter/{source.device}/{source.group}"
        self._source = source
        self._registers = [(i, _register(point, rated_kw, widths.get((source.device, point.name), NO_WIDTH))) for i, point in judged_counters(source)]
        self._kept = cast("dict[str, Kept]", recall(restored, self.key, dict[str, Kept]) or {})
        self._counts: dict[int, Count] = {}
        self._keep_ms: int | None = None
        self._outliers: dict[int, tuple[int, int]] = {}
        """Position to (when one was told, how many came since)."""

    def __call__(self, work: Work) -> None:
        if work.wrong:
            return
        told = False
        for position, register in self._registers:
            value = work.value(position)
            if type(value) is not int or work.quality(position) not in _BELIEVED:
                continue
            count = self._counts.get(position) or self._first(position, value, work)
            count, finding = step(register, count, value, work.now.mono_ms)
            self._counts[position] = count
            if count.doubt is not None:
                work.suspect(position)
                work.again = True
            if finding is not None:
                told |= self._tell(position, finding, work)
            if finding is not None or self._standing.is_raised:
                self._stand(position, finding, work, in_doubt=count.doubt is not None)
        if told or self._keep_ms is None or work.now.mono_ms >= self._keep_ms:
            self._keep(work)

    def _stand(self, position: int, finding: Finding | None, work: Work, *, in_doubt: bool) -> None:
        """The alarm of a register that fell or jumped."""
        name, now_ms = self._source.points[position].name, work.now.mono_ms
        rule = _ALARMS.get(finding.what) if finding is not None else None
        if rule is not None:
            self._told_ms[position] = now_ms
            self._standing.begin(rule, name, work)
            return
        stands = not in_doubt and any(self._standing.value(known, name) is not None for known in _ALARMS.values())
        if stands and now_ms - self._told_ms.setdefault(position, now_ms) >= GOES_ON_MS:
            for known in _ALARMS.values():
                self._standing.end(known, name, work)

    @property
    def positions(self) -> list[int]:
        """Of the judged registers."""
        return [position for position, _ in self._registers]

    def forget(self) -> None:
        """Another meter has taken the place: what the old one said judges nothing."""
        self._counts.clear()
        self._kept.clear()
        self._keep_ms = None

    def _first(self, position: int, value: int, work: Work) -> Count:
        """Where the register stood at the last start."""
        kept = self._kept.pop(self._source.points[position].name, None)
        if kept is None:
            return Count(value, work.now.mono_ms)
        elapsed_ms = work.now.wall_ms - kept.at_ms
        known = elapsed_ms >= 0 and ClockTrust.UNSET not in (kept.clock, work.now.clock)
        return Count(kept.value, work.now.mono_ms - elapsed_ms if known else None)

    def _keep(self, work: Work) -> None:
        self._keep_ms = work.now.mono_ms + KEEP_EVERY_MS
        now = work.now
        kept = {
            self._source.points[position].name: Kept(
                count.value, now.wall_ms - (now.mono_ms - (now.mono_ms if count.at_ms is None else count.at_ms)), now.clock
            )
            for position, count in self._counts.items()
        }
        if kept:
            work.states[self.key] = encode({**self._kept, **kept})

    def _tell(self, position: int, finding: Finding, work: Work) -> bool:
        count = 1
        if finding.what is What.OUTLIER:
            told_ms, since = self._outliers.get(position, (None, 0))
            if told_ms is not None and work.now.mono_ms - told_ms < OUTLIER_TOLD_EVERY_MS:
                self._outliers[position] = told_ms, since + 1
                return False
            self._outliers[position] = work.now.mono_ms, 0
            count += since
        point = self._source.points[position]
        body = {
            "point": point.name,
            "what": finding.what.value,
            "old": in_unit(finding.old, point),
            "new": in_unit(finding.new, point),
            "now": in_unit(finding.now, point),
            "raw": finding.new,
            "unit": point.unit,
            "reads": finding.reads,
            "count": count,
            "reason": _REASONS[finding.what],
        }
        work.tell("counter", self._source.device, body)
        return True


_BELIEVED = frozenset({Quality.GOOD, Quality.LATE})
_ALARMS = {What.RESET: RUNS_BACKWARDS, What.STEP_BACK: RUNS_BACKWARDS, What.STEP_LARGE: JUMP}
_REASONS = {
    What.ROLLOVER: "passed the end of the register and went on from zero",
    What.RESET: "began again at zero; two more reads confirmed it",
    What.STEP_BACK: "fell; two more reads confirmed it",
    What.STEP_LARGE: "grew by more than the rated power allows; two more reads confirmed it",
    What.OUTLIER: "did not fit, and the next reads went on from the old value",
    What.UNSTEADY: "no three reads agreed; the last one is taken",
}


def judged_counters(source: Source) -> list[tuple[int, Point]]:
    """Positions of the registers that only grow."""
    return [(i, point) for i, point in enumerate(source.points) if point.kind == "counter" and not point.name.endswith(_PERIODICAL)]


def _register(point: Point, rated_kw: float, width: Width) -> Register:
    entry = lookup(point.name)
    may_fall = entry is not None and entry.range is not None and entry.range[0] < 0
    per_ms = allowance(rated_kw, point.decimals) if point.unit in _ENERGY else None
    return Register(point.decimals, width.modulus, width.step, per_ms, may_fall)


# -- registers against power


class FlowPower:
    """The step of the source that has the power."""

    def __init__(self, flow: Flow, source: Source, position: int) -> None:
        self._flow, self._position, self._period_ms = flow, position, source.period_ms
        self._unit = 10.0 ** -source.points[position].decimals

    def __call__(self, work: Work) -> None:
        value = work.value(self._position)
        if type(value) is int and not work.wrong and work.quality(self._position) in _BELIEVED:
            self._flow.power(value * self._unit, work.now.mono_ms, self._period_ms)
        else:
            self._flow.no_power()


class FlowRegister:
    """The step of the source that has the register. While it stands still its value is suspect."""

    def __init__(self, flow: Flow, source: Source, position: int, standing: Standing) -> None:
        self._flow, self._source, self._position, self._standing = flow, source, position, standing
        stood_at = standing.value(METER_FROZEN, source.points[position].name)
        if stood_at is not None:
            flow.value, flow.frozen = stood_at, True

    def __call__(self, work: Work) -> None:
        value = work.value(self._position)
        if type(value) is not int or work.wrong or work.quality(self._position) not in _BELIEVED:
            return
        flow, point = self._flow, self._source.points[self._position]
        stood_ms, flowed_kwh = work.now.mono_ms - flow.since_ms, flow.flowed_kwh
        edge = flow.register(value, work.now.mono_ms)
        if edge:
            body = {
                "point": point.name,
                "edge": "raised" if edge == "frozen" else "cleared",
                "value": in_unit(value, point),
                "raw": value,
                "unit": point.unit,
                "stood_s": round(stood_ms / 1000),
                "flowed_kwh": round(flowed_kwh, 3),
                "reason": "unchanged while power flows through the meter" if edge == "frozen" else "moves again",
            }
            work.tell("frozen", self._source.device, body)
            if edge == "frozen":
                self._standing.begin(METER_FROZEN, point.name, work, value)
            else:
                self._standing.end(METER_FROZEN, point.name, work)
        if flow.frozen:
            work.suspect(self._position)


def compile_flows(sources: Sequence[Source], rated_kw: float, widths: Widths, standing: Standing) -> list[tuple[int, FlowPower | FlowRegister]]:
    """(source id, step) of the registers of one device whose power is measured."""
    at = {point.name: (source, i) for source in reversed(sources) for i, point in enumerate(source.points)}
    pairs = [(register, power, sign) for register, powers in _MOVED_BY.items() for power, sign in powers if register in at and power in at]
    pairs += [(name, f"{gun}.power", 0) for name in at if name.startswith("gun") and name.endswith(".energy") and f"{(gun := name[:-7])}.power" in at]
    found: list[tuple[int, FlowPower | FlowRegister]] = []
    for register, power, sign in pairs:
        (source, position), (power_source, power_position) = at[register], at[power]
        step_kwh = widths.get((source.device, register), NO_WIDTH).step / 10 ** source.points[position].decimals
        flow = Flow(step_kwh, rated_kw, sign)
        found.append((power_source.source_id, FlowPower(flow, power_source, power_position)))
        found.append((source.source_id, FlowRegister(flow, source, position, standing)))
    return found


# -- power against voltage and current


class Powers:
    """The powers of one source. One that does not fit in three readings in a row is suspect until it fits again."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.checks: tuple[Check, ...] = compile_checks(source.points, source.device_class)
        self._misfits = [0] * len(self.checks)

    def __call__(self, work: Work) -> None:
        if work.wrong:
            return
        values = work.values()
        for i, check in enumerate(self.checks):
            if fits(check, values):
                if self._misfits[i]:
                    self._fits_again(i, check, work)
            elif work.quality(check.power) in _BELIEVED:
                self._misfits[i] += 1
                if self._misfits[i] == READINGS_MIN:
                    self._tell(check, "raised", work)
                if self._misfits[i] >= READINGS_MIN:
                    work.suspect(check.power)

    def _fits_again(self, i: int, check: Check, work: Work) -> None:
        if work.value(check.power) is None or expected_kw(check, work.values()) is None:
            return  # nobody knows
        if self._misfits[i] >= READINGS_MIN:
            self._tell(check, "cleared", work)
        self._misfits[i] = 0

    def _tell(self, check: Check, edge: str, work: Work) -> None:
        point = self._source.points[check.power]
        expected, value = expected_kw(check, work.values()), work.value(check.power)
        if expected is None or type(value) is not int:
            return
        body = {
            "point": point.name,
            "edge": edge,
            "value": in_unit(value, point),
            "expected": round(expected[0], 3),
            "unit": point.unit,
            "bound": "equal" if check.equal else "at most",
            "reason": "voltage times current" + (" times power factor" if check.factor is not None else ""),
        }
        work.tell("implausible", self._source.device, body)
