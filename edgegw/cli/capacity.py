"""`edgegw capacity`: how long the room lasts without a cloud, and what a month costs at the present rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.buffer_file import ask
from edgegw.cli.cells import pad, wrap
from edgegw.cli.output import Result, finish, screen_width
from edgegw.cli.settings import current
from edgegw.cli.texts import duration
from edgegw.cli.texts_buffer import say, size
from edgegw.errors import EXIT_OK, EXIT_WARNINGS

_INDENT = 9
# Less room than an outage over a long weekend is worth a warning.
_ROOM_WARN_H = 72


@click.command("capacity", help="Hours of room left without a cloud and megabytes a month, at the rate of the last day. Exit 10 below three days of room.")
@click.option("--file", default="", metavar="FILE", help="A file of the store instead of the one in use.")
def command(file: str) -> None:
    def look(reader: Any, limits: Any) -> dict[str, Any]:
        from edgegw.buffer.overview import capacity

        return capacity(reader, limits)

    settings = current()
    data, gateway, language = ask(settings, "capacity", {}, file, look)
    room_h = data["room_h"]
    code = EXIT_WARNINGS if room_h is not None and room_h < _ROOM_WARN_H else EXIT_OK
    finish(settings, "capacity", Result(data, gateway=gateway, exit_code=code, screen=lambda: render(data, language), rows=data.items))


def render(data: dict[str, Any], language: str) -> Iterator[str]:
    """The screen, at most 80 cells a line."""
    per_value = "-" if data["bytes_per_value"] is None else data["bytes_per_value"]
    span = duration(language, data["span_h"] * 3600)
    rate = say(language, "capacity.rate.is", data["values_per_s"], per_value, data["file_mb_per_day"], span)
    room = data["room_h"]
    left = (
        say(language, "capacity.room.unknown", size(data["room_bytes"]))
        if room is None
        else say(language, "capacity.room.is", f"{room:,.0f}", f"{room / 24:.1f}")
    )
    for name, text in (("capacity.rate", rate), ("capacity.sent", say(language, "capacity.sent.is", data["sent_mb_per_month"])), ("capacity.room", left)):
        yield from wrap(pad(say(language, name), _INDENT) + text, _INDENT, screen_width())
