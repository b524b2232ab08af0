"""Which device answers: what it says of itself against the configuration and against what was seen before (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

FIELDS = ("serial_number", "model", "firmware")


class Edge(StrEnum):
    """What a word of the device changes."""

    WRONG = "wrong"
    RIGHT = "right"
    REPLACED = "replaced"
    KNOWN = "known"
    """It said something new that replaces nothing: its first word, another firmware."""


class Face(msgspec.Struct, frozen=True):
    """What a device said of itself last, while it was the right one."""

    serial_number: str = ""
    model: str = ""
    firmware: str = ""
    stranger: str = ""
    """Serial number of the wrong device that answers in its place."""


def same(one: str, other: str) -> bool:
    """Nameplates and registers differ in blanks, hyphens, letters' size and leading zeros."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter.isalnum()).lstrip("0")


def meet(expected: str, known: Face, said: Mapping[str, str]) -> tuple[Face, tuple[Edge, ...]]:
    """`expected`: the configured serial number or empty. What a device does not say this time is as it was."""
    told = {field: said[field].strip() for field in FIELDS if said.get(field, "").strip()}
    serial = told.get("serial_number", "")
    if expected and serial and not same(expected, serial):
        return msgspec.structs.replace(known, stranger=serial), () if known.stranger == serial else (Edge.WRONG,)
    if known.stranger and expected and not serial:
        return known, ()
    face = msgspec.structs.replace(known, **told, stranger="")
    edges = (Edge.RIGHT,) if known.stranger else ()
    if _differs(known.serial_number, serial) or (not serial and _differs(known.model, face.model)):
        return face, (*edges, Edge.REPLACED)
    return face, edges or (() if face == known else (Edge.KNOWN,))


def _differs(before: str, now: str) -> bool:
    return bool(before and now) and not same(before, now)
