"""The cloud's commands: proven, in order, in time, each taken once and written down before it is done.

    arrived ─► signature, addressee ─► counter above the last ─► not expired ─► event and counter, one transaction ─► done ─► event

The broker can hold a command back and it can repeat one; it can neither make nor change one. What is refused is counted and told once a reason.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from edgegw.clock import Clock
from edgegw.model import ClockTrust, Event
from edgegw.uplink.envelope import Command, EnvelopeError, open_command
from edgegw.uplink.keys import CloudPublic

logger = logging.getLogger("edgegw.uplink")

KIND: Final = "command"
KEY_PREFIX: Final = "command/"
# Commands that wait to be done; people give them, so more at once are none of ours.
COMMANDS_MAX: Final = 16
RESEND: Final = "resend"
# Doing these twice or late harms nobody: they need no clock.
_TIMELESS: Final = frozenset({RESEND})
ACK: Final = "ack"
# These expire like the others, but are done where no clock tells whether they have: heard late, an acknowledgement covers no more than what was said.
_DONE_WITHOUT_CLOCK: Final = frozenset({ACK})
_TRUSTED: Final = (ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED)

Handler = Callable[[Command], Awaitable[str]]
"""Does a command and says in a few words what came of it."""
Journal = Callable[[Event, Mapping[str, bytes]], None]
"""Stores an event and states in one transaction."""


def no_journal(_event: Event, _states: Mapping[str, bytes]) -> None:
    """Where nothing is stored."""


class Commands:
    """The commands of one uplink's cloud. `handlers` is what this gateway can be told to do."""

    def __init__(self, uplink: str, gateway: str, cloud: CloudPublic, clock: Clock, journal: Journal) -> None:
        self._uplink = uplink
        self._gateway = gateway
        self._cloud = cloud
        self._clock = clock
        self._journal = journal
        self._arrived: deque[bytes] = deque(maxlen=COMMANDS_MAX)
        self._reasons_told: set[str] = set()
        self.handlers: dict[str, Handler] = {}
        self.counter = 0
        """Of the last command taken; every other must be above it."""
        self.taken = 0
        self.refused = 0

    def restore(self, states: Mapping[str, bytes]) -> None:
        """The counter that earlier starts left in the store under `KEY_PREFIX`; one that cannot be read counts as none."""
        left = states.get(KEY_PREFIX + self._uplink, b"")
        if left.isdigit():
            self.counter = max(self.counter, int(left))

    def arrive(self, message: bytes) -> None:
        self._arrived.append(message)

    async def take(self) -> None:
        """Does what has arrived, one after the other."""
        while self._arrived:
            message = self._arrived.popleft()
            try:
                command = open_command(message, self._gateway, self._cloud.verify)
                self._check(command)
            except EnvelopeError as fault:
                self._refuse(fault)
            else:
                await self._do(command)

    def _check(self, command: Command) -> None:
        if command.counter <= self.counter:
            raise EnvelopeError("repeated", f"counter {command.counter} is not above {self.counter}")
        if command.name in _TIMELESS:
            return
        if self._clock.trust not in _TRUSTED:
            if command.name in _DONE_WITHOUT_CLOCK:
                return
            raise EnvelopeError("clock", "whether it is still valid cannot be told: our clock is not synchronised")
        if self._clock.wall_ms() >= command.expires_ms:
            raise EnvelopeError("expired", "its time is over")

    async def _do(self, command: Command) -> None:
        self.counter = command.counter
        self.taken += 1
        state = {KEY_PREFIX + self._uplink: str(command.counter).encode()}
        handler = self.handlers.get(command.name)
        if handler is None:
            self._tell(command, "unknown", state)
            return
        self._tell(command, "accepted", state)
        try:
            result = await handler(command)
        except EnvelopeError as fault:
            result = f"refused: {fault}"
        self._tell(command, result, {})

    def _tell(self, command: Command, result: str, states: Mapping[str, bytes]) -> None:
        logger.warning("uplink %s: command %s (%d): %s", self._uplink, command.name, command.counter, result)
        mono_ms = self._clock.mono_ms()
        body = {"uplink": self._uplink, "command": command.name, "counter": command.counter, "at_ms": command.at_ms, "result": result}
        self._journal(Event(KIND, self._clock.wall_ms(mono_ms), mono_ms, self._clock.trust, None, body), states)

    def _refuse(self, fault: EnvelopeError) -> None:
        self.refused += 1
        if fault.reason not in self._reasons_told:
            self._reasons_told.add(fault.reason)
            logger.warning("uplink %s: E-CLOUD-COMMAND: command refused (%s); more of this kind are only counted", self._uplink, fault)
