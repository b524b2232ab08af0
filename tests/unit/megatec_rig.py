"""Public exchanges with UPS, as the tests of the Megatec family read them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

from edgegw.drivers.megatec_codec import crc

FOLDER = Path(__file__).parents[1] / "golden" / "megatec"


class Exchange(NamedTuple):
    dialect: str
    command: str
    body: bytes
    values: dict

    @property
    def wire(self) -> bytes:
        """As it goes over the line."""
        return self.body + (crc(self.body) if self.dialect == "voltronic-axpert" else b"") + b"\r"


def exchanges():
    found = []
    for file in sorted(FOLDER.glob("*.toml")):
        for one in tomllib.loads(file.read_text(encoding="utf-8"))["exchange"]:
            body = bytes.fromhex(one["hex"]) if "hex" in one else one["reply"].encode()
            values = {name: None if value == "null" else value for name, value in one["values"].items()}
            found.append(Exchange(file.stem, one["command"], body, values))
    return found


EXCHANGES = exchanges()
IDS = [f"{one.dialect} {one.command} {number}" for number, one in enumerate(EXCHANGES)]
