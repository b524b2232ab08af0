"""What is wrong with the devices of a configuration: their bus, their address, their profile, and what is asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.model import Bus, Device
from edgegw.config.site import Doubt, Site
from edgegw.drivers.catalogue import available, load_profile
from edgegw.drivers.profile_base import ProfileBase
from edgegw.errors import EdgegwError
from edgegw.points import LINK_POINTS, wants

# Modbus over serial line V1.02, 2.2: 248 to 255 are reserved. Modbus TCP has no such bound, and some servers want 255.
_UNIT_MAX_SERIAL = 247


def fault_of_profile(name: str) -> str:
    """What is wrong with a station's own profile (a path that ends in .toml); of another name that it does not exist."""
    if not name.endswith(".toml"):
        return f'unknown profile "{name}"{did_you_mean(name, available())}'
    try:
        load_profile(name)
    except EdgegwError as fault:
        return f"{fault.text}; {fault.next_step}"
    return ""


def check_devices(site: Site) -> Iterator[Doubt]:
    """Each device against its bus, its profile and its neighbours."""
    buses = {bus.name: bus for bus in site.config.bus}
    keys: dict[tuple[str, int, str], str] = {}
    compared: set[tuple[str, str]] = set()
    for number, device in enumerate(site.config.device):
        path = ("device", number)
        title = f'device "{device.code}": '
        profile = site.profiles.get(device.profile)
        if device.code == site.config.gateway.gateway:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "code"), f"{title}that is the code of the gateway, which is a device of its own")
        if device.bus not in buses:
            yield Doubt(ERROR, "E-CFG-BUS", (*path, "bus"), f'{title}unknown bus "{device.bus}"{did_you_mean(device.bus, buses)}')
        shared = device.profile if profile is not None and profile.shares_unit else ""
        first = keys.setdefault((device.bus, device.key, shared), device.code)
        if first != device.code:
            place = ("address", device.address) if device.address else ("unit", device.unit)
            yield Doubt(ERROR, "E-CFG-UNIT-DUP", (*path, place[0]), f'bus "{device.bus}": {place[0]} {place[1]} twice: {first}, {device.code}')
        if profile is None:
            yield Doubt(ERROR, "E-CFG-PROFILE", (*path, "profile"), f"{title}{fault_of_profile(device.profile)}")
            continue
        yield from _addressing(device, profile, path)
        yield from _groups(device, profile, path)
        yield from _points(device, profile, path)
        if device.bus in buses and buses[device.bus].kind not in profile.bus_kinds:
            text = f'{title}{device.profile} is not read over kind "{buses[device.bus].kind}"; it goes over {", ".join(sorted(profile.bus_kinds))}'
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, "bus"), text)
        if device.unit > _UNIT_MAX_SERIAL and device.bus in buses and buses[device.bus].kind != "tcp":
            text = f'{title}unit {device.unit}: devices of a serial line have units up to {_UNIT_MAX_SERIAL}; only over kind "tcp" there are more'
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, "unit"), text)
        if device.bus in buses and (device.bus, device.profile) not in compared:
            compared.add((device.bus, device.profile))
            yield from _line_defaults(device, profile, buses[device.bus], path)


def _addressing(device: Device, profile: ProfileBase, path: tuple[str, int]) -> Iterator[Doubt]:
    """What finds the device on its bus, by its protocol."""
    given = {"unit": device.unit, "address": device.address}
    for key, value in given.items():
        if value and key != profile.addressing:
            yield Doubt(WARNING, "W-CFG-UNUSED", (*path, key), f'device "{device.code}": {key} has no meaning for {device.profile}')
    if profile.addressing != "none" and not given[profile.addressing]:
        what = {"unit": "its Modbus unit id", "address": "the digits of its address, on the nameplate"}[profile.addressing]
        yield Doubt(ERROR, "E-CFG-MISSING", path, f'device "{device.code}": {device.profile} needs "{profile.addressing}", {what}')


def _groups(device: Device, profile: ProfileBase, path: tuple[str, int]) -> Iterator[Doubt]:
    for group in device.period_s:
        # The planner may cut a group into several questions: electrical, electrical.2, ...
        if group not in profile.group and re.sub(r"\.\d+$", "", group) not in profile.group:
            hint = did_you_mean(group, profile.group) or f"; it has {', '.join(sorted(profile.group))}"
            text = f'device "{device.code}": profile {device.profile} has no poll group "{group}"{hint}'
            yield Doubt(ERROR, "E-CFG-GROUP", (*path, "period_s", group), text)


def _points(device: Device, profile: ProfileBase, path: tuple[str, int]) -> Iterator[Doubt]:
    """A choice of points that chooses nothing is a slip of the pen."""
    names = [row.point for row in profile.point]
    for number, pattern in enumerate(device.points):
        if not any(wants([pattern], name) for name in (*names, *LINK_POINTS)):
            text = f'device "{device.code}": profile {device.profile} has no point "{pattern}"{did_you_mean(pattern, names)}'
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, "points", number), text)
    if device.points and not any(wants(device.points, name) for name in names):
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "points"), f'device "{device.code}": points chooses nothing that can be read')


def _line_defaults(device: Device, profile: ProfileBase, bus: Bus, path: tuple[str, int]) -> Iterator[Doubt]:
    head = profile.profile
    if bus.kind == "serial" and (bus.baudrate, bus.parity) != (head.baudrate, head.parity):
        text = (
            f'device "{device.code}": {device.profile} leaves its maker at {head.baudrate} {head.parity}, '
            f'bus "{bus.name}" runs at {bus.baudrate} {bus.parity}; right if the device was set so'
        )
        yield Doubt(WARNING, "W-CFG-LINE", (*path, "profile"), text)
