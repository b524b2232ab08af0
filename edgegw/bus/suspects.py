"""Names what makes a line untrustworthy: two devices with one address, another master. In the log, once when it begins and once when it is over. Pure but for the log.

doubled     a unit's answer came twice; unanswered.py keeps its values apart from then on
foreign     another master's request for one of our units was heard, or some frames of units that had nothing to answer
"""

from __future__ import annotations

import logging

from edgegw.errors import EdgegwError

_log = logging.getLogger("edgegw.bus")

# So long without a further sign it is over; a second master that asks less often than this disturbs next to nobody.
OVER_NS = 60 * 1_000_000_000
# Noise passes for a whole frame once in 65,536 tries; three within a minute are somebody.
FOREIGN_MIN = 3
# Questions without answer that are remembered for their late ones.
OWED_MAX = 64


class Suspects:
    """Of one RTU line."""

    def __init__(self, bus_name: str, late_ns: int) -> None:
        """`late_ns`: after a question stayed unanswered its answer may come for so long."""
        self._bus_name = bus_name
        self._late_ns = late_ns
        self._named: dict[str, int] = {}
        """What was told, and the time of its last sign."""
        self._foreign_ns: list[int] = []
        self._owed: list[tuple[int, int]] = []
        """(unit, time) of answers that may come while another unit is asked: these are no stranger's."""

    def doubled(self, unit: int, now_ns: int) -> None:
        text = f"unit {unit} answers twice: two devices with one address, or another master"
        self._name(f"unit {unit} answers twice", now_ns, "E-BUS-DOUBLED", text, f"take one device with address {unit} off the line and look who still answers")

    def timed_out(self, unit: int, now_ns: int) -> None:
        """Nothing was heard of this unit: its answer may come while another one is asked."""
        self._owed.append((unit, now_ns))
        del self._owed[:-OWED_MAX]

    def foreign(self, frames: int, asked_unit: int, now_ns: int) -> None:
        """So many whole frames of units that were not asked."""
        while self._owed and self._owed[0][1] + self._late_ns < now_ns:
            del self._owed[0]
        for _ in range(frames):
            owed = next((item for item in self._owed if item[0] != asked_unit), None)
            if owed is None:
                self._foreign_ns.append(now_ns)
                del self._foreign_ns[:-FOREIGN_MIN]
            else:
                self._owed.remove(owed)
        if len(self._foreign_ns) == FOREIGN_MIN and now_ns - self._foreign_ns[0] < OVER_NS:
            self.rival(self._foreign_ns[-1])

    def rival(self, now_ns: int) -> None:
        """Another master is there for certain."""
        text = "frames that nobody here asked for: another master is on the line"
        self._name("another master", now_ns, "E-BUS-FOREIGN", text, "find the other master (a display, an old gateway, a laptop) and take it off the line")

    def look(self, now_ns: int) -> None:
        """At each question: tells what is over."""
        for what in [what for what, last_ns in self._named.items() if now_ns - last_ns >= OVER_NS]:
            del self._named[what]
            _log.info('bus "%s": no sign any more of this: %s', self._bus_name, what)

    def _name(self, what: str, now_ns: int, message_id: str, text: str, next_step: str) -> None:
        if what not in self._named:
            _log.warning("%s", EdgegwError(message_id, f'bus "{self._bus_name}": {text}', next_step))
        self._named[what] = now_ns
