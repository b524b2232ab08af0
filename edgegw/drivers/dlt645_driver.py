"""DL/T 645 meters: which questions read a profile's points, and what the answers say. No I/O.

    one identifier       one question, one source: `energy`, `energy.2`, ...
    a block              asked as a whole (0001FF00); where the meter refuses it (error 02H), its values are asked one by one (00010000, 00010100, ...)
    follow-up frames     asked at once, their bytes joined (dlt645_codec.py)

An item of FFH only, and an item that a block ends before, is not fitted: the meter has no such phase or tariff. Digits above 9, a block that ends
inside an item and what is out of the dictionary's range are bad. DL/T 645-2007, 5 to 7.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from typing import NamedTuple

from edgegw.config.model import Device
from edgegw.drivers import holes as holes_of
from edgegw.drivers.base import DevicePlan, Division, Introduction, LineFacts, Origin, Part, Pieces, PlannedSource
from edgegw.drivers.dlt645_codec import Meter, joined, read_question
from edgegw.drivers.dlt645_format import DamagedError, Format, decode
from edgegw.drivers.dlt645_items import Known, find
from edgegw.drivers.dlt645_profile import DltProfile, ItemRow
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.model import Answer, Fault, Point, Quality, Question, Source, Value
from edgegw.points import lookup

# DL/T 645-2007 lets a meter begin its answer 20 ms after the request; a line that was quiet for as long is nobody's any more.
GAP_MS_MIN = 20
# Tariffs that nearly every meter has; a block of them is expected to be so long, whatever the profile reads of it.
_BLOCK_ITEMS_USUAL = 5
# A question costs its late-answer resync at most this many tries before the guard is waited out.
_RESYNC_PARTS = 2
# Profiles whose shared part is kept: more than any station has.
_LAYOUTS_KEPT = 64
# Who the meter is, of each edition: identifier and bytes.
_IDENTITY = {2007: {"serial_number": ("04000402", 6), "model": ("0400040B", 10)}, 1997: {"serial_number": ("C032", 6)}}
# Some meters end a block with this byte.
_SEPARATOR = 0xAA


class Field(NamedTuple):
    """One point in the joined value bytes."""

    offset: int
    form: Format
    factor: tuple[int, int]
    """Numerator and denominator: the meter's last digit to the point's."""
    bounds: tuple[float, float] | None
    """In units of the point's last decimal."""
    bit: int | None


class _Layout(NamedTuple):
    """What all meters of a profile share of one question."""

    title: str
    group: str
    di: str
    rows: tuple[ItemRow, ...]
    points: tuple[Point, ...]
    fields: tuple[Field, ...]
    known: Known
    size: int
    """Bytes of value that are expected."""


def plan_device(device: Device, profile: DltProfile, line: LineFacts, first_source_id: int) -> DevicePlan:  # noqa: ARG001 - every protocol's planner takes the line
    """All questions of one meter. Raises EdgegwError when the device names a poll group that its profile has not."""
    head = profile.profile
    layouts = _layouts(profile)
    _check_groups(device, profile, layouts)
    meter = Meter(device.key, device.address.zfill(12), head.year)
    sources = tuple(_planned(device, profile, layout, meter, first_source_id + number) for number, layout in enumerate(layouts))
    return DevicePlan(
        device=device.code,
        device_class=head.device_class,
        unit=device.key,
        sources=sources,
        probe=_cheap_questions(meter, layouts)[0],
        gap_ms=max(head.gap_ms, GAP_MS_MIN),
        profile=head.name,
        connect_delay_ms=head.connect_delay_ms,
        address=meter.address,
        introduce=partial(_introduce, meter),
    )


