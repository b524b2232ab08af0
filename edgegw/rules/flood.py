"""A flood: more is to be told than anybody can take in, so that most of it is told in one sentence.

    annunciations   | | | |||||||||||||||||||| |  |    |        |
    flood                     ├──────────────────────────────────────┤  11 in 10 min ... 5 in 10 min
    summary                      60 s ▲          10 min ▲            ▲  with its end

More than ten alarms in ten minutes are called a flood (ISA-18.2, IEC 62682). While it lasts alarms of the two highest levels and those of safety are
told singly, the rest is gathered. The rate counts what would have been told, so that gathering does not end the flood. State is stored in wall time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Facts, Moment
from edgegw.rules.levels import rank

FLOOD_KEY = "rules/flood"
# More than these in the window begin it, unless the station says otherwise; half of them end it, so that it does not come and go.
BEGINS_ABOVE: Final = 10
# Levels by rank, counted from the most severe.
SINGLE_LEVELS: Final = 2
# Of a summary, told by name; all are counted.
OTHERS_MAX: Final = 20


class Stored(msgspec.Struct, frozen=True):
    """For the next start."""

    times_ms: list[int]
    """Wall times of the last annunciations."""
    since_ms: int
    """Wall time at which the flood began."""
    count: int
    """Annunciations since then."""


class Due(NamedTuple):
    """What time has brought: episodes for a summary, most severe first, how many there were, and whether the flood is over."""

    episodes: list[Episode]
    total: int
    is_over: bool


class Flood:
    """Of one gateway. Times are monotonic."""

    def __init__(self, restored: Mapping[str, bytes], window_ms: int, summary_ms: int, begins_above: int = BEGINS_ABOVE) -> None:
        self._window_ms = window_ms
        self._summary_ms = summary_ms
        self._begins_above = begins_above
        self._ends_at = begins_above // 2
        self._times: deque[int] = deque(maxlen=begins_above + 1)
        self._gathered: dict[str, Episode] = {}
        self._gathered_count = 0
        self._summary_due_ms = FAR
        self._last_summary_ms = -FAR
        self._stored = _recall(restored)
        self.since: Moment | None = None
        """Began then; None while there is none."""
        self.count = 0
        """Annunciations since it began."""

    @property
    def due_ms(self) -> int:
        """Nothing changes by time alone before this."""
        return FAR if self.since is None else min(self._summary_due_ms, self._end_ms())

    def begin(self, now: Moment) -> None:
        """Takes up what the last start left. Of a clock that has jumped forward the flood is over: to tell singly is the safe side."""
        stored, self._stored = self._stored, None
        if stored is None:
            return
        ages_ms = [max(0, now.wall_ms - time_ms) for time_ms in stored.times_ms]
        self._times.extend(now.mono_ms - age_ms for age_ms in sorted(ages_ms, reverse=True))
        self.since, self.count = Moment(now.mono_ms, stored.since_ms, now.clock), stored.count

    def note(self, at: Moment) -> bool:
        """One annunciation; True when the flood begins with it."""
        self._times.append(at.mono_ms)
        self.count += 1
        if self.since is not None or len(self._times) <= self._begins_above or at.mono_ms - self._times[0] > self._window_ms:
            return False
        self.since, self.count = at, len(self._times)
        return True

    def gather(self, episode: Episode, at: Moment) -> None:
        """Told in the next summary, and counted there also when it has ended by then."""
        before = self._gathered.get(episode.facts.key)
        self._gathered_count += before is None or before.alarm_id != episode.alarm_id
        self._gathered[episode.facts.key] = episode
        if self._summary_due_ms == FAR:
            self._summary_due_ms = max(at.mono_ms + self._summary_ms, self._last_summary_ms + self._window_ms)

    def take_due(self, at: Moment) -> Due:
        """What is due at this moment."""
        is_over = self._end_ms() <= at.mono_ms
        if not is_over and self._summary_due_ms > at.mono_ms:
            return Due([], 0, is_over=False)
        episodes = sorted(self._gathered.values(), key=lambda episode: (rank(episode.facts.level), episode.number))
        due = Due(episodes, self._gathered_count, is_over)
        self._gathered, self._gathered_count, self._summary_due_ms, self._last_summary_ms = {}, 0, FAR, at.mono_ms
        if is_over:
            self.since = None
        return due

    def stored(self, now: Moment) -> bytes | None:
        """For the store; None: there is no flood. A start counts anew towards the next one."""
        if self.since is None:
            return None
        ahead_ms = now.wall_ms - now.mono_ms
        times_ms = [time_ms + ahead_ms for time_ms in self._times]
        return msgspec.json.encode(Stored(times_ms, self.since.wall_ms, self.count))

    def _end_ms(self) -> int:
        """When no more than half of what begins it is left in the window."""
        since_ms = self.since.mono_ms if self.since else 0
        return max(since_ms, self._times[-self._ends_at - 1] + self._window_ms + 1) if len(self._times) > self._ends_at else since_ms


def is_told_singly(facts: Facts) -> bool:
    """In a flood."""
    return facts.safety or rank(facts.level) < SINGLE_LEVELS


def _recall(restored: Mapping[str, bytes]) -> Stored | None:
    """What cannot be read was no flood."""
    try:
        return msgspec.json.decode(restored[FLOOD_KEY], type=Stored) if FLOOD_KEY in restored else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
