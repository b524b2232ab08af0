"""What people do with alarms: acknowledge, shelve, take a device out of service, reset. None of it touches what is judged and written down.

A shelf ends by itself. It is kept as wall time, for a daemon that starts again; one whose start has no trusted clock shows the alarm: to show
too much is the safe side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.model import ClockTrust, Event
from edgegw.rules.conditions import FAR, Edge
from edgegw.rules.episode import Episode, Facts, Moment, Visibility
from edgegw.rules.journal import Journal
from edgegw.rules.told import Why

SHELF_PREFIX = "rules/shelf/"
SERVICE_PREFIX = "rules/service/"
# What nobody wants to see for longer than a day is wrong in its rule.
SHELVE_MS_MAX: Final = 24 * 3_600_000
SHELVE_SAFETY_MS_MAX: Final = 3_600_000
# A repair that takes longer than a month is taken out of the configuration.
SERVICE_MS_MAX: Final = 31 * 24 * 3_600_000
# The clocks of a cloud and a gateway differ by so much without anybody having spoken of an alarm that was not there yet.
SAID_EARLY_MS_MAX: Final = 5_000
_TRUSTED = frozenset({ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED})


class Word(msgspec.Struct, frozen=True):
    """Who said it, and why."""

    by: str
    note: str = ""


class Shelf(msgspec.Struct, frozen=True):
    """Until when something is not told. Wall time, as it is stored."""

    until_ms: int
    word: Word
    for_ms: int = 0
    """How long it was to last: an alarm that becomes one of safety comes out of a shelf that is longer than those may be."""

    def hides(self, facts: Facts) -> bool:
        return not (facts.safety and self.for_ms > SHELVE_SAFETY_MS_MAX)


@dataclass(slots=True)
class _Timed:
    shelf: Shelf
    mono_ms: int


class Desk:
    """Over the episodes of a journal."""

    def __init__(self, journal: Journal, restored: Mapping[str, bytes]) -> None:
        self._journal = journal
        self._shelves: dict[str, _Timed] = {}
        """By key of the episode."""
        self._services: dict[str, _Timed] = {}
        """By device."""
        self._restored = {key: data for key, data in restored.items() if key.startswith((SHELF_PREFIX, SERVICE_PREFIX))}
        self.due_ms: int = 0 if self._restored else FAR
        """Nothing ends by time alone before this."""

    # -- what is hidden

    def visibility(self, episode: Episode) -> Visibility:
        """Fire, smoke and water that a module under repair still sees are told all the same: only a shelf hides them, for an hour at most."""
        facts = episode.facts
        if facts.device in self._services and not facts.is_danger:
            return Visibility.OUT_OF_SERVICE
        if facts.key in self._shelves and self._shelves[facts.key].shelf.hides(facts):
            return Visibility.SHELVED
        return Visibility.SUPPRESSED if episode.suppressed_by else Visibility.SHOWN

    def out_of_service(self) -> dict[str, Shelf]:
        """Devices that nobody is to be told of."""
        return {device: timed.shelf for device, timed in self._services.items()}

    # -- deeds

    def acknowledge(self, number: int, word: Word, at: Moment) -> Episode:
        """Somebody looks after it. Repeated it changes nothing: the first one counts. Raises EdgegwError E-ALARM."""
        episode = self.find(number)
        if episode.acknowledged:
            return episode
        return self._acknowledge(episode, word, at.wall_ms, at, {})

    def acknowledge_from_afar(self, alarm_id: str, word: Word, said_at_ms: int, at: Moment) -> str:
        """The same by somebody whose word took a while: the first counts by the time at which it was said, and every one is written down. What came of it."""
        episode = self._journal.by_id(alarm_id)
        if episode is None:
            return f"no open alarm {alarm_id}: it is over, or never was"
        # News of the future was labelled by a clock that was set back since.
        number, news_at_ms = episode.number, min(episode.news_at_ms or 0, at.wall_ms)
        if min(said_at_ms, at.wall_ms) < news_at_ms - SAID_EARLY_MS_MAX:
            return f"#{number} came back or became worse after that was said: not acknowledged"
        # Who knows the id spoke after the raise, whatever the clocks say.
        said_at_ms = max(min(said_at_ms, at.wall_ms), episode.raised_at_ms, news_at_ms)
        before = {"by": episode.acknowledged_by, "at_ms": episode.acknowledged_at_ms}
        if not episode.acknowledged:
            self._acknowledge(episode, word, said_at_ms, at, {"said_at_ms": said_at_ms})
            return f"#{number} acknowledged for {word.by}"
        if (word.by, word.note) == (episode.acknowledged_by, episode.note):
            return f"#{number} was acknowledged for {word.by} already"
        if said_at_ms < (episode.acknowledged_at_ms or 0):
            self._acknowledge(episode, word, said_at_ms, at, {"said_at_ms": said_at_ms, "before": before})
            return f"#{number} acknowledged for {word.by}, who was before {before['by']}"
        said = {"by": word.by, "note": word.note, "said_at_ms": said_at_ms, "counts": before}
        self._journal.report(episode, Edge.ACKNOWLEDGED, at, episode.facts.value, said)
        return f"#{number} was acknowledged by {before['by']} before"

    def _acknowledge(self, episode: Episode, word: Word, said_at_ms: int, at: Moment, more: Mapping[str, object]) -> Episode:
        found = msgspec.structs.replace(episode, acknowledged=True, acknowledged_at_ms=said_at_ms, acknowledged_by=word.by, note=word.note)
        said = {"by": word.by, "note": word.note, **more}
        if found.alarm_id in self._journal.returned:
            self._journal.close(found, Edge.ACKNOWLEDGED, at, said)
        else:
            self._journal.replace(found)
            self._journal.report(found, Edge.ACKNOWLEDGED, at, found.facts.value, said)
        return found

    def reset(self, number: int, word: Word, at: Moment) -> Episode:
        """Ends a latched alarm whose condition has ended. Raises EdgegwError E-ALARM, E-ALARM-ACTIVE."""
        episode = self.find(number)
        if episode.cleared_at_ms is None:
            what = "its condition still holds" if episode.facts.latched else "it is not latched: it ends with its condition"
            raise EdgegwError("E-ALARM-ACTIVE", f"alarm #{number} cannot be reset: {what}", f"edgegw alarms show {number}", EXIT_USAGE)
        self._journal.close(episode, Edge.RESET, at, {"by": word.by, "note": word.note})
        return episode

    def shelve(self, number: int, for_ms: int, word: Word, at: Moment) -> Shelf:
        """Not told for a time; 0 ends that at once. Raises EdgegwError E-ALARM, E-ALARM-SHELF."""
        episode = self.find(number)
        key = episode.facts.key
        if not for_ms:
            self._unshelve(key, at, f"ended by {word.by}")
            return Shelf(at.wall_ms, word)
        most_ms = SHELVE_SAFETY_MS_MAX if episode.facts.safety else SHELVE_MS_MAX
        if not word.note or for_ms > most_ms:
            what = f"longer than {most_ms // 3_600_000} h" if word.note else "without a reason"
            raise EdgegwError("E-ALARM-SHELF", f"alarm #{number} cannot be shelved {what}", f'edgegw alarms shelve {number} --for 1h -m "why"', EXIT_USAGE)
        shelf = Shelf(at.wall_ms + for_ms, word, for_ms)
        self._put(self._shelves, key, _Timed(shelf, at.mono_ms + for_ms), SHELF_PREFIX)
        self._journal.report(episode, Edge.SHELVED, at, episode.facts.value, {"by": word.by, "note": word.note, "until_ms": shelf.until_ms})
        return shelf

    def service(self, device: str, for_ms: int, word: Word, at: Moment) -> Shelf:
        """A device that is being repaired tells nobody of its alarms; 0 takes it back into service. Raises EdgegwError E-ALARM-SHELF."""
        if not for_ms:
            self._into_service(device, at, f"ended by {word.by}")
            return Shelf(at.wall_ms, word)
        if not word.note or for_ms > SERVICE_MS_MAX:
            what = "for longer than a month" if word.note else "without a reason"
            raise EdgegwError(
                "E-ALARM-SHELF", f"{device} cannot be out of service {what}", f'edgegw alarms out-of-service {device} --for 8h -m "why"', EXIT_USAGE
            )
        shelf = Shelf(at.wall_ms + for_ms, word)
        self._put(self._services, device, _Timed(shelf, at.mono_ms + for_ms), SERVICE_PREFIX)
        self._note(device, at, {"state": "out_of_service", "by": word.by, "note": word.note, "until_ms": shelf.until_ms})
        return shelf

    # -- what time ends

    def jobs(self, now_ms: int) -> list[tuple[int, Callable[[Moment], None]]]:
        """What is due at `now_ms`: its time and the deed."""
        if self._restored:
            return [(now_ms, self._restore)]
        shelves = [(timed.mono_ms, partial(self._unshelve, key, reason="its time is over")) for key, timed in self._shelves.items()]
        services = [(timed.mono_ms, partial(self._into_service, device, reason="its time is over")) for device, timed in self._services.items()]
        return [(due, deed) for due, deed in (*shelves, *services) if due <= now_ms]

    def find_due(self) -> None:
        times = [timed.mono_ms for timed in (*self._shelves.values(), *self._services.values())]
        self.due_ms = 0 if self._restored else min(times, default=FAR)

    def _restore(self, at: Moment) -> None:
        restored, self._restored = self._restored, {}
        for key, data in restored.items():
            timed = _timed(data, at)
            if key.startswith(SHELF_PREFIX):
                self._shelves[key.removeprefix(SHELF_PREFIX)] = timed
            else:
                self._services[key.removeprefix(SERVICE_PREFIX)] = timed
        for _, deed in self.jobs(at.mono_ms):
            deed(at)

    def _put(self, places: dict[str, _Timed], name: str, timed: _Timed, prefix: str) -> None:
        places[name] = timed
        self._journal.keep_state(prefix + name, msgspec.json.encode(timed.shelf))
        self.find_due()

    def _unshelve(self, key: str, at: Moment, reason: str) -> None:
        if self._shelves.pop(key, None) is None:
            return
        self._journal.keep_state(SHELF_PREFIX + key, None)
        episode = self._journal.open.get(key)
        if episode is not None:
            self._journal.report(episode, Edge.UNSHELVED, at, episode.facts.value, {"reason": reason})
            self._reveal(episode, at)

    def _into_service(self, device: str, at: Moment, reason: str) -> None:
        if self._services.pop(device, None) is not None:
            self._journal.keep_state(SERVICE_PREFIX + device, None)
            self._note(device, at, {"state": "in_service", "reason": reason})
            for episode in [episode for episode in self._journal.open.values() if episode.facts.device == device and not episode.facts.is_danger]:
                self._reveal(episode, at)

    def _reveal(self, episode: Episode, at: Moment) -> None:
        """One that was told and still waits for somebody is told anew: hiding it ended its escalation and its siren."""
        is_waited_for = episode.told_at_ms is not None and not episode.acknowledged and episode.cleared_at_ms is None
        if is_waited_for and not episode.owed and self.visibility(episode) is Visibility.SHOWN:
            self._journal.replace(msgspec.structs.replace(episode, owed=Why.SHOWN.value))
        if self._journal.annunciation is not None:
            self._journal.annunciation.reveal(episode.facts.key, at)

    def _note(self, device: str, at: Moment, body: dict[str, object]) -> None:
        self._journal.note(Event("service", at.wall_ms, at.mono_ms, at.clock, device, body))

    def find(self, number: int) -> Episode:
        """By the short number. Raises EdgegwError E-ALARM."""
        episode = self._journal.find(number)
        if episode is None:
            raise EdgegwError("E-ALARM", f"no open alarm #{number}", "edgegw alarms", EXIT_UNKNOWN)
        return episode


def _timed(data: bytes, at: Moment) -> _Timed:
    """As it was stored; over at once where it cannot be read or the clock cannot say how long it still lasts."""
    try:
        shelf = msgspec.json.decode(data, type=Shelf)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Timed(Shelf(at.wall_ms, Word("")), at.mono_ms)
    left_ms = shelf.until_ms - at.wall_ms if at.clock in _TRUSTED else 0
    return _Timed(shelf, at.mono_ms + min(left_ms, SERVICE_MS_MAX))
