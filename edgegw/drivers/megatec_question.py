"""Questions to a UPS: a command and the proof of its answer in the bytes that came since. Pure.

    whole line, CR behind it           proves the answer at once
    no CR, but a form of fixed length  counts when the line is silent (`Parsed.open`)
    NAK, or the command sent back      a refusal; the command sent back only when nothing follows it: the line may have an echo

There is no address: an answer that comes late fits every question whose reply has the same shape. `Question.fits` is (0, 1, number of the shape):
the bus asks no question of that shape until the late answer can no longer come, or until an answer of another shape has proved that it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from edgegw.drivers.megatec_codec import AXPERT, CR, QS_HEX_DIALECT, prove, request, trimmed
from edgegw.drivers.megatec_dialects import SHAPES, canonical, reply_of
from edgegw.drivers.megatec_fields import Mismatch
from edgegw.drivers.megatec_replies import Reply
from edgegw.model import Parsed, Question, Unproven

PROTOCOL = "megatec"
# Modbus V1.1b3, section 7, of which the engine knows what a refusal of a command is: illegal function.
NOT_SUPPORTED_CODE = 1
# A question has at most this many others that can prove that its late answer will not come.
RESYNC_MOST = 2
# The key of a UPS on its line: it has no address, so there is one.
UNIT = 0
_KIND = 1


class Asked(NamedTuple):
    dialect: str
    command: str
    wanted: Reply
    request: bytes

    @property
    def checked(self) -> bool:
        """On the wire a frame of an inverter-charger always has its CRC."""
        return self.dialect == AXPERT


def question(dialect: str, command: str) -> Question:
    """One query. Raises Mismatch for a command that no table of the dialect has."""
    wanted = reply_of(dialect, command)
    asked = Asked(dialect, canonical(command), wanted, request(dialect, command))
    return Question(
        payload=asked.request,
        parse=partial(_parse, asked),
        answer_size=wanted.size + len(CR) + (2 if asked.checked else 0),
        fits=(UNIT, _KIND, SHAPES.index(wanted.shape)),
        explain=partial(_explain, asked),
        protocol=PROTOCOL,
    )


def with_resync(questions: Sequence[Question]) -> list[Question]:
    """Each with the shortest others of another shape."""
    by_size = sorted(questions, key=lambda one: one.answer_size)
    return [msgspec.structs.replace(one, resync=_others(one, by_size)) for one in questions]


def _others(one: Question, by_size: Sequence[Question]) -> tuple[Question, ...]:
    found: dict[tuple[int, ...], Question] = {}
    for other in by_size:
        if other.fits != one.fits:
            found.setdefault(other.fits, other)
    return tuple(found.values())[:RESYNC_MOST]


def _parse(asked: Asked, received: bytes) -> Parsed | None:
    noise = late = echo = start = 0
    while (end := received.find(CR, start)) >= 0:
        line = received[start:end]
        if line == asked.request[: -len(CR)]:
            echo, start = echo + 1, end + 1
            continue
        found = _look(asked, line)
        if found is not None:
            body, before = found
            return Parsed(end + 1, body, None if body is not None else NOT_SUPPORTED_CODE, noise + before, 0, late, echo)
        told = _is_reply(line)
        late, noise, start = late + told, noise + (0 if told else len(line) + 1), end + 1
    rest = received[start:]
    if rest.strip(b"\0\n"):
        found = _look(asked, rest) if asked.wanted.closed or rest.endswith(b"NAK") else None
        if found is None or not (found[0] is None or len(rest) - found[1] == asked.wanted.size):
            return None
        return Parsed(len(received), found[0], None if found[0] is not None else NOT_SUPPORTED_CODE, noise + found[1], 0, late, echo, open=True)
    # The command sent back and nothing behind it.
    return Parsed(len(received), None, NOT_SUPPORTED_CODE, noise, 0, late, echo - 1, open=True) if echo else None


def _look(asked: Asked, line: bytes) -> tuple[bytes | None, int] | None:
    """The body of the answer in this line, None for a refusal, and the bytes before it that belong to nothing; None when it is neither."""
    text = trimmed(asked.dialect, line)
    try:
        body = prove(asked.dialect, asked.command, text, asked.wanted, checked=asked.checked)
    except Mismatch as fault:
        return (None, 0) if fault.kind == "not_supported" else None
    return body, max(0, line.find(body))


def _is_reply(line: bytes) -> bool:
    """Whether the line looks like the whole answer to something: another question's, come late."""
    return len(line) >= 1 and line[:1] in b"(#VPTHN" and (line.isascii() and line.decode("ascii").isprintable())


def _explain(asked: Asked, received: bytes) -> Unproven:
    """Why nothing in the bytes counted, for counting and for the technician."""
    if not received:
        return Unproven("timeout")
    lines = received.split(CR)
    echo = lines[:-1].count(asked.request[: -len(CR)])
    others = [line for line in lines[:-1] if line != asked.request[: -len(CR)]]
    late = sum(map(_is_reply, others))
    noise = sum(len(line) + 1 for line in others if not _is_reply(line)) + len(lines[-1])
    kinds = [_kind(asked, line) for line in (*others, lines[-1]) if line]
    if "crc" in kinds:
        kind = "crc"
    elif kinds and kinds[-1] == "short_reply":
        kind = "short"
    else:
        kind = "foreign" if late else "noise" if noise else "timeout"
    return Unproven(kind, noise, 0, late, echo)


def _kind(asked: Asked, line: bytes) -> str:
    try:
        prove(asked.dialect, asked.command, trimmed(asked.dialect, line), asked.wanted, checked=asked.checked)
    except Mismatch as fault:
        return fault.kind
    return "short_reply"  # The answer without its CR, and not of fixed length.


__all__ = ["NOT_SUPPORTED_CODE", "PROTOCOL", "QS_HEX_DIALECT", "UNIT", "question", "with_resync"]
