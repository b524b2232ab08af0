"""What an event of an alarm carries so that somebody can be sent without looking anything up: where it is, and by when something was promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgegw.rules.conditions import Edge
from edgegw.rules.episode import Episode
from edgegw.rules.levels import deadlines

# With these somebody hears of it, or hears that it is worse.
OPENING: Final = frozenset({Edge.RAISED, Edge.LEVEL, Edge.AGAIN, Edge.SHOWN})


def work_order(episode: Episode, places: Mapping[str, str]) -> dict[str, object]:
    """`place` of the device and `due`, promise to wall time in ms; nothing of what there is none."""
    due = {deadline.what: deadline.at_ms for deadline in deadlines(episode.facts.level, episode.raised_at_ms)}
    found = {"place": places.get(episode.facts.device or ""), "due": due}
    return {name: value for name, value in found.items() if value}
