"""Fields of a Megatec reply: text between blanks to numbers, and the status bits. Pure.

    (208.4 140.0 208.4 034 59.9 2.05 35.0 00110000
    |  |           field: digits, perhaps a point and digits. `--.-`, `00A`, `@@.@` or blanks make that field alone unreadable, never 0
    |  fields stand in fixed columns, one blank between them
    start byte: `(` for what changes, `#` for ratings and names

A wrong start byte, number of fields or status word means that the reply belongs to another command.
Source: networkupstools/nut-website protocols/megatec.txt, voltronic.txt; networkupstools/nut drivers/nutdrv_qx_blazer-common.c, nutdrv_qx_voltronic.c.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from edgegw.drivers.megatec_words import in_order

Plain = Decimal | str | bool | int | list[str] | list[int] | None
Values = dict[str, Plain]
"""NUT name, or a word of our own without a dot, to what the reply says; None where it says nothing."""

# Seven digits hold every power and runtime; a longer run of digits is no field of these protocols.
_NUMBER = re.compile(r"\d{1,7}(\.\d{1,3})?")
# A field behind those that are read: a number, perhaps with a letter (`06P`), or dashes.
_UNREAD = re.compile(r"[\d.+-]*[A-Z]?")


class Mismatch(Exception):  # noqa: N818 - says what the bytes are, not that anything is wrong with us
    """The bytes are no answer to the command."""

    def __init__(self, kind: str, text: str, other: str = "") -> None:
        """`kind`: empty_reply, short_reply, not_supported, foreign_reply, crc or unknown_command. `other`: the command that they do answer, where it is clear."""
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text
        self.other = other


class Options(NamedTuple):
    """What is known of the device beside the reply."""

    nominal_v: Decimal | None = None
    """Rated battery voltage, for the estimates."""
    ignore_bits: frozenset[int] = frozenset()
    """Status bits of a Q1 reply (7 to 0) that this product sets without meaning."""
    avr: bool = False
    """Voltronic P00 and P08: the bypass bit of QGS says that the voltage is regulated."""


PLAIN = Options()


class Field(NamedTuple):
    name: str
    """NUT name; empty where nobody knows what it is."""
    width: int
    form: str = ""
    """i: an integer, d: with decimals; tells replies of equal length apart. bits8, bits12: status word. h, s: text kept as it is."""
    factor: Decimal = Decimal(1)


def fields(text: str) -> tuple[Field, ...]:
    """`name:width[form][*factor]`, blank between; a name of `-` is unknown."""
    return tuple(_field(item) for item in text.split())


def _field(item: str) -> Field:
    found = re.fullmatch(r"(?P<name>[^:]+):(?P<width>\d+)(?P<form>[a-z]*)(?:\*(?P<factor>[\d.]+))?", item)
    assert found is not None, item
    width, form = int(found["width"]), found["form"]
    return Field("" if found["name"] == "-" else found["name"], width, f"bits{width}" if form == "b" else form, Decimal(found["factor"] or 1))


def tokens(text: str, layout: Sequence[Field]) -> list[str]:
    """The fields' texts: by columns where the reply has its usual length, so that a field of blanks keeps its place; else by the blanks."""
    widths = [field.width for field in layout]
    if len(text) == sum(widths) + len(widths) - 1:
        starts = [sum(widths[:n]) + n for n in range(len(widths))]
        if all(text[start - 1] == " " for start in starts[1:]):
            return [text[start : start + width].strip(" ") for start, width in zip(starts, widths, strict=True)]
    return text.split()


def number(token: str, *, padded: bool = False) -> Decimal | None:
    """A field's number; None where it is unreadable. `padded`: Voltronic puts `#` before what is shorter than its field."""
    text = token.lstrip("#") if padded else token
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_fields(text: str, start: str, layout: Sequence[Field], *, padded: bool = False, more: int = 0) -> tuple[Values, dict[str, str]]:
    """Values by name, and the text of every named field. `more`: so many unknown fields may follow. Raises Mismatch."""
    if not text.startswith(start):
        raise Mismatch("foreign_reply", f'it begins with "{text[:1]}" instead of "{start}"')
    body = text[len(start) :].rstrip(" ")
    found = tokens(body, layout)
    if len(found) < len(layout):
        raise Mismatch("short_reply", f"{len(found)} of {len(layout)} fields")
    if len(found) > len(layout) + more:
        raise Mismatch("foreign_reply", f"{len(found)} fields instead of {len(layout)}")
    if strange := next((token for token in found[len(layout) :] if not _UNREAD.fullmatch(token)), None):
        raise Mismatch("foreign_reply", f'"{strange}" stands where a number belongs')
    values: Values = {}
    raw: dict[str, str] = {}
    readable = False
    for place, (field, token) in enumerate(zip(layout, found, strict=False), 1):
        value = _read(field, token, place, padded=padded)
        readable = readable or isinstance(value, Decimal) or field.form.startswith("bits")
        if field.name:
            raw[field.name] = token
            if not field.form.startswith("bits"):
                values[field.name] = value
    if not readable:
        raise Mismatch("foreign_reply", "no field of it is a number")
    return values, raw


