"""Asks the daemon's parts once a minute how they are, for `own_points`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from edgegw.buffer.store import Buffer
from edgegw.bus.task import BusTask
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.model import Reading, Source
from edgegw.own_points import PERIOD_MS, Facts, LinkCounts, OwnPoints
from edgegw.own_uplinks import OwnUplinks
from edgegw.rules.engine import Engine
from edgegw.rules.journal import Changes
from edgegw.uplink.sender import Sender

# The first look comes early, so that whoever sets a station up sees the points; by then every device was asked.
FIRST_MS = 10_000


class OwnWatch:
    """Its sources belong to the store's from the start; `run` until cancelled."""

    def __init__(self, config: Config, clock: Clock, state_dir: Path) -> None:
        self._clock = clock
        self._devices = {device.code: device for device in config.device}
        self._on_bus = Counter(device.bus for device in config.device)
        self._uplinks = OwnUplinks(clock)
        self.points = OwnPoints(config.gateway.gateway, {device.code: device.points for device in config.device}, state_dir, clock)

    @property
    def sources(self) -> list[Source]:
        return self.points.sources

    @property
    def told(self) -> Collection[str]:
        """Rules of the alarms that the uplinks themselves have raised."""
        return self._uplinks.told

    @property
    def economy(self) -> bool:
        """An uplink has used most of its quota."""
        return self._uplinks.economy

    def begin(self, buffer: Buffer) -> None:
        """Before the store takes anything."""
        self._uplinks.begin(buffer)

    async def run(  # noqa: PLR0913, PLR0917 - the parts that it looks at
        self,
        buffer: Buffer,
        engine: Engine,
        buses: Sequence[BusTask],
        senders: Sequence[Sender],
        on_reading: Callable[[Reading], None],
        on_changes: Callable[[Changes], None],
    ) -> None:
        self._uplinks.recall(senders)
        try:
            await self._look(buffer, engine, buses, senders, on_reading, on_changes)
        finally:
            self._uplinks.keep(buffer, senders)

    async def _look(  # noqa: PLR0913, PLR0917
        self,
        buffer: Buffer,
        engine: Engine,
        buses: Sequence[BusTask],
        senders: Sequence[Sender],
        on_reading: Callable[[Reading], None],
        on_changes: Callable[[Changes], None],
    ) -> None:
        tasks = {bus.bus.name: bus for bus in buses}
        wait_ms = FIRST_MS
        while True:
            await self._clock.sleep(wait_ms)
            wait_ms = PERIOD_MS
            silent = sum(len(bus.silent_devices) if bus.is_up else self._on_bus[bus.bus.name] for bus in buses)
            age_s = self._uplinks.receipt_age_s(senders)
            on_reading(self.points.gateway_reading(_facts(buffer, engine, senders, self._on_bus.total() - silent, silent, age_s)))
            for reading in self.points.link_readings(lambda code: self._link(code, tasks)):
                on_reading(reading)
            for changes in self._uplinks.look(engine, senders):
                on_changes(changes)
            self._uplinks.keep(buffer, senders)

    def _link(self, code: str, tasks: dict[str, BusTask]) -> LinkCounts:
        device = self._devices[code]
        bus = tasks[device.bus]
        counters = bus.statistics.unit(device.key)
        return LinkCounts(bus.is_up and code not in bus.silent_devices and counters.answered > 0, counters.asked, counters.timed_out)


def _facts(buffer: Buffer, engine: Engine, senders: Sequence[Sender], online: int, offline: int, receipt_age_s: float | None) -> Facts:  # noqa: PLR0913, PLR0917
    stored = buffer.status()
    unsent = stored.unsent.values()
    uplinks = [sender.status() for sender in senders]
    return Facts(
        waiting=max((one.values + one.events for one in unsent), default=0),
        oldest_age_s=max((one.oldest_age_ms for one in unsent), default=0) / 1000,
        size_bytes=stored.file_bytes,
        bytes_max=stored.bytes_max,
        dropped=stored.dropped_readings,
        connected=all(status.connected for status in uplinks) if uplinks else None,
        receipt_age_s=receipt_age_s,
        sent_bytes=sum(status.bytes_sent for status in uplinks) if uplinks else None,
        online=online,
        offline=offline,
        alarms=len(engine.open_alarms()),
        clock_offset_s=max((abs(status.clock_offset_s) for status in uplinks if status.clock_offset_s is not None), default=None),
    )
