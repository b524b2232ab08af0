"""The rules engine: readings and time in, alarm events and states to store out. It does no I/O and knows no clock of its own.

For most values nothing changes: each costs one comparison with the range in which its rule stays as it is. A delay ends at its own
time, in `evaluate` or `tick`, whichever comes first: when ticks come changes no edge and no time of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import cast

from edgegw.config.model import Device, Rule
from edgegw.model import Alarm, ClockTrust, Quality, Reading, Source
from edgegw.points import LINK_CLASS
from edgegw.rules.annunciation import WINDOWS, Annunciation, Windows
from edgegw.rules.binding import Binder, Bound, Watch
from edgegw.rules.conditions import FAR, Condition, Edge, State, holds, lose, quiet_range, run_out, step
from edgegw.rules.consequences import Consequences
from edgegw.rules.delays import Delays
from edgegw.rules.desk import Desk, Shelf, Word
from edgegw.rules.episode import Facts, Moment, Visibility, why_removed
from edgegw.rules.first_out import FirstOut
from edgegw.rules.holding import Holding
from edgegw.rules.inputs import Inputs
from edgegw.rules.journal import NO_CHANGES, Changes, Journal
from edgegw.rules.lasting import HOLDS, recall
from edgegw.rules.levels import current_name, with_current_levels
from edgegw.rules.probes import NO_WORDS, all_of, number, one_of
from edgegw.rules.roots import Roots
from edgegw.rules.sharing import Sharing, lesser_of
from edgegw.rules.silence import Silence

__all__ = ["NO_CHANGES", "Changes", "Engine", "Moment", "Shelf", "Word"]

# Members of an enumeration are looked up slowly, and this is done for each value.
_NORMAL, _PENDING_ON, _ACTIVE, _PENDING_OFF = Condition
# Of a job: its time.
_DUE = itemgetter(0)
# Nobody asks these for a value, so none is missed.
_NOT_MISSED = frozenset({Quality.MAINTENANCE, Quality.NOT_FITTED})


class Engine:
    """Every rule on every point that it names. `restored` holds the states as they were stored; foreign keys in it do not matter."""

    def __init__(  # noqa: PLR0913, PLR0917 - the station in full
        self,
        rules: Sequence[Rule],
        devices: Sequence[Device],
        sources: Sequence[Source],
        epoch: int,
        restored: Mapping[str, bytes],
        windows: Windows = WINDOWS,
    ) -> None:
        rules = with_current_levels(rules)
        self._journal = Journal(epoch, restored)
        self.desk = Desk(self._journal, restored)
        roles: dict[tuple[str, str], str] = {
            (device.code, f"input.{number}"): contact.role for device in devices for number, contact in device.input.items() if contact.role
        }
        roles |= {(device.code, point): role for device in devices for point, role in device.roles.items()}
        self._bound = Binder(rules, sources, roles).bound()
        self._silence = Silence(self._journal, devices, sources)
        self._delays = Delays()
        watches = [watch for bound in self._bound.values() for _, watch in (*bound.plain, *bound.careful)]
        recall(self._bound.values(), restored, self._journal)
        classes = {source.device: source.device_class for source in sources if source.device_class != LINK_CLASS}
        self._roots = self._journal.roots = Roots(self._journal, rules, classes, {watch.rule.name for watch in watches}, restored)
        self._shared = Sharing(self._journal, watches)
        for watch in watches:
            episode = self._journal.open.get(watch.key)
            if episode is not None and self._shared.decides(watch, episode):
                watch.state = State(Condition.ACTIVE)
        self._windows = windows
        self._lesser = lesser_of(watches)
        self._annunciation = self._journal.annunciation = Annunciation(
            self._journal, self.desk.visibility, self._wait_ms, self._silence.is_in_doubt, restored, windows
        )
        self._journal.places = {device.code: device.location or device.name for device in devices}
        self.consequences = self._journal.consequences = Consequences(self._journal, rules, classes, restored)
        least_ms = {rule.name: round(rule.min_duration_s * 1000) for rule in rules if rule.min_duration_s}
        self._holding = self._journal.holding = Holding(self._journal, least_ms, windows.chatter_ms, windows.release_ms)
        self._journal.first_out = FirstOut(self._journal, windows.burst_ms)
        self._has_begun = min(self._annunciation.due_ms, self._holding.due_ms, self._roots.due_ms) > 0
        """What the last start left is told when its shelves are known."""
        self._inputs = Inputs(self._journal, self._silence, devices, [(watch.device, watch.point.name, watch.rule) for watch in watches])
        self._removed = self._find_removed({watch.key for watch in watches} | self._silence.keys() | self._inputs.keys(), devices)

    def _find_removed(self, known: set[str], devices: Sequence[Device]) -> dict[str, str]:
        """Restored episodes that nothing can end any more, with the reason; closed with the first reading or tick."""
        codes = {device.code for device in devices}
        buses = {device.bus for device in devices}
        gone = ((key, one.facts) for key, one in self._journal.open.items() if key not in known or self._shared.is_orphan(one))
        return {key: why_removed(facts, codes, buses) for key, facts in gone}

    def _wait_ms(self, facts: Facts, now_ms: int) -> int:
        """How long it is not told yet: its root may come, the rule that makes it worse may hold in a moment."""
        blind_since_ms = self._silence.blind_since_ms(facts)
        if blind_since_ms is not None:
            return max(0, blind_since_ms + self._windows.blind_ms - now_ms)
        if facts.safety:
            return 0
        waits = self._roots.is_possible(facts) or self._silence.is_possible(facts) or facts.episode in self._lesser.get(facts.rule, ())
        return self._windows.settle_ms if waits else 0

    def _taken(self, at: Moment) -> Changes:
        if self._annunciation.due_ms <= at.mono_ms:
            self._annunciation.run(at)
        return self._journal.take()

    def report(  # noqa: PLR0913, PLR0917 - an alarm has so many words
        self, rule: str, level: str, text: str, text_zh: str, mono_ms: int, wall_ms: int, clock: ClockTrust, device: str | None = None
    ) -> Changes:
        """An alarm that another part found, of the gateway itself or a device. It stays until it is withdrawn or the next start does not report it again."""
        facts = Facts(rule, current_name(level), device, text=text, text_zh=text_zh)
        self._removed.pop(facts.key, None)
        if facts.key not in self._journal.open or self._journal.open[facts.key].held:
            at = Moment(mono_ms, wall_ms, clock)
            self._journal.raise_(facts, at, at)
            return self._taken(at)
        return self._journal.take()

    def withdraw(self, rule: str, device: str | None, mono_ms: int, wall_ms: int, clock: ClockTrust) -> Changes:
        """Ends an alarm that `report` raised; nothing where none is open."""
        key = Facts(rule, "", device).key
        self._removed.pop(key, None)
        if key in self._journal.open:
            self._journal.clear(key, Moment(mono_ms, wall_ms, clock))
        return self._journal.take()

    def inputs(self, device: str, edges: Mapping[str, str], at: Moment) -> Changes:
        """Fail-safe inputs of a device that were lost (`raised`) or read again (`cleared`), by point."""
        self._inputs.take(device, edges, at)
        return self._taken(at)

    def excuse(self, device: str, *, excused: bool) -> None:
        """While a device is excused its silence raises no alarm: an inverter at night."""
        self._silence.excuse(device, excused=excused)

    def evaluate(self, reading: Reading) -> Changes:
        """One poll. Readings come in the order of their monotonic times, give or take the milliseconds between two buses."""
        if reading.mono_ms >= self._due_ms():
            self._run_out(_moment(reading))
        bound = self._bound[reading.source.source_id]
        if reading.quality or bound.careful or bound.operands or bound.terms:
            self._judge_all(bound, reading, _moment(reading))
        else:
            values = cast("tuple[int, ...]", reading.values)
            at = None
            for position, watch in bound.plain:
                if not watch.quiet_from <= values[position] <= watch.quiet_to:
                    at = at or _moment(reading)
                    self._judge(watch, values[position], at)
        if self._shared.touched:
            self._shared.settle()
        self._silence.reading(reading)
        if self._annunciation.due_ms <= reading.mono_ms:
            self._annunciation.run(_moment(reading))
        return self._journal.take()

    def tick(self, now_ms: int, wall_ms: int, clock: ClockTrust) -> Changes:
        """Takes what is due by time alone: delays that ran out, devices silent for too long, shelves. `now_ms` is monotonic."""
        if now_ms >= self._due_ms():
            self._run_out(Moment(now_ms, wall_ms, clock))
        return self._journal.take()

    def next_due_ms(self) -> int | None:
        """Monotonic time before which `tick` has nothing to do; None: only a reading can change anything."""
        due = self._due_ms()
        return None if due == FAR else due

    def _due_ms(self) -> int:
        if self._removed or self._shared.stale:
            return 0
        return min(self._delays.next_ms, self._silence.due_ms, self._annunciation.due_ms, self._holding.due_ms, self._roots.due_ms, self.desk.due_ms)

    def changed(self) -> Changes:
        """What the desk did."""
        return self._journal.take()

    def open_alarms(self, language: str = "en", *, hidden: bool = False) -> list[Alarm]:
        """What is active now, in the order of raising; with `hidden` also what is explained by another alarm, shelved or out of service."""
        episodes = sorted(self._journal.open.values(), key=lambda episode: episode.number)
        seen = [(episode, self.desk.visibility(episode)) for episode in episodes]
        return [episode.alarm(language, how) for episode, how in seen if hidden or how is Visibility.SHOWN]

    def all_alarms(self, language: str = "en") -> list[Alarm]:
        """The open ones, whatever hides them, and those that ended before anybody acknowledged them."""
        returned = [episode.alarm(language, self.desk.visibility(episode)) for episode in self._journal.returned.values()]
        return sorted((*self.open_alarms(language, hidden=True), *returned), key=lambda alarm: alarm.number)

    def recheck(self, number: int, at: Moment) -> Changes:
        """After a repair: what the last good value has ended is over at once, without the off-delay. Raises EdgegwError E-ALARM."""
        key = self.desk.find(number).facts.key
        for watch in [watch for watch in self._delays.running() if watch.key == key]:
            if watch.state.condition is Condition.PENDING_OFF and not watch.uncertain:
                self._enter(watch, State(Condition.NORMAL, at.mono_ms, at.mono_ms))
                self._shared.take(watch, Edge.CLEARED, at)
        self._shared.settle()
        if key in self._journal.open:
            self._holding.release(key, at)
        return self._taken(at)

    # -- values

    def _judge_all(self, bound: Bound, reading: Reading, at: Moment) -> None:
        """A reading with values that are not good, or with rules that must look at each."""
        values = cast("tuple[int, ...]", reading.values)
        self._take_operands(bound, reading, at)
        for position, watch in bound.plain:
            if position in reading.quality:
                self._lose(watch)
            elif not watch.quiet_from <= values[position] <= watch.quiet_to:
                self._judge(watch, int(values[position]), at)
        for position, watch in bound.careful:
            quality = reading.quality.get(position)
            if quality is None:
                self._probe(watch, number(reading.values[position], watch.words), at)
            elif watch.limits.condition == "missing" and quality not in _NOT_MISSED:
                watch.holding, watch.uncertain = True, False
                self._decide(watch, at, holding=True)
            else:
                self._lose(watch)

    def _take_operands(self, bound: Bound, reading: Reading, at: Moment) -> None:
        """What others are compared with, and what must hold beside them: who waits for that is judged again at once, with this reading or its last value."""
        quality, source_id = reading.quality, reading.source.source_id
        for position, operand in bound.operands:
            if operand.take(None if position in quality else number(reading.values[position], NO_WORDS)):
                self._journal.keep_state(operand.carried_key, HOLDS)
        changed = [(term, watch) for position, term, watch in bound.terms if term.look(None if position in quality else reading.values[position])]
        for term, watch in changed:
            if term.last_key:
                self._journal.keep_state(term.last_key, HOLDS if term.holding else None)
            if not watch.uncertain and watch.source_id != source_id:
                self._decide(watch, at, holding=watch.holding)

    def _judge(self, watch: Watch, value: int, at: Moment) -> None:
        limits, state = watch.limits, watch.state
        condition = state.condition
        holding = holds(limits, value, active=condition is _ACTIVE or condition is _PENDING_OFF)
        watch.value, watch.uncertain = value, False
        # In a storm most values find their delay running: all that changes is when the value was last seen.
        if condition is (_PENDING_ON if holding else _PENDING_OFF):
            watch.state = State(condition, state.since_ms, at.mono_ms)
            return
        if condition is _NORMAL:
            watch.began = at
        found, edge = step(limits, state, at.mono_ms, holding=holding)
        self._enter(watch, found)
        if edge is not None:
            self._shared.take(watch, edge, at)

    def _probe(self, watch: Watch, value: int, at: Moment) -> None:
        assert watch.probe is not None
        watch.uncertain = False
        if watch.probe.average is not None:
            mean = watch.probe.average.add(value, at.mono_ms)
            if mean is None:
                watch.holding = None
                return
            value = mean
        watch.value = value
        watch.holding = watch.probe.look(value, at.mono_ms, active=watch.state.is_active)
        self._decide(watch, at, holding=watch.holding)

    def _decide(self, watch: Watch, at: Moment, *, holding: bool | None) -> None:
        """The condition's answer, and that of everything that must hold beside it. What is not known changes nothing."""
        answers = [holding, *(term.holding for term in watch.terms)]
        both = one_of(answers) if watch.state.is_active and watch.rule.hold == "any" else all_of(answers)
        if both is None:
            self._enter(watch, lose(watch.state))
            return
        if watch.state.condition == Condition.NORMAL:
            watch.began = at
        state, edge = step(watch.limits, watch.state, at.mono_ms, holding=both)
        self._enter(watch, state)
        self._shared.take(watch, edge, at)

    def _lose(self, watch: Watch) -> None:
        watch.uncertain = True
        if watch.probe is not None:
            watch.probe.lost()
        self._enter(watch, lose(watch.state))

    def _enter(self, watch: Watch, state: State) -> None:
        watch.state = state
        condition = state.condition
        if condition is _PENDING_ON or condition is _PENDING_OFF:
            watch.quiet_from, watch.quiet_to = 1, 0
            limits = watch.limits
            self._delays.set(watch, state.since_ms + (limits.on_delay_ms if condition is _PENDING_ON else limits.off_delay_ms))
            return
        if watch.probe is None:
            watch.quiet_from, watch.quiet_to = (1, 0) if watch.uncertain else quiet_range(watch.limits, state, watch.value)
        if watch.due_ms != FAR:
            self._delays.drop(watch)

    # -- time

    def _run_out(self, now: Moment) -> None:
        """Everything that is due, in the order of its times."""
        for key, reason in self._removed.items():
            self._journal.clear(key, now, reason=reason)
        self._removed = {}
        self._shared.renew(now)
        timed: list[Silence | Desk] = [part for part in (self._silence, self.desk) if part.due_ms <= now.mono_ms]
        jobs: list[tuple[int, Callable[[Moment], None]]] = [job for part in timed for job in part.jobs(now.mono_ms)]
        jobs += [(due, partial(self._end_delay, watch)) for due, watch in self._delays.over(now.mono_ms)]
        for due, of_one_time in groupby(sorted(jobs, key=_DUE), key=_DUE):
            if self._has_begun and due > min(self._annunciation.due_ms, self._holding.due_ms, self._roots.due_ms):
                self._catch_up(now.at(due - 1))
            at = now.at(due)
            for _, deed in of_one_time:
                deed(at)
                if self._shared.touched:
                    self._shared.settle()
        self._has_begun = True
        self._catch_up(now)
        for part in timed:
            part.find_due()

    def _catch_up(self, now: Moment) -> None:
        """What a deed has set going: roots end, what is held ends, what settled is told, in the order of their times."""
        roots, holding, annunciation = self._roots, self._holding, self._annunciation
        while (due := min(roots.due_ms, holding.due_ms, annunciation.due_ms)) <= now.mono_ms:
            at = now.at(due) if due else now
            if roots.due_ms == due:
                roots.run(at)
            elif holding.due_ms == due:
                holding.run(at)
            else:
                annunciation.run(at)

    def _end_delay(self, watch: Watch, at: Moment) -> None:
        state, edge = run_out(watch.limits, watch.state, at.mono_ms)
        if edge is None:
            self._lose(watch)
            return
        self._enter(watch, state)
        self._shared.take(watch, edge, at)


def _moment(reading: Reading) -> Moment:
    return Moment(reading.mono_ms, reading.read_at_ms, reading.clock)
