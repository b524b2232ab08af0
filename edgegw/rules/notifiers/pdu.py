"""A text to the SMS-SUBMIT that carries it, or to several that a telephone joins. Pure.

    SCA         length of what follows, type of number, digits in pairs swapped; 00: the message centre of the card
    first       11H: SMS-SUBMIT with a validity period as one byte; + 40H: the user data begin with a header
    TP-MR       00: the modem counts
    TP-DA       number of digits, type of number (91H international, 81H unknown), digits in pairs swapped, F fills
    TP-PID      00
    TP-DCS      00: GSM 7 bit, 08H: UCS-2
    TP-VP       8FH: 12 hours
    TP-UDL      septets (GSM 7 bit) or bytes (UCS-2), header and all
    TP-UD       [05 00 03, reference, parts, number of this part] text

3GPP TS 23.040, 9.1.2.5, 9.2.2.2, 9.2.3 (header: 9.2.3.24.1); alphabet: 3GPP TS 23.038, 6.1.2.1, 6.2.1. The length that AT+CMGS wants is
that without SCA (3GPP TS 27.005, 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# 3GPP TS 23.038, 6.2.1: the place in the row is the code. 1BH leads to the second table.
ALPHABET = (
    "@\u00a3$\u00a5\u00e8\u00e9\u00f9\u00ec\u00f2\u00c7\n\u00d8\u00f8\r\u00c5\u00e5"
    "\u0394_\u03a6\u0393\u039b\u03a9\u03a0\u03a8\u03a3\u0398\u039e\x1b\u00c6\u00e6\u00df\u00c9"
    " !\"#\u00a4%&'()*+,-./0123456789:;<=>?"
    "\u00a1ABCDEFGHIJKLMNOPQRSTUVWXYZ\u00c4\u00d6\u00d1\u00dc\u00a7"
    "\u00bfabcdefghijklmnopqrstuvwxyz\u00e4\u00f6\u00f1\u00fc\u00e0"
)
ESCAPE = 0x1B
EXTENSION = {"\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "\u20ac": 0x65}
_CODES = {sign: (code,) for code, sign in enumerate(ALPHABET) if code != ESCAPE} | {sign: (ESCAPE, code) for sign, code in EXTENSION.items()}

# User data have 140 bytes; a header takes 6 of them, as septets 7.
_SEPTETS, _SEPTETS_OF_PART = 160, 153
_UNITS, _UNITS_OF_PART = 70, 67
_HEADER_SEPTETS = 7
PARTS_MAX = 6
CUT = "..."
_SUBMIT, _WITH_HEADER = 0x11, 0x40
_VALID_12_HOURS = 0x8F
_GSM, _UCS2 = 0x00, 0x08


class Submit(NamedTuple):
    """One message for `AT+CMGS=<size>`."""

    size: int
    """Bytes behind the message centre."""
    pdu: str
    """All of it, in hexadecimal digits."""


def submits(text: str, number: str, reference: int, parts_max: int, smsc: str = "") -> list[Submit]:
    """The messages of a text; what does not fit into `parts_max` is cut and marked. `reference` (0-255) tells telephones what belongs together."""
    clean = text.replace("\r\n", "\n")
    atoms, size, size_of_part, code = _atoms(clean)
    if sum(map(len, atoms)) <= size:
        bodies = [atoms]
    else:
        bodies = _parts(atoms, size_of_part)
        if len(bodies) > parts_max:
            return _cut(clean, number, reference, parts_max, smsc)
    sealed = [bytes(unit for atom in body for unit in atom) if code == _GSM else b"".join(_ucs2(unit) for atom in body for unit in atom) for body in bodies]
    return [_submit(body, number, code, _header(reference, len(bodies), at) if len(bodies) > 1 else b"", smsc) for at, body in enumerate(sealed, 1)]


def _cut(text: str, number: str, reference: int, parts_max: int, smsc: str) -> list[Submit]:
    """The longest beginning that fits with the mark behind it."""
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        atoms, size, size_of_part, _ = _atoms(text[:middle] + CUT)
        if len(_parts(atoms, size_of_part if parts_max > 1 else size)) <= parts_max:
            fits = middle
        else:
            too_long = middle
    return submits(text[:fits].rstrip() + CUT, number, reference, parts_max, smsc)


def _atoms(text: str) -> tuple[list[tuple[int, ...]], int, int, int]:
    """What must not be parted (an escape and its sign, two surrogates), how many units fit into one message and into a part of several, and the coding."""
    if all(sign in _CODES for sign in text):
        return [_CODES[sign] for sign in text], _SEPTETS, _SEPTETS_OF_PART, _GSM
    return [_units(sign) for sign in text], _UNITS, _UNITS_OF_PART, _UCS2


def _units(sign: str) -> tuple[int, ...]:
    """UTF-16, which every telephone takes for UCS-2; half a surrogate is no sign."""
    raw = sign.encode("utf-16-be", "replace")
    return tuple(int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2))


def _ucs2(unit: int) -> bytes:
    return unit.to_bytes(2, "big")


def _parts(atoms: Sequence[tuple[int, ...]], size: int) -> list[list[tuple[int, ...]]]:
    parts: list[list[tuple[int, ...]]] = [[]]
    filled = 0
    for atom in atoms:
        if filled + len(atom) > size:
            parts.append([])
            filled = 0
        parts[-1].append(atom)
        filled += len(atom)
    return parts


def _header(reference: int, parts: int, number: int) -> bytes:
    return bytes((5, 0, 3, reference & 0xFF, parts, number))


def _submit(body: bytes, number: str, code: int, header: bytes, smsc: str) -> Submit:
    if code == _GSM:
        septets = _HEADER_SEPTETS if header else 0
        length = septets + len(body)
        data = header + pack(body, septets * 7 - len(header) * 8)
    else:
        length = len(header) + len(body)
        data = header + body
    first = _SUBMIT | (_WITH_HEADER if header else 0)
    tpdu = bytes((first, 0)) + _address(number) + bytes((0, code, _VALID_12_HOURS, length)) + data
    centre = bytes((1 + (len(smsc.removeprefix("+")) + 1) // 2,)) + _kind_and_digits(smsc) if smsc else b"\0"
    return Submit(len(tpdu), (centre + tpdu).hex().upper())


def _address(number: str) -> bytes:
    return bytes((len(number.removeprefix("+")),)) + _kind_and_digits(number)


def _kind_and_digits(number: str) -> bytes:
    digits = number.removeprefix("+")
    padded = digits + "F" * (len(digits) % 2)
    return bytes((0x91 if number.startswith("+") else 0x81,)) + bytes.fromhex("".join(padded[at + 1] + padded[at] for at in range(0, len(padded), 2)))


def pack(septets: Sequence[int], fill_bits: int = 0) -> bytes:
    """Seven bits each, the lowest first, behind `fill_bits` zeros (3GPP TS 23.038, 6.1.2.1.1)."""
    bits = 0
    for septet in reversed(septets):
        bits = bits << 7 | septet
    count = 7 * len(septets) + fill_bits
    return (bits << fill_bits).to_bytes((count + 7) // 8, "little")
