"""`edgegw decode dlt645`: what the bytes of DL/T 645 say, and why a frame is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edgegw.cli.cells import WIDTH, cells, pad, wrap
from edgegw.cli.hex_bytes import hex_bytes
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import current
from edgegw.cli.texts_dlt645 import TEXTS, say
from edgegw.errors import EXIT_DEVICE_ERROR, EXIT_OK

if TYPE_CHECKING:
    from edgegw.drivers.dlt645_explain import Told
    from edgegw.drivers.dlt645_items import Value

# More bytes than a day of one line's trace; a person pastes a few hundred.
BYTES_MAX = 65_536
# Up to and with the control.
CONTROL_BYTES = 9
# Bytes of one line of the screen, and the cells that they take.
_BYTES_A_LINE = 8
_HEX_CELLS = 3 * _BYTES_A_LINE + 2


@click.command("dlt645", help="Every frame in the bytes: DL/T 645-2007 and 1997. HEX may hold spaces.")
@click.option("--year", type=click.Choice(["1997", "2007"]), default="2007", help="Edition, where a function is in both (default 2007).")
@click.argument("hexes", metavar="HEX", nargs=-1, required=True)
def command(year: str, hexes: tuple[str, ...]) -> None:
    from edgegw.drivers.dlt645_explain import explain

    received = hex_bytes(" ".join(hexes), BYTES_MAX, "edgegw decode dlt645")
    told = explain(received, int(year))
    language = screen_language(current())
    code = EXIT_OK if any(one.valid for one in told) else EXIT_DEVICE_ERROR
    result = Result(
        [_entry(one) for one in told],
        screen=lambda: screen(language, received, told),
        rows=lambda: [_row(one, value) for one in told for value in (one.values or (None,))],
        exit_code=code,
    )
    finish(current(), "decode-dlt645", result)


# -- for programs


def _entry(told: Told) -> dict[str, Any]:
    frame = told.frame
    heard = frame.length >= CONTROL_BYTES  # Of what was cut before its control nobody can tell who says it.
    return {
        "valid": told.valid,
        "reason": reason("en", told),
        "direction": told.direction if heard else None,
        "control": f"{frame.control:02X}" if heard else None,
        "address": frame.address or None,
        "di": told.di,
        "error": told.error.hex().upper() or None,
        "values": [{"name": value.item.name, "value": value.number, "unit": value.item.unit} for value in told.values],
        "offset": frame.offset,
        "length": frame.length,
    }


def _row(told: Told, value: Value | None) -> list[object]:
    frame = told.frame
    named = [value.item.name, value.number, value.item.unit] if value else ["", "", ""]
    return [
        frame.offset,
        "valid" if told.valid else "invalid",
        frame.address,
        f"{frame.control:02X}" if frame.length >= CONTROL_BYTES else "",
        told.di,
        told.error.hex().upper(),
        *named,
        reason("en", told),
    ]


def reason(language: str, told: Told) -> str:
    """What is wrong with frame or value, empty when nothing is."""
    if told.reason is None:
        return ""
    if told.reason.id == "error":
        return say(language, "why.error", told.error.hex().upper(), error_text(language, told))
    if told.reason.id == "unknown" and told.year == 2007:
        return say(language, "why.unknown_family", *told.reason.words, _title(language, told))
    return say(language, f"why.{told.reason.id}", *told.reason.words)


def error_text(language: str, told: Told) -> str:
    """The bits of the error byte; security functions of 2007 and the edition of 1997 have their own."""
    serr = told.year == 2007 and told.function == 0x03
    word = int.from_bytes(told.error, "big")
    ids = [f"serr.{bit}" if serr else f"bit97.{bit}" if told.year == 1997 and f"bit97.{bit}" in TEXTS else f"bit.{bit}" for bit in range(8) if word >> bit & 1]
    bits = [say(language, text_id) for text_id in ids]
    return (", " if language == "en" else "、").join(bits) or "-"


# -- for people


class _Piece(NamedTuple):
    """Some bytes of a frame and what they are."""

    raw: bytes
    text: str
    coded: bool = False
    """Sent with 33H added."""


def screen(language: str, received: bytes, told: list[Told]) -> list[str]:
    """Every byte, in its order."""
    if not told:
        return [say(language, "nothing")]
    lines: list[str] = []
    at = 0
    for number, one in enumerate(told, 1):
        frame = one.frame
        last = frame.offset + frame.length
        word = say(language, "valid" if one.valid else "refused")
        lines += ["", say(language, "frame", number, frame.offset, last - 1, one.year, word)]
        for piece in [*_before(language, received[at : frame.offset]), *_pieces(language, one, received[frame.offset : last])]:
            lines += _lines(piece)
        if one.reason:
            lines += wrap("  " + say(language, "doubt" if one.valid else "answer", reason(language, one)), 4, WIDTH)
        at = max(at, last)
    return [*lines[1:], *(line for piece in _before(language, received[at:]) for line in _lines(piece))]


def _lines(piece: _Piece) -> list[str]:
    from edgegw.drivers.dlt645_codec import plain

    meant = f"{plain(piece.raw).hex(' ').upper()}  " if piece.coded and 0 < len(piece.raw) <= _BYTES_A_LINE else ""
    texts = wrap(meant + piece.text, 2, WIDTH - _HEX_CELLS - 2)
    rows = [piece.raw[k : k + _BYTES_A_LINE].hex(" ").upper() for k in range(0, len(piece.raw), _BYTES_A_LINE)]
    count = max(len(texts), len(rows))
    padded = zip(rows + [""] * (count - len(rows)), texts + [""] * (count - len(texts)), strict=True)
    return [f"  {pad(row, _HEX_CELLS)}{text}".rstrip() for row, text in padded]


def _before(language: str, raw: bytes) -> Iterator[_Piece]:
    noise = raw.rstrip(b"\xfe")
    if noise:
        yield _Piece(noise, say(language, "noise"))
    if len(raw) > len(noise):
        yield _Piece(raw[len(noise) :], say(language, "preamble"))


def _pieces(language: str, told: Told, raw: bytes) -> Iterator[_Piece]:
    if told.frame.fault == "start" or len(raw) < 10:
        yield _Piece(raw, say(language, "noise"))
        return
    size = raw[9]
    yield _Piece(raw[:1], say(language, "start"))
    yield _Piece(raw[1:7], _address(language, told.frame.address))
    yield _Piece(raw[7:8], say(language, "start"))
    yield _Piece(raw[8:9], say(language, "control", f"{raw[8]:02X}", _control(language, told)))
    yield _Piece(raw[9:10], say(language, "length", size) if size else say(language, "length.none"))
    data = raw[10 : 10 + size]
    if data:
        yield from _data(language, told, data)
    tail = raw[10 + size :]
    if told.frame.fault in ("incomplete", "length"):
        if told.frame.fault == "incomplete":
            yield _Piece(tail, say(language, "missing", 12 + size - len(raw)))
        return
    wrong = told.frame.fault == "checksum" and told.reason is not None
    right = f"{told.reason.words[1]:02X}" if wrong and told.reason else ""
    yield _Piece(tail[:1], say(language, "check.wrong", right) if wrong else say(language, "check.right"))
    yield _Piece(tail[1:], say(language, "end.right" if tail[1:] == b"\x16" else "end.wrong"))


def _address(language: str, address: str) -> str:
    kinds = {"AAAAAAAAAAAA": "address.any", "999999999999": "address.all"}
    return say(language, kinds.get(address, "address.short" if address.startswith("AA") else "address"), address)


def _control(language: str, told: Told) -> str:
    text_id = f"{told.year}.{told.function:02X}"
    function = say(language, text_id) if text_id in TEXTS else say(language, "function", f"{told.function:02X}")
    if not told.frame.control & 0x80:
        return say(language, "control.request", function)
    kind = "error" if told.frame.control & 0x40 else "more" if told.frame.control & 0x20 else "reply"
    return say(language, f"control.{kind}", function)


def _data(language: str, told: Told, data: bytes) -> Iterator[_Piece]:
    """The data field as sent."""
    if told.error:
        size = len(told.error)
        yield _Piece(data[:size], say(language, "error", told.error.hex().upper(), error_text(language, told)), coded=True)
        if size < len(data):
            yield _Piece(data[size:], say(language, "rest"), coded=True)
        return
    at = 4 if told.year == 2007 else 2
    if told.di:
        title = _title(language, told)
        yield _Piece(data[:at], say(language, "identifier.known", told.di, title) if title else say(language, "identifier", told.di), coded=True)
    else:
        at = 0
    end = len(data) - (told.sequence is not None)
    begin = at
    for value in told.values:
        begins = told.value_offset + value.offset  # Of a value that the frame before cut, before this frame's own bytes.
        place, stop = max(begins, at), min(begins + _size(value, end - begins), end)
        if stop <= place:
            continue
        yield _Piece(data[place:stop], _value(language, told, value), coded=True)
        at = stop
    secret = told.direction == "request" and told.function in (0x03, 0x04, 0x0F, 0x14, *range(0x18, 0x1D))
    if at < end:
        yield _Piece(data[at:end], say(language, "password" if secret else "rest" if at > begin else "data"), coded=not secret)
    if told.sequence is not None:
        yield _Piece(data[end:], say(language, "sequence", told.sequence), coded=True)


def _size(value: Value, left: int) -> int:
    return left if value.item.form.kind in ("text", "hex") and value.item.form.size > left else value.item.form.size


def _title(language: str, told: Told) -> str:
    """What the identifier reads, or what it is about; nothing where nobody knows."""
    from edgegw.drivers.dlt645_records import family

    if told.known is not None:
        return told.known.zh if language == "zh" else told.known.en
    return family(told.di)[language == "zh"] if told.di and told.year == 2007 else ""


def _value(language: str, told: Told, value: Value) -> str:
    from edgegw.drivers.dlt645_items import bit_texts

    shown = f"{value.number} {value.item.unit}".rstrip()
    if value.raw is None:
        never = value.item.form.kind == "time" and not value.damage
        shown = say(language, "value.damaged" if value.damage else "value.never" if never else "value.none")
    elif value.item.form.kind == "bits" and isinstance(value.raw, int):
        bits = bit_texts(told.di or "", told.year, value.raw, chinese=language == "zh")
        shown = f"{value.raw:0{2 * value.item.form.size}X}H" + "".join(f"; {text}" for text in bits)
    elif isinstance(value.raw, int) and value.item.form.decimals:
        shown = f"{value.number:.{value.item.form.decimals}f} {value.item.unit}".rstrip()
    title = value.item.zh if language == "zh" else value.item.en
    return say(language, "value", title, value.item.name, shown) if cells(title) else shown
