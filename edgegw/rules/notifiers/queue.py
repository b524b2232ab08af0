"""The notices that wait for their channel (`job.py`).

Pure: time comes in, what changed goes out by `take`, for one transaction. One queue for all channels; each channel takes from it by itself:

    waiting ──► under way ──► delivered
       ▲            ├──────► refused, or given up after GIVE_UP_MS: an event says so
       └── pause ◄──┘ failed: a pause of the channel and of the notice, doubled each time

Beyond WAITING_MAX the oldest of the least severe is dropped. A recipient who has had STORM_NOTICES within STORM_SPAN_MS gets the rest as one
summary as soon as the span has room again; the most severe level and safety alarms wait for nothing.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from edgegw.model import ClockTrust, Event
from edgegw.rules.episode import Moment
from edgegw.rules.notifiers.job import JOB_PREFIX, Job, notification, one_line, summary_of
from edgegw.rules.told import Why

_log = logging.getLogger("edgegw.telling")

# Some 700 bytes each; a station with more to say has nobody who reads it.
WAITING_MAX: Final = 500
# A restarting server is back within seconds, a mobile network within minutes; no provider minds a try every five minutes.
RETRY_FIRST_MS: Final = 5_000
RETRY_MAX_MS: Final = 300_000
# Something new is worth a try, however long the channel has been away.
RETRY_FRESH_MS: Final = 10_000
# What nobody could be told for a day somebody has seen on site, or nobody wants to hear any more. Counted while the daemon runs.
GIVE_UP_MS: Final = 24 * 3_600_000
# ISA-18.2: ten in ten minutes are what one person can take.
STORM_NOTICES: Final = 10
STORM_SPAN_MS: Final = 600_000
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


class _Pause:
    """Of a channel after failed attempts."""

    def __init__(self) -> None:
        self.failures = 0
        self.since_ms = 0
        """Of the first of the failures in a row."""
        self.tried_ms = 0
        self.wait_ms = 0.0
        self.failed_last = ""
        self.error = ""

    def until_ms(self, *, fresh: bool) -> float:
        return self.tried_ms + (min(self.wait_ms, RETRY_FRESH_MS) if fresh else self.wait_ms)


class Queue:
    """`add`, `pick`, then `delivered` or `failed`; after each of them `take` what changed."""

    def __init__(self, epoch: int, restored: Mapping[str, bytes], jitter: Callable[[], float] = random.random) -> None:
        self._epoch = epoch
        self._counter = 0
        self._jitter = jitter
        self._jobs: dict[str, Job] = {}
        """By notice id, oldest first."""
        self._counted_ms: dict[str, int] = {}
        """Monotonic time up to which a job's waiting is in its `waited_ms`."""
        self._ready_ms: dict[str, float] = {}
        self._under_way: set[str] = set()
        self._pauses: dict[str, _Pause] = {}
        self._sent: dict[tuple[str, str], deque[int]] = {}
        self._held: set[tuple[str, str]] = set()
        """Who has been held up by the storm limit."""
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
        """Beyond the bound the oldest of the least severe goes."""
        self._keep(job)
        self._counted_ms[job.notice_id] = at.mono_ms + max(0, _hours_ms(job, at))
        while len(self._jobs) > WAITING_MAX:
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
            self._counted_ms.setdefault(job.notice_id, at.mono_ms + max(0, _hours_ms(job, at)))
            if self._waited_ms(job, at) >= GIVE_UP_MS and job.notice_id not in self._under_way:
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
        pause = self._pauses.setdefault(channel, _Pause())
        if not waiting or at.mono_ms < pause.until_ms(fresh=any(not job.attempts for job in waiting)):
            return None
        ready = [job for job in waiting if self._ready_ms.get(job.notice_id, 0) <= at.mono_ms]
        for job in sorted(ready, key=lambda job: (job.notice_id == pause.failed_last, job.rank, job.attempts)):
            if job.is_urgent or not job.target.recipient:
                return self._begin(job, at)
            if not self._room(job.target.who, at.mono_ms):
                self._held.add(job.target.who)
                continue
            return self._begin(self._joined(job, waiting, at), at)
        return None

    def due_ms(self, channel: str, at: Moment) -> float | None:
        """Monotonic time at which `pick` may have something; None: not before something changes."""
        waiting = [job for job in self._of(channel) if job.notice_id not in self._under_way]
        if not waiting:
            return None
        pause = self._pauses.setdefault(channel, _Pause())
        due = pause.until_ms(fresh=any(not job.attempts for job in waiting))
        return max(due, min(self._due_of(job, at) for job in waiting))

    def _due_of(self, job: Job, at: Moment) -> float:
        ready = self._ready_ms.get(job.notice_id, 0.0)
        hours = at.mono_ms + max(0, _hours_ms(job, at))
        sent = self._sent.get(job.target.who) or deque[int]()
        room = sent[0] + STORM_SPAN_MS if len(sent) >= STORM_NOTICES and job.target.recipient and not job.is_urgent else 0
        return max(ready, hours, room)

    def delivered(self, job: Job, evidence: str, at: Moment) -> None:
        self.works(job.target.channel)
        self._sent.setdefault(job.target.who, deque(maxlen=STORM_NOTICES)).append(at.mono_ms)
        self._end(job, "delivered", evidence, at)

    def failed(self, job: Job, error: str, at: Moment, *, later: bool) -> None:
        """`later`: worth another attempt."""
        self._under_way.discard(job.notice_id)
        self._counts["failed"] += 1
        attempts = job.attempts + 1
        waited_ms = self._waited_ms(job, at)
        pause = self._pauses.setdefault(job.target.channel, _Pause())
        if later:
            pause.since_ms = pause.since_ms if pause.failures else at.mono_ms
            pause.failures += 1
            pause.error = one_line(error)
        pause.tried_ms, pause.wait_ms, pause.failed_last = at.mono_ms, self._back_off_ms(pause.failures) if later else 0, job.notice_id
        tried = msgspec.structs.replace(job, attempts=attempts, waited_ms=waited_ms, error=one_line(error))
        self._counted_ms[job.notice_id] = at.mono_ms
        if not later or waited_ms >= GIVE_UP_MS:
            self._end(tried, "given_up" if later else "refused", error, at)
            return
        self._ready_ms[job.notice_id] = at.mono_ms + self._back_off_ms(attempts)
        self._keep(tried)
        self._overtaken(tried)
        _log.log(logging.WARNING if attempts == 1 else logging.INFO, "%s by %s: attempt %d failed: %s", tried.title, job.target.channel, attempts, tried.error)

    def works(self, channel: str) -> None:
        """It has delivered something."""
        self._pauses[channel] = _Pause()

    def failing(self, at: Moment) -> dict[str, str]:
        """Channels that have delivered nothing for a while, and why."""
        return {name: pause.error for name, pause in self._pauses.items() if pause.failures and at.mono_ms - pause.since_ms >= FAILING_AFTER_MS}

    def abandoned(self, job: Job) -> None:
        """The attempt was broken off, and nobody knows how far it came: the same notice waits again."""
        self._under_way.discard(job.notice_id)
        self._pauses.setdefault(job.target.channel, _Pause()).failed_last = job.notice_id
        self._overtaken(job)

    # -- inside

    def _of(self, channel: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.target.channel == channel]

    def _waiting(self, channel: str, at: Moment) -> list[Job]:
        return [job for job in self._of(channel) if job.notice_id not in self._under_way and _hours_ms(job, at) <= 0]

    def _begin(self, job: Job, at: Moment) -> Job:
        self._under_way.add(job.notice_id)
        self._counted_ms.setdefault(job.notice_id, at.mono_ms)
        return job

    def _room(self, who: tuple[str, str], now_ms: int) -> int:
        """How many more the recipient may have now."""
        sent = self._sent.get(who, deque())
        while sent and sent[0] <= now_ms - STORM_SPAN_MS:
            sent.popleft()
        return STORM_NOTICES - len(sent)

    def _joined(self, job: Job, waiting: list[Job], at: Moment) -> Job:
        """One summary instead of what has been held up, or of more than one person can take."""
        who = job.target.who
        mine = [other for other in waiting if other.target.who == who and not other.is_urgent]
        if len(mine) < 2 or (who not in self._held and len(mine) <= self._room(who, at.mono_ms)):
            self._held.discard(who)
            return job
        self._held.discard(who)
        summary = Job(self.new_id(), msgspec.structs.replace(job.target, route=""), summary_of(mine, at), waited_ms=max(other.waited_ms for other in mine))
        for other in mine:
            self._forget(other)
        self._counts["joined"] += len(mine)
        self._events.append(notification(summary, "joined", f"{len(mine)} notices in one", at))
        self._keep(summary)
        return summary

    def _overtaken(self, job: Job) -> None:
        """While it was under way its alarm may have ended: one notice says both, so that the end never arrives before the alarm."""
        if job.told.why is Why.CLEARED:
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
        return min(RETRY_FIRST_MS * 2.0 ** min(failures - 1, 30), RETRY_MAX_MS) * (0.5 + self._jitter() / 2)

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


def _hours_ms(job: Job, at: Moment) -> int:
    """How long until the hours of its route begin; nobody waits for a clock that was never set."""
    return 0 if at.clock is ClockTrust.UNSET else job.not_before_ms - at.wall_ms
