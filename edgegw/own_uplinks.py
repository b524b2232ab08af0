"""What the gateway keeps and tells of its uplinks: bytes on the wire and the last receipt in the store, certificates and quotas as alarms of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.model import ClockTrust
from edgegw.rules.engine import Engine
from edgegw.rules.journal import Changes
from edgegw.uplink import commands
from edgegw.uplink.notices import is_of
from edgegw.uplink.sender import Sender
from edgegw.uplink.traffic import KEY_PREFIX

# A start knows of no fault before it has tried to connect, and of no certificate before the clock is set: what the last start told stands for so long.
SURE_AFTER_MS = 600_000
# Uplink to the wall time of its last receipt in ms, in the store: the age of that goes on over a start.
RECEIPT_PREFIX: Final = "receipt/"


class OwnUplinks:
    """`begin` before the store takes anything; then `look` and `keep` about once a minute, and `keep` at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.told: set[str] = set()
        """Rules of the alarms that are open because of the uplinks."""
        self._inherited: set[str] = set()
        """Those of them that this start has not found by itself yet."""
        self._began_ms: int | None = None
        self.economy = False
        """An uplink has used most of its quota: readings are collected longer."""
        self._remembered: Mapping[str, bytes] = {}
        self._receipt_ms: dict[str, int] = {}
        """Wall time of the last receipt, by uplink."""
        self._kept_ms: dict[str, int] = {}
        """The same as it is stored."""

    def begin(self, buffer: Buffer) -> None:
        self._remembered = {**buffer.states(KEY_PREFIX), **buffer.states(commands.KEY_PREFIX)}
        kept = {key.removeprefix(RECEIPT_PREFIX): data for key, data in buffer.states(RECEIPT_PREFIX).items()}
        self._kept_ms = {name: int(data) for name, data in kept.items() if data.isdigit()}
        self._receipt_ms = dict(self._kept_ms)

    def recall(self, senders: Sequence[Sender]) -> None:
        """Gives the senders what earlier starts counted; a second call gives nothing."""
        for sender in senders:
            sender.traffic.restore(self._remembered)
            sender.commands.restore(self._remembered)
        self._remembered = {}

    def look(self, engine: Engine, senders: Sequence[Sender]) -> Iterator[Changes]:
        """Raises what is new and withdraws what is over; a start alone ends nothing."""
        notices = {notice.rule: notice for sender in senders for notice in sender.notices()}
        self.economy = any(sender.saves for sender in senders)
        now_ms = self._clock.mono_ms()
        at = (now_ms, self._clock.wall_ms(now_ms), self._clock.trust)
        if self._began_ms is None:
            self._began_ms = now_ms
            self._inherited = {alarm.rule for alarm in engine.open_alarms(hidden=True) if any(is_of(sender.status().name, alarm.rule) for sender in senders)}
        before = self.told | self._inherited
        self._inherited -= notices.keys()
        if now_ms - self._began_ms >= SURE_AFTER_MS:
            self._inherited = set()
        self.told = notices.keys() | self._inherited
        for rule in sorted(before - self.told):
            yield engine.withdraw(rule, None, *at)
        for rule in sorted(notices.keys() - before):
            notice = notices[rule]
            yield engine.report(rule, notice.level, notice.text, notice.text_zh, *at)

    def receipt_age_s(self, senders: Sequence[Sender]) -> float | None:
        """
        Of the uplink that has waited longest. None: no uplink, or not known yet, so that a start neither ends an alarm nor raises one for the time
        in which the gateway was off; and where no clock can tell since when.
        """
        ages_s = [self._age_s(sender) for sender in senders]
        known_s = [age_s for age_s in ages_s if age_s is not None]
        return max(known_s) if known_s and len(known_s) == len(ages_s) else None

    def _age_s(self, sender: Sender) -> float | None:
        status, now_ms = sender.status(), self._clock.mono_ms()
        if status.last_receipt_s is not None:
            age_s = status.last_receipt_s * self._clock.speed
            self._receipt_ms[status.name] = self._clock.wall_ms(now_ms) - round(1000 * age_s)
            return age_s
        last_ms = self._receipt_ms.get(status.name)
        if last_ms is None:
            return now_ms / 1000  # a cloud that has never confirmed anything has been silent since the start
        if now_ms < SURE_AFTER_MS or self._clock.trust is ClockTrust.UNSET:
            return None
        return max(now_ms, self._clock.wall_ms(now_ms) - last_ms) / 1000

    def keep(self, buffer: Buffer, senders: Sequence[Sender]) -> None:
        """What was counted since the last call goes into the store, and what was kept of uplinks that are no more leaves it."""
        names = {sender.status().name for sender in senders}
        known = {name: last_ms for name, last_ms in self._receipt_ms.items() if name in names}
        states: dict[str, bytes | None] = {RECEIPT_PREFIX + name: b"%d" % ms for name, ms in known.items() if self._kept_ms.get(name) != ms}
        states.update(dict.fromkeys((RECEIPT_PREFIX + name for name in self._kept_ms.keys() - names), None))
        self._kept_ms = known
        for sender in senders:
            states |= sender.traffic.changes()
        if states:
            buffer.accept((), (), states)
