"""From what the engine decided to the notices that wait, and to who is told next when nobody acknowledges. Pure; knows no channel.

What has been told of an alarm is kept as long as the alarm is (`notify/case/<alarm id>`): who was told of it hears of its end, and each
step of an escalation waits there for its time. That runs on the monotonic clock; over a restart it is kept as wall time, and where either
start had no clock to trust the step is due at once: to tell too early is the safe side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from edgegw.model import ClockTrust, Event
from edgegw.rules.episode import Episode, Moment
from edgegw.rules.notifiers.job import Job
from edgegw.rules.notifiers.queue import Queue
from edgegw.rules.notifiers.routing import Router, Target
from edgegw.rules.told import Told, Why

_log = logging.getLogger("edgegw.telling")

CASE_PREFIX: Final = "notify/case/"
# Twice the alarms that the journal keeps waiting for people; beyond it the oldest is forgotten, and nobody hears of its end.
CASES_MAX: Final = 1_000
# The end of an alarm may be told a settle window after it was written down, and its report is made a minute after the raise.
LINGER_MS: Final = 120_000
_MINUTE_MS: Final = 60_000
CARRIES_REPORT: Final = frozenset({"mail"})
_TRUSTED = frozenset({ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED})
# A person has it in hand, or it is over.
_ENDS_ESCALATION = frozenset({"acknowledged", "shelved", "cleared", "returned", "reset", "closed"})
_ENDS_CONDITION = frozenset({"cleared", "returned"})


class Waiting(msgspec.Struct, frozen=True):
    """A step of an escalation. `due_ms` is wall time."""

    due_ms: int
    whole_ms: int
    """All of the time that it waits."""
    clock: ClockTrust
    after_min: int
    targets: tuple[Target, ...]


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has been told of one alarm, and to whom."""

    told: Told
    targets: tuple[Target, ...]
    steps: tuple[Waiting, ...] = ()
    over: bool = False
    ended_at_ms: int | None = None
    """Wall time at which its condition ended."""


