"""What the control socket answers: the daemon's parts as plain data (forms: docs/cli.md)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from edgegw import __version__
from edgegw.buffer.status import BufferStatus
from edgegw.buffer.store import Buffer
from edgegw.bus.task import BusTask
from edgegw.clock import Clock
from edgegw.config.model import Bus, Config, Device
from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.live import Live, LiveValue
from edgegw.model import Alarm, ClockTrust, Quality, Reading
from edgegw.rules.engine import Engine
from edgegw.rules.levels import name_zh, rank
from edgegw.uplink.sender import Sender
from edgegw.views_alarms import service_states

_Origins = Mapping[tuple[int, str], tuple[int, int | str, str]]
"""Source and point to the monotonic ms of the answer, the address, and what stood there."""

_TRUSTED = frozenset({ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED})


class Parts(NamedTuple):
    """What there is to look at."""

    config: Config
    clock: Clock
    buffer: Buffer
    engine: Engine
    latest: Live
    buses: Sequence[BusTask]
    senders: Sequence[Sender]
    note: Callable[[str], Mapping[str, str]] = lambda _device: {}
    """What is known of a device beside its values: serial number, model, whether it is the wrong one or asleep."""
    unproven: frozenset[str] = frozenset()
    """Devices whose profile no captured exchange has shown yet."""


class Views:
    """Reads the parts, changes none. Everything runs on the loop and returns within milliseconds, save a fresh read."""

    def __init__(self, parts: Parts) -> None:
        self._config = parts.config
        self._clock = parts.clock
        self._buffer = parts.buffer
        self._engine = parts.engine
        self._latest = parts.latest
        self._buses = {bus.bus.name: bus for bus in parts.buses}
        self._senders = parts.senders
        self._note = parts.note
        self._unproven = parts.unproven
        own = Device(code=parts.config.gateway.gateway, bus="", profile="", name=parts.config.gateway.name)
        self._devices = {device.code: device for device in (*parts.config.device, *_computed(parts.config), own)}
        self._started_s = time.monotonic()

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"status": self.status, "read": self.read}

    # -- status

    async def status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        buses = [self._bus(bus) for bus in self._buses.values()]
        uplinks = [self._uplink(sender) for sender in self._senders]
        stored = self._buffer.status()
        both = zip(self._engine.open_alarms("en"), self._engine.open_alarms("zh"), strict=True)
        # The most severe first: a screen shows the first few.
        ranked = sorted(both, key=lambda pair: (rank(pair[0].level), pair[0].number))
        alarms = [self._alarm(alarm, chinese.text) for alarm, chinese in ranked]
        return {
            "gateway": self._config.gateway.identity,
            "name": self._config.gateway.name,
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "overall": _overall(buses, uplinks, alarms, stored, self._clock.trust),
            "clock": {"trust": self._clock.trust.word, "offset_ms": None},
            "uplinks": uplinks,
            "buffer": _buffer(stored),
            "buses": buses,
            "alarms": alarms,
            "service_state": service_states(self._engine),
            "unproven": sorted(self._unproven),
        }

    def _bus(self, bus: BusTask) -> dict[str, Any]:
        statistics = bus.statistics
        asked = statistics.total("asked")
        wrong = statistics.total("timed_out")
        silent = len(bus.silent_devices) if bus.is_up else len(self._on_bus(bus.bus.name))
        latencies = sorted(us for counters in statistics.units.values() for us in counters.latencies_us)
        count = len(self._on_bus(bus.bus.name))
        return {
            "name": bus.bus.name,
            "line": _line(bus.bus),
            "devices": count,
            "online": count - silent,
            "offline": silent,
            "requests_per_s": round(asked / max(time.monotonic() - self._started_s, 1.0), 1),
            "error_percent": round(100 * wrong / asked, 1) if asked else 0.0,
            "p95_ms": latencies[len(latencies) * 95 // 100] / 1000 if latencies else None,
            "error": _error(bus.line_fault),
        }

    def _on_bus(self, name: str) -> list[Device]:
        return [device for device in self._config.device if device.bus == name]

    def _uplink(self, sender: Sender) -> dict[str, Any]:
        status = sender.status()
        broker = next(uplink.broker for uplink in self._config.uplink if uplink.name == status.name)
        error = {"id": status.error_id, "text": status.error, "next": status.next_step} if status.error_id else None
        return {
            "name": status.name,
            "broker": broker,
            "state": status.state,
            "connected": status.connected,
            "last_receipt_age_s": None if status.last_receipt_s is None else round(status.last_receipt_s, 1),
            "in_flight": status.in_flight,
            "batches_sent": status.batches_sent,
            "bytes_sent": status.bytes_sent,
            "receipts": status.receipts,
            "receipts_refused": status.receipts_refused,
            "bytes_today": {lane: {"up": up, "down": down} for lane, (up, down) in status.bytes_today.items()},
            "bytes_month": status.bytes_month,
            "quota_mb_month": status.quota_mb_month,
            "holds_telemetry": status.holds_telemetry,
            "certificates": [msgspec.structs.asdict(found) for found in status.certificates],
            "error": error,
        }

    def _alarm(self, alarm: Alarm, text_zh: str) -> dict[str, Any]:
        return {
            "number": alarm.number,
            "id": alarm.alarm_id,
            "for_s": round(max(0, self._clock.wall_ms() - alarm.began_at_ms) / 1000, 1),
            "level": alarm.level,
            "level_zh": name_zh(alarm.level),
            "device": alarm.device,
            "point": alarm.point,
            "text": alarm.text,
            "text_zh": text_zh,
            "value": alarm.value,
            "unit": alarm.unit,
            "limit": alarm.limit,
        }

    # -- read

    async def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`device`, `points` (empty: all) and `fresh` (poll now) to values; raises EdgegwError for what does not exist."""
        device = self._devices.get(str(arguments.get("device", "")))
        if device is None:
            raise EdgegwError("E-DEVICE", f'no device "{arguments.get("device", "")}"', f"one of {', '.join(list(self._devices)[:12])}", EXIT_UNKNOWN)
        points = arguments.get("points", [])
        if not isinstance(points, list):
            raise EdgegwError("E-CONTROL-ARGS", "points must be a list of names", "", EXIT_USAGE)
        started_s = time.monotonic()
        bus = self._buses.get(device.bus)
        readings = await bus.ask_now(device.code) if bus and arguments.get("fresh") else []
        values = list(self._latest.values(device.code, self._clock.mono_ms()))
        origins = self._origins(bus, values)
        unknown = set(points) - {value.point.name for value in values}
        if unknown:
            names = ", ".join(value.point.name for value in values[:12])
            raise EdgegwError("E-POINT", f"{device.code} has no point {', '.join(sorted(map(str, unknown)))}", f"its points: {names}", EXIT_UNKNOWN)
        return {
            "values": [_value(value, origins) for value in values if not points or value.point.name in points],
            "device": {
                "code": device.code,
                "name": device.name or device.location,
                "profile": device.profile,
                "bus": device.bus,
                "unit": device.unit,
                "address": device.address,
                "unproven": device.code in self._unproven,
                **self._note(device.code),
            },
            "requests": len(readings),
            "answered": not readings or not all(_is_offline(reading) for reading in readings),
            "error": _error(bus.line_fault if bus else None),
            "milliseconds": round(1000 * (time.monotonic() - started_s), 1),
        }

    def _origins(self, bus: BusTask | None, values: Sequence[LiveValue]) -> _Origins:
        sources = {value.source.source_id: value.source for value in values}
        located = bus.located(values[0].source.device) if bus and values else {}
        return {
            (source_id, point.name): (self._clock.mono_ms(found.arrived_ns), origin.address, origin.raw)
            for source_id, found in located.items()
            for point, origin in zip(sources[source_id].points, found.origins, strict=True)
            if origin is not None
        }


