"""When reports of alarms are made: by itself a minute after the raise where the level wants one, and whenever somebody asks.

The record and the end of its order go into one transaction: killed before it, the next start makes the report; killed after it, nobody makes it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from edgegw.alarm_report import make_body, take_samples
from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.happened import events_of
from edgegw.buffer.history import Reader
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.model import Event
from edgegw.rules.consequences import REPORT_SPAN_MS, Order
from edgegw.rules.engine import Changes, Engine

RECORD: Final = "alarm_report"
# How often it is looked whether one is due.
LOOK_MS: Final = 1000
# An answer is committed 50 ms after it came; a busy disk gets more.
COMMIT_MS: Final = 2000
# What bus and uplinks say now is not told of an alarm of longer ago.
NOW_MS: Final = 3 * REPORT_SPAN_MS
# A past alarm is looked for among so many events.
EVENTS_MAX: Final = 20_000
_BUS: Final = ("name", "line", "span_s", "up", "busy_share", "requests_per_s", "idle_noise_bytes", "hints")
_UNIT: Final = ("unit", "asked", "answered", "timed_out", "crc", "short", "exceptions", "late", "latency_p50_ms", "latency_p95_ms", "silent", "hints")

_log = logging.getLogger("edgegw.alarms")

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


class AlarmReports:
    """`ask` are the other answers of the control socket: a report has what `bus-stats` and `status` say at its time."""

    def __init__(self, config: Config, engine: Engine, clock: Clock, accept: Callable[[Changes], None], ask: Mapping[str, Handler]) -> None:
        self._engine = engine
        self._clock = clock
        self._accept = accept
        self._ask = ask
        self._path = Path(config.paths.state_dir) / FILE_NAME
        self._bus_of = {device.code: device.bus for device in config.device}

    async def run(self) -> None:
        """Makes what is owed; until cancelled."""
        while True:
            for order in self._engine.consequences.owed(self._clock.mono_ms() - COMMIT_MS):
                await self._make(order)
            await self._clock.sleep(LOOK_MS)

    async def _make(self, order: Order) -> None:
        try:
            body = await self._body(order)
        except EdgegwError as fault:  # The store cannot be read now: what is known without it is better than nothing.
            _log.warning("the report of alarm #%d is without readings: %s", order.number, fault)
            body = {**make_body(order, (), None, ()), "error": str(fault)}
        now_ms = self._clock.mono_ms()
        self._engine.consequences.made(order, Event(RECORD, self._clock.wall_ms(now_ms), now_ms, self._clock.trust, order.device, body))
        self._accept(self._engine.changed())
        _log.info("report of alarm #%d: %d points", order.number, len(body["series"]))

    async def _body(self, order: Order) -> dict[str, Any]:
        devices = [order.device] if order.device else [code for code, bus in self._bus_of.items() if bus == order.bus]
        samples = await asyncio.to_thread(take_samples, self._path, order, devices)
        if self._clock.wall_ms() > order.around_ms + NOW_MS:
            return make_body(order, samples, None, ())
        return make_body(order, samples, await self._bus(order), await self._uplinks())

    async def _bus(self, order: Order) -> dict[str, Any] | None:
        name = order.bus or self._bus_of.get(order.device or "")
        if not name:
            return None
        (found,) = (await self._ask["bus-stats"]({"bus": name, "since_s": 2 * REPORT_SPAN_MS / 1000}))["buses"]
        units = [unit for unit in found["units"] if unit["device"] == order.device]
        error = found["error"]["id"] if found["error"] else None
        return {**{name: found[name] for name in _BUS}, "error": error, "device": {name: units[0][name] for name in _UNIT} if units else None}

    async def _uplinks(self) -> list[dict[str, Any]]:
        names = ("name", "state", "connected", "last_receipt_age_s")
        return [
            {**{name: uplink[name] for name in names}, "error": uplink["error"]["id"] if uplink["error"] else None}
            for uplink in (await self._ask["status"]({}))["uplinks"]
        ]

    # -- who asks

    def handlers(self) -> dict[str, Handler]:
        return {"alarm-report": self.report}

    async def report(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The report of alarm `number`, of the past too: as it was recorded (`recorded`), or of now. Raises EdgegwError E-ALARM."""
        number = arguments.get("number")
        if type(number) is not int:
            raise EdgegwError("E-CONTROL-ARGS", "number must be a whole number", "", EXIT_USAGE)
        try:
            order = self._engine.consequences.order_of(self._engine.desk.find(number))
        except EdgegwError:
            order = await asyncio.to_thread(self._past, number)
        recorded = await asyncio.to_thread(self._recorded, order)
        whole = self._clock.wall_ms() >= order.around_ms + REPORT_SPAN_MS
        return {"device": order.device, "recorded": recorded is not None, "whole": whole, **(recorded or await self._body(order))}

    def _past(self, number: int) -> Order:
        with Reader(self._path) as reader:
            events = events_of(reader, "alarm", 0, "", EVENTS_MAX)
        found = next((event for event in reversed(events) if event.body["number"] == number and event.body["edge"] == "raised"), None)
        if found is None:
            raise EdgegwError("E-ALARM", f"no alarm #{number} in the store", "edgegw alarms history --since 30d", EXIT_UNKNOWN)
        body = found.body
        words = {"alarm_id": body["id"], "around_ms": body["raised_at_ms"], **{name: body[name] for name in ("number", "rule", "level", "point")}}
        order = msgspec.convert({**words, "device": found.device, "bus": body.get("bus")}, Order)
        return self._engine.consequences.with_named(order)

    def _recorded(self, order: Order) -> dict[str, Any] | None:
        with Reader(self._path) as reader:
            events = events_of(reader, RECORD, order.around_ms, order.device or "", EVENTS_MAX)
        return next((dict(event.body) for event in events if event.body["id"] == order.alarm_id), None)
