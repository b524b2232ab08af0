"""What is judged or computed of points that do not exist would never be judged or computed: inputs, computed points, balances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.model import Balance, Computed, Device
from edgegw.config.site import Doubt, Site
from edgegw.drivers.profile_base import ProfileBase
from edgegw.points import PointName, lookup, suggest, wants

_INPUTS = {"ratio": 2, "dew_point": 2, "unbalance": 3, "dew_margin": 3}
_UNITS = {"unbalance": ("V", "V", "V"), "dew_point": ("C", "%RH"), "dew_margin": ("C", "%RH", "C")}
_NUMBER_WORDS = {2: "two", 3: "three"}
# The ratio of two; a sum or difference of one is no sum.
INPUTS_MIN = 2
# One answer may get lost: after this an input that is fail-safe counts as lost (truth/contact.py, which knows no configuration).
LOST_ALONE_MS = 4500
_NUMBERS = frozenset({"measure", "counter", "state", "flag"})


def check_truth(site: Site) -> Iterator[Doubt]:
    """Each table against the points that the station has."""
    for number, device in enumerate(site.config.device):
        if (device.input or device.sleep_states) and device.profile in site.profiles:
            yield from _inputs(device, site.profiles[device.profile], ("device", number))
        yield from _guard(device, ("device", number), site)
    gateway = site.config.gateway
    if bool(gateway.latitude) != bool(gateway.longitude):
        given, missing = ("latitude", "longitude") if gateway.latitude else ("longitude", "latitude")
        yield Doubt(WARNING, "W-CFG-UNUSED", ("gateway", given), f"gateway: {given} alone is no place; {missing} is missing")
    yield from _computed(site)
    names: set[str] = set()
    for number, balance in enumerate(site.config.balance):
        path = ("balance", number)
        if balance.name in names:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "name"), f'balance "{balance.name}": the name stands twice')
        names.add(balance.name)
        yield from _balance(balance, path, site)


def _inputs(device: Device, profile: ProfileBase, path: tuple[str, int]) -> Iterator[Doubt]:
    has = [row.point.removeprefix("input.") for row in profile.point if row.point.startswith("input.") and wants(device.points, row.point)]
    for key in device.input:
        if key not in has:
            hint = did_you_mean(key, has) or (f"; it has {has[0]} to {has[-1]}" if has else "; it has none")
            yield Doubt(ERROR, "E-CFG-POINT", (*path, "input", key), f'device "{device.code}": {device.profile} has no input "{key}"{hint}')
    if device.sleep_states and profile.profile.device_class != "inverter":
        yield Doubt(WARNING, "W-CFG-UNUSED", (*path, "sleep_states"), f'device "{device.code}": sleep_states has a meaning for inverters only')


def _guard(device: Device, path: tuple[str, int], site: Site) -> Iterator[Doubt]:
    """One lost answer must not make a safety input blind: it must be asked again before it counts as lost. Modbus TCP needs no guard."""
    bus = next((bus for bus in site.config.bus if bus.name == device.bus and bus.kind != "tcp"), None)
    if bus is None or not any(contact.fail_safe for contact in device.input.values()):
        return
    again_ms = bus.answer_timeout_ms + bus.late_answer_guard_ms
    if again_ms >= LOST_ALONE_MS:
        what = f'device "{device.code}": bus {bus.name} asks again {again_ms} ms after a lost answer (answer_timeout_ms and late_answer_guard_ms)'
        yield Doubt(WARNING, "W-CFG-GUARD", (*path, "input"), f"{what}; its fail-safe inputs count as lost after {LOST_ALONE_MS} ms")


def _computed(site: Site) -> Iterator[Doubt]:
    devices = {device.code for device in site.config.device}
    taken: set[tuple[str, str]] = set()
    for number, computed in enumerate(site.config.computed):
        path = ("computed", number)
        title = f'computed "{computed.code}.{computed.point}": '
        if computed.code in devices or computed.code == site.config.gateway.gateway:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "code"), f"{title}the code belongs to a device already")
        if (computed.code, computed.point) in taken:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "point"), f"{title}stands twice")
        taken.add((computed.code, computed.point))
        entry = lookup(computed.point)
        if entry is None:
            near = suggest(computed.point)
            hint = f'; did you mean "{near}"?' if near else ""
            yield Doubt(ERROR, "E-CFG-POINT", (*path, "point"), f"{title}unknown point{hint}")
        yield from _terms(computed, entry, path, site)


def _terms(computed: Computed, entry: PointName | None, path: tuple[str, int], site: Site) -> Iterator[Doubt]:
    title = f'computed "{computed.code}.{computed.point}": '
    count = len(computed.inputs)
    exactly = _INPUTS.get(computed.operation)
    if count < INPUTS_MIN or (exactly is not None and count != exactly):
        need = f"exactly {_NUMBER_WORDS[exactly]} inputs" if exactly else "two inputs at least"
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "inputs"), f"{title}a {computed.operation} needs {need}, found {count}")
    for place, name in enumerate(computed.inputs):
        where = (*path, "inputs", place)
        fault = _fault(name, site)
        given = lookup(_split(name, site)[1])
        if fault:
            yield Doubt(ERROR, "E-CFG-POINT", where, f"{title}{fault}")
        elif given is not None and given.kind not in _NUMBERS:
            yield Doubt(ERROR, "E-CFG-VALUE", where, f"{title}{name} is no number")
        elif entry is not None and given is not None and exactly is None and given.unit != entry.unit:
            yield Doubt(ERROR, "E-CFG-VALUE", where, f"{title}{name} is in {given.unit}, the {computed.operation} in {entry.unit}")
        elif given is not None and place < len(wanted := _UNITS.get(computed.operation, ())) and given.unit != wanted[place]:
            yield Doubt(ERROR, "E-CFG-VALUE", where, f"{title}{name} is in {given.unit}, input {place + 1} of {computed.operation} is in {wanted[place]}")


def _balance(balance: Balance, path: tuple[str, int], site: Site) -> Iterator[Doubt]:
    title = f'balance "{balance.name}": '
    if not balance.parts:
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "parts"), f"{title}needs one part at least")
    whole = lookup(_split(balance.total, site)[1])
    named: Sequence[tuple[tuple[str | int, ...], str]] = [((*path, "total"), balance.total)]
    named = [*named, *((((*path, "parts", place)), part.removeprefix("-")) for place, part in enumerate(balance.parts))]
    for where, name in named:
        fault = _fault(name, site)
        entry = lookup(_split(name, site)[1])
        if fault:
            yield Doubt(ERROR, "E-CFG-POINT", where, f"{title}{fault}")
        elif entry is not None and entry.kind not in {"measure", "counter"}:
            yield Doubt(ERROR, "E-CFG-VALUE", where, f"{title}{name} is neither a measure nor a register")
        elif entry is not None and whole is not None and (entry.unit, entry.kind) != (whole.unit, whole.kind):
            yield Doubt(ERROR, "E-CFG-VALUE", where, f"{title}{name} is a {entry.kind} in {entry.unit}, the whole a {whole.kind} in {whole.unit}")


def _fault(name: str, site: Site) -> str:
    """Why `DEVICE.point` cannot be; empty when it can. A device whose profile is wrong, which is told there, may have any point."""
    code, point = _split(name, site)
    codes = {device.code: device for device in site.config.device}
    if code not in codes:
        return f'unknown device "{code}" in "{name}"{did_you_mean(code, codes)}; it is written DEVICE.point'
    profile = site.profiles.get(codes[code].profile)
    points = [row.point for row in profile.point if wants(codes[code].points, row.point)] if profile else [point]
    return "" if point in points else f'{code} has no point "{point}"{did_you_mean(point, points)}'


def _split(name: str, site: Site) -> tuple[str, str]:
    """Device and point. A code may hold a dot itself: the longest that fits is meant."""
    codes = [device.code for device in site.config.device if name.startswith(f"{device.code}.")]
    code = max(codes, key=len, default=name.partition(".")[0])
    return code, name[len(code) + 1 :]
