"""What the channels are given: this package opens no port, knows no bus and reads no secret by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from edgegw.config.channel_model import ChannelTable
from edgegw.errors import EdgegwError
from edgegw.rules.notifiers.model import TellingError


class ModemLine(Protocol):
    """A serial port with one owner, as the buses have them."""

    received: bytearray
    """What came and was not taken yet."""
    fault: str
    """Why it is no longer open."""

    @property
    def is_open(self) -> bool:
        """Until it is closed or its adapter is gone."""

    async def open(self) -> None:
        """Raises EdgegwError."""

    async def close(self) -> None:
        """Gives the port back."""

    def write(self, payload: bytes) -> None:
        """Raises EdgegwError."""

    def wait(self, deadline_ns: int) -> Awaitable[bool]:
        """True when something came or the line broke, false at the deadline (`time.monotonic_ns()`)."""


class Relay(Protocol):
    """The one output that a siren channel may switch."""

    async def switch(self, *, on: bool) -> int:
        """Switches it and reads it back: what was read. Raises EdgegwError when it is not provably so."""

    async def read(self) -> bool:
        """Whether it is on. Raises EdgegwError."""


Audit = Callable[[str, Mapping[str, object]], None]
"""Device and body of an event of kind `switch`."""


class Parts(NamedTuple):
    """Of the daemon."""

    gateway: str
    """`operator/station/gateway`."""
    read_secret: Callable[[Path, str], bytes]
    """The content of a file that is ours alone; the second argument is the next step where there is none. Raises EdgegwError."""
    modem_line: Callable[[ChannelTable], ModemLine]
    relay: Callable[[ChannelTable], Relay]
    is_wanted: Callable[[frozenset[str]], bool]
    """Whether an alarm of one of these levels (none named: of any) is open that nobody has acknowledged: a siren goes on."""
    levels_of: Callable[[str], frozenset[str]]
    """The levels that are told by a channel (none named: all)."""
    audit: Audit


def told(fault: EdgegwError, *, later: bool = True) -> TellingError:
    """The same words as what a channel says."""
    return failed(fault.message_id, fault.text, fault.next_step, later=later)


def failed(message_id: str, text: str, next_step: str, *, later: bool) -> TellingError:
    """`later`: worth another attempt."""
    fault = TellingError(message_id, text, next_step)
    fault.later = later
    return fault


def secret(channel: ChannelTable, parts: Parts) -> str:
    """The first line of its password_file; empty where it has none. Raises TellingError, which never tells what is in it."""
    if not channel.password_file:
        return ""
    try:
        content = parts.read_secret(Path(channel.password_file), "write the password into it, mode 0600")
    except EdgegwError as fault:
        raise told(fault) from None
    try:
        return content.decode("utf-8").splitlines()[0].strip() if content.strip() else ""
    except UnicodeDecodeError:
        raise failed("E-KEY-BAD", f"{channel.password_file} is not UTF-8 text", "write the password into it, in one line", later=True) from None
