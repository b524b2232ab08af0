"""Another client of our name, at a broker that does not say so. Pure.

MQTT 5 has a word for it (0x8E), but mosquitto 2.0 only closes the connection of the first when the second comes; both connect anew, and throw each other out for
ever. What that looks like: connections that work and are closed within moments, again and again. A dead link ends otherwise: nobody notices it so soon.
"""

from __future__ import annotations

from typing import Final

from edgegw.uplink.faults import Fault

# A link that nobody closes is given up after 20 s at the earliest.
SHORT_LIFE_S: Final = 15.0
# So many short lives in a row: half a minute of it. A bad link seldom lets a CONNECT pass and closes so soon five times running.
SHORT_LIVES: Final = 5
# Once it is known, the other may have paused as long as we did.
KNOWN_LIFE_S: Final = 150.0


class Takeover:
    """Of one uplink."""

    def __init__(self) -> None:
        self._in_row = 0

    @property
    def is_known(self) -> bool:
        return self._in_row >= SHORT_LIVES

    def ended(self, fault: Fault, lived_s: float | None, where: str) -> Fault:
        """What ended a connection `lived_s` after its CONNACK (None: there was none), as it must be understood."""
        if fault.message_id != "E-NET-LOST" or lived_s is None or lived_s > (KNOWN_LIFE_S if self.is_known else SHORT_LIFE_S):
            self._in_row = 0
            return fault
        self._in_row += 1
        if not self.is_known:
            return fault
        what = f"{where} takes our connections and closes them within moments: another client seems to use our client id"
        return Fault("E-MQTT-TAKEOVER", what, "give each gateway its own client_id", "takeover")
