"""Which rule judges which point of which device: by class, by device name with `*`, by point name with `*`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from edgegw.config.model import Rule
from edgegw.model import Point, Source
from edgegw.rules.conditions import Limits, State, scale
from edgegw.rules.journal import Moment, episode_key

_log = logging.getLogger("edgegw.rules")

# A value that no answer has confirmed for three periods, and for 15 s at least, is not known any more: the time after which its device counts as offline.
STALE_PERIODS = 3
STALE_MS_MIN = 15_000


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
    quiet_from: int = 1
    quiet_to: int = 0
    value: int | None = None
    """Last good value that was looked at closely."""
    uncertain: bool = True
    """Input quality: no good value since the start, or the last one was not good."""
    began: Moment | None = None
    """First reading of a condition that is not normal; None when that was before this start."""


def bind(rules: Sequence[Rule], sources: Sequence[Source]) -> dict[int, tuple[tuple[int, Watch], ...]]:
    """For each source its watched positions. A point that two sources of a device read is judged in the faster one only."""
    bound: dict[int, list[tuple[int, Watch]]] = {source.source_id: [] for source in sources}
    taken: set[str] = set()
    for source in sorted(sources, key=lambda source: (source.period_ms, source.source_id)):
        for rule in rules:
            for position, watch in _watches(rule, source):
                if watch.key not in taken:
                    taken.add(watch.key)
                    bound[source.source_id].append((position, watch))
    return {source_id: tuple(sorted(pairs, key=lambda pair: pair[0])) for source_id, pairs in bound.items()}


def _watches(rule: Rule, source: Source) -> Iterator[tuple[int, Watch]]:
    if rule.device_class and rule.device_class != source.device_class:
        return
    if rule.devices and not any(matches(pattern, source.device) for pattern in rule.devices):
        return
    for position, point in enumerate(source.points):
        if point.kind != "text" and matches(rule.point, point.name):
            limits = _limits(rule, source, point)
            if limits is not None:
                yield position, Watch(rule, source.device, point, limits, episode_key(rule.name, source.device, point.name))


def _limits(rule: Rule, source: Source, point: Point) -> Limits | None:
    scaled = scale(rule.condition, rule.limit, rule.deadband, point.decimals)
    if scaled is None:
        _log.warning("rule %s: %s of %s has %d decimals and is never equal to %s", rule.name, point.name, source.device, point.decimals, rule.limit)
        return None
    return Limits(
        condition=rule.condition,
        set_limit=scaled[0],
        hold_limit=scaled[1],
        on_delay_ms=round(rule.on_delay_s * 1000),
        off_delay_ms=round(rule.off_delay_s * 1000),
        stale_ms=max(STALE_PERIODS * source.period_ms, STALE_MS_MIN),
    )


def matches(pattern: str, name: str) -> bool:
    """`*` stands for any letters, also none; everything else for itself."""
    return pattern == name or ("*" in pattern and _compile(pattern).fullmatch(name) is not None)


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*"))
