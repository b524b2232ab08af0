"""What a severe alarm brings beside itself, as its level says (`[[level]]`): a defective device is out of service, and a report of the minute around it is owed.

    out_of_service   first such alarm of a device that is a fault of it (`device_fault` of the rule) ─► event service_state: out_of_service
                     last of them over ─► event service_state: in_service
    report           raised ─► order in the store ─► 60 s later the record `alarm_report`, made by `alarm_reports.py` of the daemon

Both follow the alarm's events and go into their transaction. What hides an alarm from people (a root, a shelf, a device that people have taken
out of service) changes neither. The gateway itself stops nothing: it says so, and who lets cars charge listens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from edgegw.config.model import Rule
from edgegw.model import ClockTrust, Event
from edgegw.rules.conditions import Edge
from edgegw.rules.episode import Episode, Facts, Moment
from edgegw.rules.levels import level_of
from edgegw.rules.shipped import shipped_rules
from edgegw.rules.work_order import OPENING

if TYPE_CHECKING:
    from edgegw.rules.journal import Journal

_log = logging.getLogger("edgegw.rules")

T = TypeVar("T", "Out", "Order")

SERVICE_STATE: Final = "service_state"
STATE_PREFIX: Final = "rules/service_state/"
ORDER_PREFIX: Final = "rules/report/"
# On each side of the raise.
REPORT_SPAN_MS: Final = 60_000
# Each is made within a minute or two; a storm of more tells nothing that these do not.
ORDERS_MAX: Final = 64
# What an input module tells is no fault of the module; computed points have no device, and nobody charges at the gateway.
_NO_FAULT: Final = frozenset({"input", "computed", "gateway"})


class Order(msgspec.Struct, frozen=True):
    """A report that is owed, or was made while its alarm is still open."""

    alarm_id: str
    number: int
    rule: str
    level: str
    device: str | None
    bus: str | None
    point: str
    around_ms: int
    """Wall time of the raise, or of the rise to this level."""
    named: tuple[tuple[str, str], ...] = ()
    """(device, point) beside those of the device: what the rule compares with and what must hold too."""
    done: bool = False


class Out(msgspec.Struct, frozen=True):
    """A device that is out of service, as it is stored."""

    since_ms: int
    alarms: tuple[str, ...]
    """Ids; those of the moment at which it was published."""


class Consequences:
    """Over the episodes of a journal, which hands it every event before it is stored."""

    def __init__(self, journal: Journal, rules: Sequence[Rule], classes: Mapping[str, str], restored: Mapping[str, bytes]) -> None:
        self._journal = journal
        self._rules = {rule.name: rule for rule in rules}
        self._classes = classes
        self._is_fault = {rule.name: is_device_fault(rule) for rule in rules}
        self.out = {key.removeprefix(STATE_PREFIX): out for key, out in _stored(restored, STATE_PREFIX, Out)}
        """Devices that are published as out of service."""
        self._faults: dict[str, set[str]] = {}
        for episode in journal.open.values():
            self._note_fault(episode.alarm_id, episode.facts.device or "")
        self._orders = {order.alarm_id: order for _, order in _stored(restored, ORDER_PREFIX, Order)}
        self._due_ms: dict[str, int] = {}
        """Monotonic time at which a report is to be made, by id of its alarm."""

    def begin(self, at: Moment) -> None:
        """What the last start left, or did not know yet: reports that are still owed, and devices whose state is another than was published."""
        for device in sorted({*self.out, *self._faults}):
            self._settle(device, at)
        for order in list(self._orders.values()):
            if order.done and self._journal.by_id(order.alarm_id) is None:
                self._drop(order.alarm_id)
            elif not order.done:
                left_ms = order.around_ms + REPORT_SPAN_MS - at.wall_ms
                self._due_ms[order.alarm_id] = at.mono_ms + (min(max(left_ms, 0), REPORT_SPAN_MS) if at.clock is not ClockTrust.UNSET else 0)

    def follow(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "alarm":
                level, device = level_of(str(event.body["level"])), event.device or ""
                if level.report or level.out_of_service or self._orders or device in self._faults or device in self.out:
                    self._follow(event, device)

    def _follow(self, event: Event, device: str) -> None:
        alarm_id, at = str(event.body["id"]), Moment(event.mono_ms, event.at_ms, event.clock)
        if device:
            self._note_fault(alarm_id, device)
            self._settle(device, at)
        if event.body["edge"] in OPENING:
            self._order(alarm_id, Edge(str(event.body["edge"])), at)
        elif event.body.get("closed") and alarm_id in self._orders and self._orders[alarm_id].done:
            self._drop(alarm_id)

    # -- out of service

    def _note_fault(self, alarm_id: str, device: str) -> None:
        """Whether this alarm keeps its device out of service now."""
        key = self._journal.keys.get(alarm_id)
        if key is not None and self._classes.get(device, "gateway") not in _NO_FAULT and self._puts_out(self._journal.open[key].facts):
            self._faults.setdefault(device, set()).add(alarm_id)
        elif device in self._faults:
            self._faults[device].discard(alarm_id)
            if not self._faults[device]:
                del self._faults[device]

    def _puts_out(self, facts: Facts) -> bool:
        """What no rule says (the device is silent, an input of it is blind) is no fault of it: that it cannot be read does not say that it is defective."""
        return self._is_fault.get(facts.rule, False) and level_of(facts.level).out_of_service

    def _settle(self, device: str, at: Moment) -> None:
        """Publishes what has changed."""
        faults = tuple(sorted(self._faults.get(device, ())))
        if bool(faults) is (device in self.out):
            return
        if faults:
            self.out[device] = Out(at.wall_ms, faults)
            self._journal.keep_state(STATE_PREFIX + device, msgspec.json.encode(self.out[device]))
        else:
            del self.out[device]
            self._journal.keep_state(STATE_PREFIX + device, None)
        state = "out_of_service" if faults else "in_service"
        _log.info("%s: service_state = %s", device, state)
        self._journal.note(Event(SERVICE_STATE, at.wall_ms, at.mono_ms, at.clock, device, {SERVICE_STATE: state, "alarms": list(faults)}))

    def faulty(self) -> dict[str, tuple[int, list[int]]]:
        """Device that is out of service to the wall time since when, and the numbers of the alarms that keep it so."""
        return {device: (out.since_ms, sorted(self._number(alarm_id) for alarm_id in self._faults.get(device, ()))) for device, out in self.out.items()}

    def _number(self, alarm_id: str) -> int:
        return self._journal.open[self._journal.keys[alarm_id]].number

    # -- reports

    def _order(self, alarm_id: str, edge: Edge, at: Moment) -> None:
        key = self._journal.keys.get(alarm_id)
        if key is None or alarm_id in self._orders or len(self._due_ms) >= ORDERS_MAX:
            return
        episode = self._journal.open[key]
        facts = episode.facts
        if episode.suppressed_by or not level_of(facts.level).report:
            return
        order = self.order_of(episode)
        since_ms = min(max(at.wall_ms - order.around_ms, 0), REPORT_SPAN_MS) if edge is Edge.SHOWN else 0
        self._orders[alarm_id] = order = msgspec.structs.replace(order, around_ms=at.wall_ms - since_ms)
        self._due_ms[alarm_id] = at.mono_ms + REPORT_SPAN_MS - since_ms
        self._journal.keep_state(ORDER_PREFIX + alarm_id, msgspec.json.encode(order))

    def owed(self, now_ms: int) -> list[Order]:
        """Reports whose minute is over at this monotonic time."""
        return [self._orders[alarm_id] for alarm_id, due_ms in self._due_ms.items() if due_ms <= now_ms]

    def made(self, order: Order, record: Event) -> None:
        """Its record goes into the transaction that ends the order."""
        del self._due_ms[order.alarm_id]
        self._journal.note(record)
        if self._journal.by_id(order.alarm_id) is None:
            self._drop(order.alarm_id)
            return
        self._orders[order.alarm_id] = done = msgspec.structs.replace(order, done=True)
        self._journal.keep_state(ORDER_PREFIX + order.alarm_id, msgspec.json.encode(done))

    def order_of(self, episode: Episode) -> Order:
        """What a report of any alarm would be of."""
        facts = episode.facts
        order = Order(episode.alarm_id, episode.number, facts.rule, facts.level, facts.device, facts.bus, facts.point, episode.raised_at_ms)
        return self.with_named(order)

    def with_named(self, order: Order) -> Order:
        """With what its rule looks at, as the rule is now."""
        rule = self._rules.get(order.rule)
        return msgspec.structs.replace(order, named=tuple(dict.fromkeys(_points_of(rule, order.device or "", self._classes)))) if rule else order

    def _drop(self, alarm_id: str) -> None:
        del self._orders[alarm_id]
        self._journal.keep_state(ORDER_PREFIX + alarm_id, None)


def is_device_fault(rule: Rule) -> bool:
    """Whether a rule tells of a fault of its device. A station's own that stands for a shipped one (other limits) is about the same thing as that."""
    return rule.device_fault and _no_faults().isdisjoint((rule.name, rule.instead_of))


@cache
def _no_faults() -> frozenset[str]:
    return frozenset(rule.name for rule in shipped_rules() if not rule.device_fault)


def _points_of(rule: Rule, device: str, classes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if rule.reference and not rule.reference.startswith("@"):
        of_device, _, point = rule.reference.partition(".")
        yield (of_device, point) if of_device in classes else (device, rule.reference)
    for term in rule.when:
        codes = [code for code, of_class in classes.items() if of_class == term.device_class] if term.device_class else [term.device or device]
        yield from ((code, term.point) for code in codes)


def _stored(restored: Mapping[str, bytes], prefix: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """What cannot be read is left out: it is made anew, or not missed."""
    for key, data in restored.items():
        if key.startswith(prefix):
            try:
                yield key, msgspec.json.decode(data, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                _log.warning("what was stored as %s cannot be read: %s", key, fault)
