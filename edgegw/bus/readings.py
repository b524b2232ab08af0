"""Answers and faults to readings. Pure."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping, Sequence

import msgspec

from edgegw.bus.holes import Heard
from edgegw.clock import Clock
from edgegw.drivers.base import Decode, PlannedSource
from edgegw.model import Answer, Fault, Quality, Reading, Source, Value

_log = logging.getLogger("edgegw.bus")

# Exceptions 1-3 are faults of the configuration, 4 is the device's own. What is not here (5, 6 "later", 0A, 0B the path) is no answer.
_EXCEPTION_QUALITY = {1: Quality.REFUSED, 2: Quality.REFUSED, 3: Quality.REFUSED, 4: Quality.BAD}
# Faults of ours: the device was not asked. Nothing changes until somebody mends something, so the source is refused.
NOT_ASKED = frozenset({"permit", "unresolved"})
# What a mistake in a profile or a decoder can raise. It costs the source its values and nobody else anything.
DECODE_FAULTS = (ArithmeticError, LookupError, TypeError, ValueError, struct.error)
# The path behind a gateway is dead: the device itself said nothing.
_PATH_EXCEPTIONS = frozenset({0x0A, 0x0B})


def fault_quality(fault: Fault) -> Quality:
    """What a fault means for every value of the source."""
    if fault.kind in NOT_ASKED:
        return Quality.REFUSED
    return _EXCEPTION_QUALITY.get(fault.exception_code or 0, Quality.OFFLINE)


def is_alive(result: Answer | Fault) -> bool:
    """Whether the device itself said this."""
    return isinstance(result, Answer) or (result.exception_code is not None and result.exception_code not in _PATH_EXCEPTIONS)


def good_reading(planned: PlannedSource, answers: Sequence[Answer], clock: Clock) -> Reading:
    """What the answers say, at the time of the last one."""
    source = planned.source
    try:
        values, quality = planned.decode(answers)
    except DECODE_FAULTS:
        values, quality = _undecoded(source, len(source.points))
    mono_ms = clock.mono_ms(answers[-1].arrived_ns)
    return Reading(source, mono_ms + clock.offset_ms, mono_ms, clock.trust, values, quality)


def parted_reading(planned: PlannedSource, heard: Heard, clock: Clock) -> Reading:
    """What the answers to the parts say, at the time of the last one; refused is what no part was answered for."""
    if not heard.answers:
        return failed_reading(planned, Quality.REFUSED, clock)
    count = len(planned.source.points)
    values: list[Value] = [None] * count
    quality = dict.fromkeys(range(count), Quality.REFUSED)
    for part in heard.division.parts:
        if part.pieces in heard.answers:
            first, end = part.positions
            told, doubts = _decode(planned.source, part.decode, [heard.answers[part.pieces]], end - first)
            values[first:end] = told
            for position in range(first, end):
                quality.pop(position)
            quality |= {first + position: code for position, code in doubts.items()}
    mono_ms = clock.mono_ms(max(answer.arrived_ns for answer in heard.answers.values()))
    return Reading(planned.source, clock.wall_ms(mono_ms), mono_ms, clock.trust, tuple(values), quality)


def _decode(source: Source, decode: Decode, answers: Sequence[Answer], count: int) -> tuple[tuple[Value, ...], Mapping[int, Quality]]:
    try:
        return decode(answers)
    except DECODE_FAULTS:
        return _undecoded(source, count)


def _undecoded(source: Source, count: int) -> tuple[tuple[Value, ...], Mapping[int, Quality]]:
    """All bad: a mistake of ours, which is under way as an exception."""
    _log.exception("%s, points %s: its answer cannot be decoded", source.device, source.group)
    return (None,) * count, dict.fromkeys(range(count), Quality.BAD)


def late_reading(reading: Reading) -> Reading:
    """The same with every good value marked as late."""
    late = {position: Quality.LATE for position, value in enumerate(reading.values) if value is not None and position not in reading.quality}
    return msgspec.structs.replace(reading, quality={**reading.quality, **late})


def failed_reading(planned: PlannedSource, quality: Quality, clock: Clock) -> Reading:
    """No value, one quality for all, now."""
    mono_ms = clock.mono_ms()
    count = len(planned.source.points)
    return Reading(planned.source, clock.wall_ms(mono_ms), mono_ms, clock.trust, (None,) * count, dict.fromkeys(range(count), quality))
