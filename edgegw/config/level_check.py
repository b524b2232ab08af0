"""Levels that are named and are not there: an alarm of such a level would have no rank, no promise and nobody who is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgegw.config.finding import ERROR, did_you_mean
from edgegw.config.level_model import SHIPPED_LEVELS
from edgegw.config.model import Config
from edgegw.config.site import Doubt

# Of each shipped level one of the rules that every station has: they are not to be had without it.
_USERS: Final = {"critical": "bus offline", "major": "device offline", "minor": "device offline of a sensor", "notice": "certificate ends in 60 days"}


def level_names(config: Config) -> list[str]:
    """Every name that stands for a level, former ones too; most severe first."""
    levels = config.level or SHIPPED_LEVELS
    return [name for level in levels for name in (level.name, *level.formerly)]


def check_levels(config: Config) -> Iterator[Doubt]:
    known = level_names(config)
    yield from _doubled(config)
    for number, rule in enumerate(config.rule):
        if rule.level not in known:
            text = f'rule "{rule.name}": no level "{rule.level}"{did_you_mean(rule.level, known)}'
            yield Doubt(ERROR, "E-CFG-LEVEL", ("rule", number, "level"), f"{text}; there are {', '.join(known)}")
    for name, user in _USERS.items():
        if name not in known:
            text = f'level "{name}" is used by rules that every station has, as "{user}": add it, or name it in formerly of the level that takes its place'
            yield Doubt(ERROR, "E-CFG-LEVEL", ("level", 0), text)


def _doubled(config: Config) -> Iterator[Doubt]:
    seen: set[str] = set()
    for number, level in enumerate(config.level):
        for name in (level.name, *level.formerly):
            if name in seen:
                key = "name" if name == level.name else "formerly"
                yield Doubt(ERROR, "E-CFG-DUP", ("level", number, key), f'level "{level.name}": "{name}" stands twice among the levels')
            seen.add(name)
