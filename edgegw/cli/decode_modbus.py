"""`edgegw decode modbus`: one request and what came back, byte by byte, with the points of a profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.cells import WIDTH, cells, table, wrap
from edgegw.cli.hex_bytes import hex_bytes
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import current
from edgegw.cli.texts import TEXTS as WORDS
from edgegw.cli.texts import say_word
from edgegw.cli.texts_modbus import say, say_function
from edgegw.errors import EXIT_DEVICE_ERROR, EXIT_OK, EXIT_USAGE, EdgegwError

if TYPE_CHECKING:
    from edgegw.drivers.exchange import Exchange, Reason, Shown
    from edgegw.drivers.profile import Profile

# The largest frame of Modbus TCP is 260 bytes; behind noise and before other frames a capture is longer.
BYTES_MAX = 65_536
_MBAP = 6
_INDENT = 26
# Of a text in the table of values.
_TEXT_CELLS = 16
_BYTES_A_LINE = 8
# Functions whose request begins with an address and a number.
_WITH_ADDRESS = (1, 2, 3, 4, 5, 6, 15, 16, 22, 23)


@click.command("modbus", help="One request and its answer, read with a profile. HEX may hold spaces.")
@click.option("--profile", "name", metavar="P", required=True, help="A profile, as edgegw profiles list names it, or a file of yours.")
@click.option("--request", "asked", metavar="HEX", required=True, help="The request as it was sent.")
@click.option("--tcp", is_flag=True, help="Modbus TCP: with its header, without CRC.")
@click.argument("hexes", metavar="HEX", nargs=-1, required=True)
def command(name: str, asked: str, hexes: tuple[str, ...], *, tcp: bool) -> None:
    from edgegw.drivers.exchange import explain

    profile = modbus_profile(name)
    request, reply = (hex_bytes(text, BYTES_MAX, "edgegw decode modbus") for text in (asked, " ".join(hexes)))
    exchange = explain(profile, request, reply, tcp=tcp)
    language = screen_language(current())
    result = Result(
        _data(exchange),
        screen=lambda: [*_head(language, profile), *screen(language, exchange, request, reply, tcp=tcp)],
        rows=lambda: [[shown.point.name, _number(shown), shown.point.unit, shown.quality.word, _hex(shown.raw)] for shown in exchange.values],
        exit_code=EXIT_DEVICE_ERROR if exchange.reason else EXIT_OK,
    )
    finish(current(), "decode-modbus", result)


def modbus_profile(name: str) -> Profile:
    """A profile that is read over Modbus. Raises EdgegwError."""
    from edgegw.drivers.catalogue import load_profile
    from edgegw.drivers.profile import Profile

    profile = load_profile(name)
    if not isinstance(profile, Profile):
        protocol = profile.profile.protocol
        remedy = "edgegw profiles try, or edgegw read, shows the registers of such a device" if protocol == "sunspec" else f"edgegw decode {protocol} -h"
        raise EdgegwError("E-USAGE", f"profile {name} is of the protocol {protocol}", remedy, EXIT_USAGE)
    return profile


# -- for programs


def _data(exchange: Exchange) -> dict[str, Any]:
    asked = exchange.asked
    return {
        "valid": exchange.reason is None,
        "reason": reason("en", exchange.reason) if exchange.reason else None,
        "values": {shown.point.name: _value(shown) for shown in exchange.values},
        "echo": exchange.echo,
        "request": {"unit": asked.unit, "function": asked.function, "address": asked.address, "count": asked.quantity} if asked else None,
    }


def _value(shown: Shown) -> dict[str, Any]:
    return {
        "value": _number(shown),
        "unit": shown.point.unit,
        "quality": shown.quality.word,
        "raw": _hex(shown.raw),
        "address": shown.row.address,
    }


def _number(shown: Shown) -> Any:
    value, decimals = shown.value, shown.point.decimals
    return round(value / 10**decimals, decimals) if isinstance(value, int) and decimals else value


def reason(language: str, why: Reason) -> str:
    """Why a frame is refused, in words."""
    values: Sequence[object] = why.values
    if why.word == "exception":
        code = values[0]
        values = (code, say_word(language, "exception", str(code)) if f"exception.{code}" in WORDS else "?")
    return say(language, why.word, *values)


# -- for people


def _head(language: str, profile: Profile) -> Iterator[str]:
    head = profile.profile
    yield from wrap(say(language, "profile", head.name, head.title_zh if language == "zh" else head.title), 2, WIDTH)
    if head.unproven:
        yield "  " + say(language, "unproven")


def screen(language: str, exchange: Exchange, request: bytes, reply: bytes, *, tcp: bool) -> Iterator[str]:
    """What each byte is, at most 80 cells a line."""
    why = exchange.reason
    refused = say(language, "refused", reason(language, why)) if why else say(language, "valid")
    of_request = why is not None and exchange.asked is None
    yield from wrap(say(language, "title.request", refused if of_request else say(language, "valid")), 2, WIDTH)
    yield from _frame(language, request, tcp=tcp, question=True)
    if of_request:
        return
    yield from wrap(say(language, "title.reply", refused), 2, WIDTH)
    yield from _frame(language, _whole(exchange, reply, tcp=tcp), tcp=tcp, question=False)
    if exchange.echo:
        yield "  " + say(language, "repeats.request")
    if why is None:
        yield from _values(language, exchange)


def _whole(exchange: Exchange, reply: bytes, *, tcp: bool) -> bytes:
    """The answer itself where it stands behind noise or before another frame."""
    from edgegw.drivers.exchange import own_frame
    from edgegw.drivers.modbus_codec import sealed

    asked = exchange.asked
    if tcp and asked is not None:
        return own_frame(asked, reply)
    if asked is None or not exchange.data:
        return reply
    whole = sealed(bytes((asked.unit, asked.function, len(exchange.data))) + exchange.data)
    return whole if whole in reply else reply


def _frame(language: str, frame: bytes, *, tcp: bool, question: bool) -> Iterator[str]:
    """Each part of a frame, as far as there is one."""
    from edgegw.drivers.modbus_codec import crc

    at = 0
    parts: list[tuple[int, str]] = []
    if tcp:
        parts = [
            (2, say(language, "transaction", int.from_bytes(frame[:2], "big"))),
            (2, say(language, "protocol.0") if frame[2:4] == b"\0\0" else frame[2:4].hex()),
            (2, say(language, "length.bytes", int.from_bytes(frame[4:6], "big"))),
        ]
    body, check = (frame[_MBAP:], b"") if tcp else (frame[:-2], frame[-2:])
    parts += _body(language, body, question=question)
    if check and not crc(frame):
        parts.append((2, say(language, "crc.right")))
    elif check:
        parts.append((2, say(language, "crc.wrong", _hex(crc(body).to_bytes(2, "little")))))
    for size, words in parts:
        piece = frame[at : at + size]
        at += size
        yield from _lines(piece, words)


def _body(language: str, body: bytes, *, question: bool) -> list[tuple[int, str]]:
    function = body[1] if len(body) > 1 else 0
    parts = [(1, say(language, "unit.id", body[0] if body else "?")), (1, say(language, "function.id", function, say_function(language, function)))]
    if function & 0x80 and len(body) == 3:
        return [*parts, (1, reason_of_exception(language, body[2]))]
    if not question and function in (1, 2, 3, 4, 23):
        said = body[2] if len(body) > 2 else 0
        return [*parts, (1, say(language, "length.bytes", said)), (max(0, len(body) - 3), say(language, "data"))]
    if len(body) >= 6 and function in _WITH_ADDRESS:
        address, number = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
        second = {5: "written", 6: "written", 22: "mask"}.get(function, "quantity")
        parts += [(2, say(language, "address", address, f"{address:04X}")), (2, say(language, second, number))]
    rest = len(body) - sum(size for size, _ in parts)
    return [*parts, (rest, say(language, "data"))] if rest > 0 else parts


def reason_of_exception(language: str, code: int) -> str:
    return say(language, "exception", code, say_word(language, "exception", str(code)) if f"exception.{code}" in WORDS else "?")


def _lines(piece: bytes, words: str) -> Iterator[str]:
    """Bytes on the left, eight a line, what they are on the right."""
    for start in range(0, len(piece), _BYTES_A_LINE):
        left = "  " + _hex(piece[start : start + _BYTES_A_LINE])
        if start:
            yield left
        else:
            yield from wrap(left.ljust(_INDENT) + "  " + words, _INDENT + 2, WIDTH)


def _values(language: str, exchange: Exchange) -> Iterator[str]:
    from edgegw.drivers.exchange import uncovered

    if exchange.values:
        heads = [say_word(language, "head", name) for name in ("address", "raw", "point", "value", "unit", "quality")]
        rows = [_row(language, shown) for shown in exchange.values]
        title, *lines = table(heads, rows, right=frozenset({0, 3}), flexible=1, width=WIDTH - 2)
        yield "  " + title
        for line, shown in zip(lines, exchange.values, strict=True):
            yield "  " + line
            if _is_long(shown):
                yield from wrap("    " + str(shown.value), 4, WIDTH)
            yield from _bits(language, shown)
    elif not exchange.echo:
        yield "  " + say(language, "nothing")
    rest = uncovered(exchange)
    if rest and exchange.values:
        yield "  " + say(language, "rest", len(rest))


def _is_long(shown: Shown) -> bool:
    """A text that would push the other columns off the screen; it gets lines of its own."""
    return isinstance(shown.value, str) and cells(shown.value) > _TEXT_CELLS


def _row(language: str, shown: Shown) -> list[str]:
    number = ".." if _is_long(shown) else _number(shown)
    unit = "" if shown.point.unit == "1" else shown.point.unit
    return [
        str(shown.row.address),
        _hex(shown.raw),
        shown.point.name,
        "-" if number is None else str(number),
        unit,
        say_word(language, "quality", shown.quality.word),
    ]


def _bits(language: str, shown: Shown) -> Iterator[str]:
    """Each set bit of a fault word, in words."""
    faults = shown.row.fault_bits
    word = int.from_bytes(shown.raw, "big") if faults and shown.value is not None else 0
    for bit in range(word.bit_length()):
        if word >> bit & 1:
            fault = faults.get(bit)
            words = say(language, "bit.unknown") if fault is None else f"{fault.id}  {fault.zh if language == 'zh' else fault.en}"
            yield from wrap("    " + say(language, "bit", bit, words), 8, WIDTH)


def _hex(data: bytes) -> str:
    return data.hex(" ").upper()
