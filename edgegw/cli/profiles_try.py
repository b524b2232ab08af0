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
from edgegw.errors import EXIT_NO_ANSWER, EXIT_OK, EXIT_UNKNOWN, EdgegwError

if TYPE_CHECKING:
    from edgegw.config.model import Bus
    from edgegw.drivers.base import DevicePlan, PlannedSource
    from edgegw.drivers.profile_base import ProfileBase
    from edgegw.model import Answer, Reading

# A block of registers as its source names it: function 3 or 4, first address.
_BLOCK = re.compile(r"[34]:(\d+)\+")
# The device has no code yet; this one stands in its readings.
_CODE = "TRY"


def run(settings: Settings, file: str, bus_name: str, unit: int, address: str) -> None:
    from edgegw.drivers.catalogue import load_profile

    bus = _find_bus(settings, bus_name)
    profile = load_profile(file)
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


def _find_bus(settings: Settings, name: str) -> Bus:
    config = load_config(Path(settings.config))
    found = next((bus for bus in config.bus if bus.name == name), None)
    if found is None:
        from edgegw.config.finding import did_you_mean

        hint = did_you_mean(name, [bus.name for bus in config.bus])
        raise EdgegwError("E-CFG", f'{settings.config}: no bus has the name "{name}"{hint}', "edgegw config check", EXIT_UNKNOWN)
    return found


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
    found = await _read(bus, profile, plan_device(device, profile, line_facts(bus), 1))
    refused = {value["point"] for value in found if value["quality"] == "refused"}
    if not refused or not isinstance(profile, Profile):
        return found
    alone = plan_device(device, _alone(profile, refused), line_facts(bus), 1)
    again = {value["point"]: value for value in await _read(bus, profile, alone)}
    return [again.get(value["point"], value) for value in found]


def _device(bus: Bus, profile: ProfileBase, unit: int, address: str) -> Any:
    from edgegw.config.model import Device

    return Device(code=_CODE, bus=bus.name, unit=unit if profile.addressing == "unit" else 0, address=address, profile=profile.profile.name)


def _alone(profile: Any, refused: set[str]) -> Any:
    """The same profile with the refused points only, each of them read by itself."""
    from msgspec.structs import replace

    rows = [row for row in profile.point if row.point in refused]
    return replace(profile, profile=replace(profile.profile, one_item=True), point=rows)


async def _read(bus: Bus, profile: ProfileBase, plan: DevicePlan) -> list[dict[str, Any]]:
    from msgspec.structs import replace

    from edgegw.bus.direct import read_device
    from edgegw.clock import Clock

    heard: dict[int, bytes] = {}
    sources = tuple(replace(planned, decode=_listening(planned, heard)) for planned in plan.sources)
    readings = await read_device(bus, replace(plan, sources=sources), Clock())
    places = {planned.source.source_id: _places(profile, planned) for planned in plan.sources}
    return [value for reading in readings for value in _values(reading, places.get(reading.source.source_id, {}), heard)]


def _listening(planned: PlannedSource, heard: dict[int, bytes]) -> Any:
    """The source's decoder, with a copy of what it decodes."""

    def decode(answers: Sequence[Answer]) -> Any:
        heard[planned.source.source_id] = b"".join(answer.data for answer in answers)
        return planned.decode(answers)

    return decode


def _places(profile: ProfileBase, planned: PlannedSource) -> dict[str, tuple[int, slice]]:
    """Of each point of a Modbus register block: its address, and its bytes in the answer."""
    from edgegw.drivers.profile import Profile

    block = _BLOCK.match(planned.block)
    if not isinstance(profile, Profile) or block is None:
        return {}
    first, names = int(block[1]), {point.name for point in planned.source.points}
    rows = [row for row in profile.point if row.point in names]
    return {row.point: (row.address, slice(2 * (row.address - first), 2 * (row.address - first + row.count))) for row in rows}


def _values(reading: Reading, places: dict[str, tuple[int, slice]], heard: dict[int, bytes]) -> Iterator[dict[str, Any]]:
    data = heard.get(reading.source.source_id, b"")
    for position, (point, value) in enumerate(zip(reading.source.points, reading.values, strict=True)):
        address, part = places.get(point.name, (None, slice(None)))
        yield {
            "point": point.name,
            "value": scaled(value, point.decimals),
            "unit": point.unit,
            "quality": reading.quality_of(position).word,
            "group": reading.source.group,
            "address": address,
            "raw": data[part].hex(" ").upper() if data else None,
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
