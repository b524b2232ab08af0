"""The gateway's configuration for a simulated station: its buses and devices, and what its contacts are wired to. The rules are the shipped ones.

Returns TOML text of the tables [[bus]] and [[device]] (`config/model.py` says what each key means); who the gateway is and where its
cloud lies is for the caller to write above it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgegw.drivers.catalogue import load_profile
from edgegw.sim.station import SimDevice, Station
from edgegw.sim.tcp_line import HOST

_Fields = Mapping[str, object]

# What the contacts of the module are wired to. Those that protect people and the station are told when they cannot be read any more.
_INPUTS: tuple[tuple[int, str, str, bool], ...] = (
    (1, "mains", "市电失电", False),
    (2, "spd", "防雷器", False),
    (3, "water", "水浸", True),
    (4, "smoke", "烟感", True),
    (5, "door", "配电柜门", False),
    (6, "door", "控制柜门", False),
    (7, "emergency_stop", "急停", True),
    (8, "breaker_trip", "总断路器", True),
)
# Bits of one byte leave nothing by which a late answer could be told from the next: a module that was not answered once is asked again when the guard is over,
# and that must be sooner than the 3 s after which its inputs count as lost.
_QUICK: _Fields = {"late_answer_guard_ms": 1500}
# Huawei SUN2000, register 32089: standby without irradiation. It says so, and is silent soon after.
_SLEEP_STATES = [0xA000]


def bus_and_device_tables(station: Station, ports: Mapping[str, Any], period_s: float | None) -> str:
    """`ports` is what the station said of itself (`edgegw simulate`'s first line, or `Simulator.description()`); `period_s`: every group is read at it."""
    watching = {device.bus for device in station.device if _wired(device)}
    buses = (_table("bus", {**_bus(port), **(_QUICK if port["kind"] == "serial" and port["name"] in watching else {})}) for port in ports["buses"])
    devices = (_table("device", _device(device, period_s)) for device in station.device)
    return "\n".join((*buses, *devices))


def fixed_ports(station: Station) -> dict[str, Any]:
    """What a station with `links` and TCP ports of its own will say of its buses: a configuration can be written before it runs."""
    return {
        "buses": [
            {"name": bus.name, "kind": "tcp", "host": HOST, "port": bus.port}
            if bus.kind == "tcp"
            else {
                "name": bus.name,
                "kind": "serial",
                "path": f"{station.links}/{bus.name}",
                "baudrate": bus.baudrate,
                "parity": bus.parity,
                "stop_bits": bus.stop_bits,
            }
            for bus in station.bus
        ]
    }


def _bus(port: Mapping[str, Any]) -> _Fields:
    if port["kind"] == "tcp":
        return {"name": port["name"], "kind": "tcp", "host": port["host"], "port": port["port"]}
    return {"name": port["name"], "kind": "serial", **{key: port[key] for key in ("path", "baudrate", "parity", "stop_bits")}}


def _device(device: SimDevice, period_s: float | None) -> _Fields:
    fields: dict[str, object] = {key: value for key in ("code", "bus", "unit", "address", "profile", "name", "location") if (value := getattr(device, key))}
    if device.points:
        fields["points"] = device.points
    if period_s is not None:
        fields["period_s"] = dict.fromkeys(load_profile(device.profile).group, period_s)
    elif device.period_s:
        fields["period_s"] = device.period_s
    if wired := _wired(device):
        fields["input"] = wired
    if device.role == "pv":
        fields["sleep_states"] = _SLEEP_STATES
    return fields


def _wired(device: SimDevice) -> dict[str, _Fields]:
    """The contacts of a module of inputs."""
    points = {row.point for row in load_profile(device.profile).point} if device.role == "inputs" else frozenset()
    return {str(number): _contact(role, name, fail_safe=fail_safe) for number, role, name, fail_safe in _INPUTS if f"input.{number}" in points}


def _contact(role: str, name: str, *, fail_safe: bool) -> _Fields:
    return {"role": role, "name": name, **({"fail_safe": True} if fail_safe else {})}


# -- TOML


def _table(name: str, fields: _Fields) -> str:
    return f"[[{name}]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items())


def _toml(value: object) -> str:
    """Text, numbers, truths, lists and inline tables. A JSON string is a TOML basic string."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value)
