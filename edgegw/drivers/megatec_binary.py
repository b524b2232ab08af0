"""QS of the Voltronic P and T protocols: raw bytes between blanks. Pure.

    23 | 06 00 20 68 | 20 70 01 20 69 | 20 0C | 20 61 A8 20 28 02 12 D0 | 20 D5 20 1E | 20 89 | 0D
    #    A  B     C       D  E     F       G       H  I     J(28 02) K L      M     N      O     CR

    input voltage AB x C / 51 / 256, output voltage DE x F / 51 / 256, load G %, frequency JKL / HI, battery M x N / 510 V, status bits O as in Q1;
    the T protocol adds a rating byte P: b7 60 Hz, b6 b5 battery 12/24/36/48 V, b2..b0 output 110/120/220/230/240 V
    28 00 stands for 0D, 28 01 for 11, 28 02 for 13, 28 03 for 0A, 28 04 for 20; 28 before anything else is itself

Source: networkupstools/nut-website protocols/voltronic-qs.txt; networkupstools/nut drivers/nutdrv_qx_voltronic-qs-hex.c (which cuts the product by 51
to a whole number before it divides by 256).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from edgegw.drivers.megatec_fields import Mismatch, Options, Values, q1_status
from edgegw.drivers.megatec_replies import Reply, estimates

_ESCAPED = {0x00: 0x0D, 0x01: 0x11, 0x02: 0x13, 0x03: 0x0A, 0x04: 0x20}
_ESCAPE, _BLANK = 0x28, 0x20
# Bytes of AB, C, DE, F, G, HI, JKL, M, N, O and, in the T protocol, P.
_SIZES = (2, 1, 2, 1, 1, 2, 3, 1, 1, 1, 1)
_P_FIELDS = 10
# The document: a higher frequency is told as this.
_FREQUENCY_MAX = Decimal("99.9")
_BATTERY_V = (12, 24, 36, 48)
_OUTPUT_V = {0: 110, 1: 120, 2: 220, 3: 230, 4: 240}


def unescape(body: bytes) -> list[bytes]:
    """The fields behind the start byte."""
    fields = [bytearray()]
    at = 0
    while at < len(body):
        if body[at] == _BLANK:
            fields.append(bytearray())
        elif body[at] == _ESCAPE and at + 1 < len(body) and body[at + 1] in _ESCAPED:
            at += 1
            fields[-1].append(_ESCAPED[body[at]])
        else:
            fields[-1].append(body[at])
        at += 1
    return [bytes(field) for field in fields]


def escape(field: bytes) -> bytes:
    """One field for the line."""
    back = {original: bytes((_ESCAPE, code)) for code, original in _ESCAPED.items()}
    return b"".join(back.get(byte, bytes((byte,))) for byte in field)


def read_qs_hex(text: str, options: Options) -> Values:
    """`text` holds one character a byte."""
    if not text.startswith("#"):
        raise Mismatch("foreign_reply", "it begins not with #")
    found = unescape(text[1:].encode("latin-1"))
    if len(found) < _P_FIELDS or (len(found) == _P_FIELDS and len(found[-1]) == 0):
        raise Mismatch("short_reply", f"{len(found)} of {_P_FIELDS} fields")
    if [len(field) for field in found] != list(_SIZES[: len(found)]):
        raise Mismatch("foreign_reply", "its fields have not the sizes of a QS reply in raw bytes")
    ab, c, de, f, load, hi, jkl, m, n, status = (int.from_bytes(field, "big") for field in found[:_P_FIELDS])
    vin, vout = _volts(ab * c), _volts(de * f)
    battery = _rounded(Decimal(m * n) / 510)
    bits = f"{status:08b}"
    values: Values = {
        "input.voltage": vin,
        "output.voltage": vout,
        "ups.load": Decimal(load),
        "output.frequency": _rounded(min(Decimal(jkl) / hi, _FREQUENCY_MAX)) if hi else (Decimal(0) if jkl == 0 else None),
        "battery.voltage": battery,
        "status_bits": bits,
        **q1_status(bits, vin, vout, options.ignore_bits),
    }
    nominal = options.nominal_v
    if len(found) > _P_FIELDS:
        rating = found[_P_FIELDS][0]
        nominal = Decimal(_BATTERY_V[rating >> 5 & 3])
        output = _OUTPUT_V.get(rating & 7)
        values |= {
            "output.frequency.nominal": Decimal(60 if rating & 0x80 else 50),
            "battery.voltage.nominal": nominal,
            "output.voltage.nominal": None if output is None else Decimal(output),
        }
    return values if nominal is None else values | estimates(battery, nominal, per_cell=False)


def _volts(product: int) -> Decimal:
    return _rounded(Decimal(product // 51) / 256)


def _rounded(value: Decimal) -> Decimal:
    """One decimal, as the document and NUT print it."""
    return value.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)


QS_HEX = Reply("qs_hex", read_qs_hex, 25)
