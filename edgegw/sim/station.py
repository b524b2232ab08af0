"""The simulated station's file: which buses and devices there are, and what each device measures.

What a device *is* on the line comes from the gateway's own profile; the file only says where it stands and which part of the
station (`role`) its values come from. `station.toml` beside this module is the default.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from edgegw.errors import EXIT_USAGE, EdgegwError

_T = TypeVar("_T")
Role = Literal[
    "incoming",
    "pv_meter",
    "auxiliary",
    "dc_input",
    "dc_pile",
    "dc_gun",
    "ac_pile",
    "dc_control",
    "ac_control",
    "pv",
    "ups",
    "cabinet",
    "outdoor",
    "joints",
    "inputs",
]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class SimBus(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line: a pty that is paced as the serial line would be, or a listening TCP port on the loopback."""

    name: str
    kind: Literal["serial", "tcp"]
    baudrate: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """TCP port; 0: any that is free."""

    @property
    def character_ns(self) -> float:
        """Time of one character: 11 bits with parity or two stop bits, else 10 (decision D13); none on TCP."""
        if self.kind == "tcp":
            return 0.0
        bits = 11 if self.parity != "N" or self.stop_bits == 2 else 10
        return bits * 1e9 / self.baudrate


class SimDevice(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device on a bus."""

    code: str
    bus: str
    unit: Annotated[int, Meta(ge=0, le=255)] = 0
    address: Annotated[str, Meta(pattern="^[0-9]{0,12}$")] = ""
    """Of a DL/T 645 meter."""
    profile: str
    role: Role
    name: str = ""
    location: str = ""
    turnaround_ms: Annotated[float, Meta(ge=0, le=10_000)] = 10.0
    """From the end of the request to the answer's first byte."""
    pile: str = ""
    """Code of the pile that it belongs to; empty: a pile of its own."""
    gun: Annotated[int, Meta(ge=1, le=8)] = 1
    """Gun of that pile, for what belongs to one."""
    points: list[str] = []
    """What the gateway reads of it, as in its configuration; empty: everything."""
    period_s: dict[str, float] = {}
    """Periods of poll groups in the gateway's configuration; empty: the profile's."""
    image: str = ""
    """SunSpec: a TOML file with base and registers (hexadecimal words), beside the station file; empty: the models of the profile, driven by the station."""

    @property
    def pile_code(self) -> str:
        return self.pile or self.code

    @property
    def key(self) -> int:
        """What tells it from the others of its bus."""
        return int(self.address) if self.address else self.unit


class Station(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    seed: int = 1
    start_hour: Annotated[float, Meta(ge=0, lt=24)] = 11.0
    """Hour of the simulated day at which the station starts."""
    links: str = ""
    """Directory in which each serial bus gets its own name, so that a configuration can be written before the ptys are there; empty: the ptys as they come."""
    bus: list[SimBus]
    device: list[SimDevice]


def load_station(path: Path | None) -> Station:
    """The station of `path`, or the default one. Raises EdgegwError with what is wrong."""
    name = str(path) if path else "station.toml"
    try:
        text = path.read_text(encoding="utf-8") if path else files("edgegw.sim").joinpath("station.toml").read_text(encoding="utf-8")
        station = msgspec.convert(tomllib.loads(text), Station)
    except OSError as fault:
        raise _refused(name, f"cannot be read: {fault.strerror}") from fault
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as fault:
        raise _refused(name, str(fault)) from fault
    mistakes = _mistakes(station)
    if mistakes:
        raise _refused(name, "; ".join(mistakes))
    return station if path is None else msgspec.structs.replace(station, device=[_with_image(device, path.parent) for device in station.device])


def _with_image(device: SimDevice, folder: Path) -> SimDevice:
    return msgspec.structs.replace(device, image=str(folder / device.image)) if device.image else device


def _refused(name: str, why: str) -> EdgegwError:
    return EdgegwError("E-SIM-STATION", f"{name}: {why}", "correct the station file, or leave it out for the default station", EXIT_USAGE)


def _mistakes(station: Station) -> list[str]:
    """What only shows across tables: names given twice, a bus that is not there, two devices with one unit on a bus."""
    buses = {bus.name for bus in station.bus}
    return [
        *(f'bus "{name}" is there twice' for name in _doubled(bus.name for bus in station.bus)),
        *(f'device "{code}" is there twice' for code in _doubled(device.code for device in station.device)),
        *(f'device "{device.code}": no bus "{device.bus}"' for device in station.device if device.bus not in buses),
        *(f'bus "{bus}": unit {unit} is there twice' for bus, unit in _doubled((device.bus, device.key) for device in station.device)),
    ]


def _doubled(items: Iterable[_T]) -> list[_T]:
    return [item for item, count in Counter(items).items() if count > 1]
