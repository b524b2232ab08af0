"""Megatec and Voltronic frames: a command as bytes, and the proof that bytes are its answer. No I/O.

    Q1<CR>                                                  command, 2400 baud 8N1
    (226.0 195.0 226.0 014 49.0 27.5 30.0 00001000<CR>      answer: start byte `(` or `#`, fields, CR
    QPIGS B7 A9 <CR>                                        inverter-chargers: two bytes of CRC-16/XMODEM before the CR, both ways

There is no address and, but for the inverter-chargers, no check: what counts as an answer must have the start byte, the number of fields, the status
word and the decimals of the answer to just this command. What fits several commands is kept apart by the line (`Question.fits`).

    (NAK  NAK  N          the command is not supported; so is the command itself sent back (nut drivers/blazer.c)
    no CR                 some devices leave it out (nut issue 608): answers of fixed length count when the line is silent
    V<CR>(227.5 ...<CR>   the answer to the question before, come late: stepped over

Source: networkupstools/nut-website protocols/megatec.txt, voltronic.txt, voltronic-qs.txt; networkupstools/nut drivers/nutdrv_qx.c, common_voltronic-crc.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastcrc import crc16

from edgegw.drivers.megatec_dialects import AXPERT, DIALECTS, LOOSE_SHAPES, MEGATEC, QS_HEX_DIALECT, canonical, commands, reply_of
from edgegw.drivers.megatec_fields import PLAIN, Mismatch, Options, Values
from edgegw.drivers.megatec_replies import Reply

__all__ = ["AXPERT", "DIALECTS", "MEGATEC", "QS_HEX_DIALECT", "Decoded", "crc", "decode", "find_answer", "prove", "request", "unframe"]

CR = b"\r"
# The longest answer (Q2) has 118 characters; a line of four times that is no answer.
LINE_MAX = 512
NOT_SUPPORTED = frozenset({"(NAK", "NAK", "N", "#NAK"})
# `(NAK` with the two bytes of its check, from an inverter-charger that is asked in another dialect.
NAK_CHECKED = 6
# Says yes to a control command; no query is answered so.
ACCEPTED = frozenset({"(ACK", "ACK", "OK", "#ACK"})
# Around a line: NUL from a USB bridge or a UPS that is off, LF from a terminal program.
_AROUND = b"\0\n \t"
# Bytes that would be read as CR, LF or the start byte are sent one higher (common_voltronic-crc.c).
_CRC_RESERVED = frozenset({0x0A, 0x0D, 0x28})

_xmodem: Callable[[bytes], int] = crc16.xmodem


def crc(body: bytes) -> bytes:
    """The two bytes behind the body of an inverter-charger's frame."""
    return bytes(byte + (byte in _CRC_RESERVED) for byte in _xmodem(body).to_bytes(2, "big"))


def request(dialect: str, command: str) -> bytes:
    """A command for the line."""
    body = canonical(command).encode("latin-1", "replace")
    return body + (crc(body) if dialect == AXPERT else b"") + CR


class Decoded(NamedTuple):
    """What a reply says. `kind` is empty when it is an answer to the command, else why it is none."""

    values: Values
    kind: str = ""
    text: str = ""
    other: str = ""
    """The command whose answer it looks like."""

    @property
    def valid(self) -> bool:
        return not self.kind

    @property
    def reason(self) -> str | None:
        return f"{self.kind}: {self.text}" if self.kind else None


def decode(dialect: str, command: str, reply: bytes, options: Options = PLAIN) -> Decoded:
    """Reads a reply as it was captured, with or without its CR. Never raises."""
    try:
        command = _without_check(dialect, command)
        wanted = reply_of(dialect, command)
        body = find_answer(dialect, command, reply, wanted)
        return Decoded(wanted.read(body.decode("latin-1"), options) | _checks(dialect, command, body))
    except Mismatch as fault:
        return Decoded({}, fault.kind, fault.text, fault.other)


def _without_check(dialect: str, command: str) -> str:
    """A command as it was captured may hold its own check."""
    raw = command.rstrip("\r\n").encode("latin-1", "replace")
    return raw[:-2].decode("latin-1") if dialect == AXPERT and len(raw) > 2 and crc(raw[:-2]) == raw[-2:] else command


