"""What only shows across the tables of a configuration: names that must exist, places that must be free, loads that a bus can carry.

`read(path)` is the whole of it: file, fields, cross references. Everything is linear in the number of devices (mark P19).
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgegw.config.bus_load import judge_load
from edgegw.config.finding import ERROR, WARNING, Finding, did_you_mean
from edgegw.config.lines import LineIndex
from edgegw.config.load import Loaded, load
from edgegw.config.model import Bus, Config, Device
from edgegw.config.rule_check import check_rules
from edgegw.config.salvage import Rest
from edgegw.config.site import Doubt, Site
from edgegw.config.uplink_check import check_uplinks
from edgegw.drivers.profile import Profile, available, load_profile
from edgegw.errors import EdgegwError

# A name for the resolver: letters, digits and hyphens between dots; an underscore for the names that people give all the same.
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
# The kernel numbers these in the order in which they appear.
_BARE_PORT = re.compile(r"/dev/tty(USB|ACM)\d+")


def read(path: Path, *, running: bool = False) -> Loaded:
    """One file with everything that is wrong with it. With `running` a key file that is named but missing is an error."""
    loaded = load(path)
    if loaded.config is not None:
        findings = [*loaded.findings, *check(loaded.config, loaded.index, path.name, running=running)]
    elif loaded.rest is not None:
        findings = sorted([*loaded.findings, *_check_rest(loaded.rest, path.name, running=running)], key=_line_of)
    else:
        return loaded
    return msgspec.structs.replace(loaded, findings=tuple(findings))


def check(config: Config, index: LineIndex, file: str = "config.toml", *, running: bool = False) -> list[Finding]:
    """All findings of a configuration whose fields are right, in the order of their lines."""
    findings = [Finding(doubt.severity, doubt.id, index.line(*doubt.path), doubt.text, file) for doubt in _doubts(config, running=running)]
    return sorted(findings, key=_line_of)


def _check_rest(rest: Rest, file: str, *, running: bool) -> list[Finding]:
    """The same of what is right in a file with wrong fields, as far as it holds whatever they will be."""
    doubts = [doubt for doubt in _doubts(rest.config, running=running) if rest.tells(doubt.id, doubt.path)]
    return [Finding(doubt.severity, doubt.id, rest.line(*doubt.path), doubt.text, file) for doubt in doubts]


def _doubts(config: Config, *, running: bool) -> list[Doubt]:
    site = Site.of(config, {name: profile for name in {device.profile for device in config.device} if (profile := _profile(name))})
    return [*_names(config), *_buses(config), *_devices(site), *_loads(site), *check_rules(site), *check_uplinks(config, running=running)]


def _line_of(finding: Finding) -> int:
    return finding.line or 0


def _profile(name: str) -> Profile | None:
    """The profile, or None for one that does not exist or, being a station's own file, is wrong. A broken one of edgegw's own is its bug and is raised."""
    if name in available():
        return load_profile(name)
    return None if _fault_of(name) else load_profile(name)


def _fault_of(name: str) -> str:
    """What is wrong with a station's own profile (a path that ends in .toml); of another name that it does not exist."""
    if not name.endswith(".toml"):
        return f'unknown profile "{name}"{did_you_mean(name, available())}'
    try:
        load_profile(name)
    except EdgegwError as fault:
        return f"{fault.text}; {fault.next_step}"
    return ""


def _names(config: Config) -> Iterator[Doubt]:
    """One name, one thing."""
    tables: Mapping[str, Sequence[str]] = {
        "bus": [bus.name for bus in config.bus],
        "device": [device.code for device in config.device],
        "rule": [rule.name for rule in config.rule],
        "uplink": [uplink.name for uplink in config.uplink],
    }
    for table, names in tables.items():
        seen: set[str] = set()
        for number, name in enumerate(names):
            if name in seen:
                key = "code" if table == "device" else "name"
                yield Doubt(ERROR, "E-CFG-DUP", (table, number, key), f'{table} "{name}": the {key} stands twice')
            seen.add(name)
    if not config.device:
        yield Doubt(WARNING, "W-CFG-EMPTY", (), "no [[device]]: nothing will be polled")


# -- buses


def _buses(config: Config) -> Iterator[Doubt]:
    owners: dict[str, str] = {}
    for number, bus in enumerate(config.bus):
        path = ("bus", number)
        yield from _line(bus, path)
        place = _place(bus)
        if place and place in owners:
            yield Doubt(ERROR, "E-CFG-PORT-DUP", path, f'bus "{bus.name}": {place} belongs to bus "{owners[place]}" already; one bus has all devices of a line')
        elif place:
            owners[place] = bus.name


