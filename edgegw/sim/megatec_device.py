"""A simulated UPS of the Megatec family, each dialect. Pure; written apart from the gateway's codec, so that each can find the other's mistake.

What it measures comes from the station or is forced. Forced besides, to behave as the field's do:

    quirk.nak        queries that it refuses, blanks between them
    quirk.dashes     points that it fills with dashes
    quirk.no_cr      1: no CR behind its answers
    quirk.per_cell   1: battery volts per 2 V cell
    quirk.mute       queries that it does not answer at all
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal

from fastcrc import crc16

from edgegw.drivers.megatec_profile import CommandRow, MegatecProfile
from edgegw.sim import forgery
from edgegw.sim.frames import Request
from edgegw.sim.megatec_answers import DEFAULTS, OWN, WRITERS, Pen, Says, nominal_of
from edgegw.sim.tongue import NO_VALUE, Physical, Said, Tongue

# Longest request: QPIGS with its check.
_REQUEST_MAX = 16
_QUIRKS = ("quirk.nak", "quirk.dashes", "quirk.no_cr", "quirk.per_cell", "quirk.mute")
_NAK = {"megatec": None, "voltronic-qs": None, "voltronic-qs-hex": "N", "q6": "NAK", "omron": "NAK", "innovatae": "NAK"}
"""How a dialect refuses; None: it sends the command back. All others: `(NAK`."""


class MegatecBody:
    """Of one profile; immutable."""

    def __init__(self, profile: MegatecProfile) -> None:
        self._dialect = profile.profile.dialect
        self._ignored = frozenset(profile.profile.ignore_status_bits)
        self._rated = "F" in profile.profile.introduce or self._dialect == "voltronic-qs-hex"
        self._rows = {row.point: row for row in profile.point}
        self.tongue = Tongue(_size, _parse, lambda _, payload: payload, forgery.megatec, frozenset({"crc", "foreign_unit", "twin"}))
        self.decimals: Mapping[str, int] = {row.point: profile.row_point(row).decimals for row in profile.point}
        self.points = (*self._rows, *_QUIRKS)
        self._writers: dict[str, Callable[[Pen], str]] = {**WRITERS, **OWN.get(self._dialect, {})}

    def check(self, point: str, value: Physical) -> None:
        if point not in self.points:
            raise ValueError(f"it has no {point}")
        numeric = isinstance(DEFAULTS.get(point), float)
        if numeric and value != NO_VALUE and not isinstance(value, (int, float)):
            raise ValueError(f"{point} is a number")

    def answer(self, request: Request, values: Mapping[str, Physical], forced: Mapping[str, Physical]) -> Said | None:
        command = self._command(request)
        if command in _words(forced, "quirk.mute"):
            return None
        if command not in self._writers or command in _words(forced, "quirk.nak"):
            return self.refuse(request)
        absent = frozenset(point for point, value in forced.items() if value == NO_VALUE)
        measured = {point: value for point, value in forced.items() if point not in absent}
        pen = Pen({**values, **measured}, _words(forced, "quirk.dashes") | absent)
        text = self._writers[command](pen)
        body = text.encode("latin-1")
        ending = b"" if forced.get("quirk.no_cr") else b"\r"
        return Said(body + (_check(body) if self._dialect == "voltronic-axpert" else b"") + ending, self._said(command, pen.says))

    def width(self, point: str) -> float | None:  # noqa: ARG002 - one signature for every body
        return None

    def refuse(self, request: Request, code: int | None = None) -> Said:  # noqa: ARG002 - it has one word for every refusal
        word = _NAK.get(self._dialect, "(NAK")
        body = request.body if word is None else word.encode()
        if word is not None and self._dialect == "voltronic-axpert":
            body += _check(body)
        return Said(body + b"\r", {}, 1)

    def _command(self, request: Request) -> str:
        body = request.body[:-2] if self._dialect == "voltronic-axpert" else request.body
        return body.decode("latin-1")

    def _said(self, command: str, says: Mapping[str, Says]) -> dict[str, int | str | None]:
        """The points of this answer, in their units."""
        says = self._derived(says)
        rows = [row for row in self._rows.values() if row.command == command]
        return {row.point: self._units(row, says.get(row.source_field)) for row in rows}

    def _derived(self, says: Mapping[str, Says]) -> dict[str, Says]:
        volts = says.get("battery.voltage")
        if not isinstance(volts, Decimal):
            return dict(says)
        per_cell = volts < 3
        nominal_v = says["battery.voltage.nominal"] if per_cell else nominal_of(volts)
        assert isinstance(nominal_v, Decimal)
        string = (volts * nominal_v / 2 if self._rated else None) if per_cell else volts
        charge = None
        if self._rated and string is not None:
            low, high = nominal_v * 104 / 120, nominal_v * 130 / 120
            charge = min(max(100 * (string - low) / (high - low), Decimal(0)), Decimal(100)).quantize(Decimal(1), ROUND_HALF_EVEN)
        return {**says, "battery.voltage.string": string, "battery.voltage.cell": volts if per_cell else None, "battery.charge.estimated": charge}

    def _units(self, row: CommandRow, said: Says) -> int | str | None:
        return int((said * 10 ** self.decimals[row.point]).to_integral_value(ROUND_HALF_EVEN)) if isinstance(said, Decimal) else said


# -- the line


def _size(received: bytes) -> int | None:
    end = received.find(b"\r")
    return end + 1 if 0 < end <= _REQUEST_MAX else None


def _parse(frame: bytes) -> Request | None:
    return Request(unit=0, function=0, address=0, count=0, body=frame[:-1])


def _check(body: bytes) -> bytes:
    """CRC-16/XMODEM, high byte first; 0AH, 0DH and 28H are sent one higher."""
    value = crc16.xmodem(body)
    return bytes(part + 1 if part in (0x0A, 0x0D, 0x28) else part for part in (value >> 8, value & 0xFF))


def _words(forced: Mapping[str, Physical], name: str) -> frozenset[str]:
    return frozenset(str(forced.get(name, "")).split())
