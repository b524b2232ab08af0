"""A small station for the tests of truth: one meter, one pile, one module of inputs, one inverter; readings by the second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgegw.config.model import Config, Contact, Device, Gateway
from edgegw.model import ClockTrust, Event, Point, Quality, Reading, Source, Value
from edgegw.truth.judge import Judge, Moment, Verdict
from edgegw.truth.meters import Width
from edgegw.truth.sums import make_computers

# 2027-01-15 08:00 UTC.
WALL_MS = 1_800_000_000_000
IMPORT = Point("energy.import", 2, "kWh", "counter")
POWER = Point("active_power", 3, "kW", "measure")
ENERGY = Source(1, "m-01", "energy", 900_000, (IMPORT,), "meter")
ELECTRICAL = Source(2, "m-01", "electrical", 5_000, (POWER,), "meter")
PILE = Source(3, "ac-01", "state", 1_000, (Point("gun1.state", 0, "1", "state"), Point("gun1.state_code", 0, "1", "state")), "pile")
MODULE = Source(4, "di-01", "inputs", 500, (Point("input.1", 0, "1", "flag"), Point("input.4", 0, "1", "flag")), "input")
INVERTER = Source(5, "pv-01", "electrical", 5_000, (POWER, Point("state", 0, "1", "state")), "inverter")
SOURCES = (ENERGY, ELECTRICAL, PILE, MODULE, INVERTER)
SMOKE = Contact(contact="nc", fail_safe=True, debounce_ms=1000, name="烟感")


def device(code: str, **more: object) -> Device:
    return Device(code=code, bus="b", unit=1, profile="any", **more)


def config(**more: object) -> Config:
    """Every device of the station; `m-01={...}` and the like say more of one, other names more of the whole."""
    codes = {"m-01": {"rated_kw": 7.0}, "ac-01": {}, "di-01": {"input": {"4": SMOKE}}, "pv-01": {}}
    devices = [device(code, **{**facts, **more.pop(code.replace("-", "_"), {})}) for code, facts in codes.items()]
    gateway = Gateway(operator="o", station="s", gateway="g", **more.pop("place", {}))
    return Config(gateway=gateway, device=devices, **more)


def judge(settings: Config | None = None, restored: Mapping[str, bytes] | None = None, sources: Sequence[Source] = SOURCES) -> Judge:
    settings = settings or config()
    computers = make_computers(settings.computed, sources, 100)
    return Judge(settings, sources, computers, {("m-01", "energy.import"): Width(1 << 32, 1)}, restored or {})


def reading(source: Source, second: float, *values: Value | Quality, wall_ms: int = WALL_MS) -> Reading:
    """A quality in place of a value means that there is no value."""
    plain = tuple(None if isinstance(value, Quality) else value for value in values)
    quality = {position: value for position, value in enumerate(values) if isinstance(value, Quality)}
    return Reading(source, wall_ms + round(second * 1000), round(second * 1000), ClockTrust.SYNCHRONISED, plain, quality)


def offline(source: Source, second: float, wall_ms: int = WALL_MS) -> Reading:
    return reading(source, second, *([Quality.OFFLINE] * len(source.points)), wall_ms=wall_ms)


def moment(second: float, wall_ms: int = WALL_MS) -> Moment:
    return Moment(round(second * 1000), wall_ms + round(second * 1000), ClockTrust.SYNCHRONISED)


def keep(store: dict[str, bytes], verdict: Verdict) -> None:
    """What the store does with the states of one transaction."""
    for key, data in verdict.states.items():
        if data is None:
            store.pop(key, None)
        else:
            store[key] = data


def words(events: Sequence[Event]) -> list[str]:
    """`counter reset`, `input_lost raised`, `connector 1>3`"""
    return [
        f"{event.kind} {event.body.get('what') or event.body.get('edge') or '{}>{}'.format(event.body.get('from'), event.body.get('to'))}" for event in events
    ]