@lru_cache(maxsize=_LAYOUTS_KEPT)
def _layouts(profile: DltProfile) -> tuple[_Layout, ...]:
    """Of every group, one for each identifier in the order of its first row."""
    layouts: list[_Layout] = []
    for group in profile.group:
        rows = [row for row in profile.point if row.group == group]
        for number, di in enumerate(dict.fromkeys(row.di for row in rows), 1):
            own = tuple(sorted((row for row in rows if row.di == di), key=lambda row: row.item))
            layouts.append(_layout(profile, group if number == 1 else f"{group}.{number}", group, own))
    return tuple(layouts)


def _layout(profile: DltProfile, title: str, group: str, rows: tuple[ItemRow, ...]) -> _Layout:
    known = profile.known(rows[0])
    sizes = [item.form.size for item in known.items]
    starts = [0, *accumulate(sizes)]
    points = tuple(profile.row_point(row) for row in rows)
    fields = tuple(_field(profile, row, point, starts[row.item]) for row, point in zip(rows, points, strict=True))
    count = len(sizes) if len(sizes) <= _BLOCK_ITEMS_USUAL else max(_BLOCK_ITEMS_USUAL, rows[-1].item + 1)
    return _Layout(title, group, rows[0].di, rows, points, fields, known, starts[count])


def _field(profile: DltProfile, row: ItemRow, point: Point, offset: int) -> Field:
    form, entry = profile.row_format(row), lookup(row.point)
    assert entry is not None, row.point
    ratio = row.ratio * 10**point.decimals / 10**form.decimals
    bounds = None if entry.range is None else (entry.range[0] * 10**point.decimals, entry.range[1] * 10**point.decimals)
    return Field(offset, form, (ratio.numerator, ratio.denominator), bounds, row.bit)


def _planned(device: Device, profile: DltProfile, layout: _Layout, meter: Meter, source_id: int) -> PlannedSource:
    group = profile.group[layout.group]
    period_s = device.period_s.get(layout.title, device.period_s.get(layout.group, group.period_s))
    source = Source(source_id, device.code, layout.title, max(1, round(period_s * 1000)), layout.points, profile.profile.device_class, group.lane)
    resync = tuple(question for question in _cheap_questions(meter, _layouts(profile)) if question.fits != (meter.unit, question.fits[1], int(layout.di, 16)))
    pieces = len({row.item for row in layout.rows})
    return PlannedSource(
        source,
        (read_question(meter, layout.di, layout.size, resync[:_RESYNC_PARTS]),),
        partial(decode_value, layout.fields, layout.known),
        group.urgent,
        f"{layout.di}:{','.join(str(row.item) for row in layout.rows)}",
        pieces,
        partial(_divide, layout, meter) if layout.known.members and pieces > 1 else None,
        locate=partial(origins, layout.rows, layout.fields),
    )


def _cheap_questions(meter: Meter, layouts: Sequence[_Layout]) -> list[Question]:
    """The shortest items that are read anyway, each question once."""
    sizes: dict[str, int] = {}
    for layout in sorted(layouts, key=lambda layout: layout.size):
        sizes.setdefault(layout.di, layout.size)
    return [read_question(meter, di, size) for di, size in list(sizes.items())[: _RESYNC_PARTS + 1]]


def _check_groups(device: Device, profile: DltProfile, layouts: Sequence[_Layout]) -> None:
    known = {*profile.group, *(layout.title for layout in layouts)}
    for group in device.period_s:
        if group not in known:
            text = f'device "{device.code}": profile {profile.profile.name} has no poll group "{group}"'
            raise EdgegwError("E-CFG-GROUP", text, f"it has {', '.join(sorted(known))}", EXIT_USAGE)


