"""What only shows across the tables of a configuration: names that must exist, places that must be free, loads that a bus can carry.

`read(path)` is the whole of it: file, fields, cross references. Everything is linear in the number of devices (mark P19).
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from edgegw.config.bus_load import Forecast, forecast, judge_load
from edgegw.config.channel_check import check_channels
from edgegw.config.device_check import check_devices, fault_of_profile
from edgegw.config.finding import ERROR, WARNING, Finding
from edgegw.config.level_check import check_levels
from edgegw.config.lines import LineIndex
from edgegw.config.load import Loaded, load
from edgegw.config.model import Bus, Config
from edgegw.config.notify_check import check_notify
from edgegw.config.rule_check import check_rules
from edgegw.config.salvage import Rest
from edgegw.config.site import Doubt, Site
from edgegw.config.supply_check import check_supply
from edgegw.config.truth_check import check_truth
from edgegw.config.uplink_check import check_deadbands, check_uplinks
from edgegw.config.uplink_forecast import UplinkForecast, forecast_uplinks, judge_quotas
from edgegw.drivers.catalogue import available, load_profile
from edgegw.drivers.profile_base import ProfileBase
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


def forecasts(config: Config) -> list[Forecast]:
    """What each bus with devices will have to carry, as far as it can be planned: no finding, but good to know."""
    site = _site(config)
    found: list[Forecast] = []
    for bus in config.bus:
        devices = [(device, site.profiles[device.profile]) for device in site.on_bus(bus.name) if device.profile in site.profiles]
        with suppress(EdgegwError):  # A poll group that does not exist is a finding.
            found += [forecast(bus, devices)] if devices else []
    return found


def traffic(config: Config) -> list[UplinkForecast]:
    """What each uplink will cost a SIM card: no finding, but good to know."""
    return forecast_uplinks(_site(config))


def _site(config: Config) -> Site:
    return Site.of(config, {name: profile for name in {device.profile for device in config.device} if (profile := _profile(name))})


def _doubts(config: Config, *, running: bool) -> list[Doubt]:
    site = _site(config)
    return [
        *_names(config),
        *_buses(config),
        *check_devices(site),
        *_loads(site),
        *check_rules(site),
        *check_levels(config),
        *check_truth(site),
        *check_supply(site),
        *check_uplinks(config, running=running),
        *check_channels(site, running=running),
        *check_notify(site),
        *check_deadbands(config),
        *judge_quotas(site),
    ]


def _line_of(finding: Finding) -> int:
    return finding.line or 0


def _profile(name: str) -> ProfileBase | None:
    """The profile, or None for one that does not exist or, being a station's own file, is wrong. A broken one of edgegw's own is its bug and is raised."""
    if name in available():
        return load_profile(name)
    return None if fault_of_profile(name) else load_profile(name)


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
