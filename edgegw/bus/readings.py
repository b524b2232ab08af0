"""Answers and faults to readings. Pure."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence

from edgegw.clock import Clock
from edgegw.drivers.base import PlannedSource
from edgegw.model import Answer, Fault, Quality, Reading

_log = logging.getLogger("edgegw.bus")

# Exceptions 1-3 are faults of the configuration, 4 is the device's own. What is not here (5, 6 "later", 0A, 0B the path) is no answer.
_EXCEPTION_QUALITY = {1: Quality.REFUSED, 2: Quality.REFUSED, 3: Quality.REFUSED, 4: Quality.BAD}
# What a mistake in a profile or a decoder can raise. It costs the source its values and nobody else anything.
DECODE_FAULTS = (ArithmeticError, LookupError, TypeError, ValueError, struct.error)
# The path behind a gateway is dead: the device itself said nothing.
_PATH_EXCEPTIONS = frozenset({0x0A, 0x0B})


def fault_quality(fault: Fault) -> Quality:
    """What a fault means for every value of the source."""
    return _EXCEPTION_QUALITY.get(fault.exception_code or 0, Quality.OFFLINE)


def is_alive(result: Answer | Fault) -> bool:
    """Whether the device itself said this."""
    return isinstance(result, Answer) or (result.exception_code is not None and result.exception_code not in _PATH_EXCEPTIONS)


def good_reading(planned: PlannedSource, answers: Sequence[Answer], clock: Clock) -> Reading:
    """What the answers say, at the time of the last one."""
    try:
        values, quality = planned.decode(answers)
    except DECODE_FAULTS:
        _log.exception("%s, points %s: its answer cannot be decoded", planned.source.device, planned.source.group)
        return failed_reading(planned, Quality.BAD, clock)
    mono_ms = clock.mono_ms(answers[-1].arrived_ns)
    return Reading(planned.source, clock.wall_ms(mono_ms), mono_ms, clock.trust, values, quality)


def failed_reading(planned: PlannedSource, quality: Quality, clock: Clock) -> Reading:
    """No value, one quality for all, now."""
    mono_ms = clock.mono_ms()
    count = len(planned.source.points)
    return Reading(planned.source, clock.wall_ms(mono_ms), mono_ms, clock.trust, (None,) * count, dict.fromkeys(range(count), quality))
