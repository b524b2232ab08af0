"""A small station for the tests of the rules: devices, readings by the second, and edges as short words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgegw.config.model import Device, Rule
from edgegw.model import ClockTrust, Event, Point, Quality, Reading, Source, Value
from edgegw.rules.engine import Changes, Engine

WALL_MS = 1_800_000_000_000
EPOCH = 0xA1B2
TEMPERATURE = Point("temperature", 1, "C", "measure")
INPUT = Point("input.1", 0, "1", "flag")


def device(code: str = "th-01", bus: str = "rs485a", **more: object) -> Device:
    return Device(code=code, bus=bus, unit=1, profile="any", **more)


def source(source_id: int = 1, code: str = "th-01", points: tuple[Point, ...] = (TEMPERATURE,), device_class: str = "sensor", period_ms: int = 1000) -> Source:
    return Source(source_id, code, "all", period_ms, points, device_class)


def rule(**more: object) -> Rule:
    return Rule(**{"name": "hot", "condition": "high", "point": "temperature", "limit": 45.0, **more})


def reading(at: Source, second: float, *values: Value | Quality, trust: ClockTrust = ClockTrust.SYNCHRONISED) -> Reading:
    """A quality in place of a value means that there is no value (OFFLINE) or not a good one (SUSPECT: 99.9)."""
    plain = tuple(999 if value == Quality.SUSPECT and isinstance(value, Quality) else None if isinstance(value, Quality) else value for value in values)
    quality = {position: value for position, value in enumerate(values) if isinstance(value, Quality)}
    return Reading(at, WALL_MS + round(second * 1000), round(second * 1000), trust, plain, quality)


def tick(engine: Engine, second: float) -> Changes:
    return engine.tick(round(second * 1000), WALL_MS + round(second * 1000), ClockTrust.SYNCHRONISED)


def edges(events: Sequence[Event]) -> list[str]:
    """`7.0 raised hot th-01`"""
    return [f"{event.mono_ms / 1000} {event.body['edge']} {event.body['rule']} {event.device or event.body['bus']}" for event in alarms(events)]


def alarms(events: Sequence[Event]) -> list[Event]:
    """Without those that say what was told."""
    return [event for event in events if event.kind == "alarm"]


def run(engine: Engine, at: Source, script: Sequence[tuple[float, object]]) -> list[Event]:
    """Feeds (second, value), (second, quality) and (second, None) for a tick; returns all events."""
    events: list[Event] = []
    for second, what in script:
        changes = tick(engine, second) if what is None else engine.evaluate(reading(at, second, what))
        events.extend(alarms(changes.events))
    return events


def keep(store: dict[str, bytes], changes: Changes) -> None:
    """What the store does with the states of one transaction."""
    for key, data in changes.states.items():
        if data is None:
            store.pop(key, None)
        else:
            store[key] = data


def engine(rules: Sequence[Rule] = (), restored: Mapping[str, bytes] | None = None, epoch: int = EPOCH, devices: Sequence[Device] | None = None) -> Engine:
    """One sensor on one bus, unless told otherwise."""
    return Engine(rules, devices if devices is not None else [device()], [source()], epoch, restored or {})