def _line(bus: Bus, path: tuple[str, int]) -> Iterator[Doubt]:
    title = f'bus "{bus.name}": '
    if bus.kind == "serial":
        if not bus.path:
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'{title}kind "serial" needs "path", the serial port')
        if bus.host:
            yield Doubt(WARNING, "W-CFG-UNUSED", (*path, "host"), f'{title}host has no meaning for kind "serial"')
    else:
        if not bus.host:
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'{title}kind "{bus.kind}" needs "host", the address of the server')
        elif not _is_host(bus.host):
            text = f'{title}host must be a name or an address alone, as in "192.168.1.10", found "{bus.host}"; the port has its own key: port = 502'
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, "host"), text)
        if bus.path:
            yield Doubt(WARNING, "W-CFG-UNUSED", (*path, "path"), f'{title}path has no meaning for kind "{bus.kind}"')
    if bus.kind == "serial" and _is_no_port(bus.path):
        yield Doubt(WARNING, "W-CFG-NOPORT", (*path, "path"), f"{title}{bus.path} is no serial port; `ls /dev/serial/by-path` shows those that are there")
    if _BARE_PORT.fullmatch(bus.path):
        text = f"{title}the name {bus.path} can change when something is plugged in; use its name below /dev/serial/by-path"
        yield Doubt(WARNING, "W-CFG-PORT", (*path, "path"), text)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _is_no_port(path: str) -> bool:
    """Something is there, but nothing that speaks. What is not there yet may still be plugged in."""
    try:
        return bool(path) and not stat.S_ISCHR(Path(path).stat().st_mode)
    except OSError:
        return False


def _place(bus: Bus) -> str:
    """What two buses must not share: the port behind all its names, or the server."""
    if bus.kind == "serial":
        return os.path.realpath(bus.path) if bus.path else ""
    return f"{bus.host.lower()}:{bus.port}" if bus.host else ""


def _loads(site: Site) -> Iterator[Doubt]:
    for number, bus in enumerate(site.config.bus):
        try:
            found = judge_load(bus, [(device, site.profiles[device.profile]) for device in site.on_bus(bus.name) if device.profile in site.profiles])
        except EdgegwError:
            continue  # a poll group that does not exist: said at the device
        if found:
            severity, text = found
            yield Doubt(severity, "E-CFG-LOAD" if severity == ERROR else "W-CFG-LOAD", ("bus", number), text)


# -- devices


def _devices(site: Site) -> Iterator[Doubt]:
    buses = {bus.name: bus for bus in site.config.bus}
    units: dict[tuple[str, int], str] = {}
    compared: set[tuple[str, str]] = set()
    for number, device in enumerate(site.config.device):
        path = ("device", number)
        title = f'device "{device.code}": '
        profile = site.profiles.get(device.profile)
        if device.bus not in buses:
            yield Doubt(ERROR, "E-CFG-BUS", (*path, "bus"), f'{title}unknown bus "{device.bus}"{did_you_mean(device.bus, buses)}')
        first = units.setdefault((device.bus, device.unit), device.code)
        if first != device.code:
            yield Doubt(ERROR, "E-CFG-UNIT-DUP", (*path, "unit"), f'bus "{device.bus}": unit {device.unit} twice: {first}, {device.code}')
        if profile is None:
            yield Doubt(ERROR, "E-CFG-PROFILE", (*path, "profile"), f"{title}{_fault_of(device.profile)}")
            continue
        yield from _groups(device, profile, path)
        if device.bus in buses and (device.bus, device.profile) not in compared:
            compared.add((device.bus, device.profile))
            yield from _line_defaults(device, profile, buses[device.bus], path)


def _groups(device: Device, profile: Profile, path: tuple[str, int]) -> Iterator[Doubt]:
    for group in device.period_s:
        # The planner may cut a group into several questions: electrical, electrical.2, ...
        if group not in profile.group and re.sub(r"\.\d+$", "", group) not in profile.group:
            hint = did_you_mean(group, profile.group) or f"; it has {', '.join(sorted(profile.group))}"
            text = f'device "{device.code}": profile {device.profile} has no poll group "{group}"{hint}'
            yield Doubt(ERROR, "E-CFG-GROUP", (*path, "period_s", group), text)


def _line_defaults(device: Device, profile: Profile, bus: Bus, path: tuple[str, int]) -> Iterator[Doubt]:
    head = profile.profile
    if bus.kind == "serial" and (bus.baudrate, bus.parity) != (head.baudrate, head.parity):
        text = (
            f'device "{device.code}": {device.profile} leaves its maker at {head.baudrate} {head.parity}, '
            f'bus "{bus.name}" runs at {bus.baudrate} {bus.parity}; right if the device was set so'
        )
        yield Doubt(WARNING, "W-CFG-LINE", (*path, "profile"), text)
