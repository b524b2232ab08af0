"""A device read without the service: the configuration planned and the line opened here, as the service would (`edgegw read --offline`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.output import screen_language
from edgegw.cli.settings import Settings
from edgegw.cli.texts import say
from edgegw.errors import EXIT_NO_ANSWER, EXIT_UNKNOWN, EXIT_USAGE, EdgegwError

if TYPE_CHECKING:
    from edgegw.bus.direct import Told
    from edgegw.config.model import Config, Device
    from edgegw.drivers.base import DevicePlan
    from edgegw.model import Value


def read_directly(settings: Settings, code: str, points: Sequence[str], said: str) -> tuple[dict[str, Any], str, str]:
    """(what the daemon's `read` would answer, gateway, its language); `said` is the text that tells why. Raises EdgegwError."""
    from edgegw.bus.direct import read_device
    from edgegw.clock import Clock, read_clock_trust
    from edgegw.drivers.catalogue import load_profile
    from edgegw.drivers.plan import line_facts
    from edgegw.drivers.planning import plan_device

    config = load_config(Path(settings.config))
    device = _find(config, code)
    bus = next((bus for bus in config.bus if bus.name == device.bus), None)
    if bus is None:
        raise EdgegwError("E-CFG", f'{settings.config}: device "{code}" names the unknown bus "{device.bus}"', "edgegw config check", EXIT_USAGE)
    plan = plan_device(device, load_profile(device.profile), line_facts(bus), 1)
    wanted = _wanted(plan, code, points)
    click.echo(say(screen_language(settings, config.gateway.language), said, bus.path or f"{bus.host}:{bus.port}"), err=True)
    clock = Clock()
    clock.trust = read_clock_trust()
    started_s = time.monotonic()
    told = asyncio.run(_within(read_device(bus, plan, clock), settings.timeout_s, code))
    wiring = {f"input.{number}": contact for number, contact in device.input.items()}
    inverted = frozenset(point for point, contact in wiring.items() if contact.contact == "nc")
    data = {
        "values": [value for one in told for value in _values(one, inverted) if not wanted or value["point"] in wanted],
        "device": {
            "code": code,
            "name": device.name,
            "profile": device.profile,
            "bus": device.bus,
            "unit": device.unit,
            "address": device.address,
            "unproven": plan.unproven,
        },
        "requests": sum(len(source.questions) for source in plan.sources),
        "milliseconds": round((time.monotonic() - started_s) * 1000),
    }
    return data, config.gateway.identity, config.gateway.language


def load_config(path: Path) -> Config:
    """A configuration without mistakes of its own. Raises EdgegwError with the first of them."""
    from edgegw.config.load import load

    loaded = load(path)
    if loaded.config is None:
        raise EdgegwError("E-CFG", f"{loaded.errors[0]}", f"edgegw config check {path}", EXIT_USAGE)
    return loaded.config


def _find(config: Config, code: str) -> Device:
    found = next((device for device in config.device if device.code == code), None)
    if found is None:
        from edgegw.config.finding import did_you_mean

        hint = did_you_mean(code, [device.code for device in config.device])
        raise EdgegwError("E-DEVICE", f'no device has the code "{code}"{hint}', "edgegw status", EXIT_UNKNOWN)
    return found


def _wanted(plan: DevicePlan, code: str, points: Sequence[str]) -> frozenset[str]:
    known = [point.name for source in plan.sources for point in source.source.points]
    for point in points:
        if point not in known:
            from edgegw.config.finding import did_you_mean

            hint = did_you_mean(point, known)
            raise EdgegwError("E-POINT", f'{code} has no point "{point}"{hint}', f"edgegw read {code}", EXIT_UNKNOWN)
    return frozenset(points)


async def _within(reading: Any, timeout_s: float, code: str) -> list[Told]:
    try:
        async with asyncio.timeout(timeout_s):
            found: list[Told] = await reading
            return found
    except TimeoutError as fault:
        raise EdgegwError("E-READ-SLOW", f"{code} was not read within {timeout_s:g} s", "--timeout 60", EXIT_NO_ANSWER) from fault


def _values(told: Told, inverted: frozenset[str]) -> Iterator[dict[str, Any]]:
    """`inverted`: inputs that are wired as normally closed. Raw is what the device said."""
    reading = told.reading
    origins: Sequence[Any] = told.located.origins if told.located else (None,) * len(reading.values)
    stamp = datetime.fromtimestamp(reading.read_at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for position, (point, value, origin) in enumerate(zip(reading.source.points, reading.values, origins, strict=True)):
        yield {
            "device": reading.source.device,
            "point": point.name,
            "value": scaled(_meant(value) if point.name in inverted else value, point.decimals),
            "unit": point.unit,
            "quality": reading.quality_of(position).word,
            "age_s": 0.0,
            "time": stamp,
            "time_trusted": reading.clock.word in ("synchronised", "corrected"),
            "raw": (origin.raw or None) if origin else None,
            "address": origin.address if origin else None,
            "period_s": reading.source.period_ms / 1000,
        }


def _meant(value: Value) -> Value:
    """Of a normally closed contact, as the service turns it round (truth/contact.py)."""
    return 1 - value if isinstance(value, int) and value in (0, 1) else value


def scaled(value: Any, decimals: int) -> Any:
    """A scaled integer to its number in the point's unit, with the digits that it has."""
    if isinstance(value, bool) or not isinstance(value, int) or decimals == 0:
        return value
    return round(value / 10**decimals, decimals)
