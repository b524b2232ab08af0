"""Episodes: from raise to clear, with an id that is never reused, and what of them is stored.

Every change becomes one event for the journal and one state for the store, both for the transaction of the reading that caused it.
An episode lies in the store under `rules/alarm/<rule>/<device, bus or gateway>/<point>` from its raise to its clear; `rules/number` holds
the last short number given.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from edgegw.model import Alarm, ClockTrust, Event
from edgegw.rules.conditions import Edge

_log = logging.getLogger("edgegw.rules")

NUMBER_KEY = "rules/number"
EPISODE_PREFIX = "rules/alarm/"


class Changes(msgspec.Struct, frozen=True):
    """What a reading or a tick changed; goes into the store in one transaction with the reading."""

    events: tuple[Event, ...] = ()
    states: Mapping[str, bytes | None] = MappingProxyType({})
    """Key to the bytes to keep under it; None deletes."""

    def __bool__(self) -> bool:
        return bool(self.events or self.states)


NO_CHANGES = Changes()


class Moment(NamedTuple):
    """One instant on both clocks, with the trust of its wall label."""

    mono_ms: int
    wall_ms: int
    clock: ClockTrust

    def at(self, mono_ms: int) -> Moment:
        """The same labels for another monotonic time."""
        return Moment(mono_ms, self.wall_ms + mono_ms - self.mono_ms, self.clock)


class Facts(msgspec.Struct, frozen=True):
    """What an episode is about, fixed at its raise."""

    rule: str
    level: str
    device: str | None
    """None when the alarm is a bus's or the gateway's own."""
    bus: str | None = None
    """Set when the alarm is a bus's."""
    point: str = ""
    unit: str = ""
    value: float | None = None
    """The value that raised it, in `unit`."""
    limit: float | None = None
    text: str = ""
    text_zh: str = ""

    @property
    def subject(self) -> str:
        """What people call the thing that has the alarm."""
        return self.device or self.bus or "gateway"

    @property
    def key(self) -> str:
        return episode_key(self.rule, self.subject, self.point)


class Episode(msgspec.Struct, frozen=True):
    """One alarm that is open, as it is stored."""

    alarm_id: str
    number: int
    facts: Facts
    began_at_ms: int
    began_clock: ClockTrust
    raised_at_ms: int
    suppressed_by: str | None = None
    """Id of the alarm it is hidden below."""
    acknowledged: bool = False

    def alarm(self, language: str) -> Alarm:
        """As people see it."""
        facts = self.facts
        return Alarm(
            alarm_id=self.alarm_id,
            number=self.number,
            rule=facts.rule,
            level=facts.level,
            device=facts.subject,
            point=facts.point,
            state="active",
            began_at_ms=self.began_at_ms,
            cleared_at_ms=None,
            value=facts.value,
            limit=facts.limit,
            unit=facts.unit,
            text=facts.text_zh if language == "zh" and facts.text_zh else facts.text,
            acknowledged=self.acknowledged,
        )


def episode_key(rule: str, subject: str, point: str) -> str:
    return f"{EPISODE_PREFIX}{rule}/{subject}/{point}"


class Journal:
    """The open episodes, the numbers, and what has changed since the last `take`."""

    def __init__(self, epoch: int, restored: Mapping[str, bytes]) -> None:
        self._epoch = epoch
        self._counter = 0
        self._number = 0
        self._events: list[Event] = []
        self._states: dict[str, bytes | None] = {}
        self.open: dict[str, Episode] = {}
        self._restore(restored)

    def _restore(self, restored: Mapping[str, bytes]) -> None:
        for key, data in restored.items():
            if key.startswith(EPISODE_PREFIX):
                self._restore_episode(key, data)
        stored = restored.get(NUMBER_KEY, b"0")
        self._number = max([int(stored) if stored.isdigit() else 0, *(episode.number for episode in self.open.values())])

    def _restore_episode(self, key: str, data: bytes) -> None:
        try:
            self.open[key] = msgspec.json.decode(data, type=Episode)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            _log.warning("the stored alarm %s cannot be read and is forgotten: %s", key, fault)
            self._states[key] = None

    def take(self) -> Changes:
        """Everything since the last call."""
        if not self._events and not self._states:
            return NO_CHANGES
        changes = Changes(tuple(self._events), self._states)
        self._events, self._states = [], {}
        return changes

    def raise_(self, facts: Facts, began: Moment, at: Moment, suppressed_by: str | None = None, children: tuple[str, ...] = ()) -> Episode:
        """`children`: ids of alarms already open that are hidden below this one from now on."""
        self._counter += 1
        self._number += 1
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
        more = {"children": list(children)} if children else {}
        self._report(episode, Edge.RAISED, at, facts.value, more)
        return episode

    def clear(self, key: str, at: Moment, value: float | None = None, reason: str = "") -> None:
        """`value` is the one that ended it; `reason` says why when no value did."""
        episode = self.open.pop(key)
        self._states[key] = None
        self._report(episode, Edge.CLEARED, at, value, {"reason": reason} if reason else {})

    def hide(self, key: str, root: str) -> None:
        """The alarm `root` explains this one; the root's own event names it."""
        self._keep(msgspec.structs.replace(self.open[key], suppressed_by=root))

    def show(self, key: str, at: Moment) -> None:
        """The alarm above has ended and this one has not."""
        episode = msgspec.structs.replace(self.open[key], suppressed_by=None)
        self._keep(episode)
        self._report(episode, Edge.SHOWN, at, episode.facts.value, {})

    def _keep(self, episode: Episode) -> None:
        key = episode.facts.key
        self.open[key] = episode
        self._states[key] = msgspec.json.encode(episode)

    def _report(self, episode: Episode, edge: Edge, at: Moment, value: float | None, more: Mapping[str, object]) -> None:
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
            "text": facts.text,
            **more,
        }
        optional = {"text_zh": facts.text_zh, "bus": facts.bus, "suppressed_by": episode.suppressed_by}
        body.update({name: text for name, text in optional.items() if text})
        self._events.append(Event("alarm", at.wall_ms, at.mono_ms, at.clock, facts.device, body))
        _log.info("alarm #%d %s: %s %s: %s", episode.number, edge.value, facts.level, facts.subject, facts.text)
