"""What a protocol gives to the bus: questions, and the reading that their answers make.

A driver does no I/O. It is asked once, at load time, for the plan of a device; from then on the bus asks the questions and hands the
answers to `decode`, which returns positional values and what is not good of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from edgegw.config.model import Bus
from edgegw.model import Answer, Fault, Quality, Question, Source, Value

Decode = Callable[[Sequence[Answer]], tuple[tuple[Value, ...], Mapping[int, Quality]]]
"""Pure: one answer for each question of the source to (values, quality), positional to the source's points."""


class Origin(NamedTuple):
    """Where a value stood, and what stood there (origins.py)."""

    address: int | str
    """As the profile has it."""
    raw: str


Locate = Callable[[Sequence[Answer]], Sequence[Origin | None]]
"""Pure: the answers that `Decode` gets to where each value stood, positional to the source's points; None where it was not in them."""


class LineFacts(msgspec.Struct, frozen=True):
    """What a plan has to know of the line: how long bytes take on it."""

    framing: str
    """rtu or tcp"""
    byte_ms: float
    """Time of one character: 11 bits with parity or two stop bits, else 10, over the baud rate; 0 on TCP."""
    request_cost_ms: float
    """Time that one more request costs beside its bytes: silences, turnaround of the device, round trip."""


Pieces = tuple[int, int]
"""A run of what is never parted in a source's question: the first, and the one behind the last."""


class Part(msgspec.Struct, frozen=True):
    """A smaller question for some of a source's values."""

    pieces: Pieces
    question: Question
    decode: Decode
    positions: tuple[int, int]
    """Of the source's points: the first, and the one behind the last."""
    locate: Locate | None = None


class Division(msgspec.Struct, frozen=True):
    """How a source is read whose question its device refuses as a whole."""

    parts: tuple[Part, ...]
    holes: tuple[int, ...]
    """Positions of the points that the device does not have."""
    facts: frozenset[Pieces]
    """The fewest refusals that lead to this division: what is worth remembering."""


class PlannedSource(msgspec.Struct, frozen=True):
    """A source and how it is read."""

    source: Source
    questions: tuple[Question, ...]
    decode: Decode
    urgent: bool = False
    """Digital inputs: asked before anything else that is due."""
    block: str = ""
    """Names the question and its pieces: what was learnt about another block says nothing about this one."""
    pieces: int = 1
    divide: Callable[[frozenset[Pieces]], Division] | None = None
    """Pure: the pieces that the device refused to how the rest is asked; None where a question cannot be divided."""
    usual: tuple[Question, ...] = ()
    """What will be asked as far as can be foreseen, where `questions` are known from the introduction only: for the estimate of the line's load."""
    locate: Locate | None = None
    """For people who want to see the registers; never called while polling."""


class Introduction(msgspec.Struct, frozen=True):
    """What a device said of itself when its line was opened or when it came back."""

    identity: Mapping[str, str] = {}
    """serial_number, model, firmware, ...: as far as it has them."""
    sources: tuple[PlannedSource, ...] | None = None
    """How its sources are read from now on, with the ids and layouts that they had; None: as planned."""
    note: str = ""
    """For people: why sources stay without questions, or what is unusual."""
    probe: Question | None = None
    """The shortest question that it answers, where its plan could not know that; None: as planned."""


Introduce = Callable[[], Generator[Question, Answer | Fault, Introduction]]
"""Pure: yields the questions to ask, is sent what came, returns what the device is."""


class DevicePlan(msgspec.Struct, frozen=True):
    """All that the bus needs to poll one device."""

    device: str
    device_class: str
    unit: int
    """Its key on the bus: Modbus unit id, or the number that its address is."""
    sources: tuple[PlannedSource, ...]
    probe: Question
    """The shortest question that a living device answers."""
    gap_ms: int = 0
    """Quirk: least pause before a request to this device."""
    profile: str = ""
    connect_delay_ms: int = 0
    """Quirk: least pause between opening the line and the first request to this device."""
    address: str = ""
    """For people: its address as it stands on the nameplate; empty where the unit id is all."""
    unproven: bool = False
    """No captured exchange stands behind its profile."""
    introduce: Introduce | None = None
    """Asked when the line was opened and after every silence, before anything else."""


# Modbus over serial line V1.02, 2.5.1.1: 3.5 characters of silence before a frame, fixed to 1.75 ms above 19200 baud.
SILENCE_CHARACTERS = 3.5
SILENCE_FAST_MS = 1.75
FAST_BAUDRATE = 19200


def character_ms(bus: Bus) -> float:
    """Time of one character of a serial line: start, 8 data, parity, stop bits."""
    return (9 + (bus.parity != "N") + bus.stop_bits) * 1000 / bus.baudrate


def silence_ms(bus: Bus) -> float:
    """Silence that ends a frame on this line."""
    return SILENCE_FAST_MS if bus.baudrate > FAST_BAUDRATE else SILENCE_CHARACTERS * character_ms(bus)
