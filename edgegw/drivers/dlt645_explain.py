"""What bytes say in DL/T 645, frame by frame, for people: whole frames, broken ones, and why they are refused. No I/O.

    function    request                 reply                       1997
    03          security                                            (1997: read again)
    08          time: ss mm hh DD MM YY none                        08
    11 read     identifier              identifier, value           01
    12 follow   identifier, number      identifier, value, number   02 (no number)
    13 address  -                       address
    14 write    identifier, ...         -                           04
    15          address                 -                           0A
    16 freeze   mm hh DD MM             -
    17 rate     rate word               rate word                   0C
    18 to 1D    password and the like   -                           0F, 10

A refusal holds one error byte (security: two). What follows a password is never shown as a value. DL/T 645-2007, 7; DL/T 645-1997, 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edgegw.drivers import dlt645_codec as codec
from edgegw.drivers.dlt645_codec import MORE, REFUSED, REPLY, Frame
from edgegw.drivers.dlt645_format import DamagedError, Format, decode, parse_formats
from edgegw.drivers.dlt645_items import Item, Known, Value, find, read_values
from edgegw.drivers.dlt645_records import read_record

# Functions that only the edition of 1997 has; from 11H on they are the other one's, 03H and 08H both have.
_FUNCTIONS_1997 = frozenset({0x01, 0x02, 0x04, 0x0A, 0x0C, 0x0F, 0x10})
_FUNCTION_MIN_2007 = 0x11
# Whose data begins with an identifier, and which of them are reads.
_WITH_IDENTIFIER = {2007: frozenset({0x03, 0x11, 0x12, 0x14}), 1997: frozenset({0x01, 0x02, 0x03, 0x04})}
_READS = {2007: frozenset({0x11, 0x12}), 1997: frozenset({0x01, 0x02, 0x03})}
_TIME = "YYMMDDhhmmss"
_SECURITY = 0x03
# Function to the value in its data: (name, format, in the request, in the reply).
_PLAIN: dict[int, tuple[str, str, bool, bool]] = {
    0x08: ("time", _TIME, True, False),
    0x0A: ("address", "H6", True, False),
    0x0C: ("rate_word", "H1", True, True),
    0x13: ("address", "H6", False, True),
    0x15: ("address", "H6", True, False),
    0x17: ("rate_word", "H1", True, True),
}


class Reason(NamedTuple):
    """What is wrong: an id with its words. The command says it in the technician's language."""

    id: str
    words: tuple[object, ...] = ()


class Told(NamedTuple):
    """One frame, whole or broken, and what it says."""

    frame: Frame
    year: int
    di: str | None = None
    known: Known | None = None
    values: tuple[Value, ...] = ()
    value_offset: int = 0
    """Where the value begins in the frame's data."""
    sequence: int | None = None
    """Number of the follow-up frame."""
    error: bytes = b""
    """Of a refusal; most significant byte first."""
    reason: Reason | None = None

    @property
    def valid(self) -> bool:
        return not self.frame.fault

    @property
    def function(self) -> int:
        return self.frame.control & 0x1F

    @property
    def direction(self) -> str:
        return "response" if self.frame.control & REPLY else "request"


class _Open(NamedTuple):
    """A block whose next frame is to come: so many items were there, and these bytes of the next."""

    items: int
    rest: bytes


def explain(received: bytes, year: int = 2007) -> list[Told]:
    """Every frame in the bytes, in order; broken ones where no whole frame stands. Where there is none at all, what looks most like one."""
    found: list[Told] = []
    parts: dict[tuple[str, str], _Open] = {}
    for frame in frames(received):
        edition = edition_of(frame.control, year)
        found.append(_tell(frame, edition, parts) if not frame.fault else _broken(frame, edition, received))
    return found or _remains(received)


def frames(received: bytes) -> Iterator[Frame]:
    """Whole frames, and between them broken ones, none of which overlap."""
    at = 0
    for frame in codec.valid_frames(received):
        yield from _apart(codec.broken_frames(received, at, frame.offset))
        yield frame
        at = frame.offset + frame.length
    yield from _apart(codec.broken_frames(received, at, len(received)))


def _apart(broken: Iterable[Frame]) -> Iterator[Frame]:
    """What lies in bytes that a broken frame claims is its data, as far as anybody can tell."""
    end = 0
    for frame in broken:
        if frame.offset >= end:
            yield frame
            end = frame.offset + frame.length


def edition_of(control: int, year: int) -> int:
    """The edition that has this function; `year` where both have it."""
    function = control & 0x1F
    if function in _FUNCTIONS_1997:
        return 1997
    return 2007 if function >= _FUNCTION_MIN_2007 else year


def _broken(frame: Frame, year: int, received: bytes) -> Told:
    di, _ = _identifier(frame, year)
    end = frame.offset + frame.length
    words: dict[str, tuple[object, ...]] = {
        "length": (received[frame.offset + 9], codec.LENGTH_MAX),
        "incomplete": (codec.FRAME_BYTES_MIN + received[frame.offset + 9], frame.length),
        "checksum": (received[end - 2], codec.check(received[frame.offset : end - 2])),
        "end": (received[end - 1],),
    }
    return Told(frame, year, di, find(di, year) if di else None, reason=Reason(frame.fault, words[frame.fault]))


