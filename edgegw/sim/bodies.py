"""A profile's name to what a simulated device of it answers, whatever its protocol."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.dlt645_profile import DltProfile
from edgegw.drivers.megatec_profile import MegatecProfile
from edgegw.drivers.profile import Profile
from edgegw.drivers.sunspec_profile import SunspecProfile
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.sim.dlt645_device import Dlt645Body
from edgegw.sim.image import Image
from edgegw.sim.megatec_device import MegatecBody
from edgegw.sim.sunspec_device import SunspecBody, load_image
from edgegw.sim.tongue import Body


@cache
def build_body(profile: str, image: str = "") -> Body:
    """One for all devices of the profile of this name and image file. Raises EdgegwError when there is none, or for an image that is none."""
    found = load_profile(profile)
    if image:
        return _from_image(found, profile, image)
    if isinstance(found, Profile):
        return Image(found)
    if isinstance(found, MegatecProfile):
        return MegatecBody(found)
    if isinstance(found, DltProfile):
        return Dlt645Body(found)
    if isinstance(found, SunspecProfile):
        return SunspecBody(found)
    raise TypeError(f"nothing simulates {profile}")


def _from_image(found: object, profile: str, image: str) -> Body:
    if not isinstance(found, SunspecProfile):
        raise EdgegwError("E-SIM-STATION", f'image "{image}": {profile} is no SunSpec profile', "leave the key image out", EXIT_USAGE)
    try:
        return load_image(Path(image), found)
    except OSError as fault:
        raise EdgegwError("E-SIM-STATION", f'image "{image}" cannot be read: {fault.strerror}', "name a file beside the station file", EXIT_USAGE) from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        step = 'write base = 40000 and registers = "5375 6E53 ..." into it'
        raise EdgegwError("E-SIM-STATION", f'image "{image}" is none: {fault}', step, EXIT_USAGE) from fault
