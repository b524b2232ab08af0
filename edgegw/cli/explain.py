"""`edgegw explain ID`: what a message means and what to do, offline."""

from __future__ import annotations

import difflib

import click

from edgegw.cli.cells import WIDTH, wrap
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import current
from edgegw.cli.texts import say
from edgegw.errors import EXIT_UNKNOWN, EdgegwError, Message, lookup, message_ids


@click.command("explain", help="Meaning and next step of a message id, as in E-CFG-KEY.")
@click.argument("message_id", metavar="ID")
def command(message_id: str) -> None:
    settings = current()
    wanted = message_id.upper()
    message = lookup(wanted)
    if message is None:
        near = difflib.get_close_matches(wanted, message_ids(), n=1, cutoff=0.5)
        raise EdgegwError("E-ID-UNKNOWN", f'no message has the id "{message_id}"', f"edgegw explain {near[0]}" if near else "docs/messages.md", EXIT_UNKNOWN)
    data = {"id": message.id, "meaning": {"en": message.en, "zh": message.zh}, "next": {"en": message.next_en, "zh": message.next_zh}}
    language = screen_language(settings)
    result = Result(data, screen=lambda: _screen(language, message), rows=lambda: [(message.id, message.en, message.next_en)])
    finish(settings, "explain", result)


def _screen(language: str, message: Message) -> list[str]:
    chinese = language == "zh"
    return [
        message.id,
        *wrap("  " + (message.zh if chinese else message.en), 2, WIDTH),
        *wrap("  " + say(language, "explain.next", message.next_zh if chinese else message.next_en), 2, WIDTH),
    ]
