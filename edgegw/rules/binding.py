"""Which rule judges which point of which device: by class, by device name with `*`, by point name with `*`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from edgegw.config.model import Rule
from edgegw.config.model import Term as TermConfig
from edgegw.model import Point, Source
from edgegw.rules.averages import Average
from edgegw.rules.conditions import FAR, Limits, State, scale
from edgegw.rules.episode import Moment, episode_key
from edgegw.rules.groups import GROUPED, Operand, Peers, group_of
from edgegw.rules.lasting import CARRIED_PREFIX, LAST_PREFIX
from edgegw.rules.probes import NO_WORDS, PLAIN, AnyOf, Probe, Term

_log = logging.getLogger("edgegw.rules")

# A value that no answer has confirmed for three periods, and for 15 s at least, is not known any more: the time after which its device counts as offline.
STALE_PERIODS = 3
STALE_MS_MIN = 15_000
# Of these the limit is a time.
_TIMED = frozenset({"frozen", "missing"})
# Compared with a `reference`; without one the first two look at themselves alone.
_REFERRING = frozenset({"rise", "fall", "deviation"})
# What a text can be asked.
_OF_TEXT = frozenset({"word", "missing"})


@dataclass(slots=True, eq=False)
class Watch:
    """One rule on one point of one device, and where it stands."""

    rule: Rule
    device: str
    point: Point
    limits: Limits
    key: str
    """Of its open episode in journal and store."""
    state: State = field(default_factory=State)
    due_ms: int = FAR
    """End of the delay that runs (`delays.py`)."""
    quiet_from: int = 1
    quiet_to: int = 0
    value: int | None = None
    """Last good value that was looked at closely."""
    uncertain: bool = True
    """Input quality: no good value since the start, or the last one was not good."""
    began: Moment | None = None
    """First reading of a condition that is not normal; None when that was before this start."""
    probe: Probe | None = None
    """None where the limits alone decide, and a quiet range is known."""
    terms: tuple[Term | AnyOf, ...] = ()
    words: AbstractSet[str] = NO_WORDS
    source_id: int = 0
    holding: bool | None = None
    """The probe's last answer."""


class Bound(NamedTuple):
    """What is to be done with the values of one source; positions in its points."""

    plain: tuple[tuple[int, Watch], ...] = ()
    careful: tuple[tuple[int, Watch], ...] = ()
    """Each value is looked at."""
    operands: tuple[tuple[int, Operand], ...] = ()
    terms: tuple[tuple[int, Term, Watch], ...] = ()


class _Place(NamedTuple):
    source: Source
    position: int

    @property
    def point(self) -> Point:
        return self.source.points[self.position]


