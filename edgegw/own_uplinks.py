"""What the gateway keeps and tells of its uplinks: bytes on the wire in the store, certificates and quotas as alarms of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.rules.engine import Engine
from edgegw.rules.journal import Changes
from edgegw.uplink import commands
from edgegw.uplink.sender import Sender
from edgegw.uplink.traffic import KEY_PREFIX


class OwnUplinks:
    """`begin` before the store takes anything; then `look` and `keep` about once a minute, and `keep` at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.told: set[str] = set()
        """Rules of the alarms that are open because of the uplinks."""
        self.economy = False
        """An uplink has used most of its quota: readings are collected longer."""
        self._remembered: Mapping[str, bytes] = {}

    def begin(self, buffer: Buffer) -> None:
        self._remembered = {**buffer.states(KEY_PREFIX), **buffer.states(commands.KEY_PREFIX)}

    def recall(self, senders: Sequence[Sender]) -> None:
        """Gives the senders what earlier starts counted; a second call gives nothing."""
        for sender in senders:
            sender.traffic.restore(self._remembered)
            sender.commands.restore(self._remembered)
        self._remembered = {}

    def look(self, engine: Engine, senders: Sequence[Sender]) -> Iterator[Changes]:
        """Raises what is new and withdraws what is over."""
        notices = {notice.rule: notice for sender in senders for notice in sender.notices()}
        self.economy = any(sender.saves for sender in senders)
        now_ms = self._clock.mono_ms()
        at = (now_ms, self._clock.wall_ms(now_ms), self._clock.trust)
        told, self.told = self.told, set(notices)
        for rule in sorted(told - notices.keys()):
            yield engine.withdraw(rule, None, *at)
        for rule in sorted(notices.keys() - told):
            notice = notices[rule]
            yield engine.report(rule, notice.level, notice.text, notice.text_zh, *at)

    @staticmethod
    def keep(buffer: Buffer, senders: Sequence[Sender]) -> None:
        """What was counted since the last call goes into the store."""
        for sender in senders:
            states = sender.traffic.changes()
            if states:
                buffer.accept((), (), states)
