"""While the disk takes nothing: readings and events go on from memory, numbered as always, marked as not stored.

What is held gets its sequence at once, so that it is the same reading wherever it comes from: the receiver takes it once, whether it came
`volatile` from here or later from the disk. The ring holds RING_VALUES_MAX values of each stream; what has to go and is not confirmed is told by
a loss event. Used by the writer's thread while the disk fails, and by a second one while the disk stalls the writer.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

import msgspec

from edgegw.block import encode_events
from edgegw.buffer.blocks import Lost
from edgegw.buffer.groups import EventRow, TailRow
from edgegw.buffer.intake import KEPT_MAX, Intake
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.outgoing import EVENTS_A_BATCH, Outgoing
from edgegw.buffer.rewriting import portions_of
from edgegw.buffer.rows import decode_event
from edgegw.buffer.sealing import BODY_BYTES_MAX, seal
from edgegw.buffer.uplinks import Header
from edgegw.buffer.windows import Windows
from edgegw.model import Batch, Identity, Stream

_log = logging.getLogger("edgegw.buffer")

# Twenty minutes of the reference station, and below 20 MB.
RING_VALUES_MAX = 100_000
# Promise 6: alarms are told when no commit has succeeded for so long.
TOLD_ANYWAY_S = 0.5
# A disk that stalls so long counts as failed: readings are sent from memory too.
STALL_S = 10.0
# Batches that an uplink may be given; the oldest go first.
_BATCHES_MAX = 512


class Ring:
    """`step` may be called by two threads, never by both at once."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts it works with
        self,
        intake: Intake,
        ledger: Ledger,
        outgoing: Outgoing,
        windows: Windows,
        on_ready: Callable[[frozenset[int]], None],
        portion_bytes: int,
    ) -> None:
        self.lost: list[Lost] = []
        """What had to go since the last call of `take_lost`."""
        self.lost_readings = 0
        self._intake = intake
        self._ledger = ledger
        self._outgoing = outgoing
        self._windows = windows
        self._on_ready = on_ready
        self._portion_bytes = portion_bytes
        self._lock = threading.Lock()
        self._batches: deque[Batch] = deque(maxlen=_BATCHES_MAX)
        self._given: dict[int, int] = {}
        self._sealed_s = 0.0

    def step(self, *, readings: bool) -> None:
        """Takes over what waits in the queue, and makes of it what can be sent: events at once, `readings` when their window ends."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            while packages := self._intake.take():
                for portion in portions_of(packages, self._portion_bytes):
                    self._ledger.take(portion.packages)
            self._trim()
            self._on_ready(frozenset(self._make_batches(readings=readings)))
        finally:
            self._lock.release()

    def end(self) -> bool:
        """The disk takes everything again: what comes from there is complete. Returns whether anything was given out of memory."""
        with self._lock:
            used = bool(self._batches)
            self._batches.clear()
            self._given.clear()
        return used

    @property
    def is_used(self) -> bool:
        return bool(self._batches)

    def take_lost(self) -> list[Lost]:
        with self._ledger.lock:
            lost, self.lost = self.lost, []
        return lost

    def next_batch(self, streams: Sequence[int], after: int, up_to: int | None) -> Batch | None:
        """As `Outgoing.next_batch`, of what is in memory. From any thread."""
        limit = 2**63 if up_to is None else up_to
        wanted = (batch for batch in list(self._batches) if batch.identity.stream in streams and after < batch.block_id <= limit)
        return min(wanted, key=lambda batch: batch.block_id, default=None)

    # -- batches

    def _make_batches(self, *, readings: bool) -> Iterable[int]:
        made = []
        with self._ledger.lock:
            events = self._ledger.unsynced_events(self._given.get(Stream.EVENT, 0))
            due = readings and monotonic() - self._sealed_s >= self._windows.window_s
            streams = [stream for stream in self._ledger.held if due or (readings and stream == Stream.ENERGY)]
            rows_of = {stream: [row for row in self._ledger.held[stream] if row.first > self._given.get(stream, 0)] for stream in streams}
        for start in range(0, len(events), EVENTS_A_BATCH):
            made.append(Stream.EVENT)
            self._add_events(events[start : start + EVENTS_A_BATCH])
        for stream, rows in rows_of.items():
            if rows:
                made.append(Stream(stream))
                self._add_readings(stream, rows)
        if due:
            self._sealed_s = monotonic()
        return made

    def _add_events(self, rows: Sequence[EventRow]) -> None:
        body = encode_events([decode_event(row.kind, row.device, row.at_ms, row.body) for row in rows], stored=False)
        if len(body) > BODY_BYTES_MAX and len(rows) > 1:
            half = len(rows) // 2
            self._add_events(rows[:half])
            self._add_events(rows[half:])
            return
        identity = Identity(self._ledger.current.epoch, int(Stream.EVENT), rows[0].seq, rows[-1].seq)
        self._batches.append(Batch(rows[-1].number, identity, None, body, len(rows)))
        self._given[Stream.EVENT] = rows[-1].number

    def _add_readings(self, stream: int, rows: Sequence[TailRow]) -> None:
        schema = self._ledger.current.schema
        for block in seal(schema, rows[0].first, [reading for row in rows for reading in row.readings], stored=False):
            identity = Identity(self._ledger.current.epoch, stream, block.first, block.last)
            with self._ledger.lock:
                number = self._ledger.next_number()
            self._batches.append(Batch(number, identity, schema, block.body, block.values))
        self._given[stream] = rows[-1].last

    # -- the bound

    def _trim(self) -> None:
        with self._ledger.lock:
            for stream, rows in self._ledger.held.items():
                excess = sum(row.values for row in rows) - RING_VALUES_MAX
                if excess > 0:
                    for row in self._ledger.drop_oldest(stream, excess):
                        self._note(stream, row.first, row.last, Counter(str(reading.source.source_id) for reading in row.readings))
            for event in self._ledger.drop_oldest_events(KEPT_MAX):
                self._note(Stream.EVENT, event.seq, event.seq, Counter())

    def _note(self, stream: int, first: int, last: int, counts: Counter[str]) -> None:
        """A loss record for what no cloud has; records of one range grow together."""
        if self._outgoing.is_confirmed(stream, Header(0, self._ledger.current.number, first, last, 0, 0)):
            return
        self.lost_readings += counts.total()
        before = self.lost[-1] if self.lost else None
        if before is not None and (before.stream, before.last + 1) == (stream, first):
            self.lost[-1] = msgspec.structs.replace(before, last=last, readings=dict(Counter(before.readings) + counts))
        else:
            _log.warning("the disk takes nothing and the memory is full: the oldest readings are dropped and counted")
            self.lost.append(Lost(self._ledger.current.epoch, int(stream), first, last, dict(counts)))
        for batch in [batch for batch in self._batches if batch.identity.stream == stream and batch.identity.first <= last]:
            self._batches.remove(batch)