def _divide(layout: _Layout, meter: Meter, refused: frozenset[Pieces]) -> Division:
    """The values of a refused block one by one, without those that were refused alone."""
    places = sorted({row.item for row in layout.rows})
    holes = {first for first, end in refused if end == first + 1}
    parts, gone = [], []
    for piece, place in enumerate(places):
        positions = [k for k, row in enumerate(layout.rows) if row.item == place]
        if piece in holes:
            gone += positions
            continue
        first, end = positions[0], positions[-1] + 1
        di, form = layout.known.members[place], layout.fields[first].form
        single = find(di, meter.year)
        assert single is not None, di
        fields = tuple(field._replace(offset=0) for field in layout.fields[first:end])
        locate = partial(origins, layout.rows[first:end], fields)
        parts.append(Part((piece, piece + 1), read_question(meter, di, form.size), partial(decode_value, fields, single), (first, end), locate))
    return Division(tuple(parts), tuple(gone), holes_of.worth_keeping(refused))


def _introduce(meter: Meter) -> Generator[Question, Answer | Fault, Introduction]:
    """The meter's own number, and its model where it has one."""
    identity: dict[str, str] = {}
    for key, (di, size) in _IDENTITY[meter.year].items():
        answer = yield read_question(meter, di, size)
        known = find(di, meter.year)
        assert known is not None, di
        if isinstance(answer, Answer) and (text := _text(answer, known)):
            identity[key] = text
    return Introduction(identity)


def _text(answer: Answer, known: Known) -> str:
    """Empty where the meter tells none: FFH, zeros, or what is no text."""
    data, whole = joined([answer])
    try:
        told = decode(data, known.items[0].form) if whole and data else None
    except DamagedError:
        return ""
    return told if isinstance(told, str) and told.strip("0") else ""


# -- decoding


def decode_value(fields: Sequence[Field], known: Known, answers: Sequence[Answer]) -> tuple[tuple[Value, ...], Mapping[int, Quality]]:
    """The points in the value bytes of a reply and its follow-up frames: values in units of the last decimal, and what is not good of them."""
    data, whole = joined(answers)
    ends = {0, *accumulate(item.form.size for item in known.items)}
    if len(data) not in ends and data[-1:] == bytes((_SEPARATOR,)):
        data = data[:-1]
    texts = known.items[0].form.kind == "text"
    if not whole or not data or (len(data) not in ends and not texts) or (not known.members and not texts and len(data) != max(ends)):
        return (None,) * len(fields), dict.fromkeys(range(len(fields)), Quality.BAD)
    values: list[Value] = []
    quality: dict[int, Quality] = {}
    for position, field in enumerate(fields):
        value, mark = _value(field, data)
        values.append(value)
        if mark is not Quality.GOOD:
            quality[position] = mark
    return tuple(values), quality


def origins(rows: Sequence[ItemRow], fields: Sequence[Field], answers: Sequence[Answer]) -> tuple[Origin, ...]:
    """Identifier and place in the block, as the profile has them, and the bytes, most significant first."""
    data, _ = joined(answers)
    return tuple(
        Origin(row.di if not row.item else f"{row.di}/{row.item}", _raw(field, data)[::-1].hex().upper()) for row, field in zip(rows, fields, strict=True)
    )


def _raw(field: Field, data: bytes) -> bytes:
    return data[field.offset : field.offset + (len(data) if field.form.kind == "text" else field.form.size)]


def _value(field: Field, data: bytes) -> tuple[Value, Quality]:
    raw = _raw(field, data)
    if not raw:
        return None, Quality.NOT_FITTED
    try:
        told = decode(raw, field.form)
    except DamagedError:
        return None, Quality.BAD
    if told is None:
        return None, Quality.NOT_FITTED
    if isinstance(told, str):
        return told, Quality.GOOD
    number = told >> field.bit & 1 if field.bit is not None else _scaled(told, field.factor)
    if field.bounds is not None and not field.bounds[0] <= number <= field.bounds[1]:
        return None, Quality.BAD
    return number, Quality.GOOD


def _scaled(raw: int, factor: tuple[int, int]) -> int:
    """Rounded half to even only where a profile gives fewer decimals than the meter."""
    numerator, denominator = factor
    if denominator == 1:
        return raw * numerator
    whole, rest = divmod(raw * numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))
