"""Times as people write and read them."""

from __future__ import annotations

import time

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DIGITS_MAX = 6


def seconds_of(option: str, text: str) -> int:
    """`30s`, `10m`, `2h`, `7d`; `0` for none. Raises click.UsageError."""
    if text == "0":
        return 0
    number, unit = text[:-1], _UNITS_S.get(text[-1:])
    if not unit or not number.isascii() or not number.isdigit() or len(number) > _DIGITS_MAX:
        raise click.UsageError(f"{option}: '{text}' is no time (30s, 10m, 2h, 7d)")
    return int(number) * unit


def local(at_ms: int | None) -> str:
    """`2026-11-20 20:41:07`, the time of this machine's zone; `-` for none."""
    if at_ms is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))
    except (OverflowError, OSError, ValueError):
        return "-"
