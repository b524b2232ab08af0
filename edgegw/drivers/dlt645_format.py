"""How DL/T 645 writes one value: digits, signs, times, text and bits. No I/O.

    NNN.N           packed BCD, low byte first, one N a digit, decimals as written: 23H 56H is not 235.6 but 562.3
    +-NN.NNNN       the top bit of the highest byte is the sign and no part of the digits
    YYMMDDhhmm      times, written most significant first, on the wire low byte first; WW 0 is Sunday
    An, Dn, Bn, Hn  n characters of text (low byte first, filled with NUL), n bytes of digits as text, of bits, of hexadecimal text

All bytes FFH mean that the meter has no such value (an absent phase); another nibble above 9 is damage, although the check sum was right.
DL/T 645-2007, 6.2 and annex A.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

_FORM = re.compile(r"(?:(\d+)\*)?(\+-)?(N+(?:\.N+)?|[ADBH]\d+|[YMDWhms]+)(?: (\S+))?")
_TIME_PARTS = re.compile("YY|MM|DD|WW|hh|mm|ss")
# Largest value of each part of a time; months and days begin with 1. Some meters count Sunday as 7.
_TIME_MAX = {"YY": 99, "MM": 12, "DD": 31, "WW": 7, "hh": 23, "mm": 59, "ss": 59}
_TIME_TEXT = {"YY": "20{}", "MM": "{}", "DD": "{}", "WW": "w{}", "hh": "{}", "mm": "{}", "ss": "{}"}


# Digits of damaged bytes that a person is shown; a text may be long.
_SHOWN = 32


class DamagedError(ValueError):
    """Bytes that are no value of their format."""


class Format(NamedTuple):
    kind: str
    """number, digits, text, bits, hex or time"""
    size: int
    """Bytes; of a text the most."""
    decimals: int = 0
    signed: bool = False
    unit: str = ""
    parts: tuple[str, ...] = ()
    """Of a time, most significant first."""


@cache
def parse_formats(written: str) -> tuple[Format, ...]:
    """All values of one item: `NN.NNNN kW + YYMMDDhhmm`, `6*NNNNNN`."""
    found: list[Format] = []
    for form in written.split(" + "):
        match = _FORM.fullmatch(form)
        assert match is not None, written
        count, sign, body, unit = match.groups()
        found += [_format(body, unit or "", signed=bool(sign))] * int(count or 1)
    return tuple(found)


def _format(body: str, unit: str, *, signed: bool) -> Format:
    if body[0] == "N":
        digits = body.replace(".", "")
        return Format("number", (len(digits) + 1) // 2, len(body.partition(".")[2]), signed, unit)
    if body[1:].isdigit():
        kind = {"A": "text", "D": "digits", "B": "bits", "H": "hex"}[body[0]]
        return Format(kind, int(body[1:]), unit="bits" if kind == "bits" else unit)
    parts = tuple(_TIME_PARTS.findall(body))
    return Format("time", len(parts), unit=unit, parts=parts)


def is_absent(raw: bytes) -> bool:
    """Whether the meter says that it has no such value."""
    return not raw.strip(b"\xff")


def decode(raw: bytes, form: Format) -> int | str | None:
    """A number in units of its last decimal, a text, or None where the meter has no value. Raises DamagedError."""
    if form.kind == "bits" and form.size == 1:
        return raw[0]  # All eight may be set.
    if is_absent(raw):
        return None
    if form.kind == "bits":
        return int.from_bytes(raw, "little")
    if form.kind == "number":
        return _number(raw, signed=form.signed)
    if form.kind == "time":
        return time_text(raw, form.parts)
    return _TEXTS[form.kind](raw)


def _number(raw: bytes, *, signed: bool) -> int:
    if signed and raw[-1] & 0x80:
        return -int(digits_of(raw[:-1] + bytes((raw[-1] & 0x7F,))))
    return int(digits_of(raw))


def digits_of(raw: bytes) -> str:
    """Packed BCD, most significant digit first. Raises DamagedError."""
    digits = raw[::-1].hex()
    if not digits.isdecimal():
        raise DamagedError(f"{digits.upper()} holds a digit above 9")
    return digits


def text(raw: bytes) -> str:
    """Characters, last one first on the wire. Raises DamagedError."""
    found = raw[::-1].replace(b"\0", b"").strip(b"\xff ")
    if not found.isascii() or any(byte < 0x20 or byte == 0x7F for byte in found):
        shown = raw[::-1].hex().upper()
        raise DamagedError(f"{shown[:_SHOWN]}{'..' * (len(shown) > _SHOWN)} is no text")
    return found.decode("ascii")


def hexadecimal(raw: bytes) -> str:
    return raw[::-1].hex().upper()


_TEXTS = {"text": text, "digits": digits_of, "hex": hexadecimal}


def time_text(raw: bytes, parts: tuple[str, ...]) -> str | None:
    """`2019-07-06 w6`, `22:22:04`, `2024-01-18 10:15`; None where a date is all zeros: it has not been yet. Raises DamagedError."""
    digits = digits_of(raw)
    pairs = [digits[k : k + 2] for k in range(0, len(digits), 2)]
    if "MM" in parts and not any(map(int, pairs)):
        return None
    for part, pair in zip(parts, pairs, strict=True):
        if not (part in ("MM", "DD")) <= int(pair) <= _TIME_MAX[part]:
            raise DamagedError(f"{'-'.join(pairs)} is no time")
    return _joined(parts, pairs)


def _joined(parts: tuple[str, ...], pairs: list[str]) -> str:
    shown = ""
    for k, (part, pair) in enumerate(zip(parts, pairs, strict=True)):
        before = parts[k - 1] if k else ""
        link = "" if not before else "-" if part in ("MM", "DD") else ":" if part in ("mm", "ss") else " "
        shown += link + _TIME_TEXT[part].format(pair.lstrip("0") or "0" if part == "WW" else pair)
    return shown
