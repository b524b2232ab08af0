"""A reading through truth and rules: what is stored, shown and told of it. The parts do not know each other; here they are given each other's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from edgegw.bus.task import BusTask
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.drivers.base import DevicePlan, Introduction
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.register_width import widths_of
from edgegw.model import Event, Reading, Source
from edgegw.rules.engine import NO_CHANGES, Changes, Engine
from edgegw.rules.episode import Moment as RulesMoment
from edgegw.rules.told import Told
from edgegw.truth.judge import KEY_PREFIX, NOTHING, Judge, Moment, Verdict, doubted
from edgegw.truth.meters import Width, Widths
from edgegw.truth.sums import Computer, make_computers

TRUTH_PREFIX = KEY_PREFIX

T = TypeVar("T")


class Taken(NamedTuple):
    """What belongs into one transaction."""

    readings: tuple[Reading, ...] = ()
    events: tuple[Event, ...] = ()
    states: Mapping[str, bytes | None] = {}
    told: tuple[Told, ...] = ()


class Guard(Protocol):
    """`Supervisor.guard`: a step whose failure is told and costs nobody else anything."""

    def __call__(self, name: str, step: Callable[[], T], /) -> T | None: ...


def registers_of(config: Config) -> Widths:
    """(device, point) to its register, of every device."""
    profiles = {name: widths_of(load_profile(name)) for name in {device.profile for device in config.device}}
    widths = {name: {point: Width(*width) for point, width in found.items()} for name, found in profiles.items()}
    return {(device.code, point): width for device in config.device for point, width in widths[device.profile].items()}


def computers_of(config: Config, sources: Sequence[Source]) -> list[Computer]:
    """The sources of computed points, with ids behind those of the devices."""
    return make_computers(config.computed, sources, 1 + max((source.source_id for source in sources), default=0))


def buses_of(plans: Mapping[str, Sequence[DevicePlan]]) -> dict[int, str]:
    """Source id to the bus that asks it."""
    return {planned.source.source_id: bus for bus, devices in plans.items() for plan in devices for planned in plan.sources}


def make_judge(config: Config, sources: Sequence[Source], computers: Sequence[Computer], restored: Mapping[str, bytes]) -> Judge:
    """`restored`: what the store has under `KEY_PREFIX`."""
    return Judge(config, sources, computers, registers_of(config), restored)


class Judging:
    """Between the buses and the store. A fault in truth or rules costs neither the reading nor the bus; what truth could not judge is suspect."""

    def __init__(self, judge: Judge, engine: Engine) -> None:
        self.judge = judge
        self._engine = engine
        self._tasks: dict[int, BusTask] = {}
        self._in_doubt: set[int] = set()
        """Sources that are to be asked again, as soon as their bus takes it."""
        self._guard: Guard = _unguarded

    def begin(self, buses: Sequence[BusTask], plans: Mapping[str, Sequence[DevicePlan]], guard: Guard, clock: Clock) -> Taken:
        """Before the first reading: whom to ask again, and the alarms and excuses that the last start left."""
        tasks = {bus.bus.name: bus for bus in buses}
        self._tasks = {source_id: tasks[name] for source_id, name in buses_of(plans).items()}
        self._guard = guard
        return self._taken(self.judge.open_alarms(), _now(clock))

    def take(self, reading: Reading) -> Taken:
        """Called for every reading of every bus."""
        if reading.source.source_id not in self.judge.concerned:
            changes = self._guard("rules", partial(self._engine.evaluate, reading)) or NO_CHANGES
            return Taken((reading,), changes.events, changes.states, changes.told)
        verdict = self._guard("truth", partial(self.judge.judge, reading)) or Verdict((doubted(reading),))
        if verdict.ask_again:
            self._in_doubt.add(reading.source.source_id)
            self._ask_again()
        else:
            self._in_doubt.discard(reading.source.source_id)
        return self._taken(verdict, Moment(reading.mono_ms, reading.read_at_ms, reading.clock))

    def introduced(self, device: str, introduction: Introduction, clock: Clock) -> Taken:
        """A bus has asked a device who it is."""
        now = _now(clock)
        return self._taken(self._guard("truth", partial(self.judge.introduced, device, introduction.identity, now)) or NOTHING, now)

    def tick(self, clock: Clock) -> Taken:
        """What time alone brings, to truth and rules."""
        now = _now(clock)
        self._ask_again()
        verdict = self._guard("truth", partial(self.judge.tick, now)) or NOTHING
        taken = self._taken(verdict, now)
        return _with(taken, self._engine.tick(*now))

    def _ask_again(self) -> None:
        """A bus takes an extra read of a source once a second: what it does not take now it takes at a later tick."""
        if self._in_doubt:
            self._in_doubt = {source_id for source_id in self._in_doubt if source_id in self._tasks and not self._tasks[source_id].ask_again_soon(source_id)}

    def _taken(self, verdict: Verdict, now: Moment) -> Taken:
        """The rules hear what truth found. An excuse begins before the silence is counted, and ends after the answer was."""
        taken = Taken(verdict.readings, verdict.events, verdict.states)
        for device in (device for device, excused in verdict.excused.items() if excused):
            self._engine.excuse(device, excused=True)
        for report in verdict.reports:
            if report.raised:
                changes = self._engine.report(report.rule, report.level, report.text, report.text_zh, *now, report.device)
            else:
                changes = self._engine.withdraw(report.rule, report.device, *now)
            taken = _with(taken, changes)
        for device, edges in _lost_inputs(verdict.events).items():
            taken = _with(taken, self._guard("rules", partial(self._engine.inputs, device, edges, RulesMoment(*now))) or NO_CHANGES)
        for reading in verdict.readings:
            taken = _with(taken, self._guard("rules", partial(self._engine.evaluate, reading)) or NO_CHANGES)
        for device in (device for device, excused in verdict.excused.items() if not excused):
            self._engine.excuse(device, excused=False)
        return taken


def _lost_inputs(events: Sequence[Event]) -> dict[str, dict[str, str]]:
    """Device and point of inputs that were lost or read again, with the edge."""
    found: dict[str, dict[str, str]] = {}
    for event in events:
        if event.kind == "input_lost" and event.device is not None:
            found.setdefault(event.device, {})[str(event.body["point"])] = str(event.body["edge"])
    return found


def _unguarded(_name: str, step: Callable[[], T], /) -> T | None:
    return step()


def _now(clock: Clock) -> Moment:
    mono_ms = clock.mono_ms()
    return Moment(mono_ms, clock.wall_ms(mono_ms), clock.trust)


def _with(taken: Taken, changes: Changes) -> Taken:
    if not changes:
        return taken
    return Taken(taken.readings, (*taken.events, *changes.events), {**taken.states, **changes.states}, (*taken.told, *changes.told))