def _computed(config: Config) -> list[Device]:
    """Computed points belong to devices that are on no bus."""
    return [Device(code=code, bus="", profile="") for code in dict.fromkeys(computed.code for computed in config.computed)]


def _value(value: LiveValue, origins: _Origins) -> dict[str, Any]:
    reading = value.reading
    at_ms, address, raw = origins.get((value.source.source_id, value.point.name), (None, None, None))
    is_of_it = reading is not None and reading.mono_ms == at_ms  # Not of an older value that is still shown.
    return {
        "device": value.source.device,
        "point": value.point.name,
        "value": value.number,
        "unit": value.point.unit,
        "quality": value.quality,
        "age_s": None if value.age_ms is None else round(value.age_ms / 1000, 3),
        "time": datetime.fromtimestamp(reading.read_at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if reading else None,
        "time_trusted": reading.clock in _TRUSTED if reading else False,
        "period_s": value.source.period_ms / 1000,
        "raw": (raw or None) if is_of_it else None,
        "address": address if is_of_it else None,
    }


def _is_offline(reading: Reading) -> bool:
    """Whether the device said nothing at all, not even that it refuses."""
    return len(reading.quality) == len(reading.values) and set(reading.quality.values()) == {Quality.OFFLINE}


def _error(fault: EdgegwError | None) -> dict[str, str] | None:
    return {"id": fault.message_id, "text": fault.text, "next": fault.next_step} if fault else None


def _buffer(status: BufferStatus) -> dict[str, Any]:
    waiting = status.unsent.values()
    return {
        "state": "ok" if status.writing else "fail",
        "values_waiting": max((unsent.values + unsent.events for unsent in waiting), default=0),
        "oldest_age_s": max((unsent.oldest_age_ms for unsent in waiting), default=0) / 1000,
        "file_bytes": status.file_bytes,
        "dropped_readings": status.dropped_readings,
        "disk_tight": status.disk_tight,
        "written_bytes_a_day": status.written_bytes_a_day,
        "syncs_a_day": status.syncs_a_day,
        "error": status.last_error or None,
    }


def _overall(
    buses: Sequence[dict[str, Any]], uplinks: Sequence[dict[str, Any]], alarms: Sequence[dict[str, Any]], stored: BufferStatus, clock: ClockTrust
) -> str:
    """The worst of what the screen shows."""
    if not stored.writing or (buses and all(bus["online"] == 0 for bus in buses)):
        return "fail"
    away = any(not uplink["connected"] or uplink["error"] for uplink in uplinks)
    trouble = alarms or away or any(bus["offline"] or bus["error"] for bus in buses) or clock not in _TRUSTED
    return "warn" if trouble else "ok"


def _line(bus: Bus) -> str:
    return f"{bus.baudrate} 8{bus.parity}{bus.stop_bits}" if bus.kind == "serial" else {"tcp": "TCP", "rtu-over-tcp": "RTU/TCP"}[bus.kind]
