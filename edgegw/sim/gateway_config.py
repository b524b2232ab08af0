"""The gateway's configuration for a simulated station: its buses, its devices, and the rules that a station of this kind has.

Returns TOML text of the tables [[bus]], [[device]] and [[rule]] (`config/model.py` says what each key means); who the gateway is and where its
cloud lies is for the caller to write above it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from edgegw.drivers.catalogue import load_profile
from edgegw.sim.station import SimDevice, Station
from edgegw.sim.tcp_line import HOST

_Fields = Mapping[str, object]

# What the contacts of the module are wired to, with level and on-delay.
_INPUTS: tuple[tuple[int, str, str, str, float], ...] = (
    (1, "mains-failure", "major", "市电失电", 1.0),
    (2, "spd-failed", "minor", "防雷器失效", 0.5),
    (3, "water-leak", "critical", "水浸报警", 2.0),
    (4, "smoke", "critical", "烟雾报警", 1.0),
    (5, "distribution-door", "minor", "配电柜门打开", 300.0),
    (6, "control-door", "minor", "控制柜门打开", 300.0),
    (7, "emergency-stop", "critical", "急停按下", 0.5),
    (8, "main-breaker-trip", "critical", "总断路器跳闸", 0.5),
)
# A leak must be gone for this long, smoke as well (section 4.4).
_CLEAR_S = {"water-leak": 60.0, "smoke": 60.0}

_PHASE_HIGH_V, _PHASE_LOW_V = 253.0, 187.0
_UPS_ROUTE_BATTERY = 3
# A UPS that tells its status in words alone: below this voltage at its input it lives on its battery.
_UPS_INPUT_LOST_V = 100.0


def bus_and_device_tables(station: Station, ports: Mapping[str, Any], period_s: float | None) -> str:
    """`ports` is what the station said of itself (`edgegw simulate`'s first line, or `Simulator.description()`); `period_s`: every group is read at it."""
    buses = (_table("bus", _bus(port)) for port in ports["buses"])
    devices = (_table("device", _device(device, period_s)) for device in station.device)
    rules = (_table("rule", rule) for rule in _rules(station.device))
    return "\n".join((*buses, *devices, *rules))


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
    return fields


def _rules(devices: Iterable[SimDevice]) -> list[_Fields]:
    """Rules for the kinds of devices that are there."""
    devices = list(devices)
    roles = {device.role for device in devices}
    rules: list[_Fields] = []
    if "incoming" in roles:
        rules += _voltage_rules()
    if "ups" in roles:
        rules += _ups_rules([row.point for device in devices if device.role == "ups" for row in load_profile(device.profile).point])
    if "cabinet" in roles:
        rules += _temperature_rules([device.code for device in devices if device.role == "cabinet"])
    if "inputs" in roles:
        rules += [_input_rule(*row) for row in _INPUTS]
    return rules


def _voltage_rules() -> list[_Fields]:
    """Outside +-15 % of the piles' operating range (section 4.1)."""
    common = {"device_class": "meter", "deadband": 5.0, "on_delay_s": 3.0, "level": "major"}
    return [
        *(
            {
                "name": f"voltage-high-{phase}",
                "condition": "high",
                "point": f"phase_voltage.{phase}",
                "limit": _PHASE_HIGH_V,
                "text": f"{phase.upper()}相电压过高",
                **common,
            }
            for phase in "abc"
        ),
        *(
            {
                "name": f"voltage-low-{phase}",
                "condition": "low",
                "point": f"phase_voltage.{phase}",
                "limit": _PHASE_LOW_V,
                "text": f"{phase.upper()}相电压过低",
                **common,
            }
            for phase in "abc"
        ),
    ]


def _ups_rules(points: Collection[str]) -> list[_Fields]:
    """On battery and low battery (section 4.2)."""
    how = {"condition": "low", "point": "input.voltage", "limit": _UPS_INPUT_LOST_V, "deadband": 80.0}
    if "ups.route" in points:
        how = {"condition": "equals", "point": "ups.route", "limit": float(_UPS_ROUTE_BATTERY)}
    return [
        {"name": "ups-on-battery", **how, "device_class": "ups", "on_delay_s": 2.0, "off_delay_s": 10.0, "level": "major", "text": "UPS电池供电"},
        {"name": "ups-battery-low", "condition": "low", "point": "battery.charge", "limit": 20.0, "device_class": "ups", "deadband": 10.0, "level": "critical", "text": "UPS电池电量低"},
    ]  # fmt: skip


def _temperature_rules(cabinets: list[str]) -> list[_Fields]:
    """Two levels of a cabinet's temperature (section 4.4)."""
    return [
        {"name": f"cabinet-temperature-{name}", "condition": "high", "point": "temperature", "limit": limit_c, "devices": cabinets, "deadband": 5.0, "on_delay_s": 60.0, "level": level, "text": text}
        for name, limit_c, level, text in (("high", 45.0, "minor", "柜内温度高"), ("very-high", 55.0, "major", "柜内温度过高"))
    ]  # fmt: skip


def _input_rule(number: int, name: str, level: str, text: str, on_delay_s: float) -> _Fields:
    clear_s = {"off_delay_s": _CLEAR_S[name]} if name in _CLEAR_S else {}
    common = {"condition": "equals", "point": f"input.{number}", "limit": 1.0, "device_class": "input"}
    return {"name": name, **common, "on_delay_s": on_delay_s, **clear_s, "level": level, "text": text}


# -- TOML


def _table(name: str, fields: _Fields) -> str:
    return f"[[{name}]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items())


def _toml(value: object) -> str:
    """Text, numbers, lists and flat tables. A JSON string is a TOML basic string."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value)
