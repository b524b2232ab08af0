"""What the control socket answers about the buses: their counters with hints, and their last frames. Plain data, as in views.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from edgegw.bus.hints import judge
from edgegw.bus.task import BusTask
from edgegw.bus.trace import Frame
from edgegw.clock import Clock
from edgegw.config.model import Bus, Config
from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError

# Of one answer: 100 kB, made in a few milliseconds. Who wants more asks again with the cursor.
FRAMES_MAX = 200
# A ring that nobody has read for this long goes back to its small size.
WATCHED_S = 10.0
# Longest time over which counters are compared in one question.
SECONDS_MAX = 300.0
# Of the numbers of a unit these are no counts: between two looks there is no difference of them.
_STATES = frozenset({"learnt_timeout_ms"})


class BusViews:
    """Reads the buses, changes nothing but the length of the ring that somebody looks at."""

    def __init__(self, config: Config, clock: Clock, buses: Sequence[BusTask]) -> None:
        self._clock = clock
        self._buses = {bus.bus.name: bus for bus in buses}
        self._codes = {(device.bus, device.unit): device.code for device in config.device}
        self._started_s = time.monotonic()
        self._resting: dict[str, asyncio.TimerHandle] = {}

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"bus-stats": self.stats, "bus-frames": self.frames}

    # -- counters

    async def stats(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`bus` (empty: all) and `seconds` (0: since the start): what the buses and their units did, and what that hints at."""
        chosen = [self._bus(arguments["bus"])] if arguments.get("bus") else list(self._buses.values())
        seconds = _number(arguments.get("seconds", 0), SECONDS_MAX)
        before = {bus.bus.name: _counts(bus) for bus in chosen} if seconds else {}
        if seconds:
            await asyncio.sleep(seconds)
        span_s = seconds or time.monotonic() - self._started_s
        return {"buses": [self._stats(bus, _less(_counts(bus), before.get(bus.bus.name, {})), span_s) for bus in chosen]}

    def _stats(self, bus: BusTask, counts: Mapping[int | str, Any], span_s: float) -> dict[str, Any]:
        silent = set(bus.silent_devices)
        units = [self._unit(bus, unit, found, silent) for unit, found in counts.items() if isinstance(unit, int)]
        judgement = judge(units, counts["idle_noise_bytes"], is_up=bus.is_up)
        fault = bus.line_fault
        return {
            "name": bus.bus.name,
            "line": line_words(bus.bus),
            "where": bus.bus.path or f"{bus.bus.host}:{bus.bus.port}",
            "span_s": round(span_s, 1),
            "up": bus.is_up,
            "error": {"id": fault.message_id, "text": fault.text, "next": fault.next_step} if fault else None,
            "opened": counts["opened"],
            "busy_share": round(bus.statistics.busy_share, 3),
            "lateness_p50_ms": bus.statistics.lateness_percentile_ms(50),
            "lateness_p99_ms": bus.statistics.lateness_percentile_ms(99),
            "idle_noise_bytes": counts["idle_noise_bytes"],
            "requests_per_s": round(sum(unit["asked"] for unit in units) / max(span_s, 1.0), 1),
            "hints": list(judgement.line),
            "units": [{**unit, "hints": list(judgement.units.get(unit["unit"], ()))} for unit in units],
        }

    def _unit(self, bus: BusTask, unit: int, counts: Mapping[str, Any], silent: set[str]) -> dict[str, Any]:
        code = self._codes.get((bus.bus.name, unit), "")
        answered_ns = bus.statistics.unit(unit).last_answer_ns
        asked = counts["asked"]
        return {
            "unit": unit,
            "device": code,
            **counts,
            "ok_percent": round(100 * (1 - counts["timed_out"] / asked), 2) if asked else None,
            "last_answer_age_s": round((time.monotonic_ns() - answered_ns) / 1e9, 1) if answered_ns else None,
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
            "frames": [self._frame(frame) for frame in part.frames],
            "cursor": part.cursor,
            "lost": part.lost,
        }

    def _frame(self, frame: Frame) -> dict[str, Any]:
        wall_ms = self._clock.wall_ms(self._clock.mono_ms(frame.at_ns))
        return {
            "number": frame.number,
            "time": datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "mono_ns": frame.at_ns,
            "direction": "out" if frame.kind == "question" else "in",
            "kind": frame.kind,
            "unit": frame.unit,
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


def _counts(bus: BusTask) -> dict[int | str, Any]:
    """Unit to its counts, and those of the line."""
    statistics = bus.statistics
    units: dict[int | str, Any] = {unit: counters.as_dict() for unit, counters in sorted(statistics.units.items())}
    return {**units, "idle_noise_bytes": statistics.idle_noise_bytes, "opened": statistics.opened}


def _less(now: Mapping[int | str, Any], before: Mapping[int | str, Any]) -> dict[int | str, Any]:
    """What was counted in between; percentiles stay what they are."""
    return {key: _difference(found, before.get(key)) for key, found in now.items()}


def _difference(now: Any, before: Any) -> Any:
    if isinstance(now, dict):
        was = before or {}
        return {name: number - was.get(name, 0) if isinstance(number, int) and name not in _STATES else number for name, number in now.items()}
    return now - (before or 0)


def _number(value: object, most: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise EdgegwError("E-CONTROL-ARGS", f"seconds must be from 0 to {most:g}", "", EXIT_USAGE)
    return float(value)
