"""A device to its plan, whatever its protocol. Pure."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from edgegw.config.model import Device
from edgegw.drivers import plan as modbus_plan
from edgegw.drivers.base import DevicePlan, LineFacts
from edgegw.drivers.profile import Profile
from edgegw.drivers.profile_base import ProfileBase
from edgegw.points import wants

# Profiles times choices of points: as many as a station can have devices of different kinds.
CHOICES_KEPT = 256


def plan_device(device: Device, profile: ProfileBase, line: LineFacts, first_source_id: int) -> DevicePlan:
    """All questions of one device. Raises EdgegwError when the device names a poll group that its profile has not."""
    profile = _chosen(profile, tuple(device.points))
    plan = _plan(device, profile, line, first_source_id)
    return msgspec.structs.replace(plan, unproven=True) if profile.profile.unproven else plan


def _plan(device: Device, profile: ProfileBase, line: LineFacts, first_source_id: int) -> DevicePlan:
    """A protocol that no device of the station speaks is not loaded: memory holds its code for years."""
    if isinstance(profile, Profile):
        return modbus_plan.plan_device(device, profile, line, first_source_id)
    match profile.profile.protocol:
        case "sunspec":
            from edgegw.drivers import sunspec_driver, sunspec_profile  # noqa: PLC0415

            assert isinstance(profile, sunspec_profile.SunspecProfile)
            return sunspec_driver.plan_device(device, profile, line, first_source_id)
        case "megatec":
            from edgegw.drivers import megatec_driver, megatec_profile  # noqa: PLC0415

            assert isinstance(profile, megatec_profile.MegatecProfile)
            return megatec_driver.plan_device(device, profile, line, first_source_id)
        case "dlt645":
            from edgegw.drivers import dlt645_driver, dlt645_profile  # noqa: PLC0415

            assert isinstance(profile, dlt645_profile.DltProfile)
            return dlt645_driver.plan_device(device, profile, line, first_source_id)
    raise TypeError(type(profile).__name__)  # The catalogue makes no other.


@lru_cache(maxsize=CHOICES_KEPT)
def _chosen(profile: ProfileBase, patterns: tuple[str, ...]) -> ProfileBase:
    """The profile with the points that are wanted of it, in their order; the same one for the same choice."""
    if not patterns:
        return profile
    return msgspec.structs.replace(profile, point=[row for row in profile.point if wants(patterns, row.point)])
