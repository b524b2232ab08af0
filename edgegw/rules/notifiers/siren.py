"""Siren or beacon at a relay output: the one thing that edgegw switches.

    off  ->  send: on, read back  ->  on  ->  every alarm that it rings for is acknowledged or has ended, or its time is over: off, read back  ->  off

Each order is written down as an event of kind `switch`. Switching off is tried until it is proven. When the daemon ends the siren is silenced; when it
starts and finds it on, it rings on only if there is still somebody to call; a module that does not answer then is asked until it does.
"""

from __future__ import annotations

import asyncio
import logging
import math

from edgegw.config.channel_model import ChannelTable
from edgegw.errors import EdgegwError
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.parts import Parts, failed, told

_log = logging.getLogger("edgegw.siren")

# So often it is looked whether it is still wanted: whoever acknowledges an alarm stands beside it.
LOOK_S = 0.5
# A test and an alarm that ends at once are heard all the same.
RING_S_MIN = 3.0
# An order to be silent that did not arrive is repeated until it did: soon, then after twice as long each time, because a dead module has a bus with others.
REPEAT_S = 5.0
REPEAT_S_MAX = 60.0
# A module that is silent at the start is asked again this often whether it was left on: seldom enough for a bus that has others to poll.
SETTLE_S = 30.0
# One that was read back on so short a time ago is not ordered on again: in a storm of alarms the bus has better to do.
PROVEN_S = 10.0
# What ending the daemon leaves for silencing it.
CLOSE_S = 3.0


class Siren:
    """One output."""

    def __init__(self, table: ChannelTable, parts: Parts) -> None:
        self.name = table.name
        self._table = table
        self._parts = parts
        self._relay = parts.relay(table)
        self._turn = asyncio.Lock()
        self._levels: frozenset[str] = frozenset()
        """Of what it rings for."""
        self._since_s = 0.0
        self.may_be_on = False
        """It was ordered on and not proven off."""
        self._proven_s = -math.inf
        """When it was read back on, unless it was ordered off since."""
        self._calls = 0
        """Orders to sound, so that one that comes while the siren is being silenced is not forgotten with it."""
        self._ringing: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._audited: dict[str, object] = {}
        """The last order, where it failed."""
        self._is_told = False
        """That it cannot be silenced is on the log."""

    async def send(self, notice: Notice, recipient: str) -> str:
        """What was read back."""
        del recipient
        self._calls += 1
        self._levels |= {notice.level}
        self._since_s = asyncio.get_running_loop().time()
        self.may_be_on = True
        try:
            if self._since_s - self._proven_s < PROVEN_S and not self._turn.locked():
                return f"{self._table.point} of {self._table.device} is on already, read back {self._since_s - self._proven_s:.1f} s ago"
            said = await self._switch(on=True, reason=notice.notice_id)
            self._proven_s = asyncio.get_running_loop().time()
        finally:
            self._ring()
        return said

    async def settle(self) -> None:
        """At the start: one that was left on is silenced, unless there is somebody to call. Waits for nothing."""
        if self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle(), name=f"siren {self.name} at the start")

    async def _settle(self) -> None:
        """Until the module has said how it stands, or it sounds by an order of this start."""
        while not self._calls:
            try:
                async with asyncio.timeout(self._table.timeout_s):
                    is_on = await self._relay.read()
            except (EdgegwError, TimeoutError):
                await asyncio.sleep(SETTLE_S)  # The device's own alarm tells it.
                continue
            if is_on and not self.may_be_on:
                self._levels, self._since_s, self.may_be_on = self._parts.levels_of(self.name), asyncio.get_running_loop().time(), True
                self._ring()
            return

    async def quiet(self, reason: str) -> str:
        """Off. Raises TellingError when it is not proven."""
        calls = self._calls
        try:
            said = await self._switch(on=False, reason=reason)
        finally:
            self._proven_s = -math.inf
        if calls == self._calls:
            self.may_be_on, self._levels, self._is_told = False, frozenset(), False
        return said

    async def close(self) -> None:
        """Silences it: nobody would do it later."""
        tasks = {task for task in (self._settling, self._ringing) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self.may_be_on:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self.quiet("the daemon ends")
            except (EdgegwError, TimeoutError) as fault:
                _log.error("E-TELL-SIREN: channel %s: it may be left on: %s. Next: silence it by hand", self.name, fault or "no answer")

    def _ring(self) -> None:
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.get_running_loop().create_task(self._ring_out(), name=f"siren {self.name}")

    async def _ring_out(self) -> None:
        """Until it is proven off."""
        pause_s = REPEAT_S
        while self.may_be_on:
            reason = self._why_over()
            if not reason:
                pause_s = REPEAT_S
                await asyncio.sleep(LOOK_S)
                continue
            try:
                await self.quiet(reason)
            except EdgegwError as fault:
                if not self._is_told:
                    _log.error("E-TELL-SIREN: channel %s: it cannot be silenced: %s", self.name, fault)
                self._is_told = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, REPEAT_S_MAX)

    def _why_over(self) -> str:
        """Empty while it is to ring."""
        rung_s = asyncio.get_running_loop().time() - self._since_s
        if rung_s >= self._table.on_time_s_max:
            return "its time is over"
        return "acknowledged or ended" if rung_s >= RING_S_MIN and not self._parts.is_wanted(self._levels) else ""

    async def _switch(self, *, on: bool, reason: str) -> str:
        """One order, written down whatever comes of it, but for one that fails like the one before. Raises TellingError."""
        body: dict[str, object] = {"point": self._table.point, "state": "on" if on else "off", "channel": self.name, "reason": reason}
        result = "not finished"
        try:
            async with asyncio.timeout(self._table.timeout_s), self._turn:
                state = await self._relay.switch(on=on)
            result = "done"
        except EdgegwError as fault:
            result = fault.message_id
            raise told(fault) from None
        except TimeoutError:
            result = "E-TELL-TIMEOUT"
            text = f'channel "{self.name}": {self._table.point} of {self._table.device} did not answer within {self._table.timeout_s:g} s'
            raise failed(result, text, "edgegw status shows whether its bus works", later=True) from None
        finally:
            audited = {**body, "result": result}
            if on or audited != self._audited:
                self._parts.audit(self._table.device, audited)
            self._audited = {} if result == "done" else audited
        return f"{self._table.point} of {self._table.device} is {'on' if on else 'off'}, read back {state}"