def find_answer(dialect: str, command: str, reply: bytes, wanted: Reply) -> bytes:
    """The body of the first line that answers the command, else Mismatch: what the first line is."""
    lines = [trimmed(dialect, line) for line in reply[: 2 * LINE_MAX].split(CR)]
    first: Mismatch | None = None
    for line in lines:
        if not line:
            continue
        try:
            return prove(dialect, command, line, wanted)
        except Mismatch as fault:
            first = first or fault
    raise first or Mismatch("empty_reply", "no character but blanks, NUL and line ends" if reply else "nothing was received")


def prove(dialect: str, command: str, line: bytes, wanted: Reply, *, checked: bool = False) -> bytes:
    """The body of an answer that stands in the line, perhaps behind noise. `checked`: a CRC must be there. Raises Mismatch."""
    refusal: Mismatch | None = None
    for at in _starts(line):
        try:
            body = unframe(dialect, line[at:], checked=checked)
            _judge(dialect, command, body, wanted)
        except Mismatch as fault:
            refusal = refusal if refusal is not None and fault.kind != "not_supported" else fault
        else:
            return body
    assert refusal is not None
    raise refusal


def _starts(line: bytes) -> list[int]:
    """Where an answer may begin: first at the first character, then at each later start byte. Behind a `(` a `#` is padding."""
    bracket = line.find(b"(")
    return [0, *(at for at in range(1, len(line)) if line[at] in b"(#" and (line[at] != 0x23 or bracket < 0 or at < bracket))]


def trimmed(dialect: str, line: bytes) -> bytes:
    """A line without what stands around it. Where the last bytes are raw, one of them may look like a blank."""
    return line.lstrip(_AROUND) if dialect in (AXPERT, QS_HEX_DIALECT) else line.strip(_AROUND)


def unframe(dialect: str, line: bytes, *, checked: bool = False) -> bytes:
    """The body of a line without its CR. Raises Mismatch when the check is wrong, or missing where it must be there."""
    if dialect != AXPERT or len(line) < 3:
        return line
    if crc(line[:-2]) == line[-2:]:
        return line[:-2]
    if checked or not line.isascii() or not line.decode("ascii").isprintable():
        raise Mismatch("crc", f"the check is {line[-2:].hex(' ').upper()}, {crc(line[:-2]).hex(' ').upper()} would be right")
    return line


def _judge(dialect: str, command: str, body: bytes, wanted: Reply) -> None:
    """Raises Mismatch unless the body answers the command."""
    text = body.decode("latin-1")
    checked_refusal = dialect != AXPERT and text.startswith("(NAK") and len(text) == NAK_CHECKED
    if text.upper() in NOT_SUPPORTED or checked_refusal:
        raise Mismatch("not_supported", f'the UPS says {text}: it does not know "{canonical(command)}"')
    if text.casefold() == canonical(command).casefold():
        raise Mismatch("not_supported", f'the UPS sends "{text}" back: it does not know the command')
    if text.upper() in ACCEPTED:
        raise Mismatch("foreign_reply", f"the UPS says {text}, as to a control command")
    try:
        wanted.read(text, PLAIN)
    except Mismatch as fault:
        if other := _whose(dialect, command, text, wanted):
            raise Mismatch("foreign_reply", f"{fault.text}; it looks like the answer to {other}", other) from None
        raise


def _whose(dialect: str, command: str, text: str, wanted: Reply) -> str:
    """The command that this text answers, for people; empty when there is none for certain."""
    for other in commands(dialect):
        reply = reply_of(dialect, other)
        if other == canonical(command) or reply.shape in (wanted.shape, *LOOSE_SHAPES):
            continue
        try:
            reply.read(text, PLAIN)
        except Mismatch:
            continue
        return other
    return ""


def _checks(dialect: str, command: str, body: bytes) -> Values:
    """The CRC of both frames, for who compares a capture."""
    if dialect != AXPERT:
        return {}
    return {"crc_request_hex": crc(canonical(command).encode("latin-1", "replace")).hex().upper(), "crc_reply_hex": crc(body).hex().upper()}
