"""The simulator's control socket: one JSON object a line in, one a line out.

    {"command":"set","device":"DI-01","point":"input.2","value":1}      holds until released; "none", "nan", "inf": what is no value
    {"command":"hold","device":"M-IN","points":"energy.*"}              they stay as they are until released
    {"command":"shift","device":"M-IN","point":"energy.import","to":0}  the register goes on from there until released; "end": shortly before its end
    {"command":"release","device":"DI-01","point":"input.2"}            without a point: everything of the device
    {"command":"silence","device":"M-IN","seconds":30}                  without seconds, or null: until told to speak
    {"command":"speak","device":"M-IN"}
    {"command":"fault","device":"M-IN","kind":"delay","probability":0.1,"milliseconds":1500}    kind "none" ends it
    {"command":"line","bus":"com1","kind":"unplug","seconds":5}         of a whole line; kind "none" ends it
    {"command":"counts"}   {"command":"stop"}

An answer is {"ok":true, ...} or {"ok":false,"error":"what is wrong"}.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edgegw.sim.device import SERIAL_FAULTS, TCP_FAULTS, Device, SwitchedFault
from edgegw.sim.serial_line import SerialLine
from edgegw.sim.tcp_line import TcpLine

# A line longer than this is no command.
LINE_BYTES_MAX = 4096
# Last digits that a register is put before its end: at a few hundred kW some seconds, so that its new place is believed before it begins anew.
STEPS_LEFT = 20
Kind = Literal[
    "delay", "crc", "truncate", "noise", "garbage", "exception", "reboot",
    "foreign_unit", "other_function", "short", "long", "twin", "transaction", "flood", "none",
]  # fmt: skip


class _Command(msgspec.Struct, forbid_unknown_fields=True, tag_field="command"):
    pass


class Set(_Command, tag="set"):
    device: str
    point: str
    value: float | str


class Hold(_Command, tag="hold"):
    device: str
    points: str = "*"


class Shift(_Command, tag="shift"):
    device: str
    point: str
    to: float | Literal["end"]


class Release(_Command, tag="release"):
    device: str
    point: str | None = None


class Silence(_Command, tag="silence"):
    device: str
    seconds: float | None = None


class Speak(_Command, tag="speak"):
    device: str


class Fault(_Command, tag="fault"):
    device: str
    kind: Kind
    probability: float = 1.0
    milliseconds: float = 0.0
    code: int | None = None
    """Of an exception; without it the device is busy."""


class Line(_Command, tag="line"):
    bus: str
    kind: Literal["unplug", "wrong_speed", "taken", "hang_up", "mute", "none"]
    seconds: float | None = None
    """Of `unplug`: for how long; without it until "none"."""


class Counts(_Command, tag="counts"):
    pass


class Stop(_Command, tag="stop"):
    pass


_DeviceCommand = Set | Hold | Shift | Release | Silence | Speak | Fault
Command = _DeviceCommand | Line | Counts | Stop


class RefusedError(ValueError):
    """The command cannot be done; says why."""


class Control:
    """Carries the commands out. `stop` is called for the command of that name."""

    def __init__(self, devices: Mapping[str, Device], lines: Mapping[str, SerialLine | TcpLine], stop: Callable[[], None]) -> None:
        self._devices = devices
        self._lines = lines
        self._stop = stop

    def carry_out(self, line: bytes) -> dict[str, object]:
        """One line to its answer."""
        try:
            command = msgspec.json.decode(line, type=Command)
            return {"ok": True, **self._do(command)}
        except (msgspec.DecodeError, ValueError) as fault:
            return {"ok": False, "error": str(fault)}

    def _do(self, command: Command) -> dict[str, object]:
        match command:
            case Stop():
                self._stop()
            case Counts():
                return self._all_counts()
            case Line():
                _change_line(self._line(command.bus), command)
            case _:
                return self._change(self._device(command.device), command)
        return {}

    def _change(self, device: Device, command: _DeviceCommand) -> dict[str, object]:
        """Returns what the answer says beside "ok"."""
        match command:
            case Set(point=point, value=value):
                device.force(_known_point(device, point, value), value)
            case Hold(points=pattern):
                return {"points": device.hold(pattern)}
            case Shift(point=point, to=to):
                device.shift(_known_point(device, point), to if isinstance(to, float) else _shortly_before_end(device, point))
            case Release(point=point):
                device.release(_known_point(device, point) if point else None)
            case Silence(seconds=seconds):
                device.silence(seconds)
            case Speak():
                device.silence(0)
            case Fault():
                self._switch(device, command)
        return {}

    def _switch(self, device: Device, fault: Fault) -> None:
        """Raises RefusedError for what cannot happen there."""
        is_serial = isinstance(self._lines[device.bus], SerialLine)
        if fault.kind == "none":
            device.switch(None)
            return
        if fault.kind not in (SERIAL_FAULTS if is_serial else TCP_FAULTS):
            raise RefusedError(f'"{fault.kind}" cannot happen on the {"serial" if is_serial else "TCP"} bus "{device.bus}"')
        if fault.kind in device.image.tongue.without:
            raise RefusedError(f'"{fault.kind}" cannot happen to "{device.code}": its protocol has no such thing')
        device.switch(SwitchedFault(fault.kind, fault.probability, fault.milliseconds, fault.code))

    def _device(self, code: str) -> Device:
        if code not in self._devices:
            raise RefusedError(f'no device "{code}"; there are {", ".join(self._devices)}')
        return self._devices[code]

    def _line(self, name: str) -> SerialLine | TcpLine:
        if name not in self._lines:
            raise RefusedError(f'no bus "{name}"; there are {", ".join(self._lines)}')
        return self._lines[name]

    def _all_counts(self) -> dict[str, object]:
        return {
            "buses": [{"bus": name, **msgspec.to_builtins(line.counts)} for name, line in self._lines.items()],
            "devices": [{"device": code, **msgspec.to_builtins(device.counts)} for code, device in self._devices.items()],
        }


def _change_line(line: SerialLine | TcpLine, command: Line) -> None:
    if command.seconds is not None and command.kind != "unplug":
        raise RefusedError(f'"{command.kind}" has no seconds; it lasts until "none"')
    match line, command.kind:
        case SerialLine(), "unplug":
            line.unplug(command.seconds)
        case SerialLine(), "wrong_speed" | "none":
            line.garbles = command.kind == "wrong_speed"
            line.plug()
        case TcpLine(), "taken" | "hang_up" | "mute":
            line.switch(command.kind)
        case TcpLine(), "none":
            line.switch(None)
        case _:
            raise RefusedError(f'"{command.kind}" cannot happen on the {"serial" if isinstance(line, SerialLine) else "TCP"} bus "{command.bus}"')


def _shortly_before_end(device: Device, point: str) -> float:
    """A few of its last digits before a register begins anew."""
    width = device.image.width(point)
    if width is None:
        raise RefusedError(f'"{point}" of "{device.code}" never begins anew')
    return width - float(STEPS_LEFT / 10 ** device.image.decimals[point])


def _known_point(device: Device, point: str, value: float | str | None = None) -> str:
    if point not in device.image.points:
        raise RefusedError(f'"{device.code}" has no point "{point}"; it has {", ".join(device.image.points)}')
    if value is not None:
        try:
            device.image.check(point, value)
        except (ValueError, OverflowError) as fault:
            raise RefusedError(str(fault)) from fault
    return point


class ControlServer:
    """The socket. Lives in the simulator's loop."""

    def __init__(self, path: Path, control: Control) -> None:
        self.path = path
        self._control = control
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, self.path, limit=LINE_BYTES_MAX)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self._control.carry_out(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            # The caller went away, sent an endless line, or the station stops: in each case the connection ends.
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
