"""The fields of an X.509 certificate that people read, straight from its bytes (RFC 5280, section 4.1; DER: ITU-T X.690).

    certificate = 30 { 30 { [A0 version] 02 serial  30 algorithm  30 issuer  30 { begins ends }  30 subject  30 key  [81] [82] [A3 { 30 extensions }] } ... }
    item        = tag, length (one byte below 80H, else 80H + the number of its bytes), content
    name        = 30 { 31 { 30 { 06 object id  string } ... } ... }          time = 17 YYMMDDHHMMSSZ or 18 YYYYMMDDHHMMSSZ
    extension   = 30 { 06 object id [01 critical] 04 { value } }             of 2.5.29.17: 30 { 82 host name | 87 address ... }

Why not the library: its X.509 part takes 3 MB that the gateway would hold for years, to read four certificates once. Nothing here says that a
certificate is to be trusted: that is proven by TLS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_SEQUENCE, _SET, _OBJECT_ID, _OCTETS = 0x30, 0x31, 0x06, 0x04
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_HOST_NAME, _ADDRESS = 0x82, 0x87
_ALTERNATIVE_NAMES: Final = "2.5.29.17"
# A certificate has some kilobytes; a longer length of lengths is none of ours.
_LENGTH_BYTES_MAX: Final = 4
# The longest one in use has some 20.
_OBJECT_ID_BYTES_MAX: Final = 64
# RFC 4514, section 3; the rest is told by its number.
_SHORT_NAMES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
# UniversalString and BMPString; all others are UTF-8 or a part of it.
_WIDE: Final = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}


class Fields(NamedTuple):
    """Of one certificate; names as RFC 4514 writes them, the last part first."""

    subject: str
    issuer: str
    host_names: tuple[str, ...]
    addresses: tuple[str, ...]
    begins: datetime
    ends: datetime


class _Item(NamedTuple):
    tag: int
    content: bytes


def fields_of(der: bytes) -> Fields:
    """Raises ValueError for what is no certificate."""
    parts = _items(_only(_only(der, _SEQUENCE, whole=True), _SEQUENCE))
    found = next(parts, None)
    if found is not None and found.tag == _VERSION:
        next(parts, None)  # the serial number
    next(parts, None)  # the algorithm
    issuer, validity, subject = (_next(parts, _SEQUENCE) for _ in range(3))
    times = _items(validity)
    begins, ends = (_time(next(times, None)) for _ in range(2))
    extensions = next((part.content for part in parts if part.tag == _EXTENSIONS), None)
    names = list(_items(_alternative_names(extensions))) if extensions is not None else []
    return Fields(
        _name(subject),
        _name(issuer),
        tuple(one.content.decode("ascii") for one in names if one.tag == _HOST_NAME),
        tuple(str(ipaddress.ip_address(one.content)) for one in names if one.tag == _ADDRESS),
        begins,
        ends,
    )


def _items(data: bytes) -> Iterator[_Item]:
    """What stands in `data`, one behind the other. Raises ValueError where it is cut short."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut short")
        tag, size = data[at], data[at + 1]
        at += 2
        if size >= 0x80:
            count = size - 0x80
            if not 1 <= count <= _LENGTH_BYTES_MAX:
                raise ValueError("a length that is none")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("cut short")
        yield _Item(tag, data[at : at + size])
        at += size


def _next(items: Iterator[_Item], tag: int) -> bytes:
    """The content of the next one, which must have this tag."""
    found = next(items, None)
    if found is None or found.tag != tag:
        raise ValueError(f"no {tag:02X} where one must be")
    return found.content


def _only(data: bytes, tag: int, *, whole: bool = False) -> bytes:
    """The content of the first one; with `whole` nothing may follow it."""
    items = _items(data)
    content = _next(items, tag)
    if whole and next(items, None) is not None:
        raise ValueError("bytes behind the certificate")
    return content


def _time(found: _Item | None) -> datetime:
    """RFC 5280, section 4.1.2.5: always UTC; two digits of a year are 1950 to 2049."""
    if found is None or found.tag not in (_UTC_TIME, _GENERAL_TIME):
        raise ValueError("no time where one must be")
    text = found.content.decode("ascii")
    if found.tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    digits = text.removesuffix("Z")
    if len(text) != 15 or len(digits) != 14 or not digits.isdigit():
        raise ValueError("a time that is none")
    return datetime(int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2)), tzinfo=UTC)  # type: ignore[arg-type, misc]  # five numbers


def _alternative_names(extensions: bytes) -> bytes:
    """The names of the extension of that kind; nothing where there is none."""
    for extension in _items(_only(extensions, _SEQUENCE)):
        parts = list(_items(extension.content))
        if len(parts) > 1 and parts[0].tag == _OBJECT_ID and parts[-1].tag == _OCTETS and _object_id(parts[0].content) == _ALTERNATIVE_NAMES:
            return _only(parts[-1].content, _SEQUENCE)
    return b""


def _name(content: bytes) -> str:
    """As `CN=gw1,O=operator`: the last part first, parts of one level joined by +."""
    levels = [[_attribute(one.content) for one in _items(level.content)] for level in _items(content)]
    return ",".join("+".join(level) for level in reversed(levels))


def _attribute(content: bytes) -> str:
    parts = _items(content)
    object_id = _object_id(_next(parts, _OBJECT_ID))
    value = next(parts, None)
    if value is None:
        raise ValueError("a name without a value")
    text = value.content.decode(_WIDE.get(value.tag, "utf-8"))
    return f"{_SHORT_NAMES.get(object_id, object_id)}={_escaped(text)}"


def _escaped(text: str) -> str:
    """RFC 4514, section 2.4."""
    found = "".join(f"\\{one}" if one in '"+,;<>\\' else one for one in text).replace("\0", "\\00")
    if found.startswith((" ", "#")):
        found = f"\\{found}"
    return f"{found[:-1]}\\ " if len(text) > 1 and text.endswith(" ") else found


def _object_id(content: bytes) -> str:
    """Base 128, high bit on all bytes of a number but its last; the first number holds two."""
    if len(content) > _OBJECT_ID_BYTES_MAX:
        raise ValueError("an object id that is too long")
    numbers, value = [], 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise ValueError("an empty object id")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
