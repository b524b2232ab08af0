"""Which batch goes next, how much may be under way, and what still waits for its receipt. Pure: time comes in as an argument.

    lane      topic  streams          in flight together
    event     e      1                2 with energy
    energy    n      2
    fresh     t      3 after border   2
    backlog   h      3 4 5 to border  4
    record    h      4 5 after border (shares backlog's)

Strict preference in this order. The border is the newest block of telemetry at the moment of the connect. A batch passes three states:
in flight until PUBACK, waiting until the receipt, done. Only the receipt counts; a batch without one is taken again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from edgegw.model import Batch, Identity, Stream
from edgegw.uplink.envelope import NO_IDENTITY

ALL_STREAMS: Final = frozenset(int(stream) for stream in Stream)

# HiveMQ Edge takes 10 in flight, Azure Event Grid 64 KB.
IN_FLIGHT_MAX: Final = 8
IN_FLIGHT_BYTES_MAX: Final = 64 * 1024
# Of them one message of the largest size is kept for events and energy: an alarm waits for no PUBACK of the backlog.
URGENT_BYTES: Final = 16 * 1024
WINDOWS: Final = {"urgent": 2, "fresh": 2, "backlog": 4}
TELEMETRY_LANES: Final = ("fresh", "backlog")
READING_LANES: Final = ("energy", "fresh", "backlog", "record")
# What may be sent without a receipt, for each lane: two minutes at 2 batches a second. A dead receiver costs the SIM card no more than this.
UNRECEIPTED_MAX: Final = 256
# Of alarms more, which are small: a receiver that is busy with the backlog must not hold them up.
UNRECEIPTED_EVENTS_MAX: Final = 1024
# Doubled for each time that the same range stays without a receipt; an hour is the longest pause.
RESEND_PAUSE_S_MAX: Final = 3600.0


class Sent(msgspec.Struct):
    """A batch that was handed to the broker and has no receipt yet."""

    lane: str
    block_id: int
    identity: Identity
    schema: bytes | None
    after: int = 0
    """Where its lane stood before it: a batch of events begins there, not at its block_id, which is that of its last event."""
    tries: int = 1
    acked_at_s: float | None = None
    again: bool = False
    """Taken for lost: to be sent again when the lane comes by."""
    unheard: bool = False
    """The broker took it and said that nobody listens."""


class Lane(msgspec.Struct):
    """One class of data and how far it has been handed out on this connection."""

    name: str
    topic: str
    streams: tuple[int, ...]
    window: str
    begin: int = 0
    """The lane is for blocks after this one, as far as `up_to`."""
    up_to: int | None = None
    after: int = 0
    """Handed out so far."""
    more: bool = True
    """There may be a batch; False once the store had none, until something new is stored."""
    not_before_s: float = 0.0
    parts: deque[Batch] = msgspec.field(default_factory=deque)
    """What is left of a batch that was cut for the broker's packets; `after` moves behind it with the last part."""

    def passed(self, batch: Batch) -> None:
        """The batch, or the part in front, is handed out or stays behind."""
        if self.parts:
            self.parts.popleft()
        if not self.parts:
            self.after = batch.block_id

    def go_back(self, after: int) -> None:
        """The lane is asked again for what comes after this block; a batch that was being cut is cut anew."""
        self.after = min(self.after, max(self.begin, after))
        self.parts.clear()
        self.more = True

    def carries(self, sent: Sent) -> bool:
        """A batch belongs to this lane."""
        return sent.identity.stream in self.streams and self.begin < sent.block_id and (self.up_to is None or sent.block_id <= self.up_to)


