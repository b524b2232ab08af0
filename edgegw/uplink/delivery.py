"""From the store's batches to sealed messages and back to receipts, on whatever connection there is.

    store ─► lanes ─► seal ─► link ─► broker ─► receiver
      ▲                                            │
      └────────── receipt (signed) ◄───────────────┘

PUBACK frees the window, only the receipt moves what the store counts as delivered. Sealed at the last moment: a new key strands nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence

from edgegw.clock import Clock
from edgegw.config.model import Gateway, Uplink
from edgegw.errors import EXIT_CHECK_FAILED, EdgegwError
from edgegw.model import Batch, ClockTrust, Identity, Stream
from edgegw.uplink import faults
from edgegw.uplink.announcing import Announcing
from edgegw.uplink.commands import RESEND, Commands, Journal, no_journal
from edgegw.uplink.condition import Condition
from edgegw.uplink.envelope import BATCH, Command, EnvelopeError, Sealer, intervals_of
from edgegw.uplink.faults import Fault
from edgegw.uplink.keys import UplinkKeys
from edgegw.uplink.lanes import READING_LANES, TELEMETRY_LANES, Lane, Lanes
from edgegw.uplink.mqtt import Link, LinkError, Opened
from edgegw.uplink.outbox import Outbox
from edgegw.uplink.packets import Packets
from edgegw.uplink.padding import padded
from edgegw.uplink.receipts import Receipts
from edgegw.uplink.refusals import Refusals
from edgegw.uplink.topics import make_topics
from edgegw.uplink.traffic import Traffic, local_day, packet_bytes

logger = logging.getLogger("edgegw.uplink")

# After a longer outage many gateways come back at once; their backlogs start spread over backlog_start_s_max.
LONG_OUTAGE_S = 600.0
# A slower PUBACK means that the link is full: backlog makes room for what is new.
SLOW_PUBACK_S = 2.0
# Telemetry that waits for the next month is asked about this often.
_HOLD_S = 5.0
# A denied publish stays denied until a person acts.
REFUSED_PAUSE_S = 30.0
# Batches sent in one go before receipts and deadlines are looked at again.
_BURST_MAX = 32
_MQTT_FAILURE = 0x80
# A success code of PUBACK: the broker has nobody to give the message to, and drops it. After a restart of a broker without memory that is a
# receiver that comes back later than we do. Brokers that pass messages on by rules say it always; the first receipt shows that.
_NOBODY_LISTENS = 0x10
_PROBE_PAUSE_S_FIRST = 1.0


class Delivery:
    """What of one uplink outlives a connection. Its `on_...` are the link's listener."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it stands between
        self, uplink: Uplink, gateway: Gateway, keys: UplinkKeys, outbox: Outbox, clock: Clock, journal: Journal = no_journal
    ) -> None:
        self._uplink = uplink
        self._clock = clock
        self._outbox = outbox
        self._sealer = Sealer(gateway.identity, keys.cloud.seal, keys.own.sign)
        self._link: Link | None = None
        self._to = ""
        self.topics = make_topics(uplink, gateway)
        self.lanes = Lanes()
        self.packets = Packets(uplink.name)
        self._lost_with: Identity | None = None
        """The largest batch under way when the connection before was lost without a word."""
        self.receipts = Receipts(uplink.name, gateway.identity, keys.cloud, uplink.receipt_timeout_s, clock)
        self.commands = Commands(uplink.name, gateway.identity, keys.cloud, clock, journal)
        self.commands.handlers[RESEND] = self._resend
        self.condition = Condition(uplink.name)
        self._schemas = Announcing(uplink.name, self.topics.of_kind("m"), self._sealer, self.packets, self.condition)
        self.news = asyncio.Event()
        """Something happened that may let something be sent."""
        self.refusals = Refusals(self.condition, uplink.broker, self.topics.all_up)
        self.proven = False
        """The broker took a message on this connection."""
        self._probe_pause_s = _PROBE_PAUSE_S_FIRST
        self._probe_at_s = 0.0
        self.batches_sent = 0
        self.bytes_sent = 0
        self.traffic = Traffic(uplink.name)
        self.holds_telemetry = False
        """The quota of the month is used up: telemetry waits for the next."""

    # -- one connection

    async def begin(self, link: Link, opened: Opened, to: str) -> None:
        """A connection is up: the border between backlog and fresh is where the store stands now. `to` names it for people."""
        spread_s = self._uplink.backlog_start_s_max if self.condition.outage_s > LONG_OUTAGE_S else 0.0
        border = await self._outbox.newest_block_id([Stream.TELEMETRY])
        backlog_at_s = time.monotonic() + random.uniform(0.0, spread_s)  # noqa: S311 - spreads load, no secret
        self.lanes.begin(border, opened.receive_maximum, backlog_at_s, kept_session=opened.session_present)
        self._link, self._to = link, to
        self.packets.begin(opened.maximum_packet_bytes)
        self._schemas.begin()
        self.refusals.begin()
        self.proven = False
        if self.topics.subscribed:
            link.subscribe(*self.topics.subscribed)

    async def work(self, link: Link, *, only_events: bool) -> float:
        """Takes receipts, looks at deadlines, sends what the windows let through; returns when to look again at the latest. Raises LinkError."""
        await self.take_in()
        await self.commands.take()
        self._check_deadlines(link)
        if self.holds_telemetry:
            self.lanes.rest(TELEMETRY_LANES, time.monotonic() + _HOLD_S)
        for _ in range(_BURST_MAX):
            lane = self.lanes.next_lane(time.monotonic(), "event" if only_events else None)
            if lane is None:
                starts = [lane.not_before_s for lane in self.lanes.lanes if lane.more and lane.not_before_s > time.monotonic()]
                return min(starts, default=math.inf)
            if not await self._send_from(link, lane):
                return math.inf
        return 0.0

    async def take_in(self) -> None:
        """What has been confirmed by now, also by the last words of a connection."""
        await self.receipts.take(self._outbox, self.lanes, self.condition)

    def publish_status(self, link: Link, message: bytes, *, retain: bool) -> int | None:
        """Publishes on the status topic; returns the mid, which is in flight until its PUBACK. None where there is no such topic."""
        topic = self.topics.status
        if not topic:
            return None
        mid = link.publish(topic, message, retain=retain)
        self._has_sent(mid, topic, "status", message)
        return mid

    @property
    def day(self) -> str:
        """The local day that bytes are counted under; empty while the clock was never set."""
        return "" if self._clock.trust is ClockTrust.UNSET else local_day(self._clock.wall_ms())

    def _check_deadlines(self, link: Link) -> None:
        oldest_s = self.lanes.oldest_in_flight_s()
        if oldest_s is not None and time.monotonic() - oldest_s > self._uplink.puback_timeout_s:
            what = f"{self._uplink.broker} acknowledges nothing for {self._uplink.puback_timeout_s:g} s"
            raise LinkError(link.abort(Fault("E-MQTT-PUBACK", what, "look into the broker's log")))
        for sent in self.receipts.to_resend(self.lanes, self.condition):
            if sent.schema is not None:
                self._schemas.tell_again(sent.schema)
            self.lanes.resend(sent)

    # -- sending

    async def _send_from(self, link: Link, lane: Lane) -> bool:
        """The lane's next batch, or the schema that it needs first; False when a message must wait for room."""
        if lane.parts:
            return await self._send_one(link, lane, lane.parts[0])
        lane.more = False  # before the question: what is stored meanwhile sets it again
        asked_after = lane.after
        batch = await self._outbox.next_batch(self._uplink.name, lane.streams, asked_after, lane.up_to)
        if lane.after < asked_after:  # meanwhile a batch was taken for lost, and the lane went back to it
            return True
        if batch is None:
            if not lane.more:
                self.lanes.exhausted(lane)
            return True
        lane.more = True
        return await self._send_one(link, lane, batch)

    async def _send_one(self, link: Link, lane: Lane, batch: Batch) -> bool:
        if self.lanes.is_waiting(batch):
            lane.passed(batch)
            return True
        if not self.lanes.has_room(len(batch.body), lane.window):
            return False
        if batch.schema is None or self._schemas.is_told(batch.schema):
            self._send_batch(link, lane, batch)
        elif self._schemas.is_too_large(batch.schema):
            lane.passed(batch)  # nobody could read it; the store keeps it
        else:
            return await self._send_schema(link, batch.schema)
        return True

    async def _send_schema(self, link: Link, schema: bytes) -> bool:
        """The document that the batch names, or its next part; False when it must wait for room."""
        message = await self._schemas.prepare(self._outbox, schema)
        if message is None:
            return True
        if not self.lanes.has_room(len(message)):
            return False
        mid = link.publish(self._schemas.topic, message)
        self._schemas.sent(schema, mid)
        self._has_sent(mid, self._schemas.topic, "schema", message)
        return True

    def _send_batch(self, link: Link, lane: Lane, batch: Batch) -> None:
        topic = self.topics.of_kind(lane.topic)
        try:
            message = self._sealer.seal(BATCH, batch.identity, padded(batch.body, self._uplink.pad_to_bytes))
        except EnvelopeError:
            message = None
        if message is None or not self.packets.fits(topic, message, batch.identity):
            self._cut(lane, batch)
            return
        mid = link.publish(topic, message)
        self.packets.sent(batch.identity)
        self._has_sent(mid, topic, lane.name, message, (lane, batch))
        self.batches_sent += 1
        if lane.window == "backlog" and self._uplink.backlog_batches_per_s:
            lane.not_before_s = max(lane.not_before_s, time.monotonic()) + 1.0 / self._uplink.backlog_batches_per_s

    def _cut(self, lane: Lane, batch: Batch) -> None:
        """Too large to travel: its halves are next. A single record stays in the store, and the queue moves on."""
        parts = self.packets.cut(batch)
        if not parts:
            lane.passed(batch)
            return
        if lane.parts:
            lane.parts.popleft()
        lane.parts.extendleft(reversed(parts))

    def _has_sent(self, mid: int, topic: str, kind: str, message: bytes, of_lane: tuple[Lane, Batch] | None = None) -> None:
        lane, batch = of_lane or (None, None)
        self.lanes.sent(mid, lane, batch, len(message), time.monotonic())
        self.bytes_sent += len(message)
        self.traffic.count(self.day, kind, up=packet_bytes(topic, message))

    # -- what the link tells, on the event loop

    def on_puback(self, mid: int, code: int) -> None:
        now_s = time.monotonic()
        schema = self._schemas.ended(mid)
        if code == faults.PACKET_TOO_LARGE and self.packets.refused(self.lanes.in_flight_bytes(mid)):
            self.lanes.refused(mid, now_s)
            if schema is not None:
                self._schemas.tell_again(schema)
        elif code >= _MQTT_FAILURE:
            self.refusals.refused(self.lanes.lane_of(mid) if schema is None else "schema", code)
            self.lanes.refused(mid, now_s + REFUSED_PAUSE_S)
            self._schemas.refused(schema, now_s + REFUSED_PAUSE_S)
        elif self._uplink.ack == "broker" and self.lanes.is_batch(mid):
            self._prove()
            self._take_brokers_word(mid, code, now_s)
        elif code == _NOBODY_LISTENS and self.receipts.hints_unheard and self.lanes.is_batch(mid):
            self._prove()
            self._probe_later(mid, now_s)
        elif code == _NOBODY_LISTENS and self.receipts.hints_unheard and schema is not None and self._uplink.ack == "receipt":
            self._prove()
            self._tell_later(mid, schema, now_s)
        else:
            self._prove()
            if schema is not None:
                self._schemas.heard(schema)
                self.refusals.taken("schema")
            if self.lanes.is_batch(mid):
                self.lanes.probing, self._probe_pause_s = False, _PROBE_PAUSE_S_FIRST
            self._free(mid, now_s)
        self.news.set()

    def _free(self, mid: int, now_s: float) -> None:
        self.refusals.taken(self.lanes.lane_of(mid))
        took_s = self.lanes.acknowledged(mid, now_s)
        if took_s is not None and took_s > SLOW_PUBACK_S:
            self.lanes.hold("backlog", now_s + took_s)

    def _take_brokers_word(self, mid: int, code: int, now_s: float) -> None:
        """`ack = "broker"`: delivered, also where the broker says that nobody listens. Brokers that pass on by rules always say so."""
        sent = self.lanes.in_flight[mid][1]
        self._free(mid, now_s)
        if sent is not None:
            self.receipts.acknowledge(sent.identity)
        if code != _NOBODY_LISTENS:
            self.condition.healed("W-CLOUD-UNHEARD")
        elif self.condition.fault is None:
            self.condition.limp(Fault("W-CLOUD-UNHEARD", "the broker takes our batches and says that nobody subscribes", "look at its rules and subscribers"))

    def _prove(self) -> None:
        """Only now the connection is worth a line: some brokers let in whom they throw out at the first message."""
        if not self.proven:
            self.proven = True
            self.condition.connected(self._to)

    def _tell_later(self, mid: int, schema: bytes, now_s: float) -> None:
        """Nobody heard the document. Who comes between it and the batches behind it parks them and gives no receipt: both go again, soon."""
        self._free(mid, now_s)
        self.lanes.rest(READING_LANES, now_s + self._schemas.unheard(schema, self._uplink.receipt_timeout_s))
        for sent in [one for one in self.lanes.waiting.values() if one.schema == schema]:
            self.lanes.resend(sent)
        self.condition.limp(Fault("E-CLOUD-RECEIVER", "nobody listens to our schema documents at the broker", "look at the receiver and its topics"))

    def _probe_later(self, mid: int, now_s: float) -> None:
        self.lanes.unheard(mid, now_s)
        self._schemas.tell_again()
        if now_s >= self._probe_at_s:  # the others that were under way tell nothing new
            self._probe_at_s = now_s + self._probe_pause_s
            self.lanes.hold_all(self._probe_at_s)
            self._probe_pause_s = min(self._probe_pause_s * 2, max(_PROBE_PAUSE_S_FIRST, self._uplink.receipt_timeout_s))
        self.lanes.probing = True
        self.condition.limp(Fault("E-CLOUD-RECEIVER", "nobody listens to us at the broker", "look at the receiver and its topics"))

    def on_suback(self, codes: Sequence[int]) -> None:
        denied = {topic for topic, code in zip(self.topics.subscribed, codes, strict=False) if code >= _MQTT_FAILURE}
        if self.topics.receipt in denied and self._link is not None:
            # Without receipts all that is sent would be sent for nothing.
            self._link.abort(Fault("E-MQTT-ACL", f"{self._uplink.broker} denies {self.topics.receipt}", "allow the topic there", "login"))
        elif denied:
            logger.warning("uplink %s: the broker denies %s: commands of the cloud do not come through", self._uplink.name, self.topics.command)

    def on_message(self, topic: str, payload: bytes) -> None:
        self.traffic.count(self.day, "receipt", down=packet_bytes(topic, payload))
        if topic == self.topics.receipt:
            self.receipts.arrive(payload)
        elif topic == self.topics.command:
            self.commands.arrive(payload)
        self.news.set()

    async def take_receipt(self, message: bytes) -> int:
        """By hand, beside whatever connection there is. Raises EdgegwError."""
        try:
            new = await self.receipts.take_one(message, self._outbox, self.lanes)
        except ValueError as fault:
            next_step = "ask for a receipt of this gateway's cloud"
            raise EdgegwError("E-CLOUD-RECEIPT", f"uplink {self._uplink.name}: {fault}", next_step, EXIT_CHECK_FAILED) from fault
        self.news.set()
        return new

    async def _resend(self, command: Command) -> str:
        """The cloud lacks these ranges: their receipts are forgotten. What is no longer stored is declared lost, so that it stops asking."""
        intervals = intervals_of(command.arguments)
        gone = await self._outbox.resend(self._uplink.name, intervals)
        if gone:
            await self._outbox.declare_loss(gone, "no longer stored")
        self.lanes.forget(intervals)
        self.lanes.wake()
        return f"{len(intervals)} ranges go again" + (f", {sum(one.last - one.first + 1 for one in gone)} sequences are no longer stored" if gone else "")

    def thrown_out(self, fault: Fault) -> None:
        """The connection ended with this fault. A packet that is too large must not end all that follow: brokers say so, or only hang up."""
        message_bytes, identity = self.lanes.largest_in_flight()
        lost_with, self._lost_with = self._lost_with, identity if fault.message_id == "E-NET-LOST" else None
        if fault.message_id == "E-MQTT-SIZE":
            self.packets.refused(message_bytes)
        elif self._lost_with is not None and self._lost_with == lost_with:
            self.packets.hung_up(message_bytes, self._lost_with)

    def on_closed(self) -> None:
        self.news.set()
