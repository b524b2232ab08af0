"""DL/T 645 frames, editions 1997 and 2007: questions as bytes, and the proof that bytes are the answer to a question. No I/O.

    -       preamble        any number of FEH (a master sends four, replies carry none to four)
    0       start           68H
    1-6     address         A0 to A5, twelve BCD digits, low byte first; AAH: any, 99H in all: everybody
    7       start           68H
    8       control         bit 7: reply, bit 6: refused, bit 5: more follows, bits 4-0: function
    9       length L        of the data, at most 200
    10      data            each byte with 33H added
    10+L    check           sum of all bytes from the first 68H on
    11+L    end             16H

Data of a reply: identifier (2007: four bytes, 1997: two; low byte first), value, with function 12H the number of the follow-up frame. A refusal
holds one error byte. DL/T 645-2007, 5 and 7; DL/T 645-1997, 5.

68H and 16H stand in addresses and data as well (35H is sent as 68H): a frame is one only as a whole, and what is no frame moves the search by
one byte. A reply shows its address, its function and its identifier, so a late one fits no question but its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from edgegw.model import Answer, Parsed, Question, Unproven

OFFSET = 0x33
LENGTH_MAX = 200
FRAME_BYTES_MIN = 12
HEAD_BYTES = 10
# DL/T 645-2007, 5.3.1: four FEH wake the receiver before the frame.
PREAMBLE = b"\xfe" * 4
ANYBODY = "AAAAAAAAAAAA"
EVERYBODY = "999999999999"
# A follow-up frame holds up to 195 bytes of value; no item that is polled is longer than sixteen of them.
FOLLOW_MAX = 16

REPLY, REFUSED, MORE = 0x80, 0x40, 0x20
# Function of each edition: read, read what follows, read the address (the edition of 1997 has none).
READ = {2007: 0x11, 1997: 0x01}
FOLLOW = {2007: 0x12, 1997: 0x02}
READ_ADDRESS = 0x13
PROTOCOL = {2007: "dlt645", 1997: "dlt645-1997"}

# Error byte, DL/T 645-2007 annex D: bit 1 no such data, bit 2 not authorised. Told as Modbus tells it: 2 and 3 are refusals, 4 a fault of the device.
_ERROR_NO_DATA, _ERROR_NOT_AUTHORISED = 0x02, 0x04


class Frame(NamedTuple):
    """What stands at an offset of received bytes. `fault` is empty, or incomplete, length, checksum or end."""

    offset: int
    length: int
    """Bytes from the first 68H to 16H, as far as they are there."""
    address: str
    """Twelve hexadecimal digits as on the nameplate, most significant first."""
    control: int
    data: bytes
    """Without the 33H."""
    fault: str = ""


# -- bytes to frames


def check(frame: bytes) -> int:
    """Sum of the bytes from the first 68H to the last of the data."""
    return sum(frame) & 0xFF


def plain(data: bytes) -> bytes:
    """Data as meant."""
    return bytes(byte - OFFSET & 0xFF for byte in data)


def coded(data: bytes) -> bytes:
    """Data as sent."""
    return bytes(byte + OFFSET & 0xFF for byte in data)


def candidate_at(received: bytes, at: int) -> Frame | None:
    """The frame, whole or broken, whose two starts and length stand here; None when they do not."""
    if len(received) - at < HEAD_BYTES or received[at] != 0x68 or received[at + 7] != 0x68:
        return None
    address, control, size = received[at + 1 : at + 7][::-1].hex().upper(), received[at + 8], received[at + 9]
    end = at + FRAME_BYTES_MIN + size
    data = plain(received[at + HEAD_BYTES : at + HEAD_BYTES + size])
    if size > LENGTH_MAX:
        fault = "length"
    elif end > len(received):
        fault = "incomplete"
    elif check(received[at : end - 2]) != received[end - 2]:
        fault = "checksum"
    else:
        fault = "" if received[end - 1] == 0x16 else "end"
    return Frame(at, min(end, len(received)) - at, address, control, data, fault)


def valid_frames(received: bytes) -> Iterator[Frame]:
    """Whole frames in their order; each is stepped over as a whole, so that nothing inside its data can pass for one."""
    at = received.find(0x68)
    while at >= 0:
        frame = candidate_at(received, at)
        valid = frame is not None and not frame.fault
        if frame is not None and valid:
            yield frame
        at = received.find(0x68, at + (frame.length if frame is not None and valid else 1))


def broken_frames(received: bytes, start: int, end: int) -> Iterator[Frame]:
    """Of the bytes between two valid frames: what has both starts and the control of a frame but is none."""
    at = received.find(0x68, start, end)
    while at >= 0:
        frame = candidate_at(received[:end], at)
        known = frame is not None and frame.control & 0x1F in _FUNCTIONS
        if frame is not None and known:
            yield frame
        step = frame.length if frame is not None and known and frame.fault in ("checksum", "end") else 1
        at = received.find(0x68, at + step, end)


# Functions of both editions, 0 to 10H of 1997, 3 to 1DH of 2007.
_FUNCTIONS = frozenset(range(1, 0x1E))


# -- frames to bytes


def address_bytes(address: str) -> bytes:
    """Up to twelve digits as on the nameplate to the six bytes of the wire; missing ones are zeros. Raises ValueError for other text."""
    if len(address) > 12:
        raise ValueError(f'"{address}" has more than twelve digits')
    return bytes.fromhex(address.zfill(12))[::-1]


def identifier_bytes(di: str) -> bytes:
    """`0001FF00` or `9010` to the bytes of the wire."""
    return bytes.fromhex(di)[::-1]


def build(address: str, control: int, data: bytes, preamble: bytes = b"") -> bytes:
    """A frame; `data` without the 33H."""
    body = b"\x68" + address_bytes(address) + bytes((0x68, control, len(data))) + coded(data)
    return preamble + body + bytes((check(body), 0x16))


# -- questions


class Meter(NamedTuple):
    """Who is asked."""

    unit: int
    """Its key on the bus."""
    address: str
    year: int = 2007


class Asked(NamedTuple):
    """What a reply is held against."""

    echo: bytes
    """The request without its preamble."""
    address: str
    control: int
    """Function of the request."""
    begin: bytes
    """Begin of the data of a good reply: the identifier; empty for the address."""
    end: bytes = b""
    """And its last byte: the number of the follow-up frame."""


def read_question(meter: Meter, di: str, size: int, resync: tuple[Question, ...] = ()) -> Question:
    """One item or block of `size` bytes. The answer's data is the control byte of the reply and the value, for each follow-up frame again."""
    asked = _asked(meter, READ[meter.year], identifier_bytes(di))
    return msgspec.structs.replace(_question(meter, asked, size), follow=partial(_follow, meter, di, 1), resync=resync)