def _read(field: Field, token: str, place: int, *, padded: bool) -> Decimal | str | None:
    """One field. Raises Mismatch where it cannot be what stands in this place."""
    if field.form.startswith("bits"):
        if len(token) != field.width or token.strip("01-" if field.form == "bits12" else "01"):
            kind = "short_reply" if len(token) < field.width and not token.strip("01") else "foreign_reply"
            raise Mismatch(kind, f'field {place} is "{token}" instead of {field.width} status bits')
        return token
    if field.form in ("h", "s"):
        return token if token.strip("#- ") else None
    value = number(token, padded=padded)
    if value is None:
        return None
    if field.form and (field.form == "d") != ("." in token):
        raise Mismatch("foreign_reply", f'field {place} is "{token}"; a number {"with" if field.form == "d" else "without"} decimals stands there')
    return value * field.factor


# -- status


def q1_status(bits: str, vin: Plain, vout: Plain, ignore: frozenset[int] = frozenset()) -> Values:
    """Eight bits, b7 first: mains lost, battery low, bypass or voltage regulation, failed, not on-line type, test, shutdown, beeper on."""
    on = {bit for bit in range(8) if bits[7 - bit] == "1" and bit not in ignore}
    tokens_on = {"OB" if 7 in on else "OL"}
    tokens_on |= {token for bit, token in ((6, "LB"), (2, "CAL"), (1, "FSD")) if bit in on}
    if 5 in on and (token := regulation(vin, vout)):
        tokens_on.add(token)
    return {
        "ups.status": in_order(tokens_on),
        "ups.alarm": ["ups_failed"] if 4 in on else [],
        "ups.type": "offline/line-interactive" if 3 in on else "online",
        "ups.beeper.status": "enabled" if 0 in on else "disabled",
    }


def qgs_status(bits: str, vin: Plain, vout: Plain, *, avr: bool = False) -> Values:
    """Twelve bits, b11 first: type (2), mains lost, battery low, bypass or ECO, fault, unknown, test, shutdown, beeper off, unknown (2). `-`: not told."""
    mains, low, bypass, fault, test, shutdown, beeper = (bits[n] for n in (2, 3, 4, 5, 7, 8, 9))
    tokens_on = {token for bit, token in ((low, "LB"), (test, "CAL"), (shutdown, "FSD")) if bit == "1"}
    if mains != "-":
        tokens_on.add("OB" if mains == "1" else "OL")
    token = regulation(vin, vout) if bypass == "1" else ""
    if token and not (avr and token == "BYPASS"):  # noqa: S105 - a word of ups.status
        tokens_on.add(token)
    return {
        "ups.type": {"00": "offline", "01": "line-interactive", "10": "online"}.get(bits[:2]),
        "bypass_or_eco_or_avr": None if bypass == "-" else bypass == "1",
        "ups.status": in_order(tokens_on) or None,
        "ups.alarm": ["ups_fault"] if fault == "1" else [],
        "ups.beeper.status": {"0": "enabled", "1": "disabled"}.get(beeper),
    }


def regulation(vin: Plain, vout: Plain) -> str:
    """What the bypass bit means, by the ratio of output to input voltage, as NUT decides it; empty where the two do not belong together."""
    if not isinstance(vin, Decimal) or not isinstance(vout, Decimal) or vout < vin / 2:
        return ""
    limits = ((Decimal("0.95"), "TRIM"), (Decimal("1.05"), "BYPASS"), (Decimal("1.5"), "BOOST"))
    return next((token for limit, token in limits if vout < limit * vin), "")


def as_json(values: Mapping[str, Plain]) -> dict[str, object]:
    """For JSON: decimals as numbers."""
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()}
