"""Which alarms people are told of, and when.

    nothing can explain it      raised ► told
    something may explain it    raised ──3 s──► told, unless its root came meanwhile, or it ended: that was fleeting
    told before its root came   attached to it all the same, up to 10 s afterwards (roots.py)
    flood                       the two highest levels and what is marked as safety are told singly, the rest in a summary (flood.py)

What is still to be told stands in the episode (`owed`), and so does when it was told: both are stored with the change that caused them. A start
tells what the last one still owed, after another settle window, and nothing twice. What is hidden (below its root, shelved, out of service) stays
owed, and is told when it is shown again. The end of an alarm that was told singly is told, whatever hides it then: who was called is called off.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from edgegw.model import Event
from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Facts, Moment, Visibility
from edgegw.rules.flood import FLOOD_KEY, OTHERS_MAX, Flood, is_told_singly
from edgegw.rules.levels import rank
from edgegw.rules.told import Told, Why

if TYPE_CHECKING:
    from edgegw.rules.journal import Journal

# While a bus may be dead it is looked again this often whether it is.
LOOK_AGAIN_MS: Final = 1_000
# In a flood its state is written once a second, not with each alarm.
FLOOD_STORED_MS: Final = 1_000
# A level that was told is told again when the alarm has come back to it and nothing was told for this long.
LEVEL_AGAIN_MS: Final = 300_000


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """Times by which telling goes, in ms."""

    settle_ms: int = 3_000
    """Polls go round: so long after a child its root may be found."""
    blind_ms: int = 4_500
    """Safety inputs that cannot be read are told by then, counted from the first failed poll: known within 5 s."""
    burst_ms: int = 10_000
    """Alarms without a root that are raised within it fell together."""
    chatter_ms: int = 60_000
    """Three raises within it are chatter."""
    release_ms: int = 300_000
    """What chatters is quiet after this time without an edge."""
    flood_ms: int = 600_000
    """More than `flood_notices` annunciations within it are a flood."""
    flood_notices: int = 10
    summary_ms: int = 60_000
    """What a flood gathers is told for the first time after this."""


WINDOWS: Final = Windows()


class Annunciation:
    """Over the episodes of a journal, which tells it of every raise and end."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it must know of its neighbours
        self,
        journal: Journal,
        visibility: Callable[[Episode], Visibility],
        wait_ms: Callable[[Facts, int], int],
        in_doubt: Callable[[Facts, int], bool],
        restored: Mapping[str, bytes],
        windows: Windows,
    ) -> None:
        """`wait_ms` says how long, from a time on, what is not told yet waits for its root, `in_doubt` whether at a time that is still not known."""
        self._journal = journal
        self._visibility = visibility
        self._wait_ms = wait_ms
        self._in_doubt = in_doubt
        self._queue: list[tuple[int, int, str]] = []
        self._due: dict[str, int] = {}
        """By key of the episode; other entries of the queue are void."""
        self._count = 0
        self._flood = Flood(restored, windows.flood_ms, windows.summary_ms, windows.flood_notices)
        self._is_flood_touched = False
        self._flood_stored_ms = -FAR
        self.due_ms: int = 0 if FLOOD_KEY in restored or any(episode.owed for episode in journal.open.values()) else FAR
        """Nothing is to be told before this."""
        self._begun = self.due_ms == FAR

    def owe(self, episode: Episode, at: Moment) -> None:
        """Something of it is to be told. Of what is hidden that waits until it is shown."""
        wait_ms = self._wait_ms(episode.facts, at.mono_ms) if episode.told_at_ms is None else 0
        key = episode.facts.key
        self._put(key, min(at.mono_ms + wait_ms, self._due.get(key, FAR)))

    def reveal(self, key: str, at: Moment) -> None:
        """It is shown again."""
        episode = self._journal.open.get(key)
        if episode is not None and episode.owed and key not in self._due:
            self._put(key, at.mono_ms)

    def ended(self, episode: Episode, at: Moment) -> None:
        """Closes the loop with who was told."""
        self._due.pop(episode.facts.key, None)
        if episode.told_at_ms is not None and not episode.in_summary:
            self._journal.tell(Told(Why.CLEARED, at.wall_ms, episode))

    def run(self, now: Moment) -> None:
        """Tells what is due by `now`, in the order of its times."""
        if not self._begun:
            self._begin(now)
        while True:
            flood_ms, queued_ms = self._flood.due_ms, self._queue[0][0] if self._queue else FAR
            self.due_ms = min(flood_ms, queued_ms)
            if self.due_ms > now.mono_ms:
                break
            if flood_ms <= queued_ms:
                self._tell_flood(now.at(flood_ms))
                continue
            due_ms, _, key = heapq.heappop(self._queue)
            if self._due.get(key) == due_ms:
                del self._due[key]
                self._decide(self._journal.open[key], now.at(due_ms))
        if self._is_flood_touched and (self._flood.since is None or now.mono_ms >= self._flood_stored_ms + FLOOD_STORED_MS):
            self._is_flood_touched, self._flood_stored_ms = False, now.mono_ms
            self._journal.keep_state(FLOOD_KEY, self._flood.stored(now))

    def _begin(self, now: Moment) -> None:
        """What the last start owed: its root may have to be found again."""
        self._begun = True
        self._flood.begin(now)
        for key, episode in self._journal.open.items():
            if episode.owed:
                self._put(key, now.mono_ms + self._wait_ms(episode.facts, now.mono_ms))

    def _put(self, key: str, due_ms: int) -> None:
        self._due[key] = due_ms
        self._count += 1
        heapq.heappush(self._queue, (due_ms, self._count, key))
        self.due_ms = min(self.due_ms, due_ms)

    def _decide(self, episode: Episode, at: Moment) -> None:
        if not episode.owed or self._visibility(episode) is not Visibility.SHOWN:
            return
        if episode.told_at_ms is None and self._in_doubt(episode.facts, at.mono_ms):
            self._put(episode.facts.key, at.mono_ms + LOOK_AGAIN_MS)
            return
        if self._flood.note(at):
            self._note_flood("began", at, {"count": self._flood.count})
        self._is_flood_touched |= self._flood.since is not None
        if self._flood.since is None or is_told_singly(episode.facts):
            self._tell(episode, at)
        else:
            self._flood.gather(episode, at)

    def _tell(self, episode: Episode, at: Moment) -> None:
        why = Why(episode.owed)
        told = self._mark(episode, at, in_summary=False)
        children = len(self._journal.below.get(episode.alarm_id, ()))
        self._journal.tell(Told(why, at.wall_ms, told, children=children, first_out=told.first_out, chattering=told.chattering))
        facts = episode.facts
        body: dict[str, object] = {"id": episode.alarm_id, "number": episode.number, "why": why.value, "rule": facts.rule, "level": facts.level}
        more = {"bus": facts.bus, "below": children, "first_out": told.first_out, "chattering": told.chattering}
        body.update({name: value for name, value in more.items() if value})
        self._journal.note(Event("told", at.wall_ms, at.mono_ms, at.clock, facts.device, body))

    def _mark(self, episode: Episode, at: Moment, *, in_summary: bool) -> Episode:
        told = msgspec.structs.replace(episode, owed="", told_at_ms=at.wall_ms, told_level=episode.facts.level, in_summary=in_summary)
        self._journal.replace(told)
        return told

    def _tell_flood(self, at: Moment) -> None:
        """A summary is due, or the flood is over."""
        began_ms = self._flood.since.wall_ms if self._flood.since else None
        due = self._flood.take_due(at)
        self._is_flood_touched = True
        members = [self._journal.open.get(episode.facts.key, episode) for episode in due.episodes]
        members = [self._as_gathered(now, then) for now, then in zip(members, due.episodes, strict=True)]
        told = [episode for episode in members if episode.owed and self._visibility(episode) is Visibility.SHOWN]
        count = due.total - len(members) + len(told)
        if told:
            marked = [self._mark(episode, at, in_summary=True) if episode.alarm_id in self._journal.keys else episode for episode in told]
            self._journal.tell(Told(Why.SUMMARY, at.wall_ms, marked[0], others=tuple(marked), count=count))
            levels = Counter(episode.facts.level for episode in told)
            self._note_flood("summary", at, {"count": count, "levels": dict(levels), "numbers": [episode.number for episode in told[:OTHERS_MAX]]})
        if due.is_over:
            self._note_flood("ended", at, {"count": self._flood.count, "began_at_ms": began_ms})

    @staticmethod
    def _as_gathered(now: Episode, then: Episode) -> Episode:
        """As it is now; one that has ended, and may have been raised anew, as it was."""
        return now if now.alarm_id == then.alarm_id else then

    def _note_flood(self, state: str, at: Moment, more: Mapping[str, object]) -> None:
        self._journal.note(Event("flood", at.wall_ms, at.mono_ms, at.clock, None, {"state": state, **more}))


def owed_at_level(before: Episode, level: str, at: Moment) -> str:
    """What is owed when an episode changes to `level`: news is what is worse than what was told, or has come back to it after a while."""
    is_no_worse = rank(level) >= rank(before.told_level)
    if before.owed == Why.LEVEL.value and is_no_worse:
        return ""
    if before.owed or before.told_at_ms is None:
        return before.owed
    worse_again = rank(level) < rank(before.facts.level) and at.wall_ms - before.told_at_ms >= LEVEL_AGAIN_MS
    return Why.LEVEL.value if not is_no_worse or worse_again else ""
