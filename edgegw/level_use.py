"""Levels that a configuration does not have any more while an alarm of them is open: told before the service starts with it.

The service itself starts all the same and counts such an alarm among the most severe: a gateway that stands still watches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.happened import states_of
from edgegw.buffer.history import Reader
from edgegw.config.finding import ERROR, Finding
from edgegw.config.level_check import level_names
from edgegw.config.load import Loaded
from edgegw.errors import EdgegwError
from edgegw.rules.episode import EPISODE_PREFIX, Episode
from edgegw.rules.journal import RETURNED_PREFIX


def with_open_alarms(loaded: Loaded) -> Loaded:
    """The findings, and one for each level that only open alarms still use. A store that is not there or may not be read says nothing."""
    config = loaded.config
    if config is None or not config.level:
        return loaded
    states: dict[str, bytes] = {}
    with suppress(EdgegwError, OSError), Reader(Path(config.paths.state_dir) / FILE_NAME) as reader:
        states = {**states_of(reader, EPISODE_PREFIX), **states_of(reader, RETURNED_PREFIX)}
    used = _by_level(states)
    line = loaded.index.line("level", 0)
    found = [_finding(level, used[level], line, loaded.path.name) for level in sorted(set(used) - set(level_names(config)))]
    return msgspec.structs.replace(loaded, findings=(*loaded.findings, *found))


def _by_level(states: Mapping[str, bytes]) -> dict[str, list[Episode]]:
    used: dict[str, list[Episode]] = {}
    for data in states.values():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            episode = msgspec.json.decode(data, type=Episode)
            used.setdefault(episode.facts.level, []).append(episode)
    return used


def _finding(level: str, episodes: list[Episode], line: int | None, file: str) -> Finding:
    first = min(episodes, key=lambda episode: episode.number)
    others = f" and {len(episodes) - 1} others" if len(episodes) > 1 else ""
    what = f'alarm #{first.number} ("{first.facts.rule}" of {first.facts.subject}){others} is open'
    text = f'level "{level}" is gone, but {what}: name it in formerly of the level that takes its place'
    return Finding(ERROR, "E-CFG-LEVEL", line, text, file)
