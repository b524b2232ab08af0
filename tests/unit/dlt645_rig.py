"""What the tests of DL/T 645 share: published frames, and frames made by hand, apart from the codec."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

GOLDEN = Path(__file__).parent.parent / "golden" / "dlt645"
METER = "240118000017"


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hex: str
    source: str
    control: str
    address: str
    note: str = ""
    di: str | None = None
    values: list[float | str] = []
    unit: str = ""
    error: str | None = None
    fault: str = ""

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.hex)

    @property
    def wanted(self) -> list[float | str | None]:
        return [None if value == "none" else value for value in self.values]


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    hex: str
    controls: list[str]
    fault: str = ""


def golden() -> list[Golden]:
    return msgspec.convert(tomllib.loads((GOLDEN / "frames.toml").read_text(encoding="utf-8"))["frame"], list[Golden])


def streams() -> list[Stream]:
    return msgspec.convert(tomllib.loads((GOLDEN / "streams.toml").read_text(encoding="utf-8"))["stream"], list[Stream])


def frame(control: int, data: str, address: str = METER) -> bytes:
    """`data` as hexadecimal text in the order of the wire, without the 33H."""
    body = bytes([0x68, *reversed(bytes.fromhex(address)), 0x68, control, len(data.replace(" ", "")) // 2])
    body += bytes((byte + 0x33) % 256 for byte in bytes.fromhex(data))
    return body + bytes([sum(body) % 256, 0x16])


def reply(di: str, value: str, address: str = METER, control: int | None = None) -> bytes:
    """A good answer; `value` as text, most significant byte first."""
    code = control or (0x81 if len(di) == 4 else 0x91)
    return frame(code, bytes(reversed(bytes.fromhex(di))).hex() + bytes(reversed(bytes.fromhex(value))).hex(), address)
