"""A UPS of the Megatec family as the bus sees it: one source for each command of a poll group, the decoding of its answer, its introduction. Pure.

Rating: the charge of a UPS that tells none is estimated from its battery voltage (megatec_battery.py), which needs the rated voltage. The
introduction reads it (F, QRI, UN); until then, and where nobody knows it, the estimate is `not fitted`.

    battery.voltage.string      volts of the whole battery: what was sent, times the cells or blocks where it is volts of one of them
    battery.voltage.cell        volts per cell, of a UPS that sends those
    battery.charge.estimated    percent; quality estimated
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import NamedTuple

from edgegw.config.model import Device
from edgegw.drivers.base import DevicePlan, Introduction, LineFacts, Origin, PlannedSource
from edgegw.drivers.megatec_dialects import canonical, reply_of
from edgegw.drivers.megatec_fields import Mismatch, Options, Plain, Values
from edgegw.drivers.megatec_profile import CommandRow, MegatecProfile
from edgegw.drivers.megatec_question import UNIT, question, with_resync
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.model import Answer, Fault, Point, Quality, Question, Source, Value
from edgegw.points import lookup

_IDENTITY = {"device.serial": "serial_number", "device.model": "model", "ups.firmware": "firmware", "device.mfr": "maker", "protocol": "protocol"}
# Voltronic protocols whose bypass bit means that the voltage is regulated (nutdrv_qx_voltronic.c, voltronic_status).
_AVR_PROTOCOLS = frozenset({"PI00", "PI08"})
ESTIMATED = ".estimated"

Read = tuple[tuple[Value, ...], Mapping[int, Quality]]


class _Layout(NamedTuple):
    """One command of one group."""

    title: str
    group: str
    command: str
    rows: tuple[CommandRow, ...]


def plan_device(device: Device, profile: MegatecProfile, line: LineFacts, first_source_id: int) -> DevicePlan:  # noqa: ARG001 - every protocol's planner takes the line
    """All questions of one UPS. Raises EdgegwError when the device names a poll group that its profile has not."""
    head = profile.profile
    layouts = list(_layouts(profile))
    _check_groups(device, profile, layouts)
    commands = dict.fromkeys(canonical(command) for command in (*(layout.command for layout in layouts), *head.introduce))
    questions = dict(zip(commands, with_resync([question(head.dialect, command) for command in commands]), strict=True))
    build = partial(_sources, _Whole(device, profile, layouts, questions, first_source_id))
    options = Options(head.nominal_v, frozenset(head.ignore_status_bits))
    return DevicePlan(
        device=device.code,
        device_class=head.device_class,
        unit=UNIT,
        sources=build(options),
        probe=questions[layouts[0].command],
        gap_ms=head.gap_ms,
        profile=head.name,
        connect_delay_ms=head.connect_delay_ms,
        introduce=partial(_introduce, profile, questions, options, build) if head.introduce else None,
    )


def _layouts(profile: MegatecProfile) -> Iterator[_Layout]:
    """The commands of each group in the order of their first row; the first has the group's name, the others a number behind it."""
    for name in profile.group:
        rows = [row for row in profile.point if row.group == name]
        commands = dict.fromkeys(canonical(row.command) for row in rows)
        for number, command in enumerate(commands, 1):
            title = name if number == 1 else f"{name}.{number}"
            yield _Layout(title, name, command, tuple(row for row in rows if canonical(row.command) == command))


class _Whole(NamedTuple):
    """What all sources of a device share."""

    device: Device
    profile: MegatecProfile
    layouts: Sequence[_Layout]
    questions: Mapping[str, Question]
    first_id: int


def _sources(whole: _Whole, options: Options) -> tuple[PlannedSource, ...]:
    return tuple(_source(whole, layout, whole.first_id + number, options) for number, layout in enumerate(whole.layouts))


def _source(whole: _Whole, layout: _Layout, source_id: int, options: Options) -> PlannedSource:
    device, head, group = whole.device, whole.profile.profile, whole.profile.group[layout.group]
    period_s = device.period_s.get(layout.title, device.period_s.get(layout.group, group.period_s))
    points = tuple(whole.profile.row_point(row) for row in layout.rows)
    source = Source(source_id, device.code, layout.title, max(1, round(period_s * 1000)), points, head.device_class, group.lane)
    read = partial(decode_source, head.dialect, layout.command, layout.rows, points, options)
    locate = partial(origins, layout.command, layout.rows)
    return PlannedSource(source, (whole.questions[layout.command],), read, group.urgent, f"{head.dialect}:{layout.command}", locate=locate)


