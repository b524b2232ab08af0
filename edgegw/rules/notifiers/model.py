"""What a channel is given, and what it answers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from edgegw.errors import EdgegwError


class Notice(msgspec.Struct, frozen=True):
    """One notification for one recipient by one channel, as it waits on the disk."""

    notice_id: str
    """The same at every attempt; `[A-Za-z0-9._-]`, 96 at most. A mail carries it as its Message-ID, so that a repeat is known as one."""
    level: str
    subject: str
    """One line."""
    text: str
    """All of it, lines separated by \\n."""
    short: str
    """One line for an SMS: the codes, the value, the first step."""
    attached: bytes = b""
    """A table for a mail (report_mail.py)."""
    attached_name: str = ""
    """Name of its file; ASCII."""


class TellingError(EdgegwError):
    """A channel could not deliver. `later`: worth another attempt, the notice is not to blame. `unsure`: the other side may have taken it all the same."""

    later: bool = True
    unsure: bool = False


class Channel(Protocol):
    """One way to people. An attempt has its own deadline below 60 s and is cancelled without damage."""

    name: str

    async def send(self, notice: Notice, recipient: str) -> str:
        """Delivers; the evidence (server's answer, message reference, read-back), for the record. `recipient`: address or number; empty for a siren. Raises TellingError."""

    async def close(self) -> None:
        """Frees ports and connections."""
