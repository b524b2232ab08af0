"""One notice that waits, as it is stored under `notify/job/<notice id>`, and what is said of its fate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from edgegw.model import ClockTrust, Event
from edgegw.rules.episode import Episode, Moment
from edgegw.rules.flood import is_told_singly
from edgegw.rules.levels import rank
from edgegw.rules.notifiers.routing import SUMMARY_EPISODES_MAX, Target
from edgegw.rules.told import Told, Why

JOB_PREFIX: Final = "notify/job/"
# Every route opens once a week at least.
HOURS_MS_MAX: Final = 8 * 24 * 3_600_000
# Of what a server or modem said.
_DETAIL_CHARACTERS_MAX: Final = 200


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """One notice for one recipient by one channel, until it is delivered or given up."""

    notice_id: str
    target: Target
    told: Told
    ended_at_ms: int | None = None
    """The alarm has ended while the notice waited: it says both."""
    escalated_after_min: int = 0
    not_before_ms: int = 0
    """Wall time at which the hours of its route begin."""
    attempts: int = 0
    waited_ms: int = 0
    error: str = ""
    """Of the last attempt."""
    unsure: int = 0
    """Of the attempts so many after which nobody knew whether it had been taken: it may have been told as often."""
    report: dict[str, Any] | None = None
    """The record `alarm_report`, for the mail that carries it."""

    @property
    def alarm_id(self) -> str:
        return self.told.episode.alarm_id

    @property
    def rank(self) -> int:
        return rank(self.told.episode.facts.level)

    @property
    def is_urgent(self) -> bool:
        """No limit holds it up."""
        return not self.rank or self.told.episode.facts.safety or self.report is not None

    @property
    def is_severe(self) -> bool:
        """Lesser ones do not hold it up: what is told singly in a flood too."""
        return is_told_singly(self.told.episode.facts)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        return self.told.others or (self.told.episode,)

    @property
    def title(self) -> str:
        """For the log."""
        return f"{self.told.count} alarms" if self.told.why is Why.SUMMARY else f"alarm #{self.told.episode.number} {self.told.why.value}"

    def with_episodes(self, alarm_id: str, **changes: object) -> Job:
        """Of an alarm as it is now, alone or in a summary."""

        def changed(episode: Episode) -> Episode:
            return msgspec.structs.replace(episode, **changes) if episode.alarm_id == alarm_id else episode

        told = msgspec.structs.replace(self.told, episode=changed(self.told.episode), others=tuple(changed(episode) for episode in self.told.others))
        return msgspec.structs.replace(self, told=told)


def notification(job: Job, outcome: str, detail: str, at: Moment) -> Event:
    """The event of kind `notification` (docs/alarms.md)."""
    facts = job.told.episode.facts
    body: dict[str, object] = {
        "outcome": outcome,
        "notice_id": job.notice_id,
        "channel": job.target.channel,
        "recipient": job.target.recipient,
        "why": job.told.why.value,
        "level": facts.level,
        "id": job.alarm_id,
        "numbers": [episode.number for episode in job.episodes],
        "count": job.told.count,
        "attempts": job.attempts,
        "waited_s": round(job.waited_ms / 1000, 1),
        "detail": one_line(detail),
    }
    if job.escalated_after_min:
        body["escalated_after_min"] = job.escalated_after_min
    if job.unsure:
        body["unsure"] = job.unsure
    return Event("notification", at.wall_ms, at.mono_ms, at.clock, facts.device, body)


def summary_of(jobs: Sequence[Job], at: Moment) -> Told:
    """Of all their alarms, each as it is known last."""
    episodes: dict[str, Episode] = {}
    more = 0
    for job in jobs:
        more += max(0, job.told.count - len(job.episodes))
        for episode in job.episodes:
            ended_at_ms = job.ended_at_ms or (job.told.at_ms if job.told.why is Why.CLEARED else None) or episode.cleared_at_ms
            episodes[episode.alarm_id] = msgspec.structs.replace(episode, cleared_at_ms=ended_at_ms)
    ordered = sorted(episodes.values(), key=lambda episode: (rank(episode.facts.level), episode.number))
    return Told(Why.SUMMARY, at.wall_ms, ordered[0], others=tuple(ordered[:SUMMARY_EPISODES_MAX]), count=len(ordered) + more)


def hours_ms(job: Job, at: Moment) -> int:
    """How long until the hours of its route begin; nobody waits for a clock that was never set, or that was set back since by more than hours can be away."""
    left_ms = job.not_before_ms - at.wall_ms
    return 0 if at.clock is ClockTrust.UNSET or left_ms > HOURS_MS_MAX else left_ms


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_CHARACTERS_MAX else f"{line[: _DETAIL_CHARACTERS_MAX - 3]}..."
