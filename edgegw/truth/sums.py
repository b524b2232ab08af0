"""What is made of several devices: computed points, and parts against the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgegw.config.model import Balance as BalanceSettings
from edgegw.config.model import Computed
from edgegw.model import Point, Quality, Reading, Source, Stream
from edgegw.points import lookup
from edgegw.truth.balance import Balance, Sum, Term
from edgegw.truth.computed import Formula, Input, compute
from edgegw.truth.meters import NO_WIDTH, Widths
from edgegw.truth.standing import BALANCE, Standing
from edgegw.truth.work import Work

# Inputs of the same period come a little early and a little late: a computed point must not miss every other one.
EARLY = 0.9
# What its source's class is called; rules may name it.
COMPUTED_CLASS = "computed"


class Place(NamedTuple):
    """Where a point stands."""

    source: Source
    position: int

    @property
    def point(self) -> Point:
        return self.source.points[self.position]


Places = Mapping[str, Place]
"""`DEVICE.point` to where it stands; of a point that two sources read, the faster one."""


def places_of(sources: Sequence[Source]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for source in sorted(sources, key=lambda source: (-source.period_ms, -source.source_id)):
        found.update({f"{source.device}.{point.name}": Place(source, position) for position, point in enumerate(source.points)})
    return found


class Computer:
    """One source of computed points: those of one code, registers apart from the rest."""

    def __init__(self, source: Source, formulas: Sequence[tuple[Formula, tuple[Place, ...]]]) -> None:
        self.source = source
        self._formulas = formulas
        self.watched = {(place.source.source_id, place.position) for _, places in formulas for place in places}
        self._latest: dict[tuple[int, int], Input] = {}
        self._told_ms: int | None = None

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        source_id = work.reading.source.source_id
        for key in self.watched:
            if key[0] == source_id:
                self._latest[key] = Input(work.value(key[1]), work.quality(key[1]))
        now_ms = work.now.mono_ms
        if len(self._latest) < len(self.watched) or (self._told_ms is not None and now_ms - self._told_ms < EARLY * self.source.period_ms):
            return
        self._told_ms = now_ms
        results = [compute(formula, [self._latest[place.source.source_id, place.position] for place in places]) for formula, places in self._formulas]
        quality = {position: result[1] for position, result in enumerate(results) if result[1] is not Quality.GOOD}
        work.more.append(Reading(self.source, work.now.wall_ms, now_ms, work.now.clock, tuple(result[0] for result in results), quality))


def make_computers(settings: Sequence[Computed], sources: Sequence[Source], first_source_id: int) -> list[Computer]:
    """Their sources have ids from `first_source_id` on. An input that no device has is left out: the check of the configuration has told it."""
    places = places_of(sources)
    groups: dict[tuple[str, str], list[tuple[Computed, tuple[Place, ...]]]] = {}
    for computed in settings:
        inputs = tuple(places[name] for name in computed.inputs if name in places)
        entry = lookup(computed.point)
        if entry is not None and inputs and len(inputs) == len(computed.inputs):
            groups.setdefault((computed.code, "energy" if entry.kind == "counter" else "computed"), []).append((computed, inputs))
    return [_computer(code, group, rows, first_source_id + number) for number, ((code, group), rows) in enumerate(groups.items())]


def _computer(code: str, group: str, rows: Sequence[tuple[Computed, tuple[Place, ...]]], source_id: int) -> Computer:
    points, formulas = [], []
    for computed, inputs in rows:
        entry = lookup(computed.point)
        assert entry is not None
        decimals = tuple(place.point.decimals for place in inputs)
        own = entry.decimals if computed.operation == "ratio" else max(entry.decimals, *decimals)
        low, high = entry.range or (None, None)
        points.append(Point(computed.point, own, entry.unit, entry.kind))
        formulas.append((Formula(computed.operation, decimals, own, entry.unit == "%", low, high), inputs))
    period_ms = min(round(1000 * computed.period_s) for computed, _ in rows)
    stream = Stream.ENERGY if group == "energy" else Stream.TELEMETRY
    return Computer(Source(source_id, code, group, period_ms, tuple(points), COMPUTED_CLASS, stream), formulas)


class Balancer:
    """One `[[balance]]`."""

    def __init__(self, settings: BalanceSettings, places: Places, widths: Widths, standings: Mapping[str, Standing]) -> None:
        self._settings = settings
        self._standing = standings.get(settings.total.partition(".")[0])
        names = [settings.total, *settings.parts]
        self._places = [places.get(name.removeprefix("-")) for name in names]
        terms = [_term(place, name, widths) for place, name in zip(self._places, names, strict=True) if place is not None]
        self._balance = Balance(terms, round(settings.window_s * 1000), settings.tolerance_percent, settings.parts_may_be_less)
        self._at: dict[int, list[tuple[int, Term]]] = {}
        self._off = self._standing is not None and self._standing.value(BALANCE, settings.name) is not None
        if len(terms) == len(names):
            for place, term in zip(self._places, terms, strict=True):
                assert place is not None
                self._at.setdefault(place.source.source_id, []).append((place.position, term))

    @property
    def source_ids(self) -> tuple[int, ...]:
        return tuple(self._at)

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        for position, term in self._at[work.reading.source.source_id]:
            value = work.value(position)
            if type(value) is int and work.quality(position) in _BELIEVED:
                term.see(value / 10 ** work.reading.source.points[position].decimals, work.now.mono_ms)
            else:
                term.miss()
        found = self._balance.look(work.now.mono_ms)
        if found is not None and (self._off or not found.fits):
            self._off = not found.fits
            self._tell(found, work)
            if self._standing is not None:
                (self._standing.begin if self._off else self._standing.end)(BALANCE, self._settings.name, work)

    def _tell(self, found: Sum, work: Work) -> None:
        place = self._places[0]
        assert place is not None
        body = {
            "name": self._settings.name,
            "edge": "cleared" if found.fits else "raised",
            "total": self._settings.total,
            "total_value": round(found.total, 3),
            "parts_value": round(found.parts, 3),
            "unit": place.point.unit,
            "difference_percent": found.percent,
            "tolerance_percent": self._settings.tolerance_percent,
            "window_s": self._settings.window_s,
        }
        work.tell("balance", place.source.device, body)


_BELIEVED = frozenset({Quality.GOOD, Quality.LATE})


def _term(place: Place, name: str, widths: Widths) -> Term:
    step = widths.get((place.source.device, place.point.name), NO_WIDTH).step / 10**place.point.decimals
    return Term(-1 if name.startswith("-") else 1, place.point.kind == "counter", place.source.period_ms, step)
