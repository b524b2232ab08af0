"""Battery arithmetic where a UPS tells no charge: cells, string voltage, charge as NUT estimates it. Pure.

Source: networkupstools/nut drivers/nutdrv_qx.c (qx_initbattery, qx_battery) and docs/man/nutdrv_qx.txt.

    volts per cell     a field of the form d.dd; cells = nominal voltage / 2
    volts of a block   NUT takes the first number n of its list with n x V <= 1.25 x nominal, and none when n x V < 0.8 x nominal
    charge             0 % at 104/120 and 100 % at 130/120 of the nominal voltage (1.733 and 2.167 V a cell), clamped
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

CELL_VOLTS = 2
# drivers/nutdrv_qx.c, `packs`.
PACKS = (120, 100, 80, 60, 48, 36, 30, 24, 18, 12, 8, 6, 4, 3, 2, 1, Decimal("0.5"))
# Nominal voltages that a string of lead cells can have; what is outside was read wrong.
NOMINAL_V_MIN, NOMINAL_V_MAX = Decimal(2), Decimal(1000)
_PER_CELL = re.compile(r"\d\.\d\d")


class Battery(NamedTuple):
    """What a voltage says of the battery when its nominal voltage is known."""

    cells: int | None
    """Where the device tells volts per cell."""
    total_v: Decimal
    charge_percent: int


def is_per_cell(text: str) -> bool:
    """Whether the field of a Q1 reply is volts per 2 V cell (`2.26`) rather than of the battery (`27.5`)."""
    return _PER_CELL.fullmatch(text) is not None


def cells_of(nominal_v: Decimal) -> int | None:
    """2 V cells of a string with this nominal voltage; None where it is no whole number of them."""
    cells = nominal_v / CELL_VOLTS
    return int(cells) if NOMINAL_V_MIN <= nominal_v <= NOMINAL_V_MAX and cells == cells.to_integral_value() else None


def judge(volts: Decimal, nominal_v: Decimal, *, per_cell: bool) -> Battery | None:
    """String voltage and estimated charge; None where voltage and rating cannot belong together."""
    if not NOMINAL_V_MIN <= nominal_v <= NOMINAL_V_MAX:
        return None
    cells = cells_of(nominal_v) if per_cell else None
    factor = Decimal(cells) if cells is not None else _packs(volts, nominal_v)
    if factor is None:
        return None
    total = volts * factor
    if not Decimal("0.8") * nominal_v <= total <= Decimal("1.25") * nominal_v:
        return None
    return Battery(cells, total, charge_percent(total, nominal_v))


def charge_percent(total_v: Decimal, nominal_v: Decimal) -> int:
    """NUT's estimate, rounded as C prints `%.0f`. Under load the voltage sags, so it is an estimate only."""
    low, high = nominal_v * 104 / 120, nominal_v * 130 / 120
    share = 100 * (total_v - low) / (high - low)
    return int(min(max(share, Decimal(0)), Decimal(100)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _packs(volts: Decimal, nominal_v: Decimal) -> Decimal | None:
    """How many blocks of this voltage the string has."""
    limit = Decimal("1.25") * nominal_v
    first = next((Decimal(n) for n in PACKS if Decimal(n) * volts <= limit), None)
    return first if first is not None and first * volts >= Decimal("0.8") * nominal_v else None