class Lanes:
    """The lanes of one uplink. `waiting` outlives a connection, the cursors do not."""

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self.waiting: dict[Identity, Sent] = {}
        self.in_flight: dict[int, tuple[Lane | None, Sent | None, int, float]] = {}
        """{mid: (lane, batch, bytes, sent at)}; a schema document and the status have no lane."""
        self.in_flight_max = IN_FLIGHT_MAX
        self.probing = False
        """Nobody listens at the broker: one message at a time asks whether somebody does again."""

    def begin(self, border: int, receive_maximum: int, backlog_at_s: float, *, kept_session: bool) -> None:
        """A connection is up. What the broker has acknowledged still counts as sent when it kept the session, nothing does when it did not."""
        self.in_flight.clear()
        self.probing = False
        self.waiting = {identity: sent for identity, sent in self.waiting.items() if kept_session and sent.acked_at_s is not None and not sent.again}
        self.in_flight_max = max(1, min(IN_FLIGHT_MAX, receive_maximum))
        self.lanes = [
            Lane("event", "e", (Stream.EVENT,), "urgent"),
            Lane("energy", "n", (Stream.ENERGY,), "urgent"),
            Lane("fresh", "t", (Stream.TELEMETRY,), "fresh", begin=border, after=border),
            Lane("backlog", "h", (Stream.TELEMETRY, Stream.RECORD, Stream.THINNED), "backlog", up_to=border, not_before_s=backlog_at_s),
            Lane("record", "h", (Stream.RECORD, Stream.THINNED), "backlog", begin=border, after=border, not_before_s=backlog_at_s),
        ]

    def wake(self, streams: Collection[int] = ALL_STREAMS) -> None:
        """Something new of these streams is stored, behind every border; all streams: the store comes back from a fault, anything may be anywhere.

        Only the lanes that can have it are asked again: a question to the store costs two threads a turn.
        """
        everything = ALL_STREAMS.issubset(streams)
        for lane in self.lanes:
            if everything:
                lane.go_back(lane.begin)  # what is under way is known by its identity and is not sent twice
            if everything or (lane.up_to is None and any(stream in streams for stream in lane.streams)):
                lane.more = True

    def hold(self, window: str, not_before_s: float) -> None:
        """The lanes of a window rest."""
        for lane in self.lanes:
            if lane.window == window:
                lane.not_before_s = max(lane.not_before_s, not_before_s)

    def rest(self, names: Collection[str], not_before_s: float) -> None:
        """The lanes of these names rest."""
        for lane in self.lanes:
            if lane.name in names:
                lane.not_before_s = max(lane.not_before_s, not_before_s)

    def hold_all(self, not_before_s: float) -> None:
        for window in WINDOWS:
            self.hold(window, not_before_s)

    def exhausted(self, lane: Lane) -> None:
        """The store has nothing more for the lane. What was to be sent again and did not come is no longer stored: the store's loss events tell of it."""
        lane.more = False
        gone = [sent.identity for sent in self.waiting.values() if sent.again and lane.carries(sent)]
        for identity in gone:
            del self.waiting[identity]

    # -- choosing

    def next_lane(self, now_s: float, only: str | None = None) -> Lane | None:
        """The first lane in order of preference that may send now."""
        if not self.has_slot:
            return None
        resting = self._resting()
        ready = (lane for lane in self.lanes if (only is None or lane.name == only) and lane.name not in resting and self._ready(lane, now_s))
        return next(ready, None)

    def _ready(self, lane: Lane, now_s: float) -> bool:
        return lane.more and now_s >= lane.not_before_s and self._in_window(lane.window) < WINDOWS[lane.window]

    def _resting(self) -> Collection[str]:
        """Lanes that have sent as much as may go without a receipt."""
        if len(self.waiting) < UNRECEIPTED_MAX:
            return ()
        counts = Counter(sent.lane for sent in self.waiting.values() if not sent.again)
        return [name for name, count in counts.items() if count >= (UNRECEIPTED_EVENTS_MAX if name == "event" else UNRECEIPTED_MAX)]

    def _in_window(self, window: str) -> int:
        return sum(lane is not None and lane.window == window for lane, *_ in self.in_flight.values())

    @property
    def has_slot(self) -> bool:
        """The broker takes one message more."""
        return len(self.in_flight) < (1 if self.probing else self.in_flight_max)

    def has_room(self, message_bytes: int, window: str = "") -> bool:
        """A message of this size may go: always when nothing else is under way. Without a window: a schema document."""
        allowed = IN_FLIGHT_BYTES_MAX if window == "urgent" else IN_FLIGHT_BYTES_MAX - URGENT_BYTES
        return not self.in_flight or sum(size for _, _, size, _ in self.in_flight.values()) + message_bytes <= allowed

    def is_waiting(self, batch: Batch) -> bool:
        """The batch is already sent and its receipt may still come."""
        sent = self.waiting.get(batch.identity)
        return sent is not None and not sent.again

    # -- what happened

    def sent(self, mid: int, lane: Lane | None, batch: Batch | None, message_bytes: int, now_s: float) -> None:
        """A message is with the MQTT client."""
        sent = None
        if lane is not None and batch is not None:
            before = [other for other in self._overlapping(batch.identity) if other.again]
            for other in before:
                del self.waiting[other.identity]
            tries = 1 + max((other.tries for other in before), default=0)
            sent = Sent(lane.name, batch.block_id, batch.identity, batch.schema, lane.after, tries)
            self.waiting[batch.identity] = sent
            lane.passed(batch)
        self.in_flight[mid] = (lane, sent, message_bytes, now_s)

    def acknowledged(self, mid: int, now_s: float) -> float | None:
        """PUBACK: the window is free again. Returns how long it took, None when the message is not ours."""
        lane, sent, _, sent_at_s = self.in_flight.pop(mid, (None, None, 0, None))
        if sent_at_s is None:
            return None
        if sent is not None:
            sent.acked_at_s = now_s
        if lane is not None:
            lane.more = True
        return now_s - sent_at_s

    def refused(self, mid: int, not_before_s: float) -> None:
        """The broker took the message for no good: sent again later, the lane rests."""
        lane, sent, *_ = self.in_flight.pop(mid, (None, None, 0, 0.0))
        if lane is not None:
            lane.not_before_s = not_before_s
        if sent is not None:
            self.resend(sent)

    def unheard(self, mid: int, now_s: float) -> None:
        """PUBACK, but nobody listens: as good as not sent."""
        _, sent, *_ = self.in_flight.pop(mid)
        if sent is not None:
            sent.acked_at_s = now_s
            sent.unheard = True
            self.resend(sent)

    def is_batch(self, mid: int) -> bool:
        """A batch is under way with this mid, no schema document and no status."""
        return mid in self.in_flight and self.in_flight[mid][1] is not None

    def receipted(self, intervals: Iterable[Identity]) -> bool:
        """The cloud has these: they wait no longer. True when among them is one of which the broker said that nobody listens."""
        contradicted = False
        for interval in intervals:
            for sent in list(self._overlapping(interval)):
                if interval.first <= sent.identity.first and sent.identity.last <= interval.last:
                    del self.waiting[sent.identity]
                    contradicted = contradicted or sent.unheard
        return contradicted

    def forget(self, intervals: Iterable[Identity]) -> None:
        """The cloud lacks these after all: nothing of them counts as sent."""
        for interval in intervals:
            for sent in list(self._overlapping(interval)):
                del self.waiting[sent.identity]

    def overdue(self, now_s: float, receipt_timeout_s: float) -> list[Sent]:
        """What the broker acknowledged so long ago that the receipt must be taken for lost, oldest first."""
        late = [sent for sent in self.waiting.values() if not sent.again and sent.acked_at_s is not None and now_s >= _due_at_s(sent, receipt_timeout_s)]
        return sorted(late, key=lambda sent: sent.acked_at_s or 0.0)

    def resend(self, sent: Sent) -> None:
        """Takes a batch for lost: its lane goes back to it."""
        sent.again = True
        for lane in self.lanes:
            if lane.carries(sent):
                lane.go_back(sent.after)

    def lane_of(self, mid: int) -> str:
        """Name of the lane of the message with this mid; empty for a schema document, the status, and what is not ours."""
        lane, *_ = self.in_flight.get(mid, (None, None, 0, 0.0))
        return "" if lane is None else lane.name

    def in_flight_bytes(self, mid: int) -> int:
        """Size of the message with this mid; 0 when it is not ours."""
        return self.in_flight[mid][2] if mid in self.in_flight else 0

    def largest_in_flight(self) -> tuple[int, Identity | None]:
        """(bytes, identity) of the largest message under way; a schema document bears no identity of its own."""
        messages = [(size, NO_IDENTITY if sent is None else sent.identity) for _, sent, size, _ in self.in_flight.values()]
        return max(messages, key=lambda message: message[0], default=(0, None))

    def oldest_in_flight_s(self) -> float | None:
        """When the oldest message without PUBACK was sent."""
        return min((sent_at_s for *_, sent_at_s in self.in_flight.values()), default=None)

    def is_empty(self, name: str) -> bool:
        """Nothing of this lane is left to send or under way."""
        return not any(lane.more for lane in self.lanes if lane.name == name) and not any(lane and lane.name == name for lane, *_ in self.in_flight.values())

    def _overlapping(self, identity: Identity) -> Iterator[Sent]:
        for sent in self.waiting.values():
            other = sent.identity
            if (other.epoch, other.stream) == (identity.epoch, identity.stream) and other.first <= identity.last and identity.first <= other.last:
                yield sent


def _due_at_s(sent: Sent, receipt_timeout_s: float) -> float:
    pause_s = min(receipt_timeout_s * 2.0 ** (min(sent.tries, 20) - 1), max(receipt_timeout_s, RESEND_PAUSE_S_MAX))
    return (sent.acked_at_s or 0.0) + pause_s
