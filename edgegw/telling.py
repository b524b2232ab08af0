"""Alarms to people: what the engine wants told goes into the store with the change that caused it, and from there out by the channels.

    Taken.told ─► teller (routes, escalation) ─► jobs, in the one transaction ─► on the disk ─► a worker for each channel ─► people
                                                      ▲                                              │
                                                      └── delivered or not: event `notification` ◄───┘

Each channel has a worker of its own: a mail server that hangs holds up no SMS and no siren. A daemon that is killed has lost and repeated nothing
up to a channel's own answer; between that and the stored result a crash repeats one notice, under the same id (docs/alarms.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from edgegw.buffer.store import Buffer
from edgegw.bus.task import BusTask
from edgegw.channel_parts import make_parts
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.errors import EdgegwError
from edgegw.model import Alarm, ClockTrust, Event, Source, Stream
from edgegw.points import LINK_CLASS
from edgegw.rules.engine import Engine
from edgegw.rules.episode import Moment
from edgegw.rules.journal import Changes
from edgegw.rules.levels import current_name
from edgegw.rules.limits import limits_of
from edgegw.rules.notifiers.factory import make_channels
from edgegw.rules.notifiers.job import Job, one_line
from edgegw.rules.notifiers.message import Circumstances, Message, Writer, plain
from edgegw.rules.notifiers.model import Channel, Notice, TellingError
from edgegw.rules.notifiers.queue import Queue
from edgegw.rules.notifiers.routing import Router, Target
from edgegw.rules.notifiers.steps import CHANNEL_FAILS
from edgegw.rules.notifiers.teller import Teller
from edgegw.rules.shipped import with_shipped
from edgegw.rules.told import Told
from edgegw.supervise import Supervisor

PREFIX: Final = "notify/"
# Escalations and the hours of routes are looked after this often; a person takes minutes.
TICK_MS: Final = 1_000
# Of the alarm that a channel reaches nobody: others must be told what it cannot.
_FAILING_LEVEL: Final = "major"
# Longer than any channel's own deadline: this one ends what has none.
ATTEMPT_S_MAX: Final = 60.0
_NO_ANSWER: Final = f"no answer within {ATTEMPT_S_MAX:.0f} s"
# A worker that is told of something new by nobody looks by itself.
_LOOK_MS_MAX: Final = 60_000
_LOOK_MS_MIN: Final = 50
# When the daemon ends within ten seconds: for the answer to what is under way, and for a channel to close its port or silence its siren.
_FINISH_S_MAX: Final = 1.5
_CLOSE_S_MAX: Final = 3.5

_log = logging.getLogger("edgegw.telling")


class Changed(Protocol):
    """`Taken` of the wiring and `Changes` of the rules."""

    @property
    def events(self) -> tuple[Event, ...]: ...
    @property
    def states(self) -> Mapping[str, bytes | None]: ...
    @property
    def told(self) -> tuple[Told, ...]: ...


class Alarms(Protocol):
    """Of the engine: alarms that another part finds."""

    def report(  # noqa: PLR0913, PLR0917 - as the engine has it
        self, rule: str, level: str, text: str, text_zh: str, mono_ms: int, wall_ms: int, clock: ClockTrust, device: str | None = None
    ) -> Changes: ...
    def withdraw(self, rule: str, device: str | None, mono_ms: int, wall_ms: int, clock: ClockTrust) -> Changes: ...
    def open_alarms(self, language: str = "en", *, hidden: bool = False) -> list[Alarm]: ...


@runtime_checkable
class Settling(Protocol):
    """A channel that the last end may have left in another state: a siren."""

    async def settle(self) -> None: ...


class Trial(NamedTuple):
    """What came of a test."""

    outcome: str
    """delivered, failed"""
    detail: str
    """What the channel said."""
    at_ms: int
    took_s: float


class Telling:
    """Made on the loop; `note` for every change, `start`, then `end`."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it stands between
        self, config: Config, sources: Sequence[Source], clock: Clock, buffer: Buffer, channels: Mapping[str, Channel], supervisor: Supervisor, alarms: Alarms
    ) -> None:
        self._clock = clock
        self._buffer = buffer
        self._channels = dict(channels)
        self._language = config.gateway.language
        classes = {source.device: source.device_class for source in sources if source.device_class != LINK_CLASS}
        self._router = Router(config.channel, config.recipient, config.route, classes)
        self._writer = Writer(config, with_shipped(config.rule, shipped=config.alarms.shipped_rules, supply=config.supply))
        restored = buffer.states(PREFIX)
        self.teller = Teller(self._router, Queue(buffer.epoch, restored, limits_of(config.telling)), restored)
        self._wakes = {name: asyncio.Event() for name in channels}
        self._turns = {name: asyncio.Lock() for name in channels}
        """A test of a channel and a notice do not share its port."""
        self._supervisor = supervisor
        self._alarms = alarms
        self._failing: set[str] = set()
        """Channels of which an alarm says that they reach nobody."""
        self._idle = asyncio.Event()
        self._busy = 0
        self._is_ending = False
        self.teller.begin(self._now())

    def start(self) -> None:
        """The workers; what the last start could not tell any more goes out first."""
        self._store()
        self._go_on_failing(self._now())
        self._supervisor.start("telling", self._tick)
        for name in self._channels:
            self._supervisor.start(f"channel {name}", partial(self._work, name))

    def note(self, changed: Changed) -> tuple[tuple[Event, ...], Mapping[str, bytes | None]]:
        """Events and states of one transaction, with the notices that belong to it. A fault in telling costs neither."""
        if not changed.told and not changed.events:
            return changed.events, changed.states
        self._supervisor.guard("telling", partial(self.teller.note, changed.events, changed.told, self._now()))
        events, states = self.teller.take()
        if states:
            self._wake()
        return (*changed.events, *events), {**changed.states, **states}

    async def end(self, *, hurry: bool) -> float:
        """Nothing new is begun; what is under way gets a moment to be answered, then ports are closed. While the buses still run: a siren is silenced.

        Returns the seconds that it took.
        """
        began_ms = self._clock.mono_ms()
        self._is_ending = True
        self._wake()
        if self._busy and not hurry:
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_FINISH_S_MAX):
                    await self._idle.wait()
        await self._supervisor.end("telling", *(f"channel {name}" for name in self._channels))
        closing = {asyncio.ensure_future(channel.close()) for channel in self._channels.values()}
        for task in (await asyncio.wait(closing, timeout=_CLOSE_S_MAX))[1] if closing else ():
            _log.error("a channel did not close within %.0f s", _CLOSE_S_MAX)
            task.cancel()
        return (self._clock.mono_ms() - began_ms) / 1000

    # -- the workers

    async def _tick(self) -> None:
        while True:
            self.teller.tick(self._now())
            self._store()
            self._look_at_channels(self._now())
            await self._clock.sleep(TICK_MS)

    def _look_at_channels(self, at: Moment) -> None:
        """That a channel reaches nobody is an alarm as long as it lasts: the others tell it."""
        failing = self.teller.queue.failing(at)
        for name in failing.keys() - self._failing:
            error, recipient = failing[name]
            text, text_zh = f"channel {name} reaches nobody: {error}", f"通知渠道 {name} 无法送达：{error}"
            if recipient:
                text, text_zh = f"channel {name} does not reach {recipient}: {error}", f"通知渠道 {name} 无法送达 {recipient}：{error}"
            self._keep(self._alarms.report(name.join(CHANNEL_FAILS), _FAILING_LEVEL, text, text_zh, *at))
        for name in self._failing - failing.keys():
            self._keep(self._alarms.withdraw(name.join(CHANNEL_FAILS), None, *at))
        self._failing = set(failing)

    def _go_on_failing(self, at: Moment) -> None:
        """A start proves nothing: the alarm of a channel that failed before ends when it delivers."""
        names = {name.join(CHANNEL_FAILS): name for name in self._channels}
        for alarm in self._alarms.open_alarms(hidden=True):
            if alarm.rule in names and alarm.state == "active":
                self.teller.queue.has_failed(names[alarm.rule], at)
                self._failing.add(names[alarm.rule])
                self._keep(self._alarms.report(alarm.rule, alarm.level, alarm.text, "", *at))

    def _keep(self, changes: Changes) -> None:
        if changes:
            self._buffer.accept((), *self.note(changes))

    async def _work(self, name: str) -> None:
        """One channel: the most urgent notice, then the next."""
        wake = self._wakes[name]
        channel = self._channels[name]
        if isinstance(channel, Settling):
            await channel.settle()
        while not self._is_ending:
            wake.clear()
            now = self._now()
            job = self.teller.queue.pick(name, now)
            self._store()
            if job is not None:
                await self._attempt(name, job)
                continue
            due_ms = self.teller.queue.due_ms(name, now)
            wait_ms = _LOOK_MS_MAX if due_ms is None else min(max(due_ms - now.mono_ms, _LOOK_MS_MIN), _LOOK_MS_MAX)
            # Not wait_for: with Python 3.11 it swallows the end when both come at once.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000 / self._clock.speed):
                    await wake.wait()
        await asyncio.get_running_loop().create_future()

    async def _attempt(self, name: str, job: Job) -> None:
        """One try, and its result in the store."""
        queue, address = self.teller.queue, self._router.address(job.target)
        if address is None:
            queue.give_up(job, "the recipient is no longer reached by this channel", self._now())
            self._store()
            return
        if self._router.is_needless(job.target, job.told.episode, is_over=job.ended_at_ms is not None):
            queue.drop_needless(job, self._now())
            self._store()
            return
        is_settled = False
        try:
            # On the disk before it is told, and told anyway when the disk takes nothing for half a second.
            await self._buffer.newest_block_id((Stream.EVENT,))
            evidence = await self._send(name, self._notice(job), address)
            queue.delivered(job, evidence, self._now())
            is_settled = True
        except TellingError as fault:
            queue.failed(job, str(fault), self._now(), later=fault.later, unsure=fault.unsure)
            is_settled = True
        except (OSError, TimeoutError) as fault:
            queue.failed(job, str(fault) or _NO_ANSWER, self._now(), later=True)
            is_settled = True
        finally:
            if not is_settled:
                queue.abandoned(job)
            self._store()

    async def _send(self, name: str, notice: Notice, address: str) -> str:
        self._busy += 1
        try:
            async with self._turns[name], asyncio.timeout(ATTEMPT_S_MAX):
                return await self._channels[name].send(notice, address)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    def _notice(self, job: Job) -> Notice:
        written = self._supervisor.guard("telling", partial(self._write, job))
        if written is not None:
            return written
        return _notice(job, plain(job.told, self._router.language(job.target, self._language)))

    def _write(self, job: Job) -> Notice:
        language = self._router.language(job.target, self._language)
        notice = _notice(job, self._writer.message(job.told, language, Circumstances(job.ended_at_ms, job.escalated_after_min)))
        if job.report is None:
            return notice
        from edgegw.rules.notifiers.report_mail import lines_of, table_of  # noqa: PLC0415 - what a start does without

        text = "\n".join((notice.text, "", *lines_of(job.report, language)))
        name = f"report-{job.told.episode.number}.csv"
        return msgspec.structs.replace(notice, text=text, attached=table_of(job.report, language), attached_name=name)

    def _store(self) -> None:
        events, states = self.teller.take()
        if events or states:
            self._buffer.accept((), events, states)
            self._wake()

    def _wake(self) -> None:
        for wake in self._wakes.values():
            wake.set()

    def _now(self) -> Moment:
        mono_ms = self._clock.mono_ms()
        return Moment(mono_ms, self._clock.wall_ms(mono_ms), self._clock.trust)

    # -- who asks

    @property
    def channels(self) -> list[str]:
        return list(self._channels)

    def reach(self, channel: str) -> list[Target]:
        """Everybody whom a channel reaches."""
        return self._router.reach(channel)

    async def try_channel(self, target: Target, by: str) -> Trial:
        """A notice that says it is a test, now and once; written down with who asked for it."""
        at, notice_id = self._now(), self.teller.queue.new_id()
        message = self._writer.test(target.channel, at.wall_ms, self._router.language(target, self._language))
        try:
            detail = await self._send(target.channel, Notice(notice_id, "test", *message), self._router.address(target) or "")
            outcome = "delivered"
            self.teller.queue.works(target)
            self._wake()
        except (EdgegwError, OSError, TimeoutError) as fault:
            detail, outcome = str(fault) or _NO_ANSWER, "failed"
        now = self._now()
        body = {
            "why": "test",
            "notice_id": notice_id,
            "outcome": outcome,
            "channel": target.channel,
            "recipient": target.recipient,
            "detail": one_line(detail),
            "by": by,
        }
        self._buffer.accept((), [Event("notification", now.wall_ms, now.mono_ms, now.clock, None, body)])
        return Trial(outcome, one_line(detail), now.wall_ms, round((now.mono_ms - at.mono_ms) / 1000, 2))


def _notice(job: Job, message: Message) -> Notice:
    return Notice(job.notice_id, current_name(job.told.episode.facts.level), *message)


def make_telling(  # noqa: PLR0913, PLR0917 - the daemon's parts
    config: Config, sources: Sequence[Source], clock: Clock, buffer: Buffer, engine: Engine, buses: Sequence[BusTask], supervisor: Supervisor
) -> Telling:
    """With the channels of the configuration."""
    parts = make_parts(config, clock, lambda: buses, engine.open_alarms, lambda event: buffer.accept((), (event,)))
    return Telling(config, sources, clock, buffer, make_channels(config, parts), supervisor, engine)
