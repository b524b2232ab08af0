"""The open episodes, their numbers, and what of them is stored.

Every change becomes one event for the journal and one state for the store, both for the transaction of the reading that caused it.
An episode lies in the store under `rules/alarm/<rule>/<device, bus or gateway>/<point>` from its raise to its end, then under
`rules/returned/<id>` while it waits for its acknowledgement; `rules/number` holds the last short number given.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from edgegw.model import Event
from edgegw.rules.conditions import Edge
from edgegw.rules.episode import EPISODE_PREFIX, Episode, Facts, Moment
from edgegw.rules.told import Told

if TYPE_CHECKING:
    from edgegw.rules.roots import Roots

_log = logging.getLogger("edgegw.rules")

NUMBER_KEY = "rules/number"
RETURNED_PREFIX = "rules/returned/"
# A station that nobody looks after must not collect them for ever: the oldest is closed by itself, with its reason.
RETURNED_MAX = 500
# An alarm of these that ended before anybody had seen it is kept until somebody has.
ACKNOWLEDGED_LEVELS = frozenset({"critical", "major"})


class Changes(msgspec.Struct, frozen=True):
    """What a reading or a tick changed; goes into the store in one transaction with the reading."""

    events: tuple[Event, ...] = ()
    states: Mapping[str, bytes | None] = MappingProxyType({})
    """Key to the bytes to keep under it; None deletes."""
    told: tuple[Told, ...] = ()
    """What people are to hear of it."""

    def __bool__(self) -> bool:
        return bool(self.events or self.states or self.told)


NO_CHANGES = Changes()


class Journal:
    """Episodes by what they are about, and what has changed since the last `take`."""

    def __init__(self, epoch: int, restored: Mapping[str, bytes]) -> None:
        self._epoch = epoch
        self._counter = 0
        self._number = 0
        self._events: list[Event] = []
        self._states: dict[str, bytes | None] = {}
        self.open: dict[str, Episode] = {}
        """By `Facts.key`: the condition holds, or a latched alarm waits for its reset."""
        self.keys: dict[str, str] = {}
        """Of the open ones, by id."""
        self.below: dict[str, set[str]] = {}
        """Keys of the open ones that are hidden, by the id of what they are hidden below."""
        self.returned: dict[str, Episode] = {}
        """By id, oldest first: ended, and not acknowledged yet."""
        self._restore(restored)
        self.roots: Roots | None = None

    def _restore(self, restored: Mapping[str, bytes]) -> None:
        for key, data in restored.items():
            if key.startswith((EPISODE_PREFIX, RETURNED_PREFIX)):
                self._restore_episode(key, data)
        self.returned = dict(sorted(self.returned.items(), key=lambda item: item[1].number))
        stored = restored.get(NUMBER_KEY, b"0")
        numbers = (episode.number for episode in (*self.open.values(), *self.returned.values()))
        self._number = max([int(stored) if stored.isdigit() else 0, *numbers])

    def _restore_episode(self, key: str, data: bytes) -> None:
        try:
            episode = msgspec.json.decode(data, type=Episode)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            _log.warning("the stored alarm %s cannot be read and is forgotten: %s", key, fault)
            self._states[key] = None
            return
        if key.startswith(RETURNED_PREFIX):
            self.returned[episode.alarm_id] = episode
        else:
            self._index(episode)

    def find(self, number: int) -> Episode | None:
        """By the short number that people use."""
        return next((episode for episode in (*self.open.values(), *self.returned.values()) if episode.number == number), None)

    def take(self) -> Changes:
        """Everything since the last call."""
        if not self._events and not self._states:
            return NO_CHANGES
        changes = Changes(tuple(self._events), self._states)
        self._events, self._states = [], {}
        return changes

    def note(self, event: Event) -> None:
        """An event beside those of episodes."""
        self._events.append(event)

    def keep_state(self, key: str, data: bytes | None) -> None:
        self._states[key] = data

    # -- the condition

    def raise_(self, facts: Facts, began: Moment, at: Moment, suppressed_by: str | None = None, children: tuple[str, ...] = ()) -> Episode:
        """`children`: ids of alarms already open that are hidden below this one from now on. One that waits for its reset goes on."""
        waiting = self.open.get(facts.key)
        if waiting is not None and waiting.cleared_at_ms is not None:
            return self._again(waiting, at, facts)
        self._counter += 1
        self._number += 1
        if suppressed_by is None and self.roots is not None:
            suppressed_by = self.roots.root_of(facts, began)
        episode = Episode(
            alarm_id=f"{self._epoch:016x}-{self._counter}",
            number=self._number,
            facts=facts,
            began_at_ms=began.wall_ms,
            began_clock=began.clock,
            raised_at_ms=at.wall_ms,
            suppressed_by=suppressed_by,
        )
        self._states[NUMBER_KEY] = str(self._number).encode()
        self._keep(episode)
        children = (*children, *self._gather(episode))
        more = {"children": list(children)} if children else {}
        self.report(episode, Edge.RAISED, at, facts.value, more)
        return episode

    def _gather(self, root: Episode) -> list[str]:
        """Hides what a new root explains; their ids."""
        found = self.roots.children_of(root) if self.roots is not None else []
        for child in found:
            self.hide(child.facts.key, root.suppressed_by or root.alarm_id)
        return [child.alarm_id for child in found]

    def _again(self, waiting: Episode, at: Moment, facts: Facts) -> Episode:
        """Nobody can have acknowledged what has come anew."""
        episode = msgspec.structs.replace(waiting, facts=facts, cleared_at_ms=None, acknowledged=False, acknowledged_at_ms=None, acknowledged_by="", note="")
        self._keep(episode)
        self.report(episode, Edge.AGAIN, at, facts.value, {})
        return episode

    def change_level(self, key: str, facts: Facts, at: Moment) -> None:
        """Another rule of the same episode decides about its level now. What is worse than it was must be acknowledged anew."""
        before = self.open[key]
        episode = msgspec.structs.replace(before, facts=facts)
        self._keep(episode)
        children = self._gather(episode)
        more = {"children": children} if children else {}
        self.report(episode, Edge.LEVEL, at, facts.value, {"level_before": before.facts.level, **more})

    def clear(self, key: str, at: Moment, value: float | None = None, reason: str = "") -> None:
        """`value` is the one that ended it; `reason` says why when no value did, and closes it: there is nothing left to look after."""
        episode = self.open[key]
        if episode.cleared_at_ms is not None and not reason:
            return
        if self.roots is not None:
            self.roots.ended(episode, at)
        if episode.facts.latched and not reason:
            self._keep(msgspec.structs.replace(episode, cleared_at_ms=at.wall_ms))
            self.report(self.open[key], Edge.RETURNED, at, value, {})
            return
        self._forget(episode)
        waits = not (reason or episode.acknowledged or episode.suppressed_by) and episode.facts.level in ACKNOWLEDGED_LEVELS
        if waits:
            self._wait(msgspec.structs.replace(episode, cleared_at_ms=at.wall_ms), at)
        self.report(episode, Edge.CLEARED, at, value, {"closed": not waits, **({"reason": reason} if reason else {})})

    def _wait(self, episode: Episode, at: Moment) -> None:
        self.returned[episode.alarm_id] = episode
        self._states[RETURNED_PREFIX + episode.alarm_id] = msgspec.json.encode(episode)
        while len(self.returned) > RETURNED_MAX:
            oldest = next(iter(self.returned.values()))
            self.close(oldest, Edge.CLOSED, at, {"reason": f"nobody acknowledged it, and {RETURNED_MAX} others wait"})

    # -- people

    def close(self, episode: Episode, edge: Edge, at: Moment, more: Mapping[str, object]) -> None:
        """Ends an episode whose condition has ended."""
        if self.returned.pop(episode.alarm_id, None) is not None:
            self._states[RETURNED_PREFIX + episode.alarm_id] = None
        else:
            self._forget(episode)
        self.report(episode, edge, at, None, {**more, "closed": True})

    def hide(self, key: str, root: str) -> None:
        """The alarm `root` explains this one; the root's own event names it."""
        self._keep(msgspec.structs.replace(self.open[key], suppressed_by=root))

    def show(self, key: str, at: Moment) -> None:
        """The alarm above has ended and this one has not."""
        episode = msgspec.structs.replace(self.open[key], suppressed_by=None)
        self._keep(episode)
        self.report(episode, Edge.SHOWN, at, episode.facts.value, {})

    def replace(self, episode: Episode) -> None:
        """The same episode with another word of a person on it."""
        if episode.alarm_id in self.returned:
            self.returned[episode.alarm_id] = episode
            self._states[RETURNED_PREFIX + episode.alarm_id] = msgspec.json.encode(episode)
        else:
            self._keep(episode)

    def _keep(self, episode: Episode) -> None:
        self._index(episode)
        self._states[episode.facts.key] = msgspec.json.encode(episode)

    def _index(self, episode: Episode) -> None:
        key = episode.facts.key
        before = self.open.get(key)
        if before is not None and before.suppressed_by and before.suppressed_by != episode.suppressed_by:
            self._rise(before)
        self.open[key] = episode
        self.keys[episode.alarm_id] = key
        if episode.suppressed_by:
            self.below.setdefault(episode.suppressed_by, set()).add(key)

    def _rise(self, episode: Episode) -> None:
        """It is not hidden below that one any more."""
        children = self.below.get(episode.suppressed_by or "", set())
        children.discard(episode.facts.key)
        if not children:
            self.below.pop(episode.suppressed_by or "", None)

    def _forget(self, episode: Episode) -> None:
        self._rise(self.open[episode.facts.key])
        del self.open[episode.facts.key]
        del self.keys[episode.alarm_id]
        self._states[episode.facts.key] = None

    def report(self, episode: Episode, edge: Edge, at: Moment, value: float | None, more: Mapping[str, object]) -> None:
        """One event of an episode (docs/alarms.md)."""
        facts = episode.facts
        body: dict[str, object] = {
            "id": episode.alarm_id,
            "number": episode.number,
            "edge": edge.value,
            "rule": facts.rule,
            "level": facts.level,
            "point": facts.point,
            "value": value,
            "unit": facts.unit,
            "limit": facts.limit,
            "began_at_ms": episode.began_at_ms,
            "began_clock": episode.began_clock.word,
            "raised_at_ms": episode.raised_at_ms,
            "text": facts.text,
            **more,
        }
        optional = {"text_zh": facts.text_zh, "bus": facts.bus, "suppressed_by": episode.suppressed_by}
        body.update({name: text for name, text in optional.items() if text})
        self._events.append(Event("alarm", at.wall_ms, at.mono_ms, at.clock, facts.device, body))
        _log.info("alarm #%d %s: %s %s: %s", episode.number, edge.value, facts.level, facts.subject, facts.text)
