"""A simulated DL/T 645 meter of either edition. Written apart from the gateway's codec, so that each can find the other's mistake.

    request     FEH..., 68H, A0-A5, 68H, control, L, data + 33H, sum, 16H
    answer      the same with 80H in the control; C0H: refused, A0H: more follows

It has what its profile reads, each value of a block also alone, its number and its model. What it measures comes from the station or is forced.
Forced besides, to behave as the field's do:

    quirk.preamble      FEH before its answers (4)
    quirk.no_blocks     1: it refuses blocks
    quirk.refuse        identifiers that it refuses, blanks between them
    quirk.absent        points that it fills with FFH
    quirk.damaged       points in which a digit is above 9
    quirk.part_bytes    it sends so many bytes of value in a frame, the rest in follow-up frames
    quirk.error         error byte with which it refuses everything
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from edgegw.drivers.dlt645_profile import DltProfile, ItemRow
from edgegw.sim import forgery
from edgegw.sim.frames import Request
from edgegw.sim.tongue import NO_VALUE, Physical, Said, Tongue

# To whichever meter hears it.
ANY_UNIT = -1
# DL/T 645-2007, 7.2: bytes of data in an answer.
_DATA_MAX = 200
_HEAD, _TAIL = 10, 2
_NO_DATA, _OTHER_ERROR = 0x02, 0x01
_READS, _FOLLOWS, _READS_ADDRESS = (0x01, 0x11), (0x02, 0x12), 0x13
# Total and four tariffs: what a block of energy holds, whatever the profile reads of it.
_BLOCK_ITEMS = 5
_MODEL = "EDGEGW-SIM"
_QUIRKS = ("quirk.preamble", "quirk.no_blocks", "quirk.refuse", "quirk.absent", "quirk.damaged", "quirk.part_bytes", "quirk.error")


def _size(received: bytes) -> int | None:
    start = len(received) - len(received.lstrip(b"\xfe"))
    frame = received[start : start + _HEAD]
    if len(frame) < _HEAD or frame[0] != 0x68 or frame[7] != 0x68:
        return None
    return start + _HEAD + frame[9] + _TAIL


def _parse(received: bytes) -> Request | None:
    """`function` is the control, `address` the identifier, `count` its length, `body` what follows it."""
    frame = received.lstrip(b"\xfe")
    if sum(frame[:-2]) % 256 != frame[-2] or frame[-1] != 0x16 or frame[8] & 0x80:
        return None
    data = bytes((byte - 0x33) % 256 for byte in frame[_HEAD:-_TAIL])
    digits = frame[1:7][::-1].hex()
    unit = int(digits) if digits.isdecimal() and digits != "9" * 12 else ANY_UNIT
    size = min(len(data), 2 if frame[8] < 0x10 else 4)
    return Request(unit, frame[8], int.from_bytes(data[:size], "little"), size, body=data[size:])


DLT645 = Tongue(_size, _parse, lambda _, payload: payload, forgery.dlt645)


class _Place(NamedTuple):
    """Bytes of one value, and who lives there."""

    size: int
    signed: bool
    decimals: int
    rows: tuple[ItemRow, ...]


class Dlt645Body:
    """Of one profile. Keeps the rest of an answer that takes several frames, for each meter."""

    tongue = DLT645

    def __init__(self, profile: DltProfile) -> None:
        self._profile = profile
        self._year = profile.profile.year
        self.decimals: Mapping[str, int] = {row.point: profile.row_point(row).decimals for row in profile.point}
        self.points = (*self.decimals, *_QUIRKS)
        self._rows = {row.point: row for row in profile.point}
        self._blocks: frozenset[str] = frozenset(row.di for row in profile.point if profile.known(row).members)
        self._places = dict(self._find_places())
        self._rest: dict[int, tuple[str, list[bytes], dict[str, int | str | None]]] = {}

    def check(self, point: str, value: Physical) -> None:
        """Raises ValueError when this value cannot be sent."""
        if point in _QUIRKS:
            return
        if point not in self._rows:
            raise ValueError(f"it has no {point}")
        row = self._rows[point]
        if value == NO_VALUE:
            return
        if isinstance(value, str) or (row.bit is None and self._digits(row, value) is None):
            raise ValueError(f"{point} cannot be {value}")

    def answer(self, request: Request, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> Said | None:
        if request.function == _READS_ADDRESS:
            return Said(self._frame(request, 0x93, _bcd(request.unit, 6), forced), {}) if self._year == 2007 else None
        if (request.function in _READS or request.function in _FOLLOWS) and (request.function > 0x10) == (self._year == 2007):
            if error := int(forced.get("quirk.error", 0)):
                return self._refuse(request, error, forced)
            return self._follow(request, forced) if request.function in _FOLLOWS else self._read(request, values, forced)
        return None

    def width(self, point: str) -> float | None:
        row = self._rows.get(point)
        if row is None or row.bit is not None:
            return None
        form = self._profile.row_format(row)
        return float(10 ** (2 * form.size - form.decimals) * Fraction(str(row.scale)))

    def refuse(self, request: Request, code: int | None = None) -> Said:
        return self._refuse(request, code or _OTHER_ERROR, {})

    # -- reading

    def _read(self, request: Request, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> Said:
        di = f"{request.address:0{2 * request.count}X}"
        no_block = bool(forced.get("quirk.no_blocks")) and di in self._blocks
        said: dict[str, int | str | None] = {}
        if no_block or di in str(forced.get("quirk.refuse", "")).split():
            return self._refuse(request, _NO_DATA, forced)
        if di in self._places:
            data = b"".join(self._value(place, values, forced, said) for place in self._places[di])
        elif di in ("04000402", "C032"):
            data = _bcd(request.unit, 6)
        elif di == "0400040B":
            data = _MODEL.encode()[::-1]
        else:
            return self._refuse(request, _NO_DATA, forced)
        size = int(forced.get("quirk.part_bytes", _DATA_MAX - request.count - 1))
        parts = [data[k : k + size] for k in range(0, len(data), size)]
        self._rest[request.unit] = (di, parts, said)
        more = len(parts) > 1
        return Said(self._frame(request, request.function | 0x80 | 0x20 * more, _identifier(request) + parts[0], forced), {} if more else said)

    def _follow(self, request: Request, forced: Mapping[str, Physical]) -> Said:
        di, parts, said = self._rest.get(request.unit, ("", [], {}))
        number = request.body[0] if request.body else 1
        if di != f"{request.address:0{2 * request.count}X}" or number >= len(parts):
            return self._refuse(request, _NO_DATA, forced)
        if self._year == 1997:  # Without numbers: each question gets the next part.
            self._rest[request.unit] = (di, [parts[0], *parts[2:]], said)
        more = number + 1 < len(parts)
        data = _identifier(request) + parts[number] + request.body[:1]
        return Said(self._frame(request, request.function | 0x80 | 0x20 * more, data, forced), {} if more else said)

    def _refuse(self, request: Request, error: int, forced: Mapping[str, Physical]) -> Said:
        return Said(self._frame(request, request.function | 0xC0, bytes((error,)), forced), {}, error)

    def _frame(self, request: Request, control: int, data: bytes, forced: Mapping[str, Physical]) -> bytes:
        frame = b"\x68" + _bcd(request.unit, 6) + bytes((0x68, control, len(data))) + bytes((byte + 0x33) % 256 for byte in data)
        return b"\xfe" * int(forced.get("quirk.preamble", 4)) + frame + bytes((sum(frame) % 256, 0x16))

    # -- values

    def _find_places(self) -> Iterable[tuple[str, tuple[_Place, ...]]]:
        for di in dict.fromkeys(row.di for row in self._profile.point):
            rows = [row for row in self._profile.point if row.di == di]
            known = self._profile.known(rows[0])
            count = max([_BLOCK_ITEMS, *(row.item + 1 for row in rows)])
            places = []
            for item, told in enumerate(known.items[:count]):
                own = tuple(row for row in rows if row.item == item)
                form = self._profile.row_format(own[0]) if own else told.form
                places.append(_Place(form.size, form.signed, form.decimals, own))
            yield di, tuple(places)
            yield from ((member, (place,)) for member, place in zip(known.members, places, strict=False))

    def _value(self, place: _Place, values: Mapping[str, Physical], forced: Mapping[str, Physical], said: dict[str, int | str | None]) -> bytes:
        """The bytes of one value; says what each of its points is. A meter without the phase or tariff sends FFH."""
        names = {row.point for row in place.rows}
        absent = not names or bool(names & set(str(forced.get("quirk.absent", "")).split()))
        damaged = bool(names & set(str(forced.get("quirk.damaged", "")).split()))
        raw = None if absent else self._raw(place, values, forced)
        if raw is None or damaged:
            said |= dict.fromkeys(names)
            return b"\xff" * place.size if raw is None else b"\x1a" + _bcd(0, place.size - 1)
        for row in place.rows:
            said[row.point] = self._said(row, raw)
        if self._profile.row_format(place.rows[0]).kind == "bits":
            return raw.to_bytes(place.size, "little")
        body = bytearray(_bcd(abs(raw), place.size))
        body[-1] |= 0x80 * (raw < 0)
        return bytes(body)

    def _raw(self, place: _Place, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> int | None:
        """The number in the meter's last digit, or the word with its bits."""
        word = 0
        for row in place.rows:
            value = forced.get(row.point, values.get(row.point, 0.0))
            if isinstance(value, str):
                return None
            if row.bit is not None:
                word |= bool(value) << row.bit
            elif self._profile.row_format(row).kind == "bits":
                word |= int(value)
            else:
                return self._digits(row, value)
        return word

    def _digits(self, row: ItemRow, value: float) -> int | None:
        """None where the meter has not as many digits."""
        form = self._profile.row_format(row)
        digits = round(Fraction(value) / Fraction(str(row.scale)) * 10**form.decimals)
        most = 8 * 10 ** (2 * form.size - 1) if form.signed else 10 ** (2 * form.size)
        return digits if abs(digits) < most and (form.signed or digits >= 0) else None

    def _said(self, row: ItemRow, raw: int) -> int:
        if row.bit is not None:
            return raw >> row.bit & 1
        if self._profile.row_format(row).kind == "bits":
            return raw
        shift = self.decimals[row.point] - self._profile.row_format(row).decimals
        return round(raw * Fraction(str(row.scale)) * Fraction(10) ** shift)


def _identifier(request: Request) -> bytes:
    return request.address.to_bytes(request.count, "little")


def _bcd(number: int, size: int) -> bytes:
    """Low byte first."""
    return bytes.fromhex(f"{number:0{2 * size}d}")[::-1] if size else b""
