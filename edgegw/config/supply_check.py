"""`[supply]` and the roles of points: what names a device or a point that is not there would never be judged."""

from __future__ import annotations

from collections.abc import Iterator

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.site import Doubt, Site
from edgegw.points import wants

# What the rules about the connection look at.
_JUDGED = ("active_power", "apparent_power", "power_factor")
# What the yield of inverters is judged by, and the role of the sensor that lies as their modules do (truth/yields.py, which knows no configuration).
_SUN_POINT, _SUN_ROLE = "irradiance", "array"


def check_supply(site: Site) -> Iterator[Doubt]:
    supply = site.config.supply
    codes = {device.code: device for device in site.config.device}
    if not supply.meter:
        for key, value in (("contracted_kw", supply.contracted_kw), ("transformer_kva", supply.transformer_kva)):
            if value:
                yield Doubt(WARNING, "W-CFG-UNUSED", ("supply", key), f"supply: {key} is not judged without meter")
    elif supply.meter not in codes:
        yield Doubt(ERROR, "E-CFG-POINT", ("supply", "meter"), f'supply: no device has the code "{supply.meter}"{did_you_mean(supply.meter, codes)}')
    else:
        points = _points(site, supply.meter)
        if points is not None and not any(name in points for name in _JUDGED):
            text = f"supply: {supply.meter} has none of {', '.join(_JUDGED)}"
            yield Doubt(WARNING, "W-CFG-UNUSED", ("supply", "meter"), text)
    yield from _roles(site)
    yield from _suns(site)


def _roles(site: Site) -> Iterator[Doubt]:
    for number, device in enumerate(site.config.device):
        points = _points(site, device.code)
        for point in device.roles:
            if points is not None and point not in points:
                text = f'device "{device.code}": {device.profile} has no point "{point}"{did_you_mean(point, points)}'
                yield Doubt(ERROR, "E-CFG-POINT", ("device", number, "roles", point), text)


def _suns(site: Site) -> Iterator[Doubt]:
    """Nobody but the technician knows which of two sensors sees what the modules see."""
    suns = [(number, device) for number, device in enumerate(site.config.device) if _SUN_POINT in (_points(site, device.code) or ())]
    if len(suns) > 1 and sum(device.roles.get(_SUN_POINT) == _SUN_ROLE for _, device in suns) != 1:
        names = ", ".join(device.code for _, device in suns)
        text = f'{names} all measure the irradiance: one of them needs roles = {{ "{_SUN_POINT}" = "{_SUN_ROLE}" }}, or no yield is judged'
        yield Doubt(WARNING, "W-CFG-SUN", ("device", suns[-1][0], "code"), text)


def _points(site: Site, code: str) -> list[str] | None:
    """None where the profile is not known, which is told at the device."""
    device = next(device for device in site.config.device if device.code == code)
    profile = site.profiles.get(device.profile)
    return None if profile is None else [row.point for row in profile.point if wants(device.points, row.point)]
