"""What is wrong with an uplink right now. One log line for each change; the same fault again is counted only."""

from __future__ import annotations

import logging
import time

from edgegw.uplink.faults import Fault

logger = logging.getLogger("edgegw.uplink")


class Condition:
    """The present fault of one uplink, and how long there has been no connection."""

    def __init__(self, uplink: str) -> None:
        self._uplink = uplink
        self.fault: Fault | None = None
        self.in_row = 0
        """Faults of this pace since the last connection."""
        self.lost_at_s: float | None = time.monotonic()
        self._is_of_this_connection = False

    def lost(self, fault: Fault) -> None:
        """There is no connection."""
        if self.lost_at_s is None:
            self.lost_at_s = time.monotonic()
        self.in_row = self.in_row + 1 if self.fault is not None and self.fault.pace == fault.pace else 1
        self.limp(fault)
        self._is_of_this_connection = False

    def limp(self, fault: Fault) -> None:
        """The connection stands, but something of it does not work."""
        if self.fault is None or self.fault.message_id != fault.message_id:
            logger.warning("uplink %s: %s", self._uplink, fault)
        self.fault = fault
        self._is_of_this_connection = True

    def connected(self, to: str) -> None:
        """The broker took something; what is known to be wrong with this connection already stays so."""
        logger.info("uplink %s: connected to %s after %.0f s", self._uplink, to, self.outage_s)
        self.lost_at_s, self.in_row = None, 0
        if not self._is_of_this_connection:
            self.fault = None

    def healed(self, message_id: str) -> None:
        """The fault of this id is gone, if it was there."""
        if self.fault is not None and self.fault.message_id == message_id:
            logger.info("uplink %s: %s is over", self._uplink, message_id)
            self.fault = None

    @property
    def outage_s(self) -> float:
        return 0.0 if self.lost_at_s is None else time.monotonic() - self.lost_at_s
