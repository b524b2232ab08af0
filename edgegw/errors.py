"""Every message that edgegw says to a person has an id here; an id never changes its meaning.

An `EdgegwError` ends in one line for a person: what is wrong, where, what to do next. It is never a traceback.
"""

from __future__ import annotations

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
        return f"{line}. Next: {self.next_step}" if self.next_step else line
