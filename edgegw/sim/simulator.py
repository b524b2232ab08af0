"""The simulated station, running: lines, world, journal and control socket, in threads of their own beside the caller.

    with Simulator(station, journal=..., control=...) as simulator:
        simulator.ports["rs485a"].path, simulator.ports["lan"].port
        simulator.wait(10)

One thread for each serial line (`serial_line.py` says why), one with a loop for the TCP ports, the control socket and the world.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from edgegw.clock import Clock
from edgegw.errors import EdgegwError
from edgegw.sim.bodies import build_body
from edgegw.sim.control import Control, ControlServer
from edgegw.sim.device import Device
from edgegw.sim.journal import Journal
from edgegw.sim.scenario import Scenario
from edgegw.sim.serial_line import LineCounts, SerialLine
from edgegw.sim.station import SimBus, SimDevice, Station
from edgegw.sim.tcp_line import HOST, TcpLine
from edgegw.sim.tongue import Body
from edgegw.sim.world import World

SCHEMA = "edgegw.simulate/1"
# How often the world moves: ten times in the shortest usual poll period, so that two polls rarely see the same moment.
TICK_S = 0.1
# In a day that runs fast: about once in a second of it.
FAST_TICK_S = 0.025


class Port(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a bus can be reached."""

    name: str
    kind: str
    path: str = ""
    host: str = ""
    port: int = 0
    baudrate: int = 0
    parity: str = ""
    stop_bits: int = 0


class Simulator:
    """Open from `start` (or `with`) to `stop`. `speed` above 1: the day runs faster and the lines are not paced (decision D12)."""

    def __init__(self, station: Station, *, journal: Path, control: Path, speed: float = 1.0, scenario: Scenario | None = None) -> None:
        self.station = station
        self.ports: dict[str, Port] = {}
        self.devices: dict[str, Device] = {}
        self.counts: dict[str, LineCounts] = {}
        self._lines: dict[str, SerialLine | TcpLine] = {}
        self.journal_path = journal
        self.control_path = control
        self._clock = Clock(speed)
        self._paced = speed <= 1
        self._world = World(station, scenario)
        self._stop_asked = threading.Event()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when every port is open. Raises EdgegwError when one cannot be."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        self._stop_asked.set()
        self._thread.join()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until a control command or `ask_to_stop` ends the station; False when the time is over first."""
        return self._stop_asked.wait(timeout_s)

    def ask_to_stop(self) -> None:
        """For a signal handler: returns at once."""
        self._stop_asked.set()

    def description(self) -> dict[str, object]:
        """What `edgegw simulate` prints first."""
        return {
            "schema": SCHEMA,
            "buses": [msgspec.to_builtins(port) for port in self.ports.values()],
            "devices": [
                {"code": device.code, "bus": device.bus, "unit": device.unit, "address": device.address, "profile": device.profile}
                for device in self.station.device
            ],
            "control": str(self.control_path),
            "journal": str(self.journal_path),
            "time": {"speed": self._clock.speed, "monotonic_ns": self._clock.boot_ms * 1_000_000, "hour": self.station.start_hour},
        }

    # -- the thread of the loop

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except EdgegwError as fault:
            self._started.set_exception(fault)
        except OSError as fault:
            self._started.set_exception(_no_port(fault))
        finally:
            # A mistake of ours: its traceback is on standard error, and the caller must not wait for ever.
            if not self._started.done():
                self._started.set_exception(RuntimeError("the simulated station did not start"))

    async def _live(self) -> None:
        images = {device.code: build_body(device.profile, device.image) for device in self.station.device}
        self.devices = {device.code: self._device(device, images[device.code], index) for index, device in enumerate(self.station.device)}
        async with AsyncExitStack() as stack:
            journal = Journal(self.journal_path, {code: image.decimals for code, image in images.items()})
            stack.callback(journal.close)
            for index, bus in enumerate(self.station.bus):
                await self._open(bus, journal, index, stack)
            server = ControlServer(self.control_path, Control(self.devices, self._lines, self.ask_to_stop))
            await server.start()
            stack.push_async_callback(server.stop)
            self._started.set_result(None)
            await self._turn()

    async def _open(self, bus: SimBus, journal: Journal, index: int, stack: AsyncExitStack) -> None:
        """Opens the line of one bus and says how it ends."""
        units = {device.unit: device for device in self.devices.values() if device.bus == bus.name}
        if bus.kind == "tcp":
            line = TcpLine(bus.name, units, journal, paced=self._paced, port=bus.port)
            await line.start()
            stack.push_async_callback(line.stop)
            self.ports[bus.name] = Port(bus.name, "tcp", host=HOST, port=line.port)
            self._note(bus.name, line)
            return
        wire = SerialLine(bus.name, bus.character_ns if self._paced else 0.0, units, journal, seed=self.station.seed + index)
        wire.start()
        stack.callback(wire.stop)
        path = _link(Path(self.station.links, bus.name), wire.path, stack) if self.station.links else wire.path
        self.ports[bus.name] = Port(bus.name, "serial", path=path, baudrate=bus.baudrate, parity=bus.parity, stop_bits=bus.stop_bits)
        self._note(bus.name, wire)
        wire.on_path = partial(self._moved, bus.name)

    def _note(self, name: str, line: SerialLine | TcpLine) -> None:
        self.counts[name], self._lines[name] = line.counts, line

    def _moved(self, name: str, pty: str) -> None:
        """An adapter was plugged in again: its name of its own leads to the new pty."""
        if self.station.links:
            _point_link(Path(self.station.links, name), pty)
        else:
            self.ports[name] = msgspec.structs.replace(self.ports[name], path=pty)

    async def _turn(self) -> None:
        """Moves the world until the end."""
        then_ms = 0
        while not self._stop_asked.is_set():
            await asyncio.sleep(TICK_S if self._paced else FAST_TICK_S)
            now_ms = self._clock.mono_ms()
            self._world.advance((now_ms - then_ms) / 1000)
            then_ms = now_ms

    def _device(self, device: SimDevice, image: Body, index: int) -> Device:
        return Device(device, image, lambda: self._world.values[device.code], self.station.seed * 1000 + index, lambda: device.code in self._world.silent)


def _link(name: Path, pty: str, stack: AsyncExitStack) -> str:
    """Gives the pty this name until the end. A link that a killed station left behind is taken over; anything else is left alone (FileExistsError)."""
    name.parent.mkdir(parents=True, exist_ok=True)
    _point_link(name, pty)
    stack.callback(name.unlink, missing_ok=True)
    return str(name)


def _point_link(name: Path, pty: str) -> None:
    if name.is_symlink():
        name.unlink()
    name.symlink_to(pty)


def _no_port(fault: OSError) -> EdgegwError:
    # Of a link the second name is the link's own.
    name = fault.filename2 or fault.filename
    where = f"{name}: " if name else ""
    return EdgegwError(
        "E-SIM-PORT",
        f"the simulated station cannot open its ports and files: {where}{fault.strerror}",
        "name another --journal or --control, or other links and ports in the station file",
    )
