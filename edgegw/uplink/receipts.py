"""The cloud's receipts: taken in, proven, told to the store; and what is done when they stay away."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from edgegw.clock import Clock
from edgegw.model import Identity
from edgegw.uplink.clock_offset import ClockOffset
from edgegw.uplink.condition import Condition
from edgegw.uplink.envelope import EnvelopeError, open_receipt
from edgegw.uplink.faults import Fault
from edgegw.uplink.keys import CloudPublic
from edgegw.uplink.lanes import RESEND_PAUSE_S_MAX, Lanes, Sent
from edgegw.uplink.outbox import Outbox

logger = logging.getLogger("edgegw.uplink")

# Receipts that wait to be told to the store; a lost one costs a resend, so the oldest goes.
RECEIPTS_MAX = 64
# The epoch of the messages that `edgegw cloud test` sends beside us, "cloudtst" in ASCII: their receipts reach us too and are not for us.
TEST_EPOCH: Final = 0x636C6F7564747374


NEVER_SENT: Final = "never sent"


def receipt_id(reason: str) -> str:
    """The message id of a refused receipt: for or from somebody else, of what was never sent, or altered on its way."""
    if reason in ("signer", "gateway"):
        return "E-CLOUD-RECEIPT-FOREIGN"
    return "E-CLOUD-RECEIPT-UNSENT" if reason == NEVER_SENT else "E-CLOUD-RECEIPT"


class Receipts:
    """The receipts of one uplink."""

    def __init__(self, uplink: str, gateway: str, cloud: CloudPublic, timeout_s: float, clock: Clock) -> None:
        self._clock = clock
        self.clock_offset = ClockOffset()
        self._uplink = uplink
        self._gateway = gateway
        self._cloud = cloud
        self._timeout_s = timeout_s
        self._arrived: deque[bytes] = deque(maxlen=RECEIPTS_MAX)
        self._acknowledged: list[Identity] = []
        self._reasons_told: set[str] = set()
        self._probe_at_s = 0.0
        self._probe_pause_s = timeout_s
        self.last_at_s: float | None = None
        self.hints_unheard = True
        """What the broker says of listeners is worth something: False once the cloud receipted what nobody was said to hear."""
        self.taken = 0
        self.refused = 0

    def arrive(self, message: bytes) -> None:
        self._arrived.append(message)

    def acknowledge(self, identity: Identity) -> None:
        """The broker has taken this, and that counts as delivered (`ack = "broker"`)."""
        self._acknowledged.append(identity)

    async def take(self, outbox: Outbox, lanes: Lanes, condition: Condition) -> None:
        """Tells the store what the cloud has. What is forged, altered, for another gateway or of what was never sent changes nothing."""
        if self._acknowledged:
            acknowledged, self._acknowledged = self._acknowledged, []
            lanes.receipted(await self._tell_store(outbox, acknowledged))
            self.last_at_s = time.monotonic()
        while self._arrived:
            message = self._arrived.popleft()
            try:
                receipt = open_receipt(message, self._gateway, self._cloud.verify)
            except EnvelopeError as fault:
                self._refuse(fault.reason, fault)
                continue
            intervals = await self._tell_store(outbox, [interval for interval in receipt.intervals if interval.epoch != TEST_EPOCH])
            if intervals:
                if self._clock.speed == 1.0:  # simulated time is nobody else's
                    self.clock_offset.note(receipt.at_ms, self._clock.wall_ms())
                self._take_good(intervals, lanes, condition)

    async def take_one(self, message: bytes, outbox: Outbox, lanes: Lanes) -> int:
        """A receipt that came by hand: how many sequences it newly confirms. Raises EnvelopeError or ValueError."""
        intervals = open_receipt(message, self._gateway, self._cloud.verify).intervals
        new = await outbox.receipt(self._uplink, intervals)
        lanes.receipted(intervals)
        self.taken += 1
        return new

    def _take_good(self, intervals: list[Identity], lanes: Lanes, condition: Condition) -> None:
        if lanes.receipted(intervals):
            self.hints_unheard = lanes.probing = False
        self.taken += 1
        self.last_at_s = time.monotonic()
        self._probe_at_s, self._probe_pause_s = 0.0, self._timeout_s
        condition.healed("E-CLOUD-RECEIVER")

    async def _tell_store(self, outbox: Outbox, intervals: list[Identity]) -> list[Identity]:
        """The ranges that the store took. One of what was never sent spoils no other: a cloud may remember more than a store that was made anew."""
        try:
            await outbox.receipt(self._uplink, intervals)
        except ValueError:
            return [interval for interval in intervals if await self._is_taken(outbox, interval)]
        return intervals

    async def _is_taken(self, outbox: Outbox, interval: Identity) -> bool:
        try:
            await outbox.receipt(self._uplink, [interval])
        except ValueError as fault:
            self._refuse(NEVER_SENT, fault)
            return False
        return True

    def _refuse(self, reason: str, fault: ValueError) -> None:
        self.refused += 1
        if reason not in self._reasons_told:
            self._reasons_told.add(reason)
            logger.warning("uplink %s: %s: receipt refused (%s); more of this kind are only counted", self._uplink, receipt_id(reason), fault)

    def to_resend(self, lanes: Lanes, condition: Condition) -> Iterable[Sent]:
        """What must be sent again. While nothing at all comes back it is one batch, ever more rarely, not all of them."""
        now_s = time.monotonic()
        for sent in lanes.overdue(now_s, self._timeout_s):
            if self._heard_since(sent):
                yield sent
            elif now_s >= self._probe_at_s:
                self._probe_at_s = now_s + self._probe_pause_s
                self._probe_pause_s = min(self._probe_pause_s * 2, max(self._timeout_s, RESEND_PAUSE_S_MAX))
                condition.limp(Fault("E-CLOUD-RECEIVER", "the broker takes our batches, but no receipt comes back", "look at the receiver and its keys"))
                yield sent

    def _heard_since(self, sent: Sent) -> bool:
        return self.last_at_s is not None and sent.acked_at_s is not None and self.last_at_s > sent.acked_at_s
