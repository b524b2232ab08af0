"""Data identifiers of DL/T 645: what an identifier reads, and the values in its bytes. No I/O but the tables beside this file.

An identifier is four bytes (edition 2007, written DI3 DI2 DI1 DI0) or two (1997, DI1 DI0). Energy, demand, freezes, harmonics and events are families:
the bytes say which kind, tariff, settlement day or phase. FF (1997: F in the last digit) in place of a member asks for the block of all:

    0001FF00    forward active energy: total, tariff 1, tariff 2, ...     as many as the meter has
    901F        the same in the edition of 1997
    0203FF00    active power: total, A, B, C

DL/T 645-2007 and DL/T 645-1997, annex A.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from edgegw.drivers.dlt645_format import DamagedError, Format, decode, parse_formats

TARIFFS = {1: "sharp", 2: "peak", 3: "flat", 4: "valley"}
_TARIFFS_ZH = {1: "尖", 2: "峰", 3: "平", 4: "谷"}
TARIFF_MAX = 63
SETTLEMENTS_MAX = 12
HARMONIC_MAX = 21
RECORDS_MAX = 10
# Hourly freezes; a meter keeps 62 daily ones.
FREEZES_MAX = 254
# Identifiers that are looked up again and again: those of the profiles.
KNOWN_KEPT = 1024
_PHASES = ("a", "b", "c")
# Some meters end a block with this byte, which parts the groups of a block of blocks.
_SEPARATOR = 0xAA


class Item(NamedTuple):
    """One value that an identifier reads."""

    name: str
    form: Format
    en: str
    zh: str

    @property
    def unit(self) -> str:
        return self.form.unit


class Known(NamedTuple):
    """What an identifier reads."""

    di: str
    en: str
    zh: str
    members: tuple[str, ...]
    """Of a block: the identifiers that read its values one by one, in its order."""
    items: tuple[Item, ...]
    """In the order of the bytes; of a block a meter sends as many whole ones as it has."""


class Value(NamedTuple):
    """One decoded value: `raw` in units of its last decimal, text, or None."""

    item: Item
    raw: int | str | None
    damage: str = ""
    """Why there is none although the meter sent one."""
    offset: int = 0
    """First byte in the data behind the identifier."""

    @property
    def number(self) -> int | float | str | None:
        """In the unit."""
        if isinstance(self.raw, int) and self.item.form.decimals:
            return float(f"{self.raw}e-{self.item.form.decimals}")
        return self.raw


class Decoded(NamedTuple):
    values: tuple[Value, ...]
    reason: str = ""
    """What is wrong with the whole of it."""
    used: int = 0
    """Bytes that whole items took."""


@lru_cache(maxsize=KNOWN_KEPT)
def find(di: str, year: int = 2007) -> Known | None:
    """What this identifier reads, None for one that is not known."""
    if len(di) != (4 if year == 1997 else 8):
        return None
    members = _members(di, year)
    rows = [_row(member, year) for member in (members or (di,))]
    if not rows or None in rows:
        return None
    items = tuple(item for row in rows if row is not None for item in _items(row))
    first = rows[0]
    assert first is not None
    en, zh = _table(year)["titles"].get(di, first[2:])
    if members:
        en, zh = f"{en}, block", f"{zh}数据块"
    return Known(di, en, zh, members, items)


def read_values(known: Known, data: bytes, *, start: int = 0, whole: bool = True) -> Decoded:
    """The values in the bytes behind the identifier.

    `start`: so many items stood in the frames before. `whole` False: a follow-up frame brings the rest, which may begin inside an item.
    """
    if whole and known.members and data[-1:] == bytes((_SEPARATOR,)) and not _ends_at(known, start, len(data)) and _ends_at(known, start, len(data) - 1):
        data = data[:-1]
    values: list[Value] = []
    at = 0
    for item in known.items[start:]:
        size = len(data) - at if item.form.kind == "text" else item.form.size
        if at >= len(data) or at + size > len(data):
            break
        values.append(_value(item, data[at : at + size], at))
        at += size
    short = not (values or start) or (not known.members and start + len(values) < len(known.items))
    if whole and (at != len(data) or short):
        absent = tuple(Value(value.item, None, "length", value.offset) for value in values) or (Value(known.items[0], None, "length"),)
        return Decoded(absent, f"{len(data)} bytes of data do not fit {known.di}", 0)
    damaged = next((value for value in values if value.damage), None)
    return Decoded(tuple(values), f"{damaged.item.name}: {damaged.damage}" if damaged else "", at)


def _ends_at(known: Known, start: int, size: int) -> bool:
    """Whether so many bytes are whole items."""
    at = 0
    for item in known.items[start:]:
        if at >= size:
            break
        at += item.form.size
    return at == size


def _value(item: Item, raw: bytes, offset: int) -> Value:
    try:
        return Value(item, decode(raw, item.form), offset=offset)
    except DamagedError as fault:
        return Value(item, None, str(fault), offset)


def bit_texts(di: str, year: int, word: int, *, chinese: bool) -> list[str]:
    """What the bits that are set in a status word say."""
    known = _table(year).get("bits", {}).get(_BITS_AS.get(di, di))
    if known is None:
        return []
    unknown = "位{}" if chinese else "bit {}"
    return [known[str(bit)][chinese] if str(bit) in known else unknown.format(bit) for bit in range(word.bit_length()) if word >> bit & 1]


# Phases B and C have the bits of phase A.
_BITS_AS = {"04000505": "04000504", "04000506": "04000504"}


# -- identifiers to rows of the tables: [name, format, English, Chinese]

Row = tuple[str, str, str, str]


@cache
def _table(year: int) -> Mapping[str, Any]:
    return tomllib.loads(files("edgegw.drivers").joinpath(f"dlt645_{year}.toml").read_text(encoding="utf-8"))


def _items(row: Row) -> list[Item]:
    """A time beside a value is told as NAME.time; several values of one kind are numbered."""
    name, written, en, zh = row
    forms = parse_formats(written)
    if len(forms) == 1:
        return [Item(name, forms[0], en, zh)]
    if (forms[0].kind, forms[1].kind, len(forms)) == ("number", "time", 2):
        return [Item(name, forms[0], en, zh), Item(f"{name}.time", forms[1], f"{en}: when", f"{zh}发生时间")]
    return [Item(f"{name}.{k}", form, f"{en} ({k})", f"{zh}（{k}）") for k, form in enumerate(forms, 1)]


def _members(di: str, year: int) -> tuple[str, ...]:
    """The identifiers of a block; none for a single item."""
    listed: Sequence[str] | None = _table(year)["blocks"].get(di)
    if listed is not None:
        return tuple(listed)
    if year == 1997:
        # The last digit F is the set: the total and up to 14 tariffs.
        return tuple(f"{di[:3]}{tariff:X}" for tariff in range(15)) if di[3] == "F" and _row_1997(di[:3] + "0") else ()
    family, kind, third, last = di[:2], di[2:4], di[4:6], di[6:]
    places: Sequence[str] = ()
    if family in ("00", "01") and kind != "90" and (third == "FF") != (last == "FF"):
        places = [f"{tariff:02X}{last}" for tariff in range(TARIFF_MAX + 1)] if third == "FF" else [f"{third}{day:02X}" for day in range(SETTLEMENTS_MAX + 1)]
    elif di[:4] in ("020A", "020B") and last == "FF":
        places = [f"{third}{order:02X}" for order in range(1, HARMONIC_MAX + 1)]
    elif family == "05" and 0 < int(third, 16) <= 0x10:
        return _freeze_members(di)
    return tuple(family + kind + place for place in places)


def _freeze_members(di: str) -> tuple[str, ...]:
    """Freezes hold blocks without saying so; `:n` is the n-th value of one, an identifier that only this module knows."""
    count = 8 if di[4:6] == "10" else 1 if di[2:4] == "04" else TARIFF_MAX + 1
    return tuple(f"{di}:{k}" for k in range(count))


def _row(di: str, year: int) -> Row | None:
    row = _table(year)["items"].get(di)
    if row is not None:
        return (row[0], row[1], row[2], row[3])
    if year == 1997:
        return _row_1997(di)
    family, kind, third, last = di[:2], di[2:4], int(di[4:6], 16), int(di[6:8], 16)
    if family in ("00", "01"):
        return _row_energy(kind, third, last) if family == "00" else _row_demand(kind, third, last)
    if di[:4] in ("020A", "020B"):
        return _row_harmonic(kind, third, last)
    if family == "05":
        return _row_freeze(di)
    return _row_record(di[:6], last) or _row_event(family, int(kind, 16), third, last)


def _row_record(family: str, ago: int) -> Row | None:
    row = _table(2007)["records"].get(family)
    if row is None or not 1 <= ago <= RECORDS_MAX:
        return None
    return f"{row[0]}.{ago}", row[1], f"{row[2]} ({ago} ago)", f"上{ago}次{row[3]}"


def _row_energy(kind: str, tariff: int, day: int) -> Row | None:
    row, phase = _kind_row("energy", kind)
    if row is None or tariff > TARIFF_MAX or day > SETTLEMENTS_MAX:
        return None
    return _with_day(_with_tariff(_with_phase(row, phase), tariff), day)


def _row_demand(kind: str, tariff: int, day: int) -> Row | None:
    row, phase = _kind_row("demand", kind)
    if row is None or tariff > TARIFF_MAX or day > SETTLEMENTS_MAX:
        return None
    name, written, en, zh = _with_day(_with_tariff(_with_phase(row, phase), tariff), day)
    return name, f"{written} + YYMMDDhhmm", en, zh


def _kind_row(family: str, kind: str) -> tuple[Row | None, int | None]:
    """(row, phase) of a kind of energy or demand; the kinds of the phases follow each other."""
    table = _table(2007)
    listed = table[family]
    if kind in listed:
        return tuple(listed[kind]), None
    for begins, kinds in (("first", "kinds"), ("extra_first", "extra_kinds")):
        for phase, first in enumerate(table["phase_energy"][begins]):
            place = int(kind, 16) - int(first, 16)
            if 0 <= place < len(table["phase_energy"][kinds]):
                row = listed.get(table["phase_energy"][kinds][place])
                return (None if row is None else tuple(row)), phase
    return None, None


def _with_phase(row: Row, phase: int | None) -> Row:
    if phase is None:
        return row
    letter = _PHASES[phase]
    return f"{row[0]}.{letter}", row[1], f"{row[2]} {letter.upper()}", f"{letter.upper()}相{row[3]}"


def _with_tariff(row: Row, tariff: int) -> Row:
    if not tariff:
        return row
    name = TARIFFS.get(tariff, f"tariff{tariff}")
    return f"{row[0]}.{name}", row[1], f"{row[2]}, {name.replace('tariff', 'tariff ')}", f"{row[3]} {_TARIFFS_ZH.get(tariff, f'费率{tariff}')}"


def _with_day(row: Row, day: int) -> Row:
    return (f"{row[0]}.settlement{day}", row[1], f"{row[2]}, settlement {day}", f"上{day}结算日{row[3]}") if day else row


def _row_harmonic(kind: str, phase: int, order: int) -> Row | None:
    if not (1 <= phase <= 3 and 1 <= order <= HARMONIC_MAX):
        return None
    name, written, en, zh = _table(2007)["harmonics"][kind]
    letter = _PHASES[phase - 1]
    return f"{name}.{letter}.{order}", written, f"{en} {letter.upper()}, order {order}", f"{letter.upper()}相{order}次{zh}"


def _row_freeze(di: str) -> Row | None:
    di, _, place = di.partition(":")
    freeze, kind, ago = _table(2007)["freeze"].get(di[2:4]), di[4:6], int(di[6:8], 16)
    if freeze is None or not 1 <= ago <= FREEZES_MAX or not (kind == "00" or place):
        return None
    row = _frozen(kind, int(place or 0))
    if row is None:
        return None
    return f"freeze.{freeze[0]}.{ago}.{row[0]}", row[1], f"{freeze[1]} {ago}: {row[2]}", f"上{ago}次{freeze[2]} {row[3]}"


def _frozen(kind: str, place: int) -> Row | None:
    if kind == "00":
        return "time", "YYMMDDhhmm", "time", "时间"
    if kind in ("09", "0A"):
        return _row_demand("01" if kind == "09" else "02", place, 0)
    if kind == "10":
        return _row(f"02{3 + place // 4:02}{place % 4:02}00", 2007)
    return _row_energy(kind, place, 0)


def _row_event(family: str, phase: int, third: int, last: int) -> Row | None:
    event = _table(2007)["event"].get(family)
    if event is None or phase > 3 or not last:
        return None
    en, zh = event if not phase else (f"{event[0]} {_PHASES[phase - 1].upper()}", f"{_PHASES[phase - 1].upper()}相{event[1]}")
    name = event[0].replace(" ", "_").replace("-", "_") + (f".{_PHASES[phase - 1]}" if phase else "")
    rows: dict[tuple[int, int], Row] = {
        (0, 1): (f"{name}.count", "NNNNNN", f"{en}, times", f"{zh}总次数"),
        (0, 2): (f"{name}.duration", "NNNNNN min", f"{en}, all together", f"{zh}总累计时间"),
        (1, last): (f"{name}.{last}.begin", "YYMMDDhhmmss", f"{en} {last} ago began", f"上{last}次{zh}发生时刻"),
        (0x25, last): (f"{name}.{last}.end", "YYMMDDhhmmss", f"{en} {last} ago ended", f"上{last}次{zh}结束时刻"),
    }
    return rows.get((third, last))


# -- 1997

_MONTHS = {0: 0, 4: 1, 8: 2}
_MONTHS_TEXT = ("", "last month", "the month before last")
_MONTHS_ZH = ("", "上月", "上上月")


def _row_1997(di: str) -> Row | None:
    """Energy 90, 91 (this month), 94, 95 (last), 98, 99 (the one before); demand A0 and times B0 alike."""
    table, second = _table(1997), int(di[1], 16)
    month = _MONTHS.get(second & 0xC)
    key = f"{di[0]}{second & 3:X}{di[2]}"
    found = table["energy"].get(key) or table["demand"].get(key)
    if found is None or month is None or di[3] == "F" or second & 2:
        return None
    name, written, en, zh = _with_tariff(tuple(found), int(di[3], 16))
    if not month:
        return name, written, en, zh
    return f"{name}.month{month}", written, f"{en}, {_MONTHS_TEXT[month]}", f"{_MONTHS_ZH[month]}{zh}"
