"""`[supply]` and the roles of points: what names a device or a point that is not there would never be judged."""

from __future__ import annotations

from collections.abc import Iterator

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.site import Doubt, Site
from edgegw.points import wants

# What the rules about the connection look at.
_JUDGED = ("active_power", "apparent_power", "power_factor")


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


def _roles(site: Site) -> Iterator[Doubt]:
    for number, device in enumerate(site.config.device):
        points = _points(site, device.code)
        for point in device.roles:
            if points is not None and point not in points:
                text = f'device "{device.code}": {device.profile} has no point "{point}"{did_you_mean(point, points)}'
                yield Doubt(ERROR, "E-CFG-POINT", ("device", number, "roles", point), text)


def _points(site: Site, code: str) -> list[str] | None:
    """None where the profile is not known, which is told at the device."""
    device = next(device for device in site.config.device if device.code == code)
    profile = site.profiles.get(device.profile)
    return None if profile is None else [row.point for row in profile.point if wants(device.points, row.point)]
