"""The simulator's control socket: one JSON object a line in, one a line out.

    {"command":"set","device":"DI-01","point":"input.2","value":1}      holds until released
    {"command":"release","device":"DI-01","point":"input.2"}            without a point: everything of the device
    {"command":"silence","device":"M-IN","seconds":30}                  without seconds, or null: until told to speak
    {"command":"speak","device":"M-IN"}
    {"command":"fault","device":"M-IN","kind":"delay","probability":0.1,"milliseconds":1500}    kind "none" ends it
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
from edgegw.sim.serial_line import LineCounts

# A line longer than this is no command.
LINE_BYTES_MAX = 4096


class _Command(msgspec.Struct, forbid_unknown_fields=True, tag_field="command"):
    pass


class Set(_Command, tag="set"):
    device: str
    point: str
    value: float | str


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
    kind: Literal["delay", "crc", "truncate", "noise", "exception", "none"]
    probability: float = 1.0
    milliseconds: float = 0.0


class Counts(_Command, tag="counts"):
    pass


class Stop(_Command, tag="stop"):
    pass


Command = Set | Release | Silence | Speak | Fault | Counts | Stop
_DeviceCommand = Set | Release | Silence | Speak | Fault


class RefusedError(ValueError):
    """The command cannot be done; says why."""


class Control:
    """Carries the commands out. `stop` is called for the command of that name."""

    def __init__(self, devices: Mapping[str, Device], counts: Mapping[str, LineCounts], serial: frozenset[str], stop: Callable[[], None]) -> None:
        self._devices = devices
        self._counts = counts
        self._serial = serial
        self._stop = stop

    def carry_out(self, line: bytes) -> dict[str, object]:
        """One line to its answer."""
        try:
            command = msgspec.json.decode(line, type=Command)
            return {"ok": True, **self._do(command)}
        except (msgspec.DecodeError, RefusedError) as fault:
            return {"ok": False, "error": str(fault)}

    def _do(self, command: Command) -> dict[str, object]:
        match command:
            case Stop():
                self._stop()
            case Counts():
                return self._all_counts()
            case _:
                self._change(self._device(command.device), command)
        return {}

    def _change(self, device: Device, command: _DeviceCommand) -> None:
        match command:
            case Set(point=point, value=value):
                device.force(_known_point(device, point, value), value)
            case Release(point=point):
                device.release(_known_point(device, point) if point else None)
            case Silence(seconds=seconds):
                device.silence(seconds)
            case Speak():
                device.silence(0)
            case Fault(kind="none"):
                device.switch(None)
            case Fault(kind=kind, probability=probability, milliseconds=delay_ms):
                if kind not in (SERIAL_FAULTS if device.bus in self._serial else TCP_FAULTS):
                    raise RefusedError(f'"{kind}" cannot happen on the TCP bus "{device.bus}"')
                device.switch(SwitchedFault(kind, probability, delay_ms))

    def _device(self, code: str) -> Device:
        if code not in self._devices:
            raise RefusedError(f'no device "{code}"; there are {", ".join(self._devices)}')
        return self._devices[code]

    def _all_counts(self) -> dict[str, object]:
        return {
            "buses": [{"bus": name, **msgspec.to_builtins(counts)} for name, counts in self._counts.items()],
            "devices": [{"device": code, **msgspec.to_builtins(device.counts)} for code, device in self._devices.items()],
        }


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
