"""Finds what a SunSpec device has: where its map begins, and the chain of its models. Pure: questions out, answers in.

    base        "SunS"      two registers, at one of a few known addresses
    base + 2    model 1     id, length, who the device is
    ...         model       id, length, fields: the next header stands `length` registers behind this one
    end         FFFFH       the length behind it may be missing

A second model 1 begins another logical device behind the same unit (an inverter's meter). The device's own lengths count, never the
nominal ones. Only where the chain breaks is a step of the nominal length tried (`_mend`), and taken only when a known model of its nominal
length or the end stands there: a header that anything else could be mistaken for is none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

from edgegw.drivers.sunspec_models import COMMON, END, HEADER, find_model
from edgegw.model import Answer, Fault, Question

MARKER = b"SunS"
MARKER_REGISTERS = 2
# SunSpec Device Information Model Specification, "Device Modbus map": 40000, 0 and 50000, in the order in which they are met.
BASES = (40000, 0, 50000)
# 3 by the specification; some gateways serve the same map as input registers only.
FUNCTIONS = (3, 4)
# The longest chain seen in the field has about 35 models; a device that has more is one whose chain has no end.
MODELS_MAX = 64
# Broken chains that are mended: a device has one mistake, not a habit.
MENDS_MAX = 2
ADDRESSES = 0x10000
# Exceptions by which a device says that it does not have what was asked (Modbus V1.1b3, section 7); others may pass.
REFUSALS = frozenset({1, 2, 3, 4})
# A device that is busy (exceptions 5 and 6) is asked again so often. Lost and damaged answers are the bus's affair.
TRIES = 3
_BUSY = frozenset({5, 6})

Ask = Callable[[int, int, int], Question]
"""(function, address, registers) to the question of this device."""
Asking = Generator[Question, Answer | Fault, Answer | Fault]
_Steps = Generator[Question, Answer | Fault, "_Step | Fault"]


class Place(NamedTuple):
    """A model and where it stands."""

    model: int
    address: int
    length: int
    device: int
    """Which logical device of the unit it belongs to: 0 before the first model 1, then counted from 1."""


class Chain(NamedTuple):
    """What a device has."""

    function: int
    base: int
    places: tuple[Place, ...]
    note: str
    """Why the chain was not followed to its end mark; empty when it was."""


class _Step(NamedTuple):
    """One header; `model` is END at the end, 0 where there is none."""

    model: int
    length: int


def is_refusal(fault: Fault) -> bool:
    return fault.exception_code in REFUSALS


def find_chain(ask: Ask, bases: Iterable[int] = BASES) -> Generator[Question, Answer | Fault, Chain | Fault]:
    """The chain of this device; the last fault when there is no marker, or when it fell silent on the way."""
    found = yield from _find_base(ask, tuple(bases))
    if isinstance(found, Fault):
        return found
    return (yield from _walk(ask, *found))


def asked(question: Question) -> Asking:
    """What came; a busy device is asked again."""
    result = yield question
    for _ in range(TRIES - 1):
        if isinstance(result, Answer) or result.exception_code not in _BUSY:
            break
        result = yield question
    return result


def _find_base(ask: Ask, bases: tuple[int, ...]) -> Generator[Question, Answer | Fault, tuple[int, int] | Fault]:
    """Function and base. Some devices are silent where they have nothing, so silence means the next base; at all of them it means silence."""
    missing = Fault("foreign", f"no SunSpec marker at {', '.join(map(str, bases))}", 2)
    silent = 0
    for function in FUNCTIONS:
        for base in bases:
            result = yield from asked(ask(function, base, MARKER_REGISTERS))
            if isinstance(result, Answer) and result.data == MARKER:
                return function, base
            if isinstance(result, Fault) and not is_refusal(result):
                silent += 1
                if silent == len(bases):
                    return result
    return missing


def _walk(ask: Ask, function: int, base: int) -> Generator[Question, Answer | Fault, Chain | Fault]:
    places: list[Place] = []
    at, device, mends = base + MARKER_REGISTERS, 0, 0
    note = f"the chain has more than {MODELS_MAX} models"
    while len(places) < MODELS_MAX:
        step = yield from _header(ask, function, at)
        if isinstance(step, Fault):
            return step
        if _is_doubtful(step, at) and places and mends < MENDS_MAX:
            mended = yield from _mend(ask, function, places[-1])
            if isinstance(mended, Fault):
                return mended
            if mended is not None:
                at, step = mended
                mends += 1
        if step.model == END:
            note = ""
            break
        if step.model == 0 or at + HEADER + step.length > ADDRESSES:
            note = f"the chain breaks at {at}{_behind(places)}"
            break
        device += step.model == COMMON
        places.append(Place(step.model, at, step.length, device))
        at += HEADER + step.length
    return Chain(function, base, tuple(places), note)


def _header(ask: Ask, function: int, at: int) -> _Steps:
    """Id and length at an address; the id alone where the device has no more, 0 where it has nothing."""
    if at + HEADER > ADDRESSES:
        return _Step(0, 0)
    result = yield from asked(ask(function, at, HEADER))
    if isinstance(result, Answer):
        return _Step(int.from_bytes(result.data[:2], "big"), int.from_bytes(result.data[2:], "big"))
    if not is_refusal(result):
        return result
    result = yield from asked(ask(function, at, 1))
    if isinstance(result, Answer):
        return _Step(END if int.from_bytes(result.data, "big") == END else 0, 0)
    return _Step(0, 0) if is_refusal(result) else result


def _is_doubtful(step: _Step, at: int) -> bool:
    """No header, or an end with something behind it that may be the next model: not implemented fields are FFFFH too."""
    return step.model == 0 or at + HEADER + step.length > ADDRESSES or (step.model == END and step.length not in (0, END))


def _mend(ask: Ask, function: int, place: Place) -> Generator[Question, Answer | Fault, tuple[int, _Step] | Fault | None]:
    """Where the chain goes on when the last model's length was a lie; None where nothing is beyond doubt: a field that is not there looks like the end."""
    model = find_model(place.model)
    if model is None:
        return None
    for length in sorted({model.length, place.length - 1, place.length + 1} - {place.length, -1}):
        at = place.address + HEADER + length
        step = yield from _header(ask, function, at)
        if isinstance(step, Fault):
            return step
        if _is_proven(step) or (step == _Step(END, 0) and length == model.length):
            return at, step
    return None


def _is_proven(step: _Step) -> bool:
    model = find_model(step.model)
    if model is None:
        return False
    whole = model.module_size and (step.length - model.length) % model.module_size == 0
    return step.length == model.length or bool(whole) or (step.model == COMMON and step.length == model.length - 1)


def _behind(places: list[Place]) -> str:
    return f", behind model {places[-1].model} at {places[-1].address}" if places else ""
