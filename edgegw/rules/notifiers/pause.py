"""How a channel fares: how long it is left alone after attempts that failed, and what people must hear of it. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

_OF_RECIPIENT: Final = "E-TELL-RECIPIENT"


class Trouble(NamedTuple):
    """Why a channel reaches nobody, or not the one who is named."""

    error: str
    recipient: str = ""


class Pause:
    """Of a channel after failed attempts."""

    def __init__(self, refused: dict[str, str] | None = None) -> None:
        self.failures = 0
        self.since_ms = 0
        """Of the first of the failures in a row."""
        self.tried_ms = 0
        self.wait_ms = 0.0
        self.failed_last = ""
        self.error = ""
        self.recipient = ""
        """Of the last attempt that failed."""
        self.refused = refused or {}
        """By recipient, why a notice was refused for good: nothing has reached this one since."""

    def until_ms(self, *, fresh: bool, fresh_ms: float) -> float:
        """Monotonic time of the next attempt; for something new it comes after `fresh_ms` at the latest."""
        return self.tried_ms + (min(self.wait_ms, fresh_ms) if fresh else self.wait_ms)

    def worked(self, recipient: str) -> Pause:
        """It has delivered something to this one."""
        return Pause({name: error for name, error in self.refused.items() if name != recipient})

    def trouble(self, now_ms: int, after_ms: int) -> Trouble | None:
        """What is to be told: no delivery for so long, or a notice that was refused for good, which nobody will try again."""
        if self.failures and now_ms - self.since_ms >= after_ms:
            # A mailbox that is full says nothing of the others.
            return Trouble(self.error, self.recipient if self.error.startswith(_OF_RECIPIENT) else "")
        return next((Trouble(error, recipient) for recipient, error in self.refused.items()), None)
