"""What the checks across tables look at: the configuration with its profiles, and by what its devices are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from edgegw.config.lines import Path
from edgegw.config.model import Config, Device
from edgegw.drivers.profile_base import ProfileBase


class Doubt(msgspec.Struct, frozen=True):
    """A finding before its line is known."""

    severity: Literal["error", "warning"]
    id: str
    path: Path
    text: str


class Site(msgspec.Struct, frozen=True):
    """A configuration and the profiles that it names and that exist."""

    config: Config
    profiles: Mapping[str, ProfileBase]
    by_bus: Mapping[str, list[Device]]

    @classmethod
    def of(cls, config: Config, profiles: Mapping[str, ProfileBase]) -> Site:
        by_bus: dict[str, list[Device]] = {}
        for device in config.device:
            by_bus.setdefault(device.bus, []).append(device)
        return cls(config, profiles, by_bus)

    def on_bus(self, name: str) -> list[Device]:
        return self.by_bus.get(name, [])
