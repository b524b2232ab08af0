"""What the channels are given of the daemon: a modem's port, the relay of a siren through its bus, secrets, and who is still to be called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from edgegw.bus.line import SerialLine
from edgegw.bus.port import LineError
from edgegw.bus.task import BusTask
from edgegw.clock import Clock
from edgegw.config.channel_model import ChannelTable
from edgegw.config.model import Bus, Config, Device
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.permit import Writable
from edgegw.drivers.switching import Switch, make_switch
from edgegw.errors import EdgegwError
from edgegw.model import Alarm, Event
from edgegw.rules.levels import current_name
from edgegw.rules.notifiers.parts import ModemLine, Parts, Relay
from edgegw.uplink.private_file import read_private

# A thread that opens a port ends right behind its last word; one that is still there after this hangs in the adapter.
OPENER_LOOKS, OPENER_LOOK_S = 50, 0.02

Audit = Callable[[Event], None]


def writable_of(config: Config) -> dict[str, frozenset[Writable]]:
    """Bus to all that may ever be written on it: the outputs of sirens, on and off."""
    found: dict[str, frozenset[Writable]] = {bus.name: frozenset() for bus in config.bus}
    for table in config.channel:
        if table.kind == "siren":
            device, switch = _switch_of(config, table)
            found[device.bus] |= switch.writable
    return found


def make_parts(config: Config, clock: Clock, buses: Callable[[], Iterable[BusTask]], open_alarms: Callable[[], Iterable[Alarm]], audit: Audit) -> Parts:
    """`buses` is asked when something is to be switched; `audit` stores an event."""

    def relay(table: ChannelTable) -> Relay:
        device, switch = _switch_of(config, table)
        return _BusRelay(switch, lambda: next((bus for bus in buses() if bus.bus.name == device.bus), None))

    def is_wanted(levels: frozenset[str]) -> bool:
        open_ones = (alarm for alarm in open_alarms() if alarm.state == "active" and alarm.visibility == "shown" and not alarm.acknowledged)
        return any(not levels or current_name(alarm.level) in levels for alarm in open_ones)

    def levels_of(channel: str) -> frozenset[str]:
        named = [route.levels for route in config.route if channel in route.channels]
        return frozenset(current_name(level) for levels in named for level in levels) if all(named) else frozenset()

    def note(device: str, body: Mapping[str, object]) -> None:
        mono_ms = clock.mono_ms()
        audit(Event("switch", clock.wall_ms(mono_ms), mono_ms, clock.trust, device, body))

    return Parts(config.gateway.identity, read_private, modem_line, relay, is_wanted, levels_of, note)


def _switch_of(config: Config, table: ChannelTable) -> tuple[Device, Switch]:
    """`config check` has found both."""
    device = next(device for device in config.device if device.code == table.device)
    bus = next(bus for bus in config.bus if bus.name == device.bus)
    return device, make_switch(device, load_profile(device.profile), table.point, tcp=bus.kind == "tcp")


class _BusRelay:
    """One output, through the task that owns its line."""

    def __init__(self, switch: Switch, find_bus: Callable[[], BusTask | None]) -> None:
        self._switch = switch
        self._find_bus = find_bus

    async def switch(self, *, on: bool) -> int:
        return await self._bus().switch(self._switch, on=on)

    async def read(self) -> bool:
        return await self._bus().switch(self._switch, on=None) == self._switch.on.state

    def _bus(self) -> BusTask:
        bus = self._find_bus()
        if bus is None:
            raise EdgegwError("E-SWITCH-ANSWER", f"{self._switch.point} of {self._switch.device}: its bus does not run", "look at the log of the service")
        return bus


def modem_line(table: ChannelTable) -> ModemLine:
    return _ModemLine(Bus(name=table.name, kind="serial", path=table.path, baudrate=table.baudrate))


class _ModemLine(SerialLine):
    """A port as the buses have them; its faults speak of the modem."""

    async def open(self) -> None:
        for _ in range(OPENER_LOOKS):  # The thread of the last opening has told what came of it and may not have ended yet.
            if self._opener is None or not self._opener.is_alive():
                break
            await asyncio.sleep(OPENER_LOOK_S)
        try:
            await super().open()
        except LineError as fault:
            raise EdgegwError("E-TELL-MODEM", fault.text.replace(f'bus "{self.bus.name}"', f'channel "{self.bus.name}"'), fault.next_step) from fault
