"""What the gateway keeps and tells of its uplinks: bytes on the wire in the store, certificates and quotas as alarms of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.rules.engine import Engine
from edgegw.rules.journal import Changes
from edgegw.uplink.sender import Sender
from edgegw.uplink.traffic import KEY_PREFIX


class OwnUplinks:
    """`begin` before the store takes anything; then `look` and `keep` about once a minute, and `keep` at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: set[str] = set()
        self._remembered: Mapping[str, bytes] = {}

    def begin(self, buffer: Buffer) -> None:
        self._remembered = buffer.states(KEY_PREFIX)

    def recall(self, senders: Sequence[Sender]) -> None:
        """Gives the senders what earlier starts counted; a second call gives nothing."""
        for sender in senders:
            sender.traffic.restore(self._remembered)
        self._remembered = {}

    def look(self, engine: Engine, senders: Sequence[Sender]) -> Iterator[Changes]:
        """Raises what is new and withdraws what is over. While the clock cannot be trusted nothing changes."""
        looks = [sender.notices() for sender in senders]
        if any(found is None for found in looks):
            return
        notices = {notice.rule: notice for found in looks for notice in found or ()}
        now_ms = self._clock.mono_ms()
        at = (now_ms, self._clock.wall_ms(now_ms), self._clock.trust)
        for rule in sorted(self._told - notices.keys()):
            yield engine.withdraw(rule, None, *at)
        for rule in sorted(notices.keys() - self._told):
            notice = notices[rule]
            yield engine.report(rule, notice.level, notice.text, notice.text_zh, *at)
        self._told = set(notices)

    @staticmethod
    def keep(buffer: Buffer, senders: Sequence[Sender]) -> None:
        """What was counted since the last call goes into the store."""
        for sender in senders:
            states = sender.traffic.changes()
            if states:
                buffer.accept((), (), states)
