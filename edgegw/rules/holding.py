"""Alarms that are kept active although their condition has ended: those that come and go, and those of a rule with a shortest time.

    condition   ┌┐  ┌┐  ┌┐ ┌┐  ┌┐                    third raise of one key within 60 s: it chatters
    alarm       └┘  └┘  ┌─────────────────────┐      one alarm, told once; edges are counted
                                ├──5 min──────┤      without an edge: settled, or cleared when the condition has ended

Chattering: three or more raises within a minute (ISA-18.2, IEC 62682). What is held, and until when, is stored in the episode in wall time: it goes on over
a start, and no longer than it would have lasted from there where the clock was set back or cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from edgegw.model import ClockTrust
from edgegw.rules.conditions import FAR, Edge
from edgegw.rules.episode import Episode, Moment

if TYPE_CHECKING:
    from edgegw.rules.journal import Journal

CHATTER_RAISES: Final = 3


class Holding:
    """Over the episodes of a journal, which asks it at every raise and end."""

    def __init__(self, journal: Journal, least_ms: Mapping[str, int], chatter_ms: int, release_ms: int) -> None:
        """`least_ms`: by rule, how long an alarm lasts at least."""
        self._journal = journal
        self._least_ms = least_ms
        self._chatter_ms = chatter_ms
        self._release_ms = release_ms
        self._raises: dict[str, tuple[int, ...]] = {}
        """By key, monotonic times of the last raises; no more keys than rules have points."""
        self._values: dict[str, float | None] = {}
        """Of those that are held: what their condition ended with."""
        self._due: dict[str, int] = {}
        """By key: when its five minutes, or its shortest time, are over."""
        self._restored = any(episode.chattering or episode.held for episode in journal.open.values())
        self.due_ms: int = 0 if self._restored else FAR
        """Nothing ends by time alone before this."""

    def is_chatter(self, key: str, at: Moment) -> bool:
        """One raise; whether it is one too many."""
        raises = (*self._raises.get(key, ()), at.mono_ms)[-CHATTER_RAISES:]
        self._raises[key] = raises
        return len(raises) == CHATTER_RAISES and at.mono_ms - raises[0] <= self._chatter_ms

    def begin(self, episode: Episode, at: Moment) -> None:
        """It chatters from now on."""
        self._keep(self._journal.open[episode.facts.key], at, self._release_ms)

    def edge(self, episode: Episode, at: Moment, *, held: bool, value: float | None = None, for_ms: int | None = None) -> Episode:
        """The condition of a chattering or held one has ended or come back: counted, not told. `for_ms`: how long one that does not chatter is held."""
        self._values[episode.facts.key] = value
        found = msgspec.structs.replace(episode, held=held, edges=episode.edges + 1 if episode.chattering else 0)
        return self._keep(found, at, self._release_ms if episode.chattering else for_ms)

    def _keep(self, episode: Episode, at: Moment, for_ms: int | None) -> Episode:
        """Until it is released by time; None: by nothing."""
        found = msgspec.structs.replace(episode, release_at_ms=None if for_ms is None else at.wall_ms + for_ms)
        self._journal.replace(found)
        if for_ms is None:
            self._due.pop(episode.facts.key, None)
        else:
            self._put(episode.facts.key, at.mono_ms + for_ms)
        return found

    def holds(self, episode: Episode, at: Moment, value: float | None) -> bool:
        """The condition has ended: whether the alarm goes on."""
        if episode.chattering:
            self.edge(episode, at, held=True, value=value)
            return True
        least_ms = self._least_ms.get(episode.facts.rule, 0)
        left_ms = least_ms and least_ms - self._age_ms(episode, at)
        if left_ms <= 0:
            return False
        self.edge(episode, at, held=True, value=value, for_ms=min(left_ms, least_ms))
        return True

    def release(self, key: str, at: Moment) -> None:
        """Ends what is held, and lets what goes on be an ordinary alarm."""
        self._due.pop(key, None)
        episode = self._journal.open.get(key)
        if episode is None or not (episode.held or episode.chattering):
            return
        settled = msgspec.structs.replace(episode, held=False, chattering=False, edges=0, release_at_ms=None)
        more = {"edges": episode.edges} if episode.chattering else {}
        self._journal.replace(settled)
        if episode.held:
            self._journal.clear(key, at, self._values.pop(key, None), released=more)
        elif episode.chattering:
            self._journal.report(settled, Edge.SETTLED, at, episode.facts.value, more)

    def forget(self, key: str) -> None:
        """It has ended."""
        self._values.pop(key, None)
        self._due.pop(key, None)

    def run(self, now: Moment) -> None:
        """What is due by `now`, in the order of its times."""
        if self._restored:
            self._restored = False
            restored = {key: episode for key, episode in self._journal.open.items() if episode.chattering or episode.held}
            self._due = {key: now.mono_ms + self._left_ms(episode, now) for key, episode in restored.items()}
        for due_ms, key in sorted((due_ms, key) for key, due_ms in self._due.items() if due_ms <= now.mono_ms):
            self.release(key, now.at(due_ms))
        self.due_ms = min(self._due.values(), default=FAR)

    def _left_ms(self, episode: Episode, now: Moment) -> int:
        """Of one that the last start left."""
        most_ms = self._release_ms if episode.chattering else self._least_ms.get(episode.facts.rule, 0)
        if episode.release_at_ms is None or now.clock is ClockTrust.UNSET:
            return most_ms
        return min(max(0, episode.release_at_ms - now.wall_ms), most_ms)

    def _age_ms(self, episode: Episode, at: Moment) -> int:
        raises = self._raises.get(episode.facts.key)
        return at.mono_ms - raises[-1] if raises else max(0, at.wall_ms - episode.raised_at_ms)

    def _put(self, key: str, due_ms: int) -> None:
        self._due[key] = due_ms
        self.due_ms = min(self.due_ms, due_ms)
