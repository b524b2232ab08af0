"""What the broker denies of one connection that stands: a topic, or more messages than its quota. Told once, and over when the same kind of message is taken."""

from __future__ import annotations

from edgegw.uplink.condition import Condition
from edgegw.uplink.faults import Fault, of_puback


class Refusals:
    """Of one uplink."""

    def __init__(self, condition: Condition, broker: str, topics: str) -> None:
        self._condition = condition
        self._broker = broker
        self._topics = topics
        self._lanes: set[str] = set()
        self.fault: Fault | None = None
        """The broker denied a message on this connection, and takes none of its kind yet."""

    def begin(self) -> None:
        """A new connection."""
        self._lanes.clear()
        self.fault = None

    def refused(self, lane: str, code: int) -> None:
        """A message of this lane, "schema", or "" for the status, which goes once a connection and so can say nothing of a change."""
        if lane:
            self._lanes.add(lane)
        self.fault = of_puback(code, self._broker, self._topics)
        self._condition.limp(self.fault)

    def taken(self, lane: str) -> None:
        """Of a lane that was refused before: the broker has changed its mind."""
        if lane in self._lanes:
            self._lanes.discard(lane)
            if not self._lanes and self.fault is not None:
                self._condition.healed(self.fault.message_id)
                self.fault = None
