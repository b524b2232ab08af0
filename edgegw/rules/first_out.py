"""Which alarm of a group was the first: where the search for the cause begins.

A group is a root with what is hidden below it, or alarms without a root that are raised within ten seconds of each other. The first is that whose
condition began first, whatever came first into the journal; one that has ended is no first of what comes then. It is marked when a second one is there; an event that makes it known names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Moment

if TYPE_CHECKING:
    from edgegw.rules.journal import Journal


class _Place(NamedTuple):
    """Where an alarm stands in its group; the smallest is the first."""

    began_at_ms: int
    number: int
    alarm_id: str


class FirstOut:
    """Over the episodes of a journal."""

    def __init__(self, journal: Journal, burst_ms: int) -> None:
        self._journal = journal
        self._burst_ms = burst_ms
        self._firsts: dict[str, _Place] = {}
        """By id of the root."""
        self._old = frozenset(journal.below)
        """Roots of groups that are older than this start: whose first was, and none of it bears the mark any more, has ended."""
        self._burst: _Place | None = None
        self._is_marked = False
        self._last_ms = -FAR

    def raised(self, episode: Episode, children: Sequence[str], at: Moment) -> str | None:
        """`children`: ids of what it hides. The id of the first of its group, when that is news."""
        if episode.suppressed_by:
            return self._join(episode.suppressed_by, [episode])
        if not children:
            return self._follow(episode, at)
        return self._join(episode.alarm_id, [self._journal.open[self._journal.keys[child]] for child in children])

    def forget(self, alarm_id: str) -> None:
        """Of a root that has ended."""
        self._firsts.pop(alarm_id, None)

    def _join(self, root: str, joined: Iterable[Episode]) -> str | None:
        before = self._firsts.get(root)
        group = [_place(episode) for episode in joined]
        if before is None:
            others = [self._journal.open[key] for key in {*self._journal.below.get(root, ()), self._journal.keys.get(root, "")} if key]
            group += map(_place, others)
            before = min((_place(episode) for episode in others if episode.first_out), default=None)
            if before is None and root in self._old:
                return None
        first = min(group) if before is None else min(before, *group)
        if root in self._journal.keys:
            self._firsts[root] = first
        if first == before:
            return None
        self._mark(before, first)
        return first.alarm_id

    def _follow(self, episode: Episode, at: Moment) -> str | None:
        """One without a root: the next of a burst, or the first of another."""
        is_next = at.mono_ms - self._last_ms <= self._burst_ms
        self._last_ms = max(self._last_ms, at.mono_ms)
        before = self._burst
        if not is_next or before is None or before.alarm_id not in self._journal.keys:
            self._burst, self._is_marked = _place(episode), False
            return None
        if self._is_marked and before.began_at_ms < episode.began_at_ms:
            return None  # What most of a storm meets.
        self._burst = min(before, _place(episode))
        if self._burst == before and self._is_marked:
            return None
        self._mark(before, self._burst)
        self._is_marked = True
        return self._burst.alarm_id

    def _mark(self, before: _Place | None, first: _Place) -> None:
        if before is not None and before != first:
            self._set(before, is_first=False)
        self._set(first, is_first=True)

    def _set(self, place: _Place, *, is_first: bool) -> None:
        """It may have ended meanwhile."""
        key = self._journal.keys.get(place.alarm_id)
        if key is not None and self._journal.open[key].first_out != is_first:
            self._journal.replace(msgspec.structs.replace(self._journal.open[key], first_out=is_first))


def _place(episode: Episode) -> _Place:
    return _Place(episode.began_at_ms, episode.number, episode.alarm_id)