class Teller:
    """`note` and `tick`, then `take` what changed, for the transaction of what caused it."""

    def __init__(self, router: Router, queue: Queue, restored: Mapping[str, bytes]) -> None:
        self.queue = queue
        self._router = router
        self._cases: dict[str, Case] = {}
        """By alarm id, oldest first."""
        self._due_ms: dict[str, list[int]] = {}
        """Monotonic times of a case's steps."""
        self._over_ms: dict[str, int] = {}
        """Monotonic time since which a case is over."""
        self._states: dict[str, bytes | None] = {}
        self._restored = dict(restored)

    def begin(self, at: Moment) -> None:
        """What the last start left: steps get their times, and what can no longer reach anybody is given up."""
        for key, data in self._restored.items():
            if key.startswith(CASE_PREFIX):
                self._restore(key, data, at)
        self._restored = {}
        self._cases = dict(sorted(self._cases.items(), key=lambda item: item[1].told.at_ms))
        for job in self.queue.jobs():
            if self._router.address(job.target) is None:
                self.queue.give_up(job, f"{job.target.recipient or 'nobody'} is no longer reached by {job.target.channel}", at)

    def _restore(self, key: str, data: bytes, at: Moment) -> None:
        try:
            case = msgspec.json.decode(data, type=Case)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            _log.warning("the stored %s cannot be read and is forgotten: %s", key, fault)
            self._states[key] = None
            return
        alarm_id = key.removeprefix(CASE_PREFIX)
        self._cases[alarm_id] = case
        self._due_ms[alarm_id] = [at.mono_ms + _left_ms(step, at) for step in case.steps]
        if case.over:
            self._over_ms[alarm_id] = at.mono_ms

    # -- what the engine says

    def note(self, events: Sequence[Event], told: Sequence[Told], at: Moment) -> None:
        """Of one transaction."""
        for one in told:
            if one.why is Why.CLEARED:
                self._tell_end(one, at)
            else:
                self._tell(one, at)
        for event in events:
            if event.kind == "alarm":
                self._follow(event.body, event.at_ms, at)
            elif event.kind == "alarm_report":
                self._tell_report(event.body, at)
            elif event.kind == "service" and event.body.get("state") == "out_of_service":
                facts = {alarm_id: case.told.episode.facts for alarm_id, case in self._cases.items()}
                self._stop_escalation(alarm_id for alarm_id, of in facts.items() if of.device == event.device and not of.is_danger)

    def take(self) -> tuple[list[Event], dict[str, bytes | None]]:
        """Everything since the last call."""
        events, states = self.queue.take()
        states |= self._states
        self._states = {}
        return events, states

    def _tell(self, told: Told, at: Moment) -> None:
        if not self._router.kinds:
            return
        choice = self._router.choose(told, at.wall_ms, clock_is_set=at.clock is not ClockTrust.UNSET)
        for target in choice.now:
            self._add(self._router.share(told, target), target, at)
        for target, opens_ms in choice.later.items():
            self._add(self._router.share(told, target), target, at, not_before_ms=opens_ms)
        if not choice.now and not choice.later:
            _log.info("alarm #%d (%s) is told to nobody: no route fits", told.episode.number, told.episode.facts.level)
            return
        if told.why is not Why.SUMMARY:
            targets = (*choice.now, *choice.later)
            before = self._cases.get(told.episode.alarm_id)
            known = {target.who for target in targets}
            targets += tuple(target for target in (before.targets if before else ()) if target.who not in known)
            due_ms = [step.delay_ms + step.after_min * _MINUTE_MS for step in choice.steps if not told.episode.acknowledged]
            steps = tuple(Waiting(at.wall_ms + due, due, at.clock, step.after_min, step.targets) for due, step in zip(due_ms, choice.steps, strict=False))
            self._open(Case(told, targets, steps), [at.mono_ms + due for due in due_ms])

    def _add(self, told: Told, target: Target, at: Moment, *, not_before_ms: int = 0, escalated_after_min: int = 0) -> None:
        """What has not been delivered yet is brought up to date instead of being told twice."""
        waiting = None if told.why is Why.SUMMARY else self._undelivered(told.episode, target)
        if waiting is not None:
            current = msgspec.structs.replace(told, why=waiting.told.why)
            self.queue.change(told.episode.alarm_id, lambda job: _replace(job, waiting, current))
            return
        self.queue.add(Job(self.queue.new_id(), target, told, escalated_after_min=escalated_after_min, not_before_ms=not_before_ms), at)

    def _undelivered(self, episode: Episode, target: Target, *, in_summary: bool = False) -> Job | None:
        """Its notice that this recipient has not been given by this channel."""
        for job in self.queue.jobs(episode.alarm_id):
            is_other = job.told.why in {Why.CLEARED, Why.REPORT} or (job.told.why is Why.SUMMARY and not in_summary)
            if job.target.who == target.who and not is_other and not self.queue.is_under_way(job):
                return job
        return None

    def _tell_end(self, told: Told, at: Moment) -> None:
        """To who was told of the alarm. Whose notice still waits reads both in it."""
        case = self._cases.get(told.episode.alarm_id)
        if case is None:
            return
        for target in case.targets:
            if self._router.hears_the_end(target) and self._undelivered(told.episode, target, in_summary=True) is None:
                opens_ms = self._router.opens_again_ms(target, at.wall_ms) if at.clock is not ClockTrust.UNSET else None
                self.queue.add(Job(self.queue.new_id(), target, told, not_before_ms=opens_ms or 0), at)

    def _tell_report(self, body: Mapping[str, Any], at: Moment) -> None:
        """To who was told of the alarm by mail: what else could carry it."""
        case = self._cases.get(str(body.get("id", "")))
        if case is None:
            return
        for target in case.targets:
            if self._router.kinds.get(target.channel) in CARRIES_REPORT and self._router.address(target) is not None:
                told = msgspec.structs.replace(case.told, why=Why.REPORT, at_ms=at.wall_ms)
                opens_ms = self._router.opens_again_ms(target, at.wall_ms) if at.clock is not ClockTrust.UNSET else None
                self.queue.add(Job(self.queue.new_id(), target, told, not_before_ms=opens_ms or 0, report=dict(body), ended_at_ms=case.ended_at_ms), at)

    def _follow(self, body: Mapping[str, Any], at_ms: int, at: Moment) -> None:
        """An event of an alarm, as it is written down."""
        alarm_id, edge = str(body.get("id", "")), body.get("edge")
        if edge in _ENDS_CONDITION:
            self.queue.change(alarm_id, lambda job: job if job.told.why is Why.CLEARED else _ended(job, alarm_id, at_ms))
            if alarm_id in self._cases:
                self._keep(alarm_id, msgspec.structs.replace(self._cases[alarm_id], ended_at_ms=at_ms))
        elif edge == "acknowledged":
            self.queue.change(alarm_id, lambda job: _acknowledged(job, alarm_id, str(body.get("by", "")), at_ms))
        if edge in _ENDS_ESCALATION:
            self._stop_escalation([alarm_id])
        children = body.get("children")
        if isinstance(children, list):
            self._stop_escalation(str(child) for child in children)
        case = self._cases.get(alarm_id)
        if body.get("closed") is True and case is not None:
            self._over_ms[alarm_id] = at.mono_ms
            self._keep(alarm_id, msgspec.structs.replace(case, over=True))

    # -- cases

    def _open(self, case: Case, due_ms: list[int]) -> None:
        alarm_id = case.told.episode.alarm_id
        self._due_ms[alarm_id] = due_ms
        self._over_ms.pop(alarm_id, None)
        self._keep(alarm_id, case)
        while len(self._cases) > CASES_MAX:
            self._close(next(iter(self._over_ms), next(iter(self._cases))))

    def _stop_escalation(self, alarm_ids: Iterable[str]) -> None:
        for alarm_id in list(alarm_ids):
            case = self._cases.get(alarm_id)
            if case is not None and case.steps:
                self._due_ms[alarm_id] = []
                self._keep(alarm_id, msgspec.structs.replace(case, steps=()))

    def _keep(self, alarm_id: str, case: Case) -> None:
        self._cases[alarm_id] = case
        self._states[CASE_PREFIX + alarm_id] = msgspec.json.encode(case)

    def _close(self, alarm_id: str) -> None:
        self._cases.pop(alarm_id, None)
        self._due_ms.pop(alarm_id, None)
        self._over_ms.pop(alarm_id, None)
        self._states[CASE_PREFIX + alarm_id] = None

    # -- what time brings

    def next_due_ms(self) -> int | None:
        """Monotonic time of the next step, or of a case that is to be put away."""
        times = [due for dues in self._due_ms.values() for due in dues]
        return min([*times, *(over + LINGER_MS for over in self._over_ms.values())], default=None)

    def tick(self, at: Moment) -> None:
        """Steps that are due, and notices that have waited for too long."""
        self.queue.expire(at)
        for alarm_id, dues in list(self._due_ms.items()):
            if any(due <= at.mono_ms for due in dues):
                self._escalate(alarm_id, at)
        for alarm_id, over_ms in list(self._over_ms.items()):
            if over_ms + LINGER_MS <= at.mono_ms:
                self._close(alarm_id)

    def _escalate(self, alarm_id: str, at: Moment) -> None:
        case, dues = self._cases[alarm_id], self._due_ms[alarm_id]
        both = list(zip(dues, case.steps, strict=True))
        targets = list(case.targets)
        for _, step in (pair for pair in both if pair[0] <= at.mono_ms):
            for target in step.targets:
                if target.who not in {known.who for known in targets} and self._router.address(target) is not None:
                    _log.warning("alarm #%d: nobody has acknowledged it for %d min: %s is told", case.told.episode.number, step.after_min, target.recipient)
                    self._add(case.told, target, at, escalated_after_min=step.after_min)
                    targets.append(target)
        left = [pair for pair in both if pair[0] > at.mono_ms]
        self._due_ms[alarm_id] = [due for due, _ in left]
        self._keep(alarm_id, msgspec.structs.replace(case, targets=tuple(targets), steps=tuple(step for _, step in left)))


def _left_ms(step: Waiting, at: Moment) -> int:
    if step.clock not in _TRUSTED or at.clock not in _TRUSTED:
        return 0
    return min(max(0, step.due_ms - at.wall_ms), step.whole_ms)


def _replace(job: Job, waiting: Job, told: Told) -> Job:
    return msgspec.structs.replace(job, told=told, ended_at_ms=None) if job.notice_id == waiting.notice_id else job


def _ended(job: Job, alarm_id: str, at_ms: int) -> Job:
    if job.told.why is Why.SUMMARY:
        return job.with_episodes(alarm_id, cleared_at_ms=at_ms)
    return msgspec.structs.replace(job, ended_at_ms=at_ms)


def _acknowledged(job: Job, alarm_id: str, by: str, at_ms: int) -> Job:
    return job.with_episodes(alarm_id, acknowledged=True, acknowledged_by=by, acknowledged_at_ms=at_ms)
