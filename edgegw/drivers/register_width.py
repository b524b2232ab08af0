"""Where a register ends and how finely it counts, as far as its profile says: what tells a rollover from a reset. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from edgegw.drivers.profile import PointRow, Profile
from edgegw.drivers.profile_base import ProfileBase


class Width(NamedTuple):
    """In scaled integers of the point."""

    modulus: int | None
    """First value that the register cannot hold; None where its type does not say (floats, decimal registers of any number of digits)."""
    step: int
    """Its smallest change."""


def widths_of(profile: ProfileBase) -> dict[str, Width]:
    """Of the counters of a product. Registers of decimal digits (DL/T 645) are not here: where they end shows in their value."""
    if not isinstance(profile, Profile):
        return {}
    return {row.point: _width(profile, row) for row in profile.point if isinstance(row, PointRow) and profile.row_point(row).kind == "counter"}


def _width(profile: Profile, row: PointRow) -> Width:
    """Of a register that another one scales nobody knows before both are read."""
    end = _raw_end(row)
    if not end or row.exponent is not None:
        return Width(None, 1)
    unit = row.ratio * 10 ** profile.row_point(row).decimals
    whole = not row.mask and unit.denominator == 1
    return Width(round(end * unit) if whole else None, max(1, round(abs(unit))))


def _raw_end(row: PointRow) -> int:
    """First raw value that does not fit; 0 where there is no such thing."""
    found = re.fullmatch(r"([ui]|bcd)(16|32|64)", row.type)
    if not found:
        return 0
    bits = int(found[2])
    return 10 ** (bits // 4) if found[1] == "bcd" else 1 << (bits - (found[1] == "i"))
