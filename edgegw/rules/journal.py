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
from edgegw.rules.annunciation import owed_at_level
from edgegw.rules.conditions import Edge
from edgegw.rules.episode import EPISODE_PREFIX, Episode, Facts, Moment, alarm_body, unacknowledged
from edgegw.rules.levels import current_name, is_known, rank, wants_acknowledgement
from edgegw.rules.told import Told, Why
from edgegw.rules.work_order import OPENING, work_order

if TYPE_CHECKING:
    from edgegw.rules.annunciation import Annunciation
    from edgegw.rules.consequences import Consequences
    from edgegw.rules.first_out import FirstOut
    from edgegw.rules.holding import Holding
    from edgegw.rules.roots import Roots

_log = logging.getLogger("edgegw.rules")

# Members of an enumeration and their values are looked up slowly, and this is done for each alarm of a storm.
_RAISED = Why.RAISED.value
NUMBER_KEY = "rules/number"
RETURNED_PREFIX = "rules/returned/"
# A station that nobody looks after must not collect them for ever: the oldest is closed by itself, with its reason.
RETURNED_MAX = 500


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
        self._epoch_hex = f"{epoch:016x}"
        self._counter = 0
        self._number = self._number_stored = 0
        self._events: list[Event] = []
        self._states: dict[str, bytes | None] = {}
        self._touched: dict[str, None] = {}
        """Keys of episodes whose state is to be written."""
        self._told: list[Told] = []
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
        self.annunciation: Annunciation | None = None
        self.holding: Holding | None = None
        self.first_out: FirstOut | None = None
        self.consequences: Consequences | None = None
        self.places: Mapping[str, str] = {}

    def _restore(self, restored: Mapping[str, bytes]) -> None:
        for key, data in restored.items():
            if key.startswith((EPISODE_PREFIX, RETURNED_PREFIX)):
                self._restore_episode(key, data)
        self.returned = dict(sorted(self.returned.items(), key=lambda item: item[1].number))
        stored = restored.get(NUMBER_KEY, b"0")
        numbers = (episode.number for episode in (*self.open.values(), *self.returned.values()))
        self._number = self._number_stored = max([int(stored) if stored.isdigit() else 0, *numbers])

    def _restore_episode(self, key: str, data: bytes) -> None:
        try:
            episode = msgspec.json.decode(data, type=Episode)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            _log.warning("the stored alarm %s cannot be read and is forgotten: %s", key, fault)
            self._states[key] = None
            return
        level = episode.facts.level
        if not is_known(level):
            _log.warning("alarm #%d is of level %s, which the configuration does not have: it counts as the most severe", episode.number, level)
        episode = msgspec.structs.replace(episode, facts=msgspec.structs.replace(episode.facts, level=current_name(level)))
        if key.startswith(RETURNED_PREFIX):
            self.returned[episode.alarm_id] = episode
        else:
            self._index(episode)

    def find(self, number: int) -> Episode | None:
        """By the short number that people use."""
        return next((episode for episode in (*self.open.values(), *self.returned.values()) if episode.number == number), None)

    def by_id(self, alarm_id: str) -> Episode | None:
        """By the id that the cloud knows."""
        key = self.keys.get(alarm_id)
        return self.open[key] if key is not None else self.returned.get(alarm_id)

    def take(self) -> Changes:
        """Everything since the last call."""
        if not (self._events or self._states or self._touched or self._told):
            return NO_CHANGES
        if self.consequences is not None:
            self.consequences.follow(tuple(self._events))
        for key in self._touched:
            self._states[key] = msgspec.json.encode(self.open[key]) if key in self.open else None
        if self._number != self._number_stored:
            self._number_stored = self._number
            self._states[NUMBER_KEY] = str(self._number).encode()
        changes = Changes(tuple(self._events), self._states, tuple(self._told))
        self._events, self._states, self._touched, self._told = [], {}, {}, []
        return changes

    def note(self, event: Event) -> None:
        """An event beside those of episodes."""
        self._events.append(event)

    def tell(self, told: Told) -> None:
        """People are to hear of it."""
        self._told.append(told)

    def keep_state(self, key: str, data: bytes | None) -> None:
        self._states[key] = data

    # -- the condition

    def raise_(self, facts: Facts, began: Moment, at: Moment, suppressed_by: str | None = None, children: tuple[str, ...] = ()) -> Episode:
        """`children`: ids of alarms already open that are hidden below this one from now on. One that waits for its reset goes on."""
        waiting = self.open.get(facts.key)
        if waiting is not None:
            return self._resume(waiting, facts, at, children) if waiting.cleared_at_ms is None else self._again(waiting, facts, began, at)
        self._counter += 1
        self._number += 1
        if suppressed_by is None and self.roots is not None:
            suppressed_by = self.roots.root_of(facts, began)
        episode = Episode(
            alarm_id=f"{self._epoch_hex}-{self._counter}",
            number=self._number,
            facts=facts,
            began_at_ms=began.wall_ms,
            began_clock=began.clock,
            raised_at_ms=at.wall_ms,
            suppressed_by=suppressed_by,
            owed=_RAISED,
            chattering=self.holding is not None and self.holding.is_chatter(facts.key, at),
        )
        self._keep(episode)
        if self.roots is not None:
            self.roots.note(episode, began)
        children = (*children, *self._gather(episode))
        first = self.first_out.raised(episode, children, at) if self.first_out is not None else None
        more: dict[str, object] = {"children": list(children)} if children else {}
        if first:
            more["first_out"] = first
        self.report(episode, Edge.RAISED, at, facts.value, more)
        self._owe(episode, at)
        return self.open[facts.key]

    def _resume(self, held: Episode, facts: Facts, at: Moment, children: tuple[str, ...]) -> Episode:
        """One that was kept active is so again by its condition."""
        episode = self.holding.edge(held, at, held=False) if self.holding is not None else held
        if children:
            self.report(episode, Edge.CHATTERING, at, facts.value, {"edges": episode.edges, "children": list(children)})
        if facts.level != episode.facts.level:
            self.change_level(facts.key, facts, at)
        return self.open[facts.key]

    def _owe(self, episode: Episode, at: Moment) -> None:
        if episode.chattering and self.holding is not None:
            self.holding.begin(episode, at)
        if episode.owed and not episode.suppressed_by and self.annunciation is not None:
            self.annunciation.owe(episode, at)

    def _gather(self, root: Episode) -> list[str]:
        """Hides what a new root explains; their ids."""
        found = self.roots.children_of(root) if self.roots is not None else []
        for child in found:
            self.hide(child.facts.key, root.suppressed_by or root.alarm_id)
        return [child.alarm_id for child in found]

    def _again(self, waiting: Episode, facts: Facts, began: Moment, at: Moment) -> Episode:
        """Nobody can have acknowledged what has come anew."""
        owed = Why.RAISED if waiting.told_at_ms is None else Why.AGAIN
        episode = msgspec.structs.replace(unacknowledged(waiting, at), facts=facts, cleared_at_ms=None, owed=owed.value)
        if self.holding is not None and self.holding.is_chatter(facts.key, at):
            episode = msgspec.structs.replace(episode, chattering=True)
        self._keep(episode)
        if self.roots is not None:
            self.roots.again(episode, began)
        children = self._gather(episode)
        self.report(episode, Edge.AGAIN, at, facts.value, {"children": children} if children else {})
        self._owe(episode, at)
        return self.open[facts.key]

    def change_level(self, key: str, facts: Facts, at: Moment) -> None:
        """Another rule of the same episode decides about its level now. What is worse than it was must be acknowledged anew."""
        before = self.open[key]
        root = None if self.roots is not None and self.roots.is_alone(facts) else before.suppressed_by
        episode = msgspec.structs.replace(before, facts=facts, suppressed_by=root, owed=owed_at_level(before, facts.level, at))
        if rank(facts.level) < rank(before.facts.level):
            episode = unacknowledged(episode, at)
        self._keep(episode)
        children = self._gather(episode)
        more = {"children": children} if children else {}
        self.report(episode, Edge.LEVEL, at, facts.value, {"level_before": before.facts.level, **more})
        self._owe(episode, at)

    def clear(self, key: str, at: Moment, value: float | None = None, reason: str = "", released: Mapping[str, object] | None = None) -> None:
        """`value` is the one that ended it; `reason` says why when no value did, and closes it: there is nothing left to look after.

        `released`: it was held, and is no longer; what the event says of that.
        """
        episode = self.open[key]
        if (episode.cleared_at_ms is not None or episode.held) and not reason:
            return  # its condition has ended before
        if not reason and released is None and self.holding is not None and self.holding.holds(episode, at, value):
            return
        if self.roots is not None:
            self.roots.ended(episode, at)
        if episode.facts.latched and not reason:
            self._keep(msgspec.structs.replace(episode, cleared_at_ms=at.wall_ms))
            self.report(self.open[key], Edge.RETURNED, at, value, released or {})
            return
        self._forget(episode, at)
        waits = not (reason or episode.acknowledged or episode.suppressed_by) and wants_acknowledgement(episode.facts.level)
        if waits:
            self._wait(msgspec.structs.replace(episode, cleared_at_ms=at.wall_ms), at)
        self.report(episode, Edge.CLEARED, at, value, {"closed": not waits, **({"reason": reason} if reason else {}), **(released or {})})

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
            self._forget(episode, at)
        self.report(episode, edge, at, None, {**more, "closed": True})

    def hide(self, key: str, root: str) -> None:
        """The alarm `root` explains this one; the root's own event names it."""
        self._keep(msgspec.structs.replace(self.open[key], suppressed_by=root))

    def show(self, key: str, at: Moment) -> None:
        """The alarm above has ended and this one has not; another that explains it takes it over."""
        before = self.open[key]
        root = self.roots.goes_on(before, at) if self.roots is not None else None
        if root is not None:
            self.hide(key, root)
            return
        owed = Why.SHOWN.value if before.owed == Why.RAISED.value else before.owed
        episode = msgspec.structs.replace(before, suppressed_by=None, owed=owed)
        self._keep(episode)
        self.report(episode, Edge.SHOWN, at, episode.facts.value, {})
        if self.annunciation is not None:
            self.annunciation.reveal(key, at)

    def replace(self, episode: Episode) -> None:
        """The same episode with another word of a person on it."""
        if episode.alarm_id in self.returned:
            self.returned[episode.alarm_id] = episode
            self._states[RETURNED_PREFIX + episode.alarm_id] = msgspec.json.encode(episode)
        else:
            self._keep(episode)

    def _keep(self, episode: Episode) -> None:
        self._touched[self._index(episode)] = None

    def _index(self, episode: Episode) -> str:
        """Its key."""
        key = episode.facts.key
        before = self.open.get(key)
        if before is not None and before.suppressed_by and before.suppressed_by != episode.suppressed_by:
            self._rise(before)
        self.open[key] = episode
        self.keys[episode.alarm_id] = key
        if episode.suppressed_by:
            self.below.setdefault(episode.suppressed_by, set()).add(key)
        return key

    def _rise(self, episode: Episode) -> None:
        """It is not hidden below that one any more."""
        children = self.below.get(episode.suppressed_by or "", set())
        children.discard(episode.facts.key)
        if not children:
            self.below.pop(episode.suppressed_by or "", None)

    def _forget(self, episode: Episode, at: Moment) -> None:
        key = episode.facts.key
        before = self.open.pop(key)
        if before.suppressed_by:
            self._rise(before)
        del self.keys[episode.alarm_id]
        self._touched[key] = None
        if self.roots is not None:
            self.roots.forget(episode.alarm_id)
        if self.holding is not None:
            self.holding.forget(key)
        if self.first_out is not None:
            self.first_out.forget(episode.alarm_id)
        if self.annunciation is not None:
            self.annunciation.ended(episode, at)

    def report(self, episode: Episode, edge: Edge, at: Moment, value: float | None, more: Mapping[str, object]) -> None:
        """One event of an episode (docs/alarms.md)."""
        facts = episode.facts
        body = alarm_body(episode, str(edge), value, more)
        if edge in OPENING:
            body.update(work_order(episode, self.places))
        self._events.append(Event("alarm", at.wall_ms, at.mono_ms, at.clock, facts.device, body))
        _log.info("alarm #%d %s: %s %s: %s", episode.number, edge, facts.level, facts.subject, facts.text)
