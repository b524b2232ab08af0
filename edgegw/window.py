"""How long readings are collected before they are sealed and sent: the one dial between freshness and megabytes (decision D4).

    live, on request            1 s, for some minutes, whatever it costs
    economy                     window_idle_s: an uplink has used 80 % of its quota of the month
    charging, or an alarm open  window_active_s
    otherwise                   window_idle_s

The window belongs to the store, one for all uplinks. Events and energy wait for none.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.errors import EXIT_USAGE, EdgegwError

LIVE_WINDOW_MS: Final = 1000
LIVE_MINUTES: Final = 10
# Live costs a SIM card some 3 MB an hour: it must not be forgotten.
LIVE_MINUTES_MAX: Final = 60
_MINUTE_MS: Final = 60_000

_log = logging.getLogger("edgegw.window")


class Order(Protocol):
    """What a command brings with it."""

    @property
    def arguments(self) -> Sequence[object]: ...


class Window:
    """`look` whenever something changed that it depends on, and about once a second."""

    def __init__(self, store: Store, clock: Clock, apply: Callable[[int], None], is_busy: Callable[[], bool]) -> None:
        """`apply` takes milliseconds; `is_busy`: something charges or an alarm is open."""
        self._store = store
        self._clock = clock
        self._apply = apply
        self._is_busy = is_busy
        self._live_until_ms = 0
        self._ms = 0
        self.economy = False

    def look(self) -> None:
        """Chooses, and tells the store when that changed."""
        chosen_ms = self._choose_ms()
        if chosen_ms != self._ms:
            self._ms = chosen_ms
            self._apply(round(chosen_ms / self._clock.speed))

    def _choose_ms(self) -> int:
        if self._clock.mono_ms() < self._live_until_ms:
            return min(LIVE_WINDOW_MS, round(1000 * self._store.window_active_s))
        busy = not self.economy and self._is_busy()
        return round(1000 * (self._store.window_active_s if busy else self._store.window_idle_s))

    def go_live(self, minutes: int) -> None:
        """0 ends it. Raises EdgegwError E-LIVE."""
        if not 0 <= minutes <= LIVE_MINUTES_MAX:
            raise EdgegwError("E-LIVE", f"live for {minutes} minutes: 0 to {LIVE_MINUTES_MAX} are possible", f"--for {LIVE_MINUTES}", EXIT_USAGE)
        _log.info("live view for %d min: readings are sent every %d ms", minutes, LIVE_WINDOW_MS)
        self._live_until_ms = self._clock.mono_ms() + minutes * _MINUTE_MS
        self.look()

    # -- who asks for it

    async def ordered(self, order: Order) -> str:
        """A signed command of the cloud: minutes, else ten. What came of it."""
        minutes = order.arguments[0] if order.arguments else LIVE_MINUTES
        try:
            self.go_live(minutes if isinstance(minutes, int) else -1)
        except EdgegwError as refused:
            return f"refused: {refused.text}"
        return f"live for {minutes} min"

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"live": self._asked}

    async def _asked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        minutes = arguments.get("minutes", LIVE_MINUTES)
        if not isinstance(minutes, int):
            raise EdgegwError("E-LIVE", "minutes must be a whole number", f"--for {LIVE_MINUTES}", EXIT_USAGE)
        self.go_live(minutes)
        return {"minutes": minutes, "window_s": self._ms / 1000, "economy": self.economy}
