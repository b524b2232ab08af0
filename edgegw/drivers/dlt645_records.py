"""Records of DL/T 645-2007 that hold the values of many identifiers: whole freezes and load records. For people who decode; never polled. No I/O.

    05 kk FF nn     freeze nn of kind kk, whole: its time, then the blocks 01 to 0A and 10 in this order (hourly: time, 01, 02), AAH between them
    06 00 00 0n     load records: all six classes;  06 0c 00 0n: class c alone

    0-1     A0H A0H         a load record begins
    2       bytes that follow
    3-7     mm hh DD MM YY
    8..     class 1 to 6, AAH behind each; a class that the meter does not keep is empty
    last 2  check sum, E5H

AAH stands in no number: its digits are above 9. What does not come out even is not read: nobody could tell which value is which.
DL/T 645-2007, annexes A and B.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from edgegw.drivers.dlt645_format import DamagedError, decode, parse_formats
from edgegw.drivers.dlt645_items import Item, Value, find, read_values

_SEPARATOR = b"\xaa"
_FREEZE_PARTS = ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "0A", "10")
_HOURLY = "04"
_RECORD_BEGIN, _RECORD_END = b"\xa0\xa0", 0xE5
_RECORD_HEAD = 8
# A frame of 200 bytes holds two whole records; a follow-up frame is read by itself.
_RECORDS_MAX = 16
# Identifiers of what each class of a load record holds.
_CLASSES: tuple[tuple[str, ...], ...] = (
    ("02010100", "02010200", "02010300", "02020100", "02020200", "02020300", "02800002"),
    ("02030000", "02030100", "02030200", "02030300", "02040000", "02040100", "02040200", "02040300"),
    ("02060000", "02060100", "02060200", "02060300"),
    ("00010000", "00020000", "00030000", "00040000"),
    ("00050000", "00060000", "00070000", "00080000"),
    ("02800004", "02800005"),
)
# DI3 of the standard's annex A to what it is about.
_FAMILIES = {
    0x00: ("energy", "电能量"),
    0x01: ("maximum demand", "最大需量"),
    0x02: ("instantaneous values", "变量"),
    0x03: ("event records", "事件记录"),
    0x04: ("parameters", "参变量"),
    0x05: ("freezes", "冻结量"),
    0x06: ("load records", "负荷记录"),
    0x07: ("security", "安全认证"),
    **dict.fromkeys(range(0x10, 0x23), ("event records", "事件记录")),
}
_OUTSIDE = ("not of the standard: a maker's or a grid's own", "标准以外：厂家或电网自定义")


def family(di: str) -> tuple[str, str]:
    """What an identifier of the edition of 2007 is about, in English and Chinese, known or not."""
    return _FAMILIES.get(int(di[:2], 16), _OUTSIDE)


def read_record(di: str, data: bytes) -> tuple[Value, ...]:
    """The values of a whole freeze or of load records; none where it is neither, or does not come out even."""
    if di[:2] == "05" and di[4:6] == "FF":
        return _freeze(di, data)
    if di[:2] == "06":
        return tuple(_load(int(di[2:4], 16), data) or ())
    return ()


# -- freezes


def _freeze(di: str, data: bytes) -> tuple[Value, ...]:
    kinds = _FREEZE_PARTS[:3] if di[2:4] == _HOURLY else _FREEZE_PARTS
    parts = data.removesuffix(_SEPARATOR).split(_SEPARATOR)
    if len(parts) != len(kinds):
        return ()
    values: list[Value] = []
    at = 0
    for kind, part in zip(kinds, parts, strict=True):
        known = find(di[:4] + kind + di[6:])
        if known is None:
            return ()
        decoded = read_values(known, part)
        if part and decoded.used != len(part):
            return ()
        values += [value._replace(offset=at + value.offset) for value in decoded.values if part]
        at += len(part) + 1
    return tuple(values)


# -- load records


def _load(number: int, data: bytes) -> list[Value] | None:
    """`number`: the class, 0 all of them."""
    if number > len(_CLASSES):
        return None
    classes = _CLASSES if not number else (_CLASSES[number - 1],)
    values: list[Value] = []
    at = 0
    for record in range(1, _RECORDS_MAX + 1):
        end = _record(record, classes, data, at, values)
        if end is None:
            return None
        if end == len(data):
            return values
        at = end
    return None


def _record(record: int, classes: Sequence[tuple[str, ...]], data: bytes, begin: int, values: list[Value]) -> int | None:
    """Adds the values of the record that begins here; where it ends, None where none stands here."""
    at = begin + _RECORD_HEAD
    if data[begin : begin + 2] != _RECORD_BEGIN or len(data) < at:
        return None
    time = Item(f"load.{record}.time", parse_formats("YYMMDDhhmm")[0], "load record: time", "负荷记录时间")
    values.append(_value(time, data[at - 5 : at], at - 5))
    for items in classes:
        end = data.find(_SEPARATOR, at)
        if end < 0:
            return None
        places = list(_places(record, items, at))
        if end > at and (not places or places[-1][1] + places[-1][0].form.size != end):
            return None
        values += [_value(item, data[place : place + item.form.size], place) for item, place in places if end > at]
        at = end + 1
    return at + 2 if data[at + 1 : at + 2] == bytes((_RECORD_END,)) else None


def _places(record: int, dis: Sequence[str], at: int) -> Iterator[tuple[Item, int]]:
    for item in _class_items(tuple(dis)):
        yield item._replace(name=f"load.{record}.{item.name}"), at
        at += item.form.size


@cache
def _class_items(dis: tuple[str, ...]) -> tuple[Item, ...]:
    return tuple(item for di in dis if (known := find(di)) is not None for item in known.items)


def _value(item: Item, raw: bytes, offset: int) -> Value:
    try:
        return Value(item, decode(raw, item.form), offset=offset)
    except DamagedError as fault:
        return Value(item, None, str(fault), offset)
