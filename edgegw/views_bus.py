"""What the control socket answers about the buses: their counters with hints, and their last frames. Plain data, as in views.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from edgegw.bus.hints import judge
from edgegw.bus.history import SINCE_S_MAX, SNAPSHOT_S, History, Snapshot
from edgegw.bus.statistics import BusStatistics, Counters
from edgegw.bus.task import BusTask
from edgegw.bus.trace import LINE_KINDS, QUESTION, Frame
from edgegw.clock import Clock
from edgegw.config.model import Bus, Config
from edgegw.drivers.base import DevicePlan
from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError

# Of one answer: 100 kB, made in a few milliseconds. Who wants more asks again with the cursor.
FRAMES_MAX = 200
# A ring that nobody has read for this long goes back to its small size.
WATCHED_S = 10.0
# What is counted of a unit: of these there is a difference between two looks.
_COUNTS = tuple(name for name in Counters.__slots__ if name not in {"latencies_us", "last_answer_ns", "learnt_timeout_ms"})


class BusViews:
    """Reads the buses, changes nothing but the length of the ring that somebody looks at."""

    def __init__(self, config: Config, clock: Clock, buses: Sequence[BusTask], plans: Mapping[str, Sequence[DevicePlan]]) -> None:
        """`plans`: of each bus, what it polls."""
        self._clock = clock
        self._buses = {bus.bus.name: bus for bus in buses}
        self._codes = {(device.bus, device.key): device.code for device in config.device}
        self._plans = {(name, plan.unit): plan for name, found in plans.items() for plan in found}
        self._histories = {name: History() for name in self._buses}
        self._started_s = time.monotonic()
        self._resting: dict[str, asyncio.TimerHandle] = {}

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"bus-stats": self.stats, "bus-frames": self.frames}

    # -- counters

    def begin(self) -> Self:
        """From now on the counters are looked at, again and again, so that what was counted in the last minutes can be told."""
        self._snap(asyncio.get_running_loop())
        return self

    def _snap(self, loop: asyncio.AbstractEventLoop) -> None:
        for name, bus in self._buses.items():
            self._histories[name].add(_snapshot(bus.statistics))
        loop.call_later(SNAPSHOT_S, self._snap, loop)

    async def stats(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`bus` (empty: all) and `since_s` (0: since the start): what the buses and their units did, and what that hints at."""
        chosen = [self._bus(arguments["bus"])] if arguments.get("bus") else list(self._buses.values())
        since_s = _number(arguments.get("since_s", 0), SINCE_S_MAX)
        return {"buses": [self._stats(bus, since_s) for bus in chosen]}

    def _stats(self, bus: BusTask, since_s: float) -> dict[str, Any]:
        statistics = bus.statistics
        now = _snapshot(statistics)
        before = self._histories[bus.bus.name].before(now.at_s - since_s) if since_s else None
        span_s = now.at_s - (before.at_s if before else self._started_s)
        opened, idle_noise_bytes, busy_ns, energy_reads, energy_late = _less(now.line, before.line if before else None)
        silent, refused = set(bus.silent_devices), bus.refused_points
        units = [self._unit(bus, unit, _less(counts, before.units.get(unit) if before else None), silent) for unit, counts in sorted(now.units.items())]
        judgement = judge(units, idle_noise_bytes, is_up=bus.is_up)
        fault = bus.line_fault
        return {
            "name": bus.bus.name,
            "line": line_words(bus.bus),
            "where": bus.bus.path or f"{bus.bus.host}:{bus.bus.port}",
            "span_s": round(span_s, 1),
            "up": bus.is_up,
            "error": {"id": fault.message_id, "text": fault.text, "next": fault.next_step} if fault else None,
            "opened": opened,
            "busy_share": round(busy_ns / 1e9 / max(span_s, 1e-3) if before else statistics.busy_share, 3),
            **{f"lateness_p{percent}_ms": statistics.lateness_percentile_ms(percent) for percent in (50, 95, 99)},
            "energy_reads": energy_reads,
            "energy_late": energy_late,
            "energy_skew_max_ms": statistics.energy_skew_max_ms,
            "idle_noise_bytes": idle_noise_bytes,
            "requests_per_s": round(sum(unit["asked"] for unit in units) / max(span_s, 1.0), 1),
            "hints": list(judgement.line),
            "units": [{**unit, "refused_points": refused.get(unit["device"], []), "hints": list(judgement.units.get(unit["unit"], ()))} for unit in units],
        }

    def _unit(self, bus: BusTask, unit: int, counts: tuple[int, ...], silent: set[str]) -> dict[str, Any]:
        counters = bus.statistics.unit(unit)
        code = self._codes.get((bus.bus.name, unit), "")
        plan = self._plans.get((bus.bus.name, unit))
        named = dict(zip(_COUNTS, counts, strict=True))
        asked = named["asked"]
        return {
            "unit": unit,
            "address": plan.address if plan else "",
            "device": code,
            **counters.as_dict(),
            **named,
            "ok_percent": round(100 * (1 - named["timed_out"] / asked), 2) if asked else None,
            "last_answer_age_s": round((time.monotonic_ns() - counters.last_answer_ns) / 1e9, 1) if counters.last_answer_ns else None,
            "silent": code in silent or not bus.is_up,
        }

    def _bus(self, name: object) -> BusTask:
        found = self._buses.get(str(name))
        if found is None:
            raise EdgegwError("E-BUS-UNKNOWN", f'no bus "{name}"', f"one of {', '.join(list(self._buses)[:12])}", EXIT_UNKNOWN)
        return found

    # -- frames

    async def frames(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`bus` and `cursor` (-1: from now on, 0: all that are kept): the frames behind it. Asked again and again, it misses none."""
        bus = self._bus(arguments.get("bus", ""))
        trace = bus.statistics.trace
        self._keep_watching(bus)
        cursor = arguments.get("cursor", -1)
        if not isinstance(cursor, int):
            raise EdgegwError("E-CONTROL-ARGS", "cursor must be a whole number", "", EXIT_USAGE)
        part = trace.since(cursor if cursor >= 0 else trace.count, FRAMES_MAX)
        return {
            "bus": bus.bus.name,
            "line": line_words(bus.bus),
            "settings": _settings(bus.bus),
            "frames": [self._frame(bus.bus.name, frame) for frame in part.frames],
            "cursor": part.cursor,
            "lost": part.lost,
        }

    def _frame(self, bus: str, frame: Frame) -> dict[str, Any]:
        """Of a frame its bytes; of an event of the line (`kind` opened, closed, not_opened) its words."""
        wall_ms = self._clock.wall_ms(self._clock.mono_ms(frame.at_ns))
        common = {
            "number": frame.number,
            "time": datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "mono_ns": frame.at_ns,
        }
        if frame.kind in LINE_KINDS:
            return {**common, "direction": "line", "kind": frame.kind, "text": frame.data.decode()}
        plan = self._plans.get((bus, frame.unit))
        return {
            **common,
            "direction": "out" if frame.kind == QUESTION else "in",
            "kind": frame.kind,
            "unit": frame.unit,
            "address": plan.address if plan else "",
            "protocol": plan.probe.protocol if plan else "modbus",
            "hex": frame.data.hex(),
        }

    def _keep_watching(self, bus: BusTask) -> None:
        name, trace = bus.bus.name, bus.statistics.trace
        trace.watch()
        if name in self._resting:
            self._resting.pop(name).cancel()
        self._resting[name] = asyncio.get_running_loop().call_later(WATCHED_S, trace.rest)


def line_words(bus: Bus) -> str:
    """`9600 8E1`, `TCP`, `RTU/TCP`."""
    return f"{bus.baudrate} 8{bus.parity}{bus.stop_bits}" if bus.kind == "serial" else {"tcp": "TCP", "rtu-over-tcp": "RTU/TCP"}.get(bus.kind, bus.kind)


def _settings(bus: Bus) -> dict[str, Any]:
    """What a reader of frames has to know of the bus: kind, times and speed."""
    names = ("kind", "baudrate", "parity", "stop_bits", "answer_timeout_ms", "late_answer_guard_ms", "gap_ms")
    return {name: getattr(bus, name) for name in names}


def _snapshot(statistics: BusStatistics) -> Snapshot:
    units = {unit: tuple([getattr(counters, name) for name in _COUNTS]) for unit, counters in statistics.units.items()}
    line = (statistics.opened, statistics.idle_noise_bytes, statistics.busy_ns, statistics.energy_reads, statistics.energy_late)
    return Snapshot(time.monotonic(), line, units)


def _less(now: tuple[int, ...], before: tuple[int, ...] | None) -> tuple[int, ...]:
    """What was counted in between."""
    return tuple([count - was for count, was in zip(now, before, strict=True)]) if before else now


def _number(value: object, most: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise EdgegwError("E-CONTROL-ARGS", f"since_s must be from 0 to {most:g}", "", EXIT_USAGE)
    return float(value)
