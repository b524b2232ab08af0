"""What an event of an alarm carries so that somebody can be sent without looking anything up: where it is, and by when something was promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgegw.rules.conditions import Edge
from edgegw.rules.episode import Episode
from edgegw.rules.levels import promised

# With these somebody hears of it, or hears that it is worse.
OPENING: Final = frozenset({Edge.RAISED, Edge.LEVEL, Edge.AGAIN, Edge.SHOWN})


def work_order(episode: Episode, places: Mapping[str, str]) -> dict[str, object]:
    """`place` of the device and `due`, promise to wall time in ms; nothing of what there is none."""
    facts = episode.facts
    found: dict[str, object] = {}
    place = places.get(facts.device or "")
    if place:
        found["place"] = place
    due = {what: episode.raised_at_ms + after_ms for what, after_ms in promised(facts.level)}
    if due:
        found["due"] = due
    return found
