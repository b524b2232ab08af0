"""A profile's name to what a simulated device of it answers, whatever its protocol."""

from __future__ import annotations

from functools import cache

from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.dlt645_profile import DltProfile
from edgegw.drivers.megatec_profile import MegatecProfile
from edgegw.drivers.profile import Profile
from edgegw.drivers.sunspec_profile import SunspecProfile
from edgegw.sim.dlt645_device import Dlt645Body
from edgegw.sim.image import Image
from edgegw.sim.megatec_device import MegatecBody
from edgegw.sim.sunspec_device import SunspecBody
from edgegw.sim.tongue import Body


@cache
def build_body(profile: str) -> Body:
    """One for all devices of the profile of this name. Raises EdgegwError when there is none."""
    found = load_profile(profile)
    if isinstance(found, Profile):
        return Image(found)
    if isinstance(found, MegatecProfile):
        return MegatecBody(found)
    if isinstance(found, DltProfile):
        return Dlt645Body(found)
    if isinstance(found, SunspecProfile):
        return SunspecBody(found)
    raise TypeError(f"nothing simulates {profile}")
