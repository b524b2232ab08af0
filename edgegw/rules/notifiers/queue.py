"""The notices that wait for their channel (`job.py`).

Pure: time comes in, what changed goes out by `take`, for one transaction. One queue for all channels; each channel takes from it by itself:

    waiting ──► under way ──► delivered
       ▲            ├──────► refused, or given up after `give_up_ms`: an event says so
       └── pause ◄──┘ failed: a pause of the channel and of the notice, doubled each time

Beyond WAITING_MAX who has the most waiting gets them as one summary; where nothing can be joined the oldest of the least severe is dropped. A recipient who has had `storm_notices` within `storm_span_ms` gets the rest as one
summary as soon as the span has room again. The second highest level has a limit and a summary of its own, `storm_notices_severe`, which what is less
severe does not count towards: majors do not wait behind minors. The most severe level and safety alarms wait for nothing.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from edgegw.model import Event
from edgegw.rules.episode import Moment
from edgegw.rules.limits import LIMITS, Limits
from edgegw.rules.notifiers.job import JOB_PREFIX, Job, hours_ms, notification, one_line, summary_of
from edgegw.rules.notifiers.pause import Pause, Trouble
from edgegw.rules.notifiers.routing import Target
from edgegw.rules.told import Why

_log = logging.getLogger("edgegw.telling")

# Some 700 bytes each; a station with more to say has nobody who reads it.
WAITING_MAX: Final = 500
# Something new is worth a try, however long the channel has been away.
RETRY_FRESH_MS: Final = 10_000
# A server that restarts and a mobile network that is away for a moment are no news; what lasts longer somebody must look after.
FAILING_AFTER_MS: Final = 15 * 60_000


class Counts(NamedTuple):
    """Since the start."""

    delivered: int
    failed: int
    """Attempts."""
    given_up: int
    dropped: int
    joined: int
    """Notices that went into a summary."""


class _Lane(NamedTuple):
    """What one limit holds for: of a recipient by a channel the severe notices, or all."""

    who: tuple[str, str]
    is_severe: bool

    @classmethod
    def of(cls, job: Job) -> _Lane:
        return cls(job.target.who, job.is_severe)


class Queue:
    """`add`, `pick`, then `delivered` or `failed`; after each of them `take` what changed."""

    def __init__(self, epoch: int, restored: Mapping[str, bytes], limits: Limits = LIMITS, jitter: Callable[[], float] = random.random) -> None:
        self._epoch = epoch
        self._limits = limits
        self._counter = 0
        self._jitter = jitter
        self._jobs: dict[str, Job] = {}
        """By notice id, oldest first."""
        self._counted_ms: dict[str, int] = {}
        """Monotonic time up to which a job's waiting is in its `waited_ms`."""
        self._ready_ms: dict[str, float] = {}
        self._under_way: set[str] = set()
        self._pauses: dict[str, Pause] = {}
        self._sent: dict[_Lane, deque[int]] = {}
        """Monotonic times of the last notices that count towards the limit of a lane, as many as it allows."""
        self._held: set[_Lane] = set()
        """Of whom a lane has been held up by its limit."""
        self._counts: Counter[str] = Counter()
        self._events: list[Event] = []
        self._states: dict[str, bytes | None] = {}
        self._restore(restored)

    def _restore(self, restored: Mapping[str, bytes]) -> None:
        found: list[Job] = []
        for key, data in restored.items():
            if key.startswith(JOB_PREFIX):
                try:
                    found.append(msgspec.json.decode(data, type=Job))
                except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                    _log.warning("the stored notice %s cannot be read and is forgotten: %s", key, fault)
                    self._states[key] = None
        for job in sorted(found, key=lambda job: (job.told.at_ms, job.notice_id)):
            self._jobs[job.notice_id] = job

    # -- what waits

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self, alarm_id: str = "") -> list[Job]:
        """Waiting and under way, oldest first; of one alarm, or all."""
        return [job for job in self._jobs.values() if not alarm_id or any(episode.alarm_id == alarm_id for episode in job.episodes)]

    def is_under_way(self, job: Job) -> bool:
        return job.notice_id in self._under_way

    @property
    def counts(self) -> Counts:
        return Counts(*(self._counts[name] for name in Counts._fields))

    def take(self) -> tuple[list[Event], dict[str, bytes | None]]:
        """Everything since the last call."""
        events, self._events = self._events, []
        states, self._states = self._states, {}
        return events, states

    def new_id(self) -> str:
        """Never used twice."""
        self._counter += 1
        return f"{self._epoch:016x}-n{self._counter}"

    # -- in

    def add(self, job: Job, at: Moment) -> None:
        """Beyond the bound notices are joined, so that all are counted; what cannot be joined goes, the oldest of the least severe."""
        self._keep(job)
        self._counted_ms[job.notice_id] = at.mono_ms + max(0, hours_ms(job, at))
        while len(self._jobs) > WAITING_MAX and not self._make_room(at):
            idle = [waiting for waiting in self._jobs.values() if waiting.notice_id not in self._under_way]
            victim = max(idle, key=lambda waiting: waiting.rank)
            self._end(victim, "dropped", f"{WAITING_MAX} others wait", at)

    def change(self, alarm_id: str, change: Callable[[Job], Job]) -> None:
        """What has become of an alarm, in the notices of it that nobody has been given yet."""
        for job in self.jobs(alarm_id):
            if job.notice_id not in self._under_way and (changed := change(job)) != job:
                self._keep(changed)

    def expire(self, at: Moment) -> None:
        """What has waited for too long. The hours of its route are no waiting."""
        for job in list(self._jobs.values()):
            self._counted_ms.setdefault(job.notice_id, at.mono_ms + max(0, hours_ms(job, at)))
            if self._waited_ms(job, at) >= self._limits.give_up_ms and job.notice_id not in self._under_way:
                self._end(job, "given_up", job.error or "it was never its turn", at)

    def drop_needless(self, job: Job, at: Moment) -> None:
        """A siren calls nobody for what is over or in hand."""
        self._end(job, "needless", "the alarm has ended, or somebody has acknowledged it", at)

    def give_up(self, job: Job, why: str, at: Moment) -> None:
        """Its recipient or channel is no longer there."""
        self._end(job, "given_up", why, at)

    # -- out

    def pick(self, channel: str, at: Moment) -> Job | None:
        """The next one to send by this channel, from now on under way; None: nothing is due."""
        waiting = self._waiting(channel, at)
        pause = self._pauses.setdefault(channel, Pause())
        if not waiting or at.mono_ms < pause.until_ms(fresh=any(not job.attempts for job in waiting), fresh_ms=RETRY_FRESH_MS):
            return None
        ready = [job for job in waiting if self._ready_ms.get(job.notice_id, 0) <= at.mono_ms]
        for job in sorted(ready, key=lambda job: (job.notice_id == pause.failed_last, job.rank, job.attempts)):
            if job.is_urgent or not job.target.recipient:
                return self._begin(job, at)
            if not self._room(_Lane.of(job), at.mono_ms):
                self._held.add(_Lane.of(job))
                continue
            return self._begin(self._joined(job, waiting, at), at)
        return None

    def due_ms(self, channel: str, at: Moment) -> float | None:
        """Monotonic time at which `pick` may have something; None: not before something changes."""
        waiting = [job for job in self._of(channel) if job.notice_id not in self._under_way]
        if not waiting:
            return None
        pause = self._pauses.setdefault(channel, Pause())
        due = pause.until_ms(fresh=any(not job.attempts for job in waiting), fresh_ms=RETRY_FRESH_MS)
        return max(due, min(self._due_of(job, at) for job in waiting))

    def _due_of(self, job: Job, at: Moment) -> float:
        ready = self._ready_ms.get(job.notice_id, 0.0)
        hours = at.mono_ms + max(0, hours_ms(job, at))
        sent = self._sent.get(_Lane.of(job)) or deque[int]()
        is_held = len(sent) == sent.maxlen and job.target.recipient and not job.is_urgent
        room = sent[0] + self._limits.storm_span_ms if is_held else 0
        return max(ready, hours, room)

    def delivered(self, job: Job, evidence: str, at: Moment) -> None:
        self.works(job.target)
        for is_severe in {False, job.is_severe}:
            lane = _Lane(job.target.who, is_severe)
            self._sent.setdefault(lane, deque(maxlen=self._limit(lane))).append(at.mono_ms)
        self._end(job, "delivered", evidence, at)

    def failed(self, job: Job, error: str, at: Moment, *, later: bool, unsure: bool = False) -> None:
        """`later`: worth another attempt; `unsure`: it may have been told all the same, so that it is told again ever more seldom."""
        self._under_way.discard(job.notice_id)
        self._counts["failed"] += 1
        attempts = job.attempts + 1
        waited_ms = self._waited_ms(job, at)
        pause = self._pauses.setdefault(job.target.channel, Pause())
        if later:
            pause.since_ms = pause.since_ms if pause.failures else at.mono_ms
            pause.failures += 1
            pause.error, pause.recipient = one_line(error), job.target.recipient
        else:
            pause.refused[job.target.recipient] = one_line(error)
        pause.tried_ms, pause.wait_ms, pause.failed_last = at.mono_ms, self._back_off_ms(pause.failures) if later else 0, job.notice_id
        tried = msgspec.structs.replace(job, attempts=attempts, waited_ms=waited_ms, error=one_line(error), unsure=job.unsure + unsure)
        self._counted_ms[job.notice_id] = at.mono_ms
        if not later or waited_ms >= self._limits.give_up_ms:
            self._end(tried, "given_up" if later else "refused", error, at)
            return
        unsure_ms = self._limits.retry_first_ms * 4.0**tried.unsure if tried.unsure else 0.0
        self._ready_ms[job.notice_id] = at.mono_ms + max(self._back_off_ms(attempts), unsure_ms)
        self._keep(tried)
        self._overtaken(tried)
        _log.log(logging.WARNING if attempts == 1 else logging.INFO, "%s by %s: attempt %d failed: %s", tried.title, job.target.channel, attempts, tried.error)

    def works(self, target: Target) -> None:
        """It has delivered something to this one."""
        self._pauses[target.channel] = self._pauses.setdefault(target.channel, Pause()).worked(target.recipient)
        for job in self._of(target.channel):
            if job.unsure:
                self._ready_ms.pop(job.notice_id, None)

    def has_failed(self, channel: str, at: Moment) -> None:
        """So said the last start, and nothing was delivered since."""
        pause = self._pauses.setdefault(channel, Pause())
        pause.failures, pause.since_ms = 1, at.mono_ms - FAILING_AFTER_MS

    def failing(self, at: Moment) -> dict[str, Trouble]:
        """Channels that have delivered nothing for a while or could not reach one of their recipients at all, and why."""
        found = {name: pause.trouble(at.mono_ms, FAILING_AFTER_MS) for name, pause in self._pauses.items()}
        return {name: trouble for name, trouble in found.items() if trouble is not None}

    def abandoned(self, job: Job) -> None:
        """The attempt was broken off, and nobody knows how far it came: the same notice waits again."""
        self._under_way.discard(job.notice_id)
        self._pauses.setdefault(job.target.channel, Pause()).failed_last = job.notice_id
        self._overtaken(job)

    # -- inside

    def _of(self, channel: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.target.channel == channel]

    def _waiting(self, channel: str, at: Moment) -> list[Job]:
        return [job for job in self._of(channel) if job.notice_id not in self._under_way and hours_ms(job, at) <= 0]

    def _begin(self, job: Job, at: Moment) -> Job:
        self._under_way.add(job.notice_id)
        self._counted_ms.setdefault(job.notice_id, at.mono_ms)
        return job

    def _limit(self, lane: _Lane) -> int:
        return self._limits.storm_notices_severe if lane.is_severe else self._limits.storm_notices

    def _room(self, lane: _Lane, now_ms: int) -> int:
        """How many more the recipient may have now."""
        sent = self._sent.get(lane, deque())
        while sent and sent[0] <= now_ms - self._limits.storm_span_ms:
            sent.popleft()
        return self._limit(lane) - len(sent)

    def _joined(self, job: Job, waiting: list[Job], at: Moment) -> Job:
        """One summary instead of what has been held up, or of more than one person can take."""
        lane = _Lane.of(job)
        mine = [other for other in waiting if _Lane.of(other) == lane and not other.is_urgent]
        if len(mine) < 2 or (lane not in self._held and len(mine) <= self._room(lane, at.mono_ms)):
            self._held.discard(lane)
            return job
        self._held.discard(lane)
        return self._join(mine, at)

    def _make_room(self, at: Moment) -> bool:
        """One summary for who has the most that can wait, of the lesser ones first."""
        groups: dict[tuple[tuple[str, str], int, int], list[Job]] = {}
        for job in self._jobs.values():
            if job.target.recipient and job.report is None and job.notice_id not in self._under_way:
                groups.setdefault((job.target.who, job.not_before_ms, job.is_urgent + job.is_severe), []).append(job)
        several = {key: jobs for key, jobs in groups.items() if len(jobs) > 1}
        if several:
            self._join(several[max(several, key=lambda key: (-key[2], len(several[key])))], at)
        return bool(several)

    def _join(self, jobs: list[Job], at: Moment) -> Job:
        """One summary in their place."""
        first, waited_ms = jobs[0], max(job.waited_ms for job in jobs)
        summary = Job(
            self.new_id(), msgspec.structs.replace(first.target, route=""), summary_of(jobs, at), not_before_ms=first.not_before_ms, waited_ms=waited_ms
        )
        for job in jobs:
            self._forget(job)
        self._counts["joined"] += len(jobs)
        self._events.append(notification(summary, "joined", f"{len(jobs)} notices in one", at))
        self._keep(summary)
        return summary

    def _overtaken(self, job: Job) -> None:
        """While it was under way its alarm may have ended: one notice says both, so that the end never arrives before the alarm."""
        if job.told.why in {Why.CLEARED, Why.REPORT}:
            return
        known = {episode.alarm_id for episode in job.episodes}
        ends = [other for other in self._of(job.target.channel) if other.told.why is Why.CLEARED and other.target.who == job.target.who]
        for end in (other for other in ends if other.alarm_id in known and other.notice_id not in self._under_way):
            at_ms = end.told.episode.cleared_at_ms or end.told.at_ms
            is_summary = job.told.why is Why.SUMMARY
            job = job.with_episodes(end.alarm_id, cleared_at_ms=at_ms) if is_summary else msgspec.structs.replace(job, ended_at_ms=at_ms)
            self._keep(job)
            self._forget(end)

    def _back_off_ms(self, failures: int) -> float:
        return min(self._limits.retry_first_ms * 2.0 ** min(failures - 1, 30), self._limits.retry_max_ms) * (0.5 + self._jitter() / 2)

    def _waited_ms(self, job: Job, at: Moment) -> int:
        return job.waited_ms + max(0, at.mono_ms - self._counted_ms.get(job.notice_id, at.mono_ms))

    def _keep(self, job: Job) -> None:
        self._jobs[job.notice_id] = job
        self._states[JOB_PREFIX + job.notice_id] = msgspec.json.encode(job)

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.notice_id, None)
        self._counted_ms.pop(job.notice_id, None)
        self._ready_ms.pop(job.notice_id, None)
        self._under_way.discard(job.notice_id)
        self._states[JOB_PREFIX + job.notice_id] = None

    def _end(self, job: Job, outcome: str, detail: str, at: Moment) -> None:
        attempts = job.attempts + (outcome == "delivered")
        ended = msgspec.structs.replace(job, attempts=attempts, waited_ms=self._waited_ms(job, at))
        self._forget(job)
        self._counts["given_up" if outcome == "refused" else outcome] += 1
        self._events.append(notification(ended, outcome, detail, at))
        level = logging.INFO if outcome in {"delivered", "needless"} else logging.ERROR
        _log.log(level, "%s by %s to %s: %s: %s", ended.title, job.target.channel, job.target.recipient or "-", outcome, one_line(detail))
