"""How large a packet the broker takes, what is cut to fit, and what never will.

A limit is announced (CONNACK), learnt (0x95 for a message: certain) or guessed (the broker hung up twice on the same batch: perhaps a bad link). A guess
makes batches smaller, which costs little where it is wrong; no record stays behind for it alone.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from edgegw.block import BlockError
from edgegw.model import Batch, Identity
from edgegw.uplink.envelope import NO_IDENTITY
from edgegw.uplink.splitting import halves

logger = logging.getLogger("edgegw.uplink")

# MQTT's part of a PUBLISH beside topic and payload: fixed header 5, topic length 2, packet id 2, no properties 1.
_PUBLISH_OVERHEAD_BYTES: Final = 10
# Envelope and one short record: a broker that takes less takes nothing, whatever it says.
_LEARNT_BYTES_MIN: Final = 512
# A guess may be wrong: it never makes batches smaller than this.
_GUESSED_BYTES_MIN: Final = 2048
# What was learnt or guessed is tried anew after this long: the broker's limit may have been raised.
LEARNT_S: Final = 86_400.0
# Single records that are remembered as too large; more are counted by their log lines alone.
PARKED_MAX: Final = 1000


class Packets:
    """Of one uplink. What is learnt outlives a connection."""

    def __init__(self, uplink: str) -> None:
        self._uplink = uplink
        self._announced_bytes: int | None = None
        self._learnt_bytes: int | None = None
        self._guessed_bytes: int | None = None
        self._suspects: set[Identity] = set()
        """Single records on which the broker hung up twice."""
        self._until_s = 0.0
        self.parked: dict[Identity, str] = {}
        """Single records that cannot go, with the reason; they stay in the store."""

    def begin(self, announced_bytes: int | None) -> None:
        """A new connection; its CONNACK names a limit or none."""
        self._announced_bytes = announced_bytes
        if time.monotonic() >= self._until_s:
            self._learnt_bytes = self._guessed_bytes = None
            self._suspects.clear()

    @property
    def bytes_max(self) -> int | None:
        """The smallest limit that is certain."""
        return min((limit for limit in (self._announced_bytes, self._learnt_bytes) if limit is not None), default=None)

    def fits(self, topic: str, message: bytes, identity: Identity | None = None) -> bool:
        """A broker that gets a larger packet than it takes hangs up, at every try again. Without an identity: a schema document, or a part of one."""
        if self.bytes_max is not None and len(message) + len(topic) + _PUBLISH_OVERHEAD_BYTES > self.bytes_max:
            return False
        if identity is not None and identity.first == identity.last:
            return identity not in self._suspects
        return self._guessed_bytes is None or len(message) <= self._guessed_bytes

    def refused(self, message_bytes: int) -> bool:
        """The broker said of a message of this size that it is too large. False when nothing smaller can be tried."""
        if self.bytes_max is not None and message_bytes > self.bytes_max:
            return True  # sent before the last one was refused
        if message_bytes <= _LEARNT_BYTES_MIN:
            return False
        self._learnt_bytes = max(_LEARNT_BYTES_MIN, message_bytes // 2)
        self._remember(f"refuses {message_bytes} bytes; at most {self._learnt_bytes} are sent from now on")
        return True

    def hung_up(self, message_bytes: int, identity: Identity) -> None:
        """The broker hung up twice, without a word, while this was the largest message under way."""
        if identity.first == identity.last and identity != NO_IDENTITY:
            self._suspects.add(identity)
            self._remember(f"hangs up on {identity}")
        elif message_bytes > _GUESSED_BYTES_MIN:
            self._guessed_bytes = max(_GUESSED_BYTES_MIN, message_bytes // 2)
            self._remember(f"hangs up on {message_bytes} bytes; smaller batches are tried")

    def _remember(self, what: str) -> None:
        self._until_s = time.monotonic() + LEARNT_S
        logger.warning("uplink %s: E-MQTT-SIZE: the broker %s", self._uplink, what)

    def cut(self, batch: Batch) -> tuple[Batch, ...]:
        """Two halves; empty where the batch is a single record, or cannot be read: then it is parked."""
        try:
            parts = halves(batch)
        except BlockError as fault:
            self._park(batch, f"it cannot be read: {fault}")
            return ()
        if not parts:
            self._park(batch, f"a single record; the broker takes at most {self.bytes_max} bytes" if self.bytes_max else "a single record; the broker hangs up")
        return parts

    def _park(self, batch: Batch, why: str) -> None:
        if batch.identity in self.parked:
            return
        if len(self.parked) < PARKED_MAX:
            self.parked[batch.identity] = why
        logger.error("uplink %s: E-MQTT-SIZE: %s of block %d stays here: %s", self._uplink, batch.identity, batch.block_id, why)

    def sent(self, identity: Identity) -> None:
        """It fits now: the broker's limit was raised."""
        for parked in [one for one in self.parked if _holds(identity, one)]:
            del self.parked[parked]


def _holds(whole: Identity, part: Identity) -> bool:
    return (whole.epoch, whole.stream) == (part.epoch, part.stream) and whole.first <= part.first and part.last <= whole.last
