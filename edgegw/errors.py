"""Every message that edgegw says to a person has an id here; an id never changes its meaning.

An `EdgegwError` ends in one line for a person: what is wrong, where, what to do next. It is never a traceback.
"""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

EXIT_OK = 0
EXIT_CHECK_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_DAEMON = 3
EXIT_UNKNOWN = 4
EXIT_NO_ANSWER = 5
EXIT_DEVICE_ERROR = 6
EXIT_HELD = 7
EXIT_CLOUD = 8
EXIT_NOT_ALLOWED = 9
EXIT_WARNINGS = 10
EXIT_STORE = 11
EXIT_INTERRUPTED = 130


class EdgegwError(Exception):
    """A fault of the world, told to a person.

    `message_id` is stable (`E-CFG-KEY`), `text` names thing and place, `next_step` is the command or deed that helps.
    """

    def __init__(self, message_id: str, text: str, next_step: str = "", exit_code: int = EXIT_CHECK_FAILED) -> None:
        super().__init__(text)
        self.message_id = message_id
        self.text = text
        self.next_step = next_step
        self.exit_code = exit_code

    def __str__(self) -> str:
        line = f"{self.message_id}: {self.text}"
        end = "" if line.endswith("?") else "."
        return f"{line}{end} Next: {self.next_step}" if self.next_step else line


class Message(NamedTuple):
    """What stands behind an id in `messages.toml`."""

    id: str
    en: str
    zh: str
    next_en: str
    next_zh: str


def lookup(message_id: str) -> Message | None:
    """The meaning and the next step of an id, None for an id that does not exist."""
    return _messages().get(message_id)


def message_ids() -> list[str]:
    """Every id, in order."""
    return sorted(_messages())


@cache
def _messages() -> dict[str, Message]:
    # Read when somebody asks: a command that ends well needs none of it.
    import tomllib  # noqa: PLC0415

    # os and not pathlib, here and in what every command imports: pathlib takes a quarter of the time of `edgegw --version`.
    with open(os.path.join(os.path.dirname(__file__), "messages.toml"), "rb") as file:  # noqa: PTH118, PTH120, PTH123
        return {message_id: Message(message_id, *row) for message_id, row in tomllib.load(file).items()}