def address_question(unit: int, address: str = ANYBODY) -> Question:
    """Read address (13H). The answer's data is the control byte and the six bytes of the address."""
    meter = Meter(unit, address)
    return _question(meter, _asked(meter, READ_ADDRESS, b""), 6)


def _follow(meter: Meter, di: str, number: int, answer: Answer) -> Question | None:
    """The question for follow-up frame `number` where the answer says that there is one."""
    if not answer.data[0] & MORE or number > FOLLOW_MAX:
        return None
    asked = _asked(meter, FOLLOW[meter.year], identifier_bytes(di), bytes((number,)) if meter.year == 2007 else b"")
    size = LENGTH_MAX - len(asked.begin) - len(asked.end)
    return msgspec.structs.replace(_question(meter, asked, size), follow=partial(_follow, meter, di, number + 1))


def _asked(meter: Meter, control: int, begin: bytes, end: bytes = b"") -> Asked:
    return Asked(build(meter.address, control, begin + end), meter.address.zfill(12).upper(), control, begin, end)


def _question(meter: Meter, asked: Asked, size: int) -> Question:
    return Question(
        payload=PREAMBLE + asked.echo,
        parse=partial(_parse, asked),
        answer_size=len(PREAMBLE) + FRAME_BYTES_MIN + len(asked.begin) + size + len(asked.end),
        fits=(meter.unit, asked.control, int.from_bytes(asked.begin, "little"), *asked.end),
        explain=partial(_explain, asked),
        protocol=PROTOCOL[meter.year],
    )


