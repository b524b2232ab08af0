"""Which schema documents the cloud was told of on this connection, and what of them is still to be sent.

A document goes before the first batch that names it, once a connection: as one message where the broker takes it, else in parts.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque

from edgegw.uplink.condition import Condition
from edgegw.uplink.envelope import NO_IDENTITY, SCHEMA, EnvelopeError, Sealer
from edgegw.uplink.faults import Fault
from edgegw.uplink.outbox import Outbox
from edgegw.uplink.packets import Packets
from edgegw.uplink.schema_parts import messages_of

logger = logging.getLogger("edgegw.uplink")

# Doubled for each time that nobody heard the same document.
UNHEARD_PAUSE_S_FIRST = 1.0


class Announcing:
    """The schema documents of one uplink."""

    def __init__(self, uplink: str, topic: str, sealer: Sealer, packets: Packets, condition: Condition) -> None:
        self._uplink = uplink
        self.topic = topic
        self._sealer = sealer
        self._packets = packets
        self._condition = condition
        self._told: set[bytes] = set()
        self._too_large: set[bytes] = set()
        """Schemas whose document this connection cannot carry, even in parts."""
        self._prepared: dict[bytes, deque[bytes]] = {}
        """{schema: messages that have not gone yet}"""
        self._under_way: dict[int, bytes] = {}
        """{mid: schema} of what the broker has not acknowledged."""
        self._again_at_s: dict[bytes, float] = {}
        """{schema: when it goes again} of what the broker refused; batches go meanwhile, since the cloud may know it from before."""
        self._pauses_s: dict[bytes, float] = {}
        """{schema: how long it waits next} of what nobody heard."""

    def begin(self) -> None:
        """A new connection: nothing is told on it."""
        for known in (self._told, self._too_large, self._prepared, self._under_way, self._again_at_s, self._pauses_s):
            known.clear()

    def is_told(self, schema: bytes) -> bool:
        """Batches of this schema may go."""
        if time.monotonic() >= self._again_at_s.get(schema, math.inf):
            self.tell_again(schema)
        return schema in self._told

    def is_too_large(self, schema: bytes) -> bool:
        """Its readings stay in the store: nobody could read them."""
        return schema in self._too_large

    def tell_again(self, schema: bytes | None = None) -> None:
        """The document may not have reached the cloud: it goes before the next batch that names it. None: of all."""
        for one in (*self._told, *self._prepared) if schema is None else (schema,):
            self._told.discard(one)
            self._prepared.pop(one, None)
            self._again_at_s.pop(one, None)

    # -- sending

    async def prepare(self, outbox: Outbox, schema: bytes) -> bytes | None:
        """The next message that tells of the schema; None: there is none to send. `sent` must follow."""
        if schema not in self._prepared:
            document = await outbox.schema_document(schema)
            if document is None:
                self._told.add(schema)
                logger.error("uplink %s: schema %s is not stored: the receiver will park its batches", self._uplink, schema.hex())
                return None
            messages = messages_of(schema, document, self._sealed)
            if messages is None:
                self._withhold(schema, len(document))
                return None
            if len(messages) > 1:
                logger.info("uplink %s: schema %s goes in %d parts", self._uplink, schema.hex(), len(messages))
            self._prepared[schema] = deque(messages)
        return self._prepared[schema][0]

    def _sealed(self, packed: bytes) -> bytes | None:
        try:
            message = self._sealer.seal(SCHEMA, NO_IDENTITY, packed)
        except EnvelopeError:
            return None
        return message if self._packets.fits(self.topic, message) else None

    def _withhold(self, schema: bytes, document_bytes: int) -> None:
        """Without its schema document no reading can be read: those that name it stay here, what else there is goes on."""
        self._too_large.add(schema)
        what = f"a schema document of {document_bytes} bytes does not go even in parts, its readings stay here: the broker takes {self._packets.bytes_max}"
        self._condition.limp(Fault("E-MQTT-SIZE", what, "let the broker take larger packets"))

    def sent(self, schema: bytes, mid: int) -> None:
        """What `prepare` gave is with the MQTT client."""
        self._under_way[mid] = schema
        left = self._prepared[schema]
        left.popleft()
        if not left:
            del self._prepared[schema]
            self._told.add(schema)

    # -- what became of it

    def ended(self, mid: int) -> bytes | None:
        """PUBACK of whatever kind: the schema that the message told of, None where it told of none."""
        return self._under_way.pop(mid, None)

    def refused(self, schema: bytes | None, again_at_s: float) -> None:
        """The broker denied the message; None: it told of no schema."""
        if schema is not None:
            self._again_at_s[schema] = again_at_s

    def heard(self, schema: bytes) -> None:
        self._pauses_s.pop(schema, None)

    def unheard(self, schema: bytes, pause_s_max: float) -> float:
        """The broker had nobody to give it to. Returns how long to wait until it goes again."""
        self.tell_again(schema)
        pause_s = self._pauses_s.get(schema, UNHEARD_PAUSE_S_FIRST)
        self._pauses_s[schema] = min(pause_s * 2, max(UNHEARD_PAUSE_S_FIRST, pause_s_max))
        return pause_s
