"""`edgegw decode megatec`: what a UPS's reply says, and why it is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from edgegw.cli.cells import WIDTH, pad, wrap
from edgegw.cli.hex_bytes import hex_bytes
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import current
from edgegw.cli.texts_megatec import TEXTS, say
from edgegw.errors import EXIT_DEVICE_ERROR, EXIT_OK, EXIT_USAGE, EdgegwError

if TYPE_CHECKING:
    from edgegw.drivers.megatec_codec import Decoded
    from edgegw.drivers.megatec_fields import Plain

# As in drivers/megatec_dialects.py, which is not imported before the command runs; a test compares them.
DIALECTS = ("megatec", "voltronic", "voltronic-qs", "voltronic-qs-hex", "voltronic-axpert", "q2", "q6", "omron", "bestups", "innovatae")
# A reply of four times the longest.
REPLY_MAX = 1024
_NAME_CELLS, _VALUE_CELLS = 30, 18
_OPTION = re.compile("--?[A-Za-z]")
_ENDS = ("\\r", "\\n", "<CR>", "<cr>", "<LF>", "<lf>")


# A reply may begin with a minus, as a temperature does.
@click.command(
    "megatec",
    help="The reply of a UPS to a query: Megatec/Q1 and the Voltronic family. A missing CR is accepted.",
    context_settings={"ignore_unknown_options": True},
)
@click.option("--dialect", type=click.Choice(DIALECTS), default="megatec", help="Family of the UPS (default megatec).")
@click.option("--hex", "as_hex", is_flag=True, help="The reply is given as hexadecimal bytes.")
@click.option("--nominal", metavar="VOLTS", default="", help="Rated battery voltage, as F or QRI tells it: adds the estimates.")
@click.argument("query", metavar="COMMAND")
@click.argument("reply", metavar="REPLY", nargs=-1)
def command(dialect: str, as_hex: bool, nominal: str, query: str, reply: tuple[str, ...]) -> None:  # noqa: FBT001 - a click option
    from edgegw.drivers.megatec_codec import decode
    from edgegw.drivers.megatec_fields import Options, as_json

    if wrong := next((word for word in (query, *reply) if _OPTION.match(word)), None):
        raise EdgegwError("E-USAGE", f"No such option '{wrong[:40]}'", "edgegw decode megatec -h", EXIT_USAGE)
    received = _bytes(" ".join(reply), as_hex=as_hex)
    told = decode(dialect, _without_ends(query), received, Options(nominal_v=_volts(nominal)))
    language = screen_language(current())
    result = Result(
        {"valid": told.valid, "reason": told.reason, "values": as_json(told.values)},
        screen=lambda: list(screen(language, dialect, query, received, told)),
        rows=lambda: _rows(told),
        exit_code=EXIT_OK if told.valid else EXIT_DEVICE_ERROR,
    )
    finish(current(), "decode-megatec", result)


# -- what was typed


def _bytes(text: str, *, as_hex: bool) -> bytes:
    """The reply as it was on the line. Raises EdgegwError."""
    if len(text) > 4 * REPLY_MAX:
        raise EdgegwError("E-USAGE", f"{len(text)} characters are no reply of a UPS", "give one reply", EXIT_USAGE)
    if as_hex:
        return hex_bytes(text, REPLY_MAX, "edgegw decode megatec")
    # What the terminal could not read as UTF-8 comes as a surrogate, one for each byte.
    return b"".join(bytes((ord(one) & 0xFF,)) if ord(one) < 0x100 or 0xDC80 <= ord(one) <= 0xDCFF else b"?" for one in _without_ends(text))


def _without_ends(text: str) -> str:
    """People write the CR as they see it in a document."""
    while end := next((end for end in _ENDS if text.endswith(end)), ""):
        text = text[: -len(end)]
    return text


def _volts(text: str) -> Decimal | None:
    try:
        value = Decimal(text) if text else None
    except InvalidOperation:
        value = Decimal("NaN")
    if value is not None and not (value.is_finite() and 0 < value <= 1000):
        raise EdgegwError("E-USAGE", f'"{text}" is no voltage', "write volts, as --nominal 24", EXIT_USAGE)
    return value


# -- for programs and for people


def _rows(told: Decoded) -> list[list[object]]:
    if not told.valid:
        return [["invalid", told.kind, told.text]]
    return [["valid", name, _plain(value)] for name, value in told.values.items()]


def _plain(value: Plain) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def screen(language: str, dialect: str, query: str, received: bytes, told: Decoded) -> Iterator[str]:
    """What came, then a line for each value, or why there is none and what to try."""
    from edgegw.drivers.megatec_replies import printable

    shown_query = printable(_without_ends(query).strip("\r\n"), 16)
    yield say(language, "valid" if told.valid else "refused", shown_query, dialect)
    yield from wrap("  " + say(language, "sent", printable(received.decode("latin-1").rstrip("\r\n"), 2 * WIDTH) or "-"), 4, WIDTH)
    if not told.valid:
        # Who has only the reply writes it first.
        why = "query_first" if told.kind == "unknown_command" and query.startswith(("(", "#")) else told.kind
        yield from wrap("  " + say(language, f"why.{why}", told.text), 4, WIDTH)
        if told.other:
            yield "  " + say(language, "why.other", told.other)
        return
    for name, value in told.values.items():
        head = pad(name, _NAME_CELLS) if len(name) < _NAME_CELLS else f"{name} "
        shown = _shown(language, name, value)
        tail = _meaning(language, name, value)
        yield from wrap(f"  {head}{pad(shown, _VALUE_CELLS) if len(shown) < _VALUE_CELLS else shown + '  '}{tail}".rstrip(), 2 + _NAME_CELLS, WIDTH)


def _shown(language: str, name: str, value: Plain) -> str:
    from edgegw.points import lookup

    if value is None:
        return say(language, "none")
    if isinstance(value, bool):
        return say(language, "yes" if value else "no")
    if isinstance(value, Decimal):
        entry = lookup(name.removesuffix(".estimated").removesuffix(".total"))
        unit = entry.unit if entry and entry.unit != "1" else ""
        return f"{value.normalize():f} {unit}".rstrip()
    return _plain(value) or "-"


def _meaning(language: str, name: str, value: Plain) -> str:
    """What the name means, and the words of a status."""
    from edgegw.points import lookup

    entry = lookup(name)
    title = say(language, f"name.{name}") if f"name.{name}" in TEXTS else ""
    if not title and entry:
        title = entry.zh if language == "zh" else entry.en
    words = _words(language, name, value)
    return f"{title}: {words}" if title and words else title or words


def _words(language: str, name: str, value: Plain) -> str:
    from edgegw.drivers.megatec_words import ALARMS, FAULTS, MODES, STATUS_TEXTS, WARNINGS

    place = int(language == "zh")
    known = {word.code: (word.en, word.zh) for word in (*WARNINGS.values(), *FAULTS.values())}
    if name == "ups.status" and isinstance(value, str):
        texts = [STATUS_TEXTS[word][place] for word in value.split() if word in STATUS_TEXTS]
    elif name == "ups.alarm" and isinstance(value, list):
        texts = [(ALARMS.get(str(word)) or known.get(str(word)) or (str(word), str(word)))[place] for word in value]
    elif name == "mode":
        texts = [(word.en, word.zh)[place] for word, _ in MODES.values() if word.code == value]
    else:
        texts = []
    return ("、" if place else ", ").join(texts)
