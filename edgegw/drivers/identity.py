"""Who a Modbus device says it is: serial number, model and firmware, read once when the line was opened and after every silence. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

from edgegw.drivers.base import Introduce, Introduction
from edgegw.drivers.profile import IdentityRow, IdentityTable, Profile
from edgegw.model import Answer, Fault, Question

Ask = Callable[[int, int, int], Question]
"""Function, first address and count to the question, on the device's own line."""

FIELDS = ("serial_number", "model", "firmware")


def introduction_of(profile: Profile, ask: Ask) -> Introduce | None:
    """What the bus runs for a device of this profile; None where the profile knows no place that says who it is."""
    table = profile.identity
    return None if table is None or not _rows(table) else partial(_introduce, table, ask)


def _rows(table: IdentityTable) -> list[tuple[str, IdentityRow]]:
    found = [(name, getattr(table, name)) for name in FIELDS]
    return [(name, row) for name, row in found if row is not None]


def _introduce(table: IdentityTable, ask: Ask) -> Generator[Question, Answer | Fault, Introduction]:
    """Each field by itself: a device that refuses one may well say the others. What it does not say is left out, not empty."""
    identity: dict[str, str] = {}
    refused: list[str] = []
    for name, row in _rows(table):
        result = yield ask(row.function, row.address, row.count)
        if isinstance(result, Answer):
            text = identity_text(row, result.data)
            if text:
                identity[name] = text
        elif result.exception_code is None:
            break  # Silent or disturbed: what is left is asked when it answers again.
        else:
            refused.append(name)
    return Introduction(identity=identity, note=f"does not say its {', '.join(refused)}" if refused else "")


def identity_text(row: IdentityRow, data: bytes) -> str:
    """Registers to text; empty where the device has nothing there: blanks, all zero, all ones."""
    if not data.strip(b"\0") or not data.strip(b"\xff"):
        return ""
    if row.type == "string":
        text = data.partition(b"\0")[0] if data[0] else data.strip(b"\0")
        return text.decode("ascii", "replace").strip()
    if row.type in ("hex", "bcd"):
        return data.hex().upper()
    return str(int.from_bytes(data, "big"))
