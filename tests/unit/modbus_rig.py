"""What the tests of drivers and bus share: golden exchanges, and profiles made from rows."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import msgspec

from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import available, load_profile, parse_profile
from edgegw.drivers.decode import compile_block
from edgegw.drivers.modbus_codec import sealed
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.drivers.profile import PointRow, Profile
from edgegw.model import Answer

GOLDEN = Path(__file__).parent.parent / "golden" / "modbus"

HEAD = """
[profile]
name = "test"
maker = "test"
title = "test"
title_zh = "测试"
class = "meter"
protocol = "modbus"
source = "made for the test"
"""


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    transport: str
    kind: str
    source: str
    request: str
    reply: str
    values: dict[str, str]
    """Point to value in the dictionary's unit; `none` where the device says that there is none."""

    @property
    def asked(self) -> tuple[int, int, int, int]:
        """Unit, function, address, count."""
        request = bytes.fromhex(self.request)[0 if self.transport == "rtu" else 6 :]
        return request[0], request[1], int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")


def exchanges() -> list[tuple[str, Exchange]]:
    """(profile, exchange) of every golden file."""
    found = []
    for path in sorted(GOLDEN.glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        found += [(path.stem, exchange) for exchange in msgspec.convert(document["exchange"], list[Exchange])]
    return found


def modbus_profiles() -> list[str]:
    """Names of the profiles of this protocol."""
    return [name for name in available() if isinstance(load_profile(name), Profile)]


def read_values(profile_name: str, exchange: Exchange, data: bytes) -> dict[str, str | Decimal | None]:
    """The points whose registers lie in the exchange, decoded from the answer's data."""
    profile = load_profile(profile_name)
    _, function, address, count = exchange.asked
    inside: dict[str, PointRow] = {}
    for row in (*profile.point, *profile.also):
        if row.function == function and address <= row.span[0] and row.span[1] < address + count:
            inside.setdefault(row.point, row)
    rows = list(inside.values())
    values, quality = compile_block(profile, rows, address, count)([Answer(data, 0)])
    assert set(quality) == {i for i, value in enumerate(values) if value is None}
    points = [profile.row_point(row) for row in rows]
    return {
        point.name: value if value is None or isinstance(value, str) else Decimal(value).scaleb(-point.decimals)
        for point, value in zip(points, values, strict=True)
    }


def profile_of(rows: str, head: str = "", group: str = "[group.g]\nperiod_s = 1\n") -> Profile:
    """A profile with these `[[point]]` rows; each is `name, rest of the row`."""
    text = "".join(f'[[point]]\npoint = "{row.split(",", 1)[0].strip()}"\ngroup = "g"\n{_lines(row)}\n' for row in rows.strip().splitlines())
    return parse_profile(f"{HEAD}{head}\n{group}\n{text}", "test.toml")


def _lines(row: str) -> str:
    rest = row.split(",", 1)[1] if "," in row else ""
    return "\n".join(part.strip() for part in rest.split(";"))


def plan_of(profile: Profile, bus: Bus, unit: int = 1, code: str = "", first: int = 1, **period_s: float):
    device = Device(code=code or f"D{unit}", bus=bus.name, unit=unit, profile=profile.profile.name, period_s=period_s)
    return plan_device(device, profile, line_facts(bus), first)


def answer_frame(unit: int, function: int, data: bytes) -> bytes:
    """A good RTU answer."""
    return sealed(bytes((unit, function, len(data))) + data)


def exception_frame(unit: int, function: int, code: int) -> bytes:
    return sealed(bytes((unit, function | 0x80, code)))
