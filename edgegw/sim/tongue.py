"""What tells one protocol from another on a simulated serial line: where a request ends, whom it asks, and how an answer is framed.

A device of any protocol has a *body* (`image.py` is that of Modbus): the points that it has and what it answers to a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from edgegw.sim import forgery, frames
from edgegw.sim.forgery import Forge
from edgegw.sim.frames import Request

Physical = float | str
"""A quantity in its unit, or text."""
NO_VALUE = "none"
"""Instead of a quantity: what the device sends where it has none."""


class Tongue(NamedTuple):
    """Pure functions of one protocol."""

    size: Callable[[bytes], int | None]
    """Bytes of the request that begins what was received; None while it cannot be known, or is none of this protocol."""
    parse: Callable[[bytes], Request | None]
    """A whole request; None when its check is wrong. `Request.unit` is the key of the device on its bus."""
    frame: Callable[[Request, bytes], bytes]
    """The request and the payload of its answer to the bytes for the line."""
    forge: Forge = forgery.modbus
    """How an answer is made that is none (`forgery.py`)."""
    without: frozenset[str] = frozenset()
    """Faults that it cannot have: where there is no address there is no other unit, where there is no check none is wrong."""


MODBUS = Tongue(frames.rtu_size, frames.parse_rtu, lambda request, payload: frames.rtu_frame(request.unit, payload))


class Said(msgspec.Struct, frozen=True):
    """An answer before it is framed."""

    payload: bytes
    values: Mapping[str, int | str | None]
    """The points that lie wholly in it: 10**-decimals units, or text; None where it says "no value"."""
    exception: int | None = None
    """Code of the refusal that it is."""


class Body(Protocol):
    """What a device of one profile answers."""

    tongue: Tongue
    decimals: Mapping[str, int]
    points: tuple[str, ...]

    def check(self, point: str, value: Physical) -> None:
        """Raises ValueError when this value cannot be sent."""

    def answer(self, request: Request, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> Said | None:
        """What is said to this request; None where such a device says nothing."""

    def width(self, point: str) -> float | None:
        """Where a register of energy begins anew, in its unit; None where it has no such end."""

    def refuse(self, request: Request, code: int | None = None) -> Said | None:
        """A refusal with this code (None: that of a busy device); None where such a device says nothing then."""
