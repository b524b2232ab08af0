"""Siren or beacon at a relay output: the one thing that edgegw switches.

    off  ->  send: on, read back  ->  on  ->  every alarm that it rings for is acknowledged or has ended, or its time is over: off, read back  ->  off

Each order is written down as an event of kind `switch`. Switching off is tried until it is proven. When the daemon ends the siren is silenced; when it
starts and finds it on, it rings on only if there is still somebody to call.
"""

from __future__ import annotations

import asyncio
import logging

from edgegw.config.channel_model import ChannelTable
from edgegw.errors import EdgegwError
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.parts import Parts, failed, told

_log = logging.getLogger("edgegw.siren")

# So often it is looked whether it is still wanted: whoever acknowledges an alarm stands beside it.
LOOK_S = 0.5
# A test and an alarm that ends at once are heard all the same.
RING_S_MIN = 3.0
# An order to be silent that did not arrive is repeated this often, until it did.
REPEAT_S = 5.0
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
        self._ringing: asyncio.Task[None] | None = None
        self._is_told = False
        """That it cannot be silenced is on the log."""

    async def send(self, notice: Notice, recipient: str) -> str:
        """What was read back."""
        del recipient
        self._levels |= {notice.level}
        self._since_s = asyncio.get_running_loop().time()
        self.may_be_on = True
        try:
            return await self._switch(on=True, reason=notice.notice_id)
        finally:
            self._ring()

    async def settle(self) -> None:
        """At the start: one that was left on is silenced, unless there is somebody to call."""
        try:
            async with asyncio.timeout(self._table.timeout_s):
                is_on = await self._relay.read()
        except (EdgegwError, TimeoutError):
            return  # The device's own alarm tells it.
        if is_on and not self.may_be_on:
            self._levels, self._since_s, self.may_be_on = frozenset(), asyncio.get_running_loop().time(), True
            self._ring()

    async def quiet(self, reason: str) -> str:
        """Off. Raises TellingError when it is not proven."""
        said = await self._switch(on=False, reason=reason)
        self.may_be_on, self._levels, self._is_told = False, frozenset(), False
        return said

    async def close(self) -> None:
        """Silences it: nobody would do it later."""
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.wait((self._ringing,))
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
        while self.may_be_on:
            reason = self._why_over()
            if not reason:
                await asyncio.sleep(LOOK_S)
                continue
            try:
                await self.quiet(reason)
            except EdgegwError as fault:
                if not self._is_told:
                    _log.error("E-TELL-SIREN: channel %s: it cannot be silenced: %s", self.name, fault)
                self._is_told = True
                await asyncio.sleep(REPEAT_S)

    def _why_over(self) -> str:
        """Empty while it is to ring."""
        rung_s = asyncio.get_running_loop().time() - self._since_s
        if rung_s >= self._table.on_time_s_max:
            return "its time is over"
        return "acknowledged or ended" if rung_s >= RING_S_MIN and not self._parts.is_wanted(self._levels) else ""

    async def _switch(self, *, on: bool, reason: str) -> str:
        """One order, written down whatever comes of it. Raises TellingError."""
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
            self._parts.audit(self._table.device, {**body, "result": result})
        return f"{self._table.point} of {self._table.device} is {'on' if on else 'off'}, read back {state}"