class Binder:
    """Rules to the sources of a station. A point that two sources of a device read is judged in the faster one only."""

    def __init__(self, rules: Sequence[Rule], sources: Sequence[Source], roles: Mapping[tuple[str, str], str]) -> None:
        self._plain: dict[int, list[tuple[int, Watch]]] = {}
        self._careful: dict[int, list[tuple[int, Watch]]] = {}
        self._operands: dict[int, list[tuple[int, Operand]]] = {}
        self._terms: dict[int, list[tuple[int, Term, Watch]]] = {}
        self._sources = sorted(sources, key=lambda source: (source.period_ms, source.source_id))
        self._places = _places(self._sources)
        self._points: dict[str, list[_Place]] = {}
        """Of each device."""
        for place in self._places.values():
            self._points.setdefault(place.source.device, []).append(place)
        self._roles = roles
        self._classes: dict[str, list[str]] = {}
        for source in self._sources:
            known = self._classes.setdefault(source.device_class, [])
            if source.device not in known:
                known.append(source.device)
        self._taken: set[tuple[str, str, str]] = set()
        self._groups: dict[tuple[str, str, int], dict[str, Operand]] = {}
        """Of rules that compare points with one another: point name to its value."""
        names = {rule.name for rule in rules}
        for rule in sorted(rules, key=lambda rule: not rule.instead_of):
            if rule.instead_of and rule.instead_of not in names:
                _log.warning("rule %s is to take the place of %s, which there is not", rule.name, rule.instead_of)
            if rule.enabled or rule.instead_of:
                self._bind(rule)

    def bound(self) -> dict[int, Bound]:
        """By source id; sources that nothing is bound to have an empty one."""
        return {source.source_id: self._of(source.source_id) for source in self._sources}

    def _of(self, source_id: int) -> Bound:
        return Bound(
            plain=tuple(sorted(self._plain.get(source_id, ()), key=lambda pair: pair[0])),
            careful=tuple(sorted(self._careful.get(source_id, ()), key=lambda pair: pair[0])),
            operands=tuple(self._operands.get(source_id, ())),
            terms=tuple(self._terms.get(source_id, ())),
        )

    def _bind(self, rule: Rule) -> None:
        for source in self._sources:
            for position, point in _judged(rule, source):
                name = (rule.name, source.device, point.name)
                if rule.role and self._roles.get(name[1:]) != rule.role:
                    continue
                if name not in self._taken:
                    self._taken |= {name, (rule.instead_of, source.device, point.name)}
                    if rule.enabled:
                        self._watch(rule, _Place(source, position))

    def _watch(self, rule: Rule, place: _Place) -> None:
        source, point = place.source, place.point
        limits = _limits(rule, source, point)
        if limits is None:
            return
        watch = Watch(rule, source.device, point, limits, _key(rule, source.device, point.name), words=frozenset((rule.word, *rule.words)) - {""})
        terms = [self._term(rule, term, source.device) for term in rule.when]
        if [] in terms or not self._probe(watch):
            return
        watch.source_id = source.source_id
        for found in terms:
            each = tuple(term for _, term in found)
            watch.terms = (*watch.terms, each[0] if len(each) == 1 else AnyOf(each))
            for at, term in found:
                self._terms.setdefault(at.source.source_id, []).append((at.position, term, watch))
        if watch.terms and watch.probe is None:
            watch.probe = Probe(limits)
        pairs = self._careful if watch.probe else self._plain
        pairs.setdefault(source.source_id, []).append((place.position, watch))

    def _probe(self, watch: Watch) -> bool:
        """False where the condition needs a point that there is not."""
        rule = watch.rule
        if rule.condition in PLAIN and not rule.average_s:
            return True
        watch.probe = Probe(watch.limits, round(rule.window_s * 1000))
        if rule.average_s:
            watch.probe.average = Average(round(rule.average_s * 1000))
        elif rule.condition in GROUPED:
            watch.probe.peers = self._peers(watch)
        elif rule.condition in _REFERRING:
            watch.probe.reference = self._reference(watch)
        return rule.condition != "deviation" or watch.probe.reference is not None

    def _reference(self, watch: Watch) -> Operand | None:
        """What a point is compared with."""
        rule = watch.rule
        if not rule.reference:
            return None
        place = self._places.get((watch.device, rule.reference)) or self._places.get(self._named(rule.reference))
        if place is None or place.point.kind == "text" or place.point.decimals != watch.point.decimals:
            level = logging.WARNING if rule.condition == "deviation" else logging.INFO
            _log.log(level, "rule %s: %s %s has no %s of the same decimals to compare with", rule.name, watch.device, watch.point.name, rule.reference)
            return None
        return self._operand(place)

    def _named(self, reference: str) -> tuple[str, str]:
        """`MAIN.active_power` or `@ambient` as device and point; a role that two points have is none."""
        if not reference.startswith("@"):
            code, _, point = reference.partition(".")
            return code, point
        of_role = [name for name, role in self._roles.items() if role == reference[1:]]
        return of_role[0] if len(of_role) == 1 else ("", "")

    def _operand(self, place: _Place, least: int | None = None) -> Operand:
        operand = Operand(least=least, carried_key=f"{CARRIED_PREFIX}{place.source.device}/{place.point.name}/{least}")
        self._operands.setdefault(place.source.source_id, []).append((place.position, operand))
        return operand

    def _peers(self, watch: Watch) -> Peers:
        """Its device's points that the rule judges too, in its own group."""
        rule, group = watch.rule, group_of(watch.point.name, watch.rule.group_size)
        least = round(rule.least * 10**watch.point.decimals)
        known = self._groups.get((rule.name, watch.device, group))
        if known is None:
            places = {place.point.name: place for place in self._named_by(watch.device, rule.point)}
            of_role = {name: place for name, place in places.items() if not rule.role or self._roles.get((watch.device, name)) == rule.role}
            known = {name: self._operand(place, least) for name, place in of_role.items() if group_of(name, rule.group_size) == group}
            self._groups[rule.name, watch.device, group] = known
        return Peers(known[watch.point.name], tuple(known.values()), least)

    def _term(self, rule: Rule, term: TermConfig, device: str) -> list[tuple[_Place, Term]]:
        """Each point that it looks at; none where the station has no such point: the rule cannot hold there."""
        codes = self._classes.get(term.device_class, []) if term.device_class and not term.device else [term.device or device]
        found: list[tuple[_Place, Term]] = []
        for place in (place for code in codes for place in self._named_by(code, term.point)):
            is_text = place.point.kind == "text"
            scaled = scale(term.condition, term.limit, 0.0, place.point.decimals) if is_text == (term.condition == "word") else None
            if scaled is not None:
                found.append((place, Term(Limits(term.condition, *scaled, 0, 0, 0), frozenset({term.word}), last_key=_last_key(term, place))))
        if not found:
            _log.info("rule %s does not act on %s: there is no %s to go with it", rule.name, device, term.point)
        return found

    def _named_by(self, code: str, pattern: str) -> list[_Place]:
        return [place for place in self._points.get(code, ()) if matches(pattern, place.point.name)]