def _remains(received: bytes) -> list[Told]:
    """Bytes without any frame: why, for whoever expected one."""
    at = received.find(0x68)
    if at < 0:
        return []
    if framed := next((frame for k in range(at, len(received)) if (frame := codec.candidate_at(received, k))), None):
        return [_broken(framed, edition_of(framed.control, 2007), received)]
    rest = received[at:]
    short = len(rest) < codec.HEAD_BYTES and rest[7:8] in (b"", b"\x68")
    fault, words = ("incomplete", (codec.FRAME_BYTES_MIN, len(rest))) if short else ("start", (rest[7:8].hex().upper() or "-",))
    address = rest[1:7][::-1].hex().upper() if len(rest) >= 7 else ""
    control = rest[8] if len(rest) > 8 else 0
    return [Told(Frame(at, len(rest), address, control, codec.plain(rest[10:-2]), fault), 2007, reason=Reason(fault, words))]


def _identifier(frame: Frame, year: int) -> tuple[str | None, int]:
    """(identifier, its bytes in the data)."""
    size = 4 if year == 2007 else 2
    if frame.control & REFUSED or frame.control & 0x1F not in _WITH_IDENTIFIER[year] or len(frame.data) < size:
        return None, 0
    return frame.data[:size][::-1].hex().upper(), size


def _tell(frame: Frame, year: int, parts: dict[tuple[str, str], _Open]) -> Told:
    told = Told(frame, year)
    reply = bool(frame.control & REPLY)
    if reply and frame.control & REFUSED:
        size = 2 if year == 2007 and told.function == _SECURITY else 1
        return told._replace(error=frame.data[:size][::-1], reason=Reason("error" if frame.data else "no_error"))
    if told.function in _PLAIN:
        return _plain_value(told)
    if told.function not in _WITH_IDENTIFIER[year]:
        return told
    di, size = _identifier(frame, year)
    if di is None:
        needs = frame.data or (reply and told.function in _READS[year])
        return told._replace(reason=Reason("no_identifier")) if needs else told
    told = told._replace(di=di, known=find(di, year), value_offset=size)
    if not reply or told.function not in _READS[year]:
        sequence = frame.data[size] if told.function == codec.FOLLOW[2007] and len(frame.data) > size else None
        return told._replace(sequence=sequence)
    return _read_reply(told, frame.data[size:], parts)


def _plain_value(told: Told) -> Told:
    name, written, in_request, in_reply = _PLAIN[told.function]
    if not (in_reply if told.frame.control & REPLY else in_request):
        return told
    item = Item(name, parse_formats(written)[0], name.replace("_", " "), _PLAIN_ZH[name])
    if len(told.frame.data) != item.form.size:
        return told._replace(values=(Value(item, None, "length"),), reason=Reason("size", (len(told.frame.data), item.form.size)))
    if told.function == codec.READ_ADDRESS and not codec.address_fits(told.frame.address, told.frame.data[::-1].hex().upper()):
        return told._replace(values=(Value(item, None, "address"),), reason=Reason("other_address", (told.frame.data[::-1].hex().upper(), told.frame.address)))
    try:
        value = Value(item, decode(told.frame.data, item.form))
    except DamagedError as fault:
        return told._replace(values=(Value(item, None, str(fault)),), reason=Reason("damage", (item.name, str(fault))))
    return told._replace(values=(value,))


_PLAIN_ZH = {"time": "时间", "address": "通信地址", "rate_word": "波特率特征字"}


def _read_reply(told: Told, data: bytes, parts: dict[tuple[str, str], _Open]) -> Told:
    """The values of a read, over as many frames as there are here."""
    di, known = told.di or "", told.known
    follows = told.function == codec.FOLLOW[told.year]
    if follows and told.year == 2007:
        if not data:
            return told._replace(reason=Reason("no_sequence"))
        told, data = told._replace(sequence=data[-1]), data[:-1]
    before = parts.pop((told.frame.address, di), None) if follows else _Open(0, b"")
    more = bool(told.frame.control & MORE)
    if known is None:
        start = before.rest if before is not None else b""
        if more:
            parts[told.frame.address, di] = _Open(0, start + data)
        return _record(told, start, data)
    if before is None:
        known, before = _somewhere(known, told.sequence), _Open(0, b"")
    decoded = read_values(known, before.rest + data, start=before.items, whole=not more)
    if more:
        parts[told.frame.address, di] = _Open(before.items + len(decoded.values), (before.rest + data)[decoded.used :])
    values = tuple(value._replace(offset=value.offset - len(before.rest)) for value in decoded.values)
    reason = None
    if any(value.damage == "length" for value in values):
        reason = Reason("not_whole", (len(data), di))
    elif damaged := next((value for value in values if value.damage), None):
        reason = Reason("damage", (damaged.item.name, damaged.damage))
    return told._replace(known=known, values=values, reason=reason)


def _record(told: Told, start: bytes, data: bytes) -> Told:
    """An identifier that no table reads: a record of many values, told where it ends, or at least what it is about. `start`: of the frames before."""
    di = told.di or ""
    found = read_record(di, start + data) if told.year == 2007 else ()
    if values := tuple(value._replace(offset=value.offset - len(start)) for value in found):
        damaged = next((value for value in values if value.damage), None)
        return told._replace(values=values, reason=Reason("damage", (damaged.item.name, damaged.damage)) if damaged else None)
    return told._replace(values=_unknown(data), reason=Reason("unknown", (di,)))


def _unknown(data: bytes) -> tuple[Value, ...]:
    return (Value(Item("data", Format("hex", len(data)), "data", "数据"), None, "unknown"),) if data else ()


def _somewhere(known: Known, sequence: int | None) -> Known:
    """A follow-up frame without the frames before it: where in the block its items belong nobody can tell, so they get no name of a point."""
    first = known.items[0]
    part = "part" if sequence is None else f"part{sequence}"
    one_form = {item.form for item in known.items}
    items = tuple(item._replace(name=f"{first.name}.{part}.{k}") for k, item in enumerate(known.items, 1)) if len(one_form) == 1 else known.items
    return known._replace(items=items)
