"""`edgegw profiles try`: one device asked with a profile that is in no configuration yet. What is refused as a block is asked value by value."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.cells import table, wrap
from edgegw.cli.direct import load_config, scaled
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.read import judge
from edgegw.cli.settings import Settings
from edgegw.cli.texts import say, say_word
from edgegw.errors import EXIT_NO_ANSWER, EXIT_OK, EXIT_UNKNOWN, EXIT_USAGE, EdgegwError

if TYPE_CHECKING:
    from edgegw.bus.direct import Told
    from edgegw.config.model import Bus, Config, Device
    from edgegw.drivers.base import DevicePlan
    from edgegw.drivers.profile_base import ProfileBase

# The device has no code yet; this one stands in its readings.
_CODE = "TRY"
_ADDRESS = re.compile(r"[0-9]{0,12}")


def run(settings: Settings, file: str, bus_name: str, unit: int, address: str) -> None:
    from edgegw.drivers.catalogue import load_profile

    config = load_config(Path(settings.config))
    bus = _find_bus(config, settings.config, bus_name)
    profile = load_profile(file)
    _check(config, profile, _device(bus, profile, unit, address))
    language = screen_language(settings)
    click.echo(say(language, "direct", bus.path or f"{bus.host}:{bus.port}"), err=True)
    values = asyncio.run(_within(_try(bus, profile, unit, address), settings.timeout_s, file))
    refused = [value["point"] for value in values if value["quality"] == "refused"]
    # A point that this device does not have is the answer to the question that was asked, not a doubt.
    exit_code = judge([value for value in values if value["quality"] != "refused"]) if len(refused) < len(values) else judge(values)
    data = {"profile": profile.profile.name, "unproven": bool(profile.profile.unproven), "bus": bus.name, "unit": unit, "values": values, "refused": refused}
    rows = [[value["point"], value["value"], value["unit"], value["quality"], value["raw"]] for value in values]
    result = Result(data, screen=lambda: _screen(data, language), rows=lambda: rows, exit_code=exit_code if values else EXIT_OK)
    finish(settings, "profiles-try", result)


def _find_bus(config: Config, file: str, name: str) -> Bus:
    found = next((bus for bus in config.bus if bus.name == name), None)
    if found is None:
        from edgegw.config.finding import did_you_mean

        hint = did_you_mean(name, [bus.name for bus in config.bus])
        raise EdgegwError("E-CFG", f'{file}: no bus has the name "{name}"{hint}', "edgegw config check", EXIT_UNKNOWN)
    return found


def _check(config: Config, profile: ProfileBase, device: Device) -> None:
    """What `edgegw config check` would say of this device on this bus, before anything is sent. Raises EdgegwError with the first of it."""
    from msgspec.structs import replace

    from edgegw.config.device_check import check_devices
    from edgegw.config.finding import ERROR
    from edgegw.config.site import Site

    if not _ADDRESS.fullmatch(device.address):
        text = f'--address "{device.address}": the up to 12 digits on the nameplate of a DL/T 645 meter'
        raise EdgegwError("E-CFG-VALUE", text, "edgegw profiles try -h", EXIT_USAGE)
    site = Site.of(replace(config, device=[device]), {device.profile: profile})
    for doubt in check_devices(site):
        if doubt.severity == ERROR:
            raise EdgegwError(doubt.id, doubt.text.removeprefix(f'device "{_CODE}": '), "edgegw profiles try -h", EXIT_USAGE)


async def _within(trying: Any, timeout_s: float, file: str) -> list[dict[str, Any]]:
    try:
        async with asyncio.timeout(timeout_s):
            found: list[dict[str, Any]] = await trying
            return found
    except TimeoutError as fault:
        raise EdgegwError("E-READ-SLOW", f"{file} was not tried within {timeout_s:g} s", "--timeout 60", EXIT_NO_ANSWER) from fault


async def _try(bus: Bus, profile: ProfileBase, unit: int, address: str) -> list[dict[str, Any]]:
    """Every point once: in blocks as the service would, then what was refused by itself."""
    from edgegw.drivers.plan import line_facts
    from edgegw.drivers.planning import plan_device
    from edgegw.drivers.profile import Profile

    device = _device(bus, profile, unit, address)
    found = await _read(bus, plan_device(device, profile, line_facts(bus), 1))
    refused = {value["point"] for value in found if value["quality"] == "refused"}
    if not refused or not isinstance(profile, Profile):
        return found
    alone = plan_device(device, _alone(profile, refused), line_facts(bus), 1)
    again = {value["point"]: value for value in await _read(bus, alone)}
    return [again.get(value["point"], value) for value in found]


def _device(bus: Bus, profile: ProfileBase, unit: int, address: str) -> Device:
    from edgegw.config.model import Device

    return Device(code=_CODE, bus=bus.name, unit=unit if profile.addressing == "unit" else 0, address=address, profile=profile.profile.name)


def _alone(profile: Any, refused: set[str]) -> Any:
    """The same profile with the refused points only, each of them read by itself."""
    from msgspec.structs import replace

    rows = [row for row in profile.point if row.point in refused]
    return replace(profile, profile=replace(profile.profile, one_item=True), point=rows)


async def _read(bus: Bus, plan: DevicePlan) -> list[dict[str, Any]]:
    from edgegw.bus.direct import read_device
    from edgegw.clock import Clock

    return [value for told in await read_device(bus, plan, Clock()) for value in _values(told)]


def _values(told: Told) -> Iterator[dict[str, Any]]:
    reading = told.reading
    origins: Sequence[Any] = told.located.origins if told.located else (None,) * len(reading.values)
    for position, (point, value, origin) in enumerate(zip(reading.source.points, reading.values, origins, strict=True)):
        yield {
            "point": point.name,
            "value": scaled(value, point.decimals),
            "unit": point.unit,
            "quality": reading.quality_of(position).word,
            "group": reading.source.group,
            "address": origin.address if origin else None,
            "raw": (origin.raw or None) if origin else None,
        }


# -- for people


def _screen(data: dict[str, Any], language: str) -> Iterator[str]:
    width = screen_width()
    title = f"{data['profile']}  {data['bus']}" + (f"  {say(language, 'profile.unproven')}" if data["unproven"] else "")
    yield from wrap(title, 2, width)
    heads = [say(language, f"head.{name}") for name in ("point", "value", "unit", "quality", "raw")]
    rows = [_row(value, language) for value in data["values"]]
    yield from table(heads, rows, right=frozenset({1}), flexible=4, width=width)
    if data["refused"]:
        yield from wrap(say(language, "profile.refused", len(data["refused"]), ", ".join(data["refused"])), 2, width)


def _row(value: dict[str, Any], language: str) -> list[str]:
    shown = "-" if value["value"] is None else str(value["value"])
    unit = "" if value["unit"] == "1" else value["unit"]
    return [value["point"], shown, unit, say_word(language, "quality", value["quality"]), value["raw"] or ""]
