"""Where the values of a source's last answer stood in it: for the registers that `edgegw read` shows. Made when somebody looks, never while polling. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgegw.bus.holes import Heard
from edgegw.bus.readings import DECODE_FAULTS
from edgegw.drivers.base import Locate, Origin, PlannedSource
from edgegw.model import Answer, Fault

Result = list[Answer] | Heard | Fault | None
"""How a source was answered the last time; None: not yet."""


class Located(NamedTuple):
    """One answer of a source."""

    arrived_ns: int
    """`time.monotonic_ns()` of the reading that was made of it."""
    origins: Sequence[Origin | None]
    """Positional to the source's points."""


def locate(planned: PlannedSource, result: Result) -> Located | None:
    """None where there was no answer, or nobody knows."""
    if isinstance(result, Heard):
        return _parted(planned, result) if result.answers else None
    if result is None or isinstance(result, Fault) or planned.locate is None:
        return None
    found = _made(planned.locate, result)
    return None if found is None else Located(result[-1].arrived_ns, found)


def _parted(planned: PlannedSource, heard: Heard) -> Located:
    origins: list[Origin | None] = [None] * len(planned.source.points)
    for part in heard.division.parts:
        answer = heard.answers.get(part.pieces)
        found = None if answer is None or part.locate is None else _made(part.locate, [answer])
        if found is not None:
            origins[part.positions[0] : part.positions[1]] = found
    return Located(max(answer.arrived_ns for answer in heard.answers.values()), origins)


def _made(how: Locate, answers: Sequence[Answer]) -> Sequence[Origin | None] | None:
    """None where a mistake in a profile or a decoder shows; the decoder itself has told it to the log."""
    try:
        return how(answers)
    except DECODE_FAULTS:
        return None
