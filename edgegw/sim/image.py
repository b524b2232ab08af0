"""The registers of one product: which it answers, and what a request for some of them gets.

Made from the gateway's own profile. A register answers when a point of the profile lies on it, when the profile says that its range is readable
in one piece, or when it fills a hole that the profile allows a block to read over; everything else is exception 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from edgegw.drivers.profile import Profile
from edgegw.sim import frames
from edgegw.sim.encode import Encoder, Raw, encoders
from edgegw.sim.frames import Request
from edgegw.sim.tongue import MODBUS, Physical, Said, Tongue

# Modbus application protocol, section 7: the device is busy, ask again later.
BUSY = 6
# Different requests that are remembered; of a master that tries everything the rest is looked up anew.
ASKED_MAX = 1000


class Image:
    """Immutable; one for all devices of a profile."""

    tongue: Tongue = MODBUS

    def __init__(self, profile: Profile) -> None:
        every = encoders(profile)
        self._encoders = {function: [one for one in every if one.row.function == function] for function in (1, 2, 3, 4)}
        self.functions = {function: _answered(profile, rows) for function, rows in self._encoders.items() if rows}
        self.decimals: Mapping[str, int] = {one.point: one.decimals for one in every}
        self.points = tuple(self.decimals)
        self._by_point = {one.point: one for one in every}
        self._asked: dict[tuple[int, int, int], list[Encoder]] = {}
        """Function, address and count to the points in the answer: a master has few questions and asks them for ever."""

    def hole(self, request: Request) -> int | None:
        """Exception 2 when a register of the request is not there."""
        if (request.function, request.address, request.count) in self._asked:
            return None
        answered = self.functions[request.function]
        asked = range(request.address, request.address + request.count)
        return None if all(address in answered for address in asked) else frames.ILLEGAL_ADDRESS

    def check(self, point: str, value: float | str) -> None:
        """Raises ValueError when this value cannot be sent."""
        self._by_point[point].encode(value)

    def width(self, point: str) -> float | None:
        return self._by_point[point].width

    def answer(self, request: Request, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> Said:
        code = frames.refusal(request, self.functions) or self.hole(request)
        if code is not None:
            return _refusal(request, code)
        pdu, said = self.read(request, values, forced)
        return Said(pdu, said)

    def written(self, request: Request) -> tuple[str, float] | None:
        """The relay that a write of one coil switches, and what it is then; None for everything that such a product does not let be written."""
        if request.function != frames.WRITE_COIL:
            return None
        row = next((one.row for one in self._encoders[frames.READ_COILS] if one.row.address == request.address and one.row.write == frames.WRITE_COIL), None)
        if row is None:
            return None
        states = {frames.COIL_ON if row.write_on is None else row.write_on: 1.0, row.write_off: 0.0}
        return (row.point, states[request.count]) if request.count in states else None

    def refuse(self, request: Request, code: int | None = None) -> Said:
        return _refusal(request, code or BUSY)

    def read(self, request: Request, values: Mapping[str, float | str], forced: Mapping[str, float | str]) -> tuple[bytes, dict[str, int | str | None]]:
        """The answer's PDU, and what it says: exactly the points that lie wholly in it."""
        first, last = request.address, request.address + request.count - 1
        registers = [0] * request.count
        said: dict[str, int | str | None] = {}
        owners: dict[int, Raw] = {}
        touched = self._touched(request, last)
        for one in sorted(touched, key=lambda encoder: encoder.point not in forced) if forced else touched:
            raw = self._raw(one, values, forced, owners)
            _put(registers, first, one, raw)
            if first <= one.span[0] and one.span[1] <= last:
                said[one.point] = raw.said
        if request.function in frames.BIT_FUNCTIONS:
            return frames.bits_pdu(request.function, registers), said
        return frames.registers_pdu(request.function, registers), said

    def _touched(self, request: Request, last: int) -> list[Encoder]:
        """The points that lie in this answer, or reach into it."""
        key = request.function, request.address, request.count
        touched = self._asked.get(key)
        if touched is None:
            touched = [one for one in self._encoders[request.function] if one.span[0] <= last and request.address <= one.span[1]]
            if len(self._asked) < ASKED_MAX:
                self._asked[key] = touched
        return touched

    def _raw(self, one: Encoder, values: Mapping[str, float | str], forced: Mapping[str, float | str], owners: dict[int, Raw]) -> Raw:
        """A register that two points name is written by the first of them, a forced one before all; the other says what it finds."""
        if one.row.address in owners:
            return one.again(owners[one.row.address])
        value = forced.get(one.point, values.get(one.point, one.idle))
        raw = one.encode(value)
        if not _shares_register(one):
            owners[one.row.address] = raw
        return raw


def _refusal(request: Request, code: int) -> Said:
    return Said(frames.exception_pdu(request.function, code), {}, code)


def _put(registers: list[int], first: int, one: Encoder, raw: Raw) -> None:
    """Writes what of the point lies in the answer."""
    for offset, register in enumerate(raw.registers):
        index = one.row.address + offset - first
        if 0 <= index < len(registers):
            registers[index] |= register << one.row.bit if _shares_register(one) else register
    if one.row.exponent is not None and 0 <= one.row.exponent - first < len(registers):
        registers[one.row.exponent - first] = raw.exponent


def _shares_register(one: Encoder) -> bool:
    """One bit of a register, whose other bits may be other points."""
    return one.row.type == "bit" and not one.row.coil


def _answered(profile: Profile, rows: Iterable[Encoder]) -> frozenset[int]:
    """The addresses that answer under the function of these rows."""
    own = {address for one in rows for address in _addresses(one)}
    holes = {address for before, after in pairwise(sorted(own)) if after - before - 1 <= profile.profile.max_gap for address in range(before + 1, after)}
    ranges = [range(first, last + 1) for first, last in profile.profile.readable]
    whole = {address for reach in ranges if not own.isdisjoint(reach) for address in reach}
    forbidden = {address for first, last in profile.profile.forbidden for address in range(first, last + 1)}
    return frozenset((own | holes | whole) - forbidden)


def _addresses(one: Encoder) -> set[int]:
    row = one.row
    exponent = set() if row.exponent is None else {row.exponent}
    return set(range(row.address, row.address + row.count)) | exponent
