"""The rules engine: readings and time in, alarm events and states to store out. It does no I/O and knows no clock of its own.

For most values nothing changes: each costs one comparison with the range in which its rule stays as it is. A delay ends at its own
time, in `evaluate` or `tick`, whichever comes first: when ticks come changes no edge and no time of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

from edgegw.config.model import Device, Rule
from edgegw.model import Alarm, ClockTrust, Reading, Source
from edgegw.rules.binding import Watch, bind
from edgegw.rules.conditions import FAR, Condition, Edge, State, due_ms, lose, quiet_range, run_out, sample
from edgegw.rules.journal import NO_CHANGES, Changes, Facts, Journal, Moment
from edgegw.rules.silence import Silence
from edgegw.rules.text import in_unit, rule_text

__all__ = ["NO_CHANGES", "Changes", "Engine"]


class Engine:
    """Every rule on every point that it names. `restored` holds the states as they were stored; foreign keys in it do not matter."""

    def __init__(self, rules: Sequence[Rule], devices: Sequence[Device], sources: Sequence[Source], epoch: int, restored: Mapping[str, bytes]) -> None:
        self._journal = Journal(epoch, restored)
        self._bound = bind(rules, sources)
        self._silence = Silence(self._journal, devices, sources)
        self._pending: dict[Watch, int] = {}  # to the end of its delay
        self._due_ms = FAR
        watches = [watch for pairs in self._bound.values() for _, watch in pairs]
        for watch in watches:
            if watch.key in self._journal.open:
                watch.state = State(Condition.ACTIVE)
        self._removed = self._find_removed({watch.key for watch in watches} | self._silence.keys(), devices)

    def _find_removed(self, known: set[str], devices: Sequence[Device]) -> dict[str, str]:
        """Restored episodes that nothing can end any more, with the reason; closed with the first reading or tick."""
        codes = {device.code for device in devices}
        buses = {device.bus for device in devices}
        removed = {key: _why_removed(episode.facts, codes, buses) for key, episode in self._journal.open.items() if key not in known}
        if removed:
            self._due_ms = 0
        return removed

    def report(  # noqa: PLR0913, PLR0917 - an alarm has so many words
        self, rule: str, level: str, text: str, text_zh: str, mono_ms: int, wall_ms: int, clock: ClockTrust, device: str | None = None
    ) -> Changes:
        """An alarm that another part found, of the gateway itself or a device. It stays until it is withdrawn or the next start does not report it again."""
        facts = Facts(rule, level, device, text=text, text_zh=text_zh)
        self._removed.pop(facts.key, None)
        if facts.key not in self._journal.open:
            at = Moment(mono_ms, wall_ms, clock)
            self._journal.raise_(facts, at, at)
        return self._journal.take()

    def withdraw(self, rule: str, device: str | None, mono_ms: int, wall_ms: int, clock: ClockTrust) -> Changes:
        """Ends an alarm that `report` raised; nothing where none is open."""
        key = Facts(rule, "", device).key
        self._removed.pop(key, None)
        if key in self._journal.open:
            self._journal.clear(key, Moment(mono_ms, wall_ms, clock))
        return self._journal.take()

    def excuse(self, device: str, *, excused: bool) -> None:
        """While a device is excused its silence raises no alarm: an inverter at night."""
        self._silence.excuse(device, excused=excused)

    def evaluate(self, reading: Reading) -> Changes:
        """One poll. Readings come in the order of their monotonic times, give or take the milliseconds between two buses."""
        if reading.mono_ms >= self._due_ms or reading.mono_ms >= self._silence.due_ms:
            self._run_out(_moment(reading))
        values = cast("tuple[int, ...]", reading.values)
        if reading.quality:
            self._judge_mixed(reading, values)
        else:
            for position, watch in self._bound[reading.source.source_id]:
                if not watch.quiet_from <= values[position] <= watch.quiet_to:
                    self._judge(watch, int(values[position]), _moment(reading))
        self._silence.reading(reading)
        return self._journal.take()

    def tick(self, now_ms: int, wall_ms: int, clock: ClockTrust) -> Changes:
        """Takes what is due by time alone: delays that ran out, devices silent for too long. `now_ms` is monotonic."""
        if now_ms >= self._due_ms or now_ms >= self._silence.due_ms:
            self._run_out(Moment(now_ms, wall_ms, clock))
        return self._journal.take()

    def next_due_ms(self) -> int | None:
        """Monotonic time before which `tick` has nothing to do; None: only a reading can change anything."""
        due = min(self._due_ms, self._silence.due_ms)
        return None if due == FAR else due

    def open_alarms(self, language: str = "en", *, hidden: bool = False) -> list[Alarm]:
        """What is active now, in the order of raising; with `hidden` also what is explained by another alarm."""
        episodes = sorted(self._journal.open.values(), key=lambda episode: episode.number)
        return [episode.alarm(language) for episode in episodes if hidden or episode.suppressed_by is None]

    def _judge_mixed(self, reading: Reading, values: tuple[int, ...]) -> None:
        for position, watch in self._bound[reading.source.source_id]:
            if position in reading.quality:
                self._lose(watch)
            elif not watch.quiet_from <= values[position] <= watch.quiet_to:
                self._judge(watch, int(values[position]), _moment(reading))

    def _judge(self, watch: Watch, value: int, at: Moment) -> None:
        state, edge = sample(watch.limits, watch.state, at.mono_ms, value)
        if watch.state.condition == Condition.NORMAL:
            watch.began = at
        watch.value, watch.uncertain = value, False
        self._enter(watch, state)
        self._record(watch, edge, at)

    def _lose(self, watch: Watch) -> None:
        watch.uncertain = True
        self._enter(watch, lose(watch.state))

    def _enter(self, watch: Watch, state: State) -> None:
        watch.state = state
        watch.quiet_from, watch.quiet_to = (1, 0) if watch.uncertain else quiet_range(watch.limits, state, watch.value)
        due = due_ms(watch.limits, state)
        if due is None:
            self._pending.pop(watch, None)
        else:
            self._pending[watch] = due
            self._due_ms = min(self._due_ms, due)

    def _record(self, watch: Watch, edge: Edge | None, at: Moment) -> None:
        if edge is Edge.RAISED:
            self._journal.raise_(_facts(watch), watch.began or at, at)
        elif edge is Edge.CLEARED:
            value = None if watch.value is None else in_unit(watch.value, watch.point.decimals)
            self._journal.clear(watch.key, at, value)

    def _run_out(self, now: Moment) -> None:
        """Everything that is due, in the order of its times."""
        for key, reason in self._removed.items():
            self._journal.clear(key, now, reason=reason)
        self._removed = {}
        jobs: list[tuple[int, Callable[[Moment], None]]] = self._silence.jobs(now.mono_ms)
        jobs += [(due, partial(self._end_delay, watch)) for watch, due in self._pending.items() if due <= now.mono_ms]
        for due, deed in sorted(jobs, key=lambda job: job[0]):
            deed(now.at(due))
        self._silence.find_due()
        self._due_ms = min(self._pending.values(), default=FAR)

    def _end_delay(self, watch: Watch, at: Moment) -> None:
        state, edge = run_out(watch.limits, watch.state, at.mono_ms)
        if edge is None:
            self._lose(watch)
            return
        self._enter(watch, state)
        self._record(watch, edge, at)


def _moment(reading: Reading) -> Moment:
    return Moment(reading.mono_ms, reading.read_at_ms, reading.clock)


def _why_removed(facts: Facts, devices: set[str], buses: set[str]) -> str:
    if facts.device is None and facts.bus is None:
        return "not found again after a restart"
    if facts.device is None:
        return "rule removed" if facts.bus in buses else "bus removed"
    return "rule removed" if facts.device in devices else "device removed"


def _facts(watch: Watch) -> Facts:
    rule, point, value = watch.rule, watch.point, watch.value
    assert value is not None, "an alarm is raised by a value"
    text, text_zh = rule_text(rule, point, value)
    return Facts(
        rule=rule.name,
        level=rule.level,
        device=watch.device,
        point=point.name,
        unit=point.unit,
        value=in_unit(value, point.decimals),
        limit=rule.limit,
        text=text,
        text_zh=text_zh,
    )