def _places(sources: Sequence[Source]) -> dict[tuple[str, str], _Place]:
    places: dict[tuple[str, str], _Place] = {}
    for source in sources:
        for position, point in enumerate(source.points):
            places.setdefault((source.device, point.name), _Place(source, position))
    return places


def _key(rule: Rule, device: str, point: str) -> str:
    if not rule.episode:
        return episode_key(rule.name, device, point)
    return episode_key(rule.episode, device, point if "*" in rule.point and not rule.per_device else "")


def _last_key(term: TermConfig, place: _Place) -> str:
    """What it asks stands in it: what was stored of another limit or word answers nothing."""
    return f"{LAST_PREFIX}{place.source.device}/{place.point.name}/{term.condition}/{term.word or term.limit}" if term.last else ""


def _judged(rule: Rule, source: Source) -> Iterator[tuple[int, Point]]:
    if rule.device_class and rule.device_class != source.device_class:
        return
    if rule.devices and not any(matches(pattern, source.device) for pattern in rule.devices):
        return
    for position, point in enumerate(source.points):
        if (rule.condition in _OF_TEXT if point.kind == "text" else rule.condition != "word") and matches(rule.point, point.name):
            yield position, point


def _limits(rule: Rule, source: Source, point: Point) -> Limits | None:
    scaled = scale(rule.condition, rule.limit, rule.deadband, point.decimals)
    if scaled is None:
        _log.warning("rule %s: %s of %s has %d decimals and is never equal to %s", rule.name, point.name, source.device, point.decimals, rule.limit)
        return None
    return Limits(
        condition=rule.condition,
        set_limit=scaled[0],
        hold_limit=scaled[1],
        on_delay_ms=round((rule.on_delay_s + (rule.limit if rule.condition in _TIMED else 0)) * 1000),
        off_delay_ms=round(rule.off_delay_s * 1000),
        stale_ms=max(STALE_PERIODS * source.period_ms, STALE_MS_MIN),
    )


def matches(pattern: str, name: str) -> bool:
    """`*` stands for any letters, also none; everything else for itself."""
    return pattern == name or ("*" in pattern and _compile(pattern).fullmatch(name) is not None)


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*"))
