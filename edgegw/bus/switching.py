"""Switching a relay on a bus: ahead of everything else, one question a turn.

    write  ->  the answer repeats it   ->  read back  ->  the relay is as it was told
           ->  it says something else: E-SWITCH-ECHO; it refuses: E-SWITCH-ANSWER; no answer: once more, then E-SWITCH-ANSWER

While the line is closed an order waits for it: who gave it knows for how long.
"""

from __future__ import annotations

import asyncio

from edgegw.bus.schedule import Link
from edgegw.drivers.switching import Order, Switch, state_of
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Fault, Question

# Orders that may wait: a station has one or two sirens.
ORDERS_MAX = 8
# A question that stays without an answer is asked once more: switching on what is on changes nothing.
TRIES = 2


class Pending:
    """An order under way."""

    def __init__(self, link: Link, switch: Switch, order: Order | None) -> None:
        """Without an order the relay is only read."""
        self.link = link
        self.switch = switch
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._order = order
        self._is_written = order is None
        self._tries = 0

    @property
    def question(self) -> Question:
        """What is asked next."""
        return self.switch.read if self._order is None or self._is_written else self._order.write

    def heard(self, result: Answer | Fault) -> None:
        """What came to it."""
        if isinstance(result, Fault):
            self._failed(result)
        elif not self._is_written:
            assert self._order is not None
            self._is_written, self._tries = True, 0
            if result.data != self._order.echo:
                text = f"{self._place}: the module answers {result.data.hex(' ').upper()} to what should be repeated as {self._order.echo.hex(' ').upper()}"
                self._refuse("E-SWITCH-ECHO", text, "compare write, write_on and the address in its profile with its manual")
        elif self._order is None or state_of(result) == self._order.state:
            self._finish(state_of(result))
        else:
            text = f"{self._place}: the module took the order, but it reads {state_of(result)} instead of {self._order.state}"
            self._refuse("E-SWITCH-STATE", text, "look whether the module is in a mode in which an input moves its relays, or another master writes to it")

    def ended(self) -> None:
        """Nobody will ask it any more."""
        self._refuse("E-SWITCH-ANSWER", f"{self._place}: its bus has ended", "nothing while the service stops; else look at its log")

    @property
    def _place(self) -> str:
        return f"{self.switch.point} of {self.switch.device}"

    def _failed(self, fault: Fault) -> None:
        if fault.kind == "closed":
            return  # It waits for the line.
        self._tries += 1
        if fault.exception_code is not None or fault.kind == "permit" or self._tries >= TRIES:
            what = "reading back" if self._is_written else "switching"
            self._refuse("E-SWITCH-ANSWER", f"{self._place}: {what}: {fault.text}", "edgegw read shows whether the module answers at all")

    def _refuse(self, message_id: str, text: str, next_step: str) -> None:
        if not self.done.done():
            self.done.set_exception(EdgegwError(message_id, text, next_step))

    def _finish(self, state: int) -> None:
        if not self.done.done():
            self.done.set_result(state)


class Orders:
    """Of one bus, in their order."""

    def __init__(self) -> None:
        self._waiting: list[Pending] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, pending: Pending) -> None:
        """Raises EdgegwError when too many wait."""
        if len(self._waiting) >= ORDERS_MAX:
            raise EdgegwError("E-BUS-BUSY", f"{ORDERS_MAX} orders for relays wait already", "wait for them to end")
        self._waiting.append(pending)

    def first(self) -> Pending | None:
        """The one whose turn it is; one that nobody waits for any more is never sent."""
        while self._waiting and self._waiting[0].done.done():
            self._waiting.pop(0)
        return self._waiting[0] if self._waiting else None

    def refuse_all(self) -> None:
        """The bus ends."""
        while self._waiting:
            self._waiting.pop(0).ended()