# -- decoding


def decode_source(  # noqa: PLR0913, PLR0917 - bound once for each source
    dialect: str, command: str, rows: Sequence[CommandRow], points: Sequence[Point], options: Options, answers: Sequence[Answer]
) -> Read:
    """Values and what is not good of them, positional to the rows."""
    try:
        values = derived(reply_of(dialect, command).read(answers[0].data.decode("latin-1"), options), options)
    except Mismatch:  # The question proved it; what is proved can be read.
        values = {}
    found: list[Value] = []
    quality: dict[int, Quality] = {}
    for position, (row, point) in enumerate(zip(rows, points, strict=True)):
        value, mark = _value(values, row, point)
        found.append(value)
        if mark is not Quality.GOOD:
            quality[position] = mark
    return tuple(found), quality


def origins(command: str, rows: Sequence[CommandRow], answers: Sequence[Answer]) -> tuple[Origin, ...]:
    """Command and name of the field; what stood there is the reply as a whole, whose fields people count themselves."""
    reply = "".join(character if character.isascii() and character.isprintable() else "." for character in answers[0].data.decode("latin-1"))
    return tuple(Origin(f"{command} {row.source_field}", reply) for row in rows)


def derived(values: Values, options: Options) -> Values:
    """The values of the driver's own making, beside those of the answer."""
    volts = values.get("battery.voltage")
    if volts is None:
        return {**values, "battery.voltage.string": None}
    if not values.get("battery.voltage.is_per_cell"):
        total = values.get("battery.voltage.total")
        return {**values, "battery.voltage.string": volts if total is None else total}
    string: Values = {"battery.voltage.string": values.get("battery.voltage.total")} if options.nominal_v is not None else {}
    return {**values, **string, "battery.voltage.cell": volts}


def _value(values: Values, row: CommandRow, point: Point) -> tuple[Value, Quality]:
    """What is not in the answer is not fitted; what is there and says nothing is bad."""
    if row.source_field not in values:
        return None, Quality.NOT_FITTED
    raw = values[row.source_field]
    value = _plain(raw, point)
    if value is None or not _plausible(value, point):
        return None, Quality.BAD
    return value, Quality.ESTIMATED if row.source_field.endswith(ESTIMATED) else Quality.GOOD


def _plain(raw: Plain, point: Point) -> Value:
    """In the point's units: text, or an integer of 10**-decimals units; None where it cannot be."""
    if point.kind == "text":
        return None if raw is None else " ".join(map(str, raw)) if isinstance(raw, list) else str(raw)
    if isinstance(raw, bool | int | Decimal):
        return int(Decimal(raw).scaleb(point.decimals).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    return None


def _plausible(value: Value, point: Point) -> bool:
    entry = lookup(point.name)
    if entry is None or entry.range is None or not isinstance(value, int):
        return True
    low, high = entry.range
    return bool(low <= value / 10**point.decimals <= high)


# -- introduction


def _introduce(
    profile: MegatecProfile, questions: Mapping[str, Question], options: Options, build: Callable[[Options], tuple[PlannedSource, ...]]
) -> Generator[Question, Answer | Fault, Introduction]:
    head = profile.profile
    identity: dict[str, str] = {}
    refused: list[str] = []
    for command in map(canonical, head.introduce):
        heard = yield questions[command]
        if isinstance(heard, Fault):
            refused += [command] if heard.exception_code is not None else []
            continue
        values = reply_of(head.dialect, command).read(heard.data.decode("latin-1"), options)
        identity |= {word: str(values[name]) for name, word in _IDENTITY.items() if values.get(name) is not None}
        options = _rated(options, values)
    note = f"it does not know {', '.join(refused)}" if refused else ""
    return Introduction(identity, build(options), note)


def _rated(options: Options, values: Values) -> Options:
    """With what the answer says of the battery's rated voltage and of the protocol."""
    nominal = values.get("battery.voltage.nominal")
    if options.nominal_v is None and isinstance(nominal, Decimal) and nominal > 0:
        options = options._replace(nominal_v=nominal)
    return options._replace(avr=True) if values.get("protocol") in _AVR_PROTOCOLS else options


def _check_groups(device: Device, profile: MegatecProfile, layouts: Sequence[_Layout]) -> None:
    known = {layout.title for layout in layouts} | set(profile.group)
    for name in device.period_s:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(sorted(known))}"
            raise EdgegwError("E-PLAN-GROUP", f'device "{device.code}": profile {profile.profile.name} has no poll group "{name}"', hint, EXIT_USAGE)
