"""Does the file hold what its sequences promise: every block readable, every gap accounted for (R25: lists gaps).

A sequence that was given is in a block, in the tail or an event of its own, or it is told by a loss event, or every cloud has confirmed it (then
it may have been removed). What is none of these is a gap.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from edgegw.block import BlockError, decode_block
from edgegw.buffer.history import Damage, Reader
from edgegw.buffer.rows import RowError, decode_event
from edgegw.intervals import IntervalSet
from edgegw.model import Stream

_BLOCKS_A_LOOK = 16
_EVENTS_A_LOOK = 500


class Gap(msgspec.Struct, frozen=True):
    """Sequences that are nowhere."""

    epoch: str
    stream: int
    first: int
    last: int


class Report(msgspec.Struct):
    """What a verification found."""

    blocks: int = 0
    values: int = 0
    events: int = 0
    lost: Counter[str] = msgspec.field(default_factory=Counter)
    """Sequences told lost, by reason."""
    gaps: list[Gap] = []
    damaged: list[Damage] = []

    @property
    def is_good(self) -> bool:
        return not self.gaps and not self.damaged


def verify(reader: Reader) -> Report:
    """Reads the whole file in short looks; minutes for gigabytes. What is written meanwhile may not be looked at."""
    report = Report()
    epochs = reader.epochs()
    # First, so that what is sealed or removed later is never missed.
    given = {(epoch, stream): last for epoch, stream, last in reader.ask("SELECT epoch, stream, last FROM sequence")}
    accounted: dict[tuple[int, int], IntervalSet] = {key: IntervalSet() for key in given}
    numbers = {epoch: number for number, epoch in epochs.items()}
    for epoch, stream, first, last in reader.ask("SELECT epoch, stream, first, last FROM tail"):
        accounted.setdefault((epoch, stream), IntervalSet()).add(first, last)
    _look_at_events(reader, epochs, numbers, accounted, report)
    _look_at_blocks(reader, epochs, accounted, report)
    _add_confirmed(reader, accounted)
    for (epoch, stream), last in sorted(given.items()):
        report.gaps += [Gap(f"{epochs.get(epoch, 0):016x}", stream, *gap) for gap in accounted[epoch, stream].missing(1, last)]
    return report


def _look_at_blocks(reader: Reader, epochs: dict[int, int], accounted: dict[tuple[int, int], IntervalSet], report: Report) -> None:
    question = "SELECT block_id, epoch, stream, first, last, schema, vals, body FROM block WHERE block_id > ? ORDER BY block_id LIMIT ?"
    after = 0
    while rows := reader.ask(question, after, _BLOCKS_A_LOOK):
        after = rows[-1][0]
        for _, epoch, stream, first, last, schema, values, body in rows:
            accounted.setdefault((epoch, stream), IntervalSet()).add(first, last)
            report.blocks += 1
            report.values += values
            reason = _fault_of(reader, schema, body, first, last)
            if reason:
                report.damaged.append(Damage(epochs.get(epoch, 0), stream, first, last, reason))


def _fault_of(reader: Reader, schema: bytes, body: bytes, first: int, last: int) -> str:
    try:
        named, rows = decode_block(body, first)
    except BlockError as fault:
        return str(fault)
    if named != schema:
        return "the block names another schema than its row"
    layout = reader.layout(schema)
    if any(row.source_id not in layout for row in rows):
        return f"schema {schema.hex()} is missing or does not know its sources"
    return "" if len(rows) == last - first + 1 else f"{len(rows)} readings where {last - first + 1} should be"


def _look_at_events(reader: Reader, epochs: dict[int, int], numbers: dict[int, int], accounted: dict[tuple[int, int], IntervalSet], report: Report) -> None:
    after = 0
    question = "SELECT number, epoch, seq, kind, device, at_ms, body FROM event WHERE number > ? ORDER BY number LIMIT ?"
    while rows := reader.ask(question, after, _EVENTS_A_LOOK):
        after = rows[-1][0]
        for _, epoch, seq, kind, device, at_ms, body in rows:
            accounted.setdefault((epoch, int(Stream.EVENT)), IntervalSet()).add(seq, seq)
            report.events += 1
            try:
                event = decode_event(kind, device, at_ms, body)
            except RowError as fault:
                report.damaged.append(Damage(epochs.get(epoch, 0), int(Stream.EVENT), seq, seq, str(fault)))
                continue
            told = event.body
            if kind == "loss" and isinstance(told.get("first"), int):
                _add_loss(told, numbers, accounted, report)


def _add_loss(told: object, numbers: dict[int, int], accounted: dict[tuple[int, int], IntervalSet], report: Report) -> None:
    match told:
        case {"epoch": str(epoch), "stream": int(stream), "first": int(first), "last": int(last), "reason": str(reason)}:
            report.lost[reason] += last - first + 1
            number = numbers.get(int(epoch, 16))
            if number is not None:
                accounted.setdefault((number, stream), IntervalSet()).add(first, last)


def _add_confirmed(reader: Reader, accounted: dict[tuple[int, int], IntervalSet]) -> None:
    """What every uplink that ever confirmed anything has confirmed."""
    receipts: dict[str, dict[tuple[int, int], IntervalSet]] = {}
    for uplink, epoch, stream, first, last in reader.ask("SELECT uplink, epoch, stream, first, last FROM receipt"):
        receipts.setdefault(uplink, {}).setdefault((epoch, stream), IntervalSet()).add(first, last)
    for key, covered in accounted.items():
        for first, last in [interval for sets in receipts.values() for interval in sets.get(key, IntervalSet())]:
            if all(sets.get(key, IntervalSet()).covers(first, last) for sets in receipts.values()):
                covered.add(first, last)
