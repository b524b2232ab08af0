"""One alarm from raise to close, as it is stored, and the words that it is made of.

    condition     raised ──► cleared, or ──► returned (latched: waits for `reset`; `again` when the condition comes back)
    acknowledged  no ──► yes, by whom and when; before or after the end
    visibility    shown, suppressed (below another alarm), shelved (for a time), out_of_service (its device)

The axes do not know each other: what nobody sees is judged and written down all the same. An episode is closed when its condition has
ended and nobody is waited for; a level that wants no acknowledgement waits for nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from edgegw.model import Alarm, ClockTrust

EPISODE_PREFIX = "rules/alarm/"
# Names of members are looked up slowly, and this is done for each event.
_CLOCK_WORDS: Final = {trust: trust.word for trust in ClockTrust}
# A rule that is always there (inputs.py); with a space: no configured rule can have its name.
INPUT_LOST: Final = "input lost"


class Visibility(StrEnum):
    """Why an open alarm is told, or is not."""

    SHOWN = "shown"
    SUPPRESSED = "suppressed"
    SHELVED = "shelved"
    OUT_OF_SERVICE = "out_of_service"


class Moment(NamedTuple):
    """One instant on both clocks, with the trust of its wall label."""

    mono_ms: int
    wall_ms: int
    clock: ClockTrust

    def at(self, mono_ms: int) -> Moment:
        """The same labels for another monotonic time."""
        return self if mono_ms == self.mono_ms else Moment(mono_ms, self.wall_ms + mono_ms - self.mono_ms, self.clock)


class Facts(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an episode is about, fixed at its raise and at a change of its level."""

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
    latched: bool = False
    """Stays until it is reset, whatever its condition does."""
    safety: bool = False
    """Fire, smoke, water, intrusion: never hidden below another alarm, shelved for an hour at most."""
    episode: str = ""
    """Key of the episode; empty: rule, subject and point tell it."""

    @property
    def subject(self) -> str:
        """What people call the thing that has the alarm."""
        return self.device or self.bus or "gateway"

    @property
    def is_danger(self) -> bool:
        """Smoke that is seen, and not that nobody can see it: a module under repair is blind, and who repairs it knows."""
        return self.safety and bool(self.point) and self.rule != INPUT_LOST

    @property
    def key(self) -> str:
        return self.episode or episode_key(self.rule, self.subject, self.point)


class Episode(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One alarm that is open, as it is stored. Wall times in ms."""

    alarm_id: str
    number: int
    facts: Facts
    began_at_ms: int
    began_clock: ClockTrust
    raised_at_ms: int
    suppressed_by: str | None = None
    """Id of the alarm it is hidden below."""
    acknowledged: bool = False
    acknowledged_at_ms: int | None = None
    acknowledged_by: str = ""
    note: str = ""
    """Of who acknowledged it."""
    news_at_ms: int | None = None
    """When it came back or became worse: what was said before does not acknowledge that."""
    cleared_at_ms: int | None = None
    """Its condition has ended; it waits for an acknowledgement or a reset."""
    owed: str = ""
    """What people are still to be told of it (`told.Why`); of what is hidden that waits until it is shown."""
    told_at_ms: int | None = None
    """When they were last told."""
    told_level: str = ""
    """Its level then."""
    in_summary: bool = False
    """They were told in a summary alone."""
    chattering: bool = False
    """It comes and goes: kept active until it is quiet."""
    edges: int = 0
    """Ends and returns of its condition since it chatters."""
    held: bool = False
    """Its condition has ended; it is kept active."""
    release_at_ms: int | None = None
    """When what chatters or is held is quiet for long enough, if nothing comes; for the next start."""
    first_out: bool = False
    """The first of a group that fell together."""
    holders: tuple[str, ...] = ()
    """Of one that several rules share: those whose condition holds, each as "rule point"."""

    @property
    def state(self) -> str:
        """`active`, or `returned` while it waits for a person."""
        return "active" if self.cleared_at_ms is None else "returned"

    def alarm(self, language: str, visibility: Visibility = Visibility.SHOWN) -> Alarm:
        """As people see it."""
        facts = self.facts
        return Alarm(
            alarm_id=self.alarm_id,
            number=self.number,
            rule=facts.rule,
            level=facts.level,
            device=facts.subject,
            point=facts.point,
            state=self.state,
            began_at_ms=self.began_at_ms,
            raised_at_ms=self.raised_at_ms,
            cleared_at_ms=self.cleared_at_ms,
            value=facts.value,
            limit=facts.limit,
            unit=facts.unit,
            text=facts.text_zh if language == "zh" and facts.text_zh else facts.text,
            acknowledged=self.acknowledged,
            acknowledged_at_ms=self.acknowledged_at_ms,
            acknowledged_by=self.acknowledged_by,
            note=self.note,
            visibility=visibility.value,
            latched=facts.latched,
            root=self.suppressed_by,
            told_at_ms=self.told_at_ms,
            chattering=self.chattering,
            first_out=self.first_out,
        )


def unacknowledged(episode: Episode, at: Moment) -> Episode:
    """Nobody can have acknowledged what has come anew, or is worse than it was."""
    return msgspec.structs.replace(episode, acknowledged=False, acknowledged_at_ms=None, acknowledged_by="", note="", news_at_ms=at.wall_ms)


def episode_key(rule: str, subject: str, point: str) -> str:
    return f"{EPISODE_PREFIX}{rule}/{subject}/{point}"


def alarm_body(episode: Episode, edge: str, value: float | None, more: Mapping[str, object]) -> dict[str, object]:
    """Of an event of kind `alarm` (docs/alarms.md)."""
    facts = episode.facts
    body: dict[str, object] = {
        "id": episode.alarm_id,
        "number": episode.number,
        "edge": edge,
        "rule": facts.rule,
        "level": facts.level,
        "point": facts.point,
        "value": value,
        "unit": facts.unit,
        "limit": facts.limit,
        "began_at_ms": episode.began_at_ms,
        "began_clock": _CLOCK_WORDS[episode.began_clock],
        "raised_at_ms": episode.raised_at_ms,
        "text": facts.text,
        **more,
    }
    if facts.text_zh:
        body["text_zh"] = facts.text_zh
    if facts.bus:
        body["bus"] = facts.bus
    if episode.suppressed_by:
        body["suppressed_by"] = episode.suppressed_by
    if episode.chattering:
        body["chattering"] = True
    return body


def why_removed(facts: Facts, devices: set[str], buses: set[str]) -> str:
    """Why nothing can end this alarm any more; `devices` and `buses` are those of the configuration."""
    if facts.device is None and facts.bus is None:
        return "not found again after a restart"
    if facts.device is None:
        return "rule removed" if facts.bus in buses else "bus removed"
    return "rule removed" if facts.device in devices else "device removed"