def joined(answers: Sequence[Answer]) -> tuple[bytes, bool]:
    """(value bytes of a reply and its follow-up frames, whether they are all there)."""
    return b"".join(answer.data[1:] for answer in answers), not answers[-1].data[0] & MORE


# -- proof


def address_fits(asked: str, heard: str) -> bool:
    """Whether a meter of the address heard may answer a request to `asked`: AA stands for any byte, all 99 for everybody."""
    return asked == EVERYBODY or all(asked[k : k + 2] in ("AA", heard[k : k + 2]) for k in range(0, 12, 2))


def _answer(asked: Asked, frame: Frame) -> tuple[bytes | None, int | None] | None:
    """(data, exception code) when the frame answers the request."""
    if frame.control & 0x9F != REPLY | asked.control or not address_fits(asked.address, frame.address):
        return None
    if frame.control & REFUSED:
        return None, _exception_code(frame.data[0] if frame.data else 0)
    data = frame.data
    if not asked.begin:
        said = data[::-1].hex().upper()  # Some meters leave the AAH of the request in the frame's address.
        return (bytes((frame.control,)) + data, None) if len(data) == len(frame.address) // 2 and address_fits(frame.address, said) else None
    if not data.startswith(asked.begin) or not data.endswith(asked.end):
        return None
    return bytes((frame.control,)) + data[len(asked.begin) : len(data) - len(asked.end)], None


def _exception_code(error: int) -> int:
    if error & _ERROR_NO_DATA:
        return 2
    return 3 if error & _ERROR_NOT_AUTHORISED else 4


def _parse(asked: Asked, received: bytes) -> Parsed | None:
    return _scan(asked, received)[0]


def _scan(asked: Asked, received: bytes) -> tuple[Parsed | None, Parsed]:
    """(the answer wherever it stands, what else was heard up to there)."""
    at = noise = foreign = late = echo = 0
    for frame in valid_frames(received):
        noise += len(received[at : frame.offset].rstrip(b"\xfe"))
        at = frame.offset + frame.length
        found = _answer(asked, frame)
        if found is not None:
            return Parsed(at, *found, noise, foreign, late, echo), Parsed(at)
        if received[frame.offset : at] == asked.echo:
            echo += 1
        elif frame.control & REPLY and address_fits(asked.address, frame.address):
            late += 1
        else:
            foreign += 1
    return None, Parsed(at, None, None, noise + len(received) - at, foreign, late, echo)


def _explain(asked: Asked, received: bytes) -> Unproven:
    """Why nothing in the bytes counted, for counting and for the technician."""
    if not received:
        return Unproven("timeout")
    _, heard = _scan(asked, received)
    spoiled = _spoiled(asked, received)
    if spoiled:
        kind = "short" if spoiled == "incomplete" else "crc"
    elif heard.foreign or heard.late:
        kind = "foreign"
    else:
        kind = "noise" if heard.noise else "timeout"
    return Unproven(kind, heard.noise, heard.foreign, heard.late, heard.echo)


def _spoiled(asked: Asked, received: bytes) -> str:
    """What broke the frame that looked like the answer, empty when none did."""
    at = 0
    for end, behind in [*((frame.offset, frame.offset + frame.length) for frame in valid_frames(received)), (len(received), 0)]:
        for frame in broken_frames(received, at, end):
            if frame.control & REPLY and address_fits(asked.address, frame.address):
                return frame.fault
        at = behind
    return ""
