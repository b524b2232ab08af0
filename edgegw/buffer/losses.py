"""The event `loss`: what was dropped, how much of which source, and why. It is delivered, and the receiver settles the range with it."""

from __future__ import annotations

from edgegw.buffer.blocks import Lost
from edgegw.buffer.intake import Dropped
from edgegw.clock import Clock
from edgegw.model import Event, Identity, Stream

KIND = "loss"
QUEUE_FULL = "queue full"
BUFFER_FULL = "buffer full"
DAMAGED = "damaged"
THINNED = "thinned"


def range_lost(clock: Clock, lost: Lost, reason: str) -> Event:
    body = {"epoch": f"{lost.epoch:016x}", "stream": lost.stream, "first": lost.first, "last": lost.last, "readings": lost.readings, "reason": reason}
    return _event(clock, body)


def range_declared(clock: Clock, interval: Identity, reason: str) -> Event:
    """A range that the uplink gives up."""
    return _event(clock, {"epoch": f"{interval.epoch:016x}", "stream": interval.stream, "first": interval.first, "last": interval.last, "reason": reason})


def queue_lost(clock: Clock, epoch: int, dropped: Dropped) -> Event:
    """What never got a sequence: there is no range to settle, only a count to know."""
    body: dict[str, object] = {
        "epoch": f"{epoch:016x}",
        "stream": int(Stream.TELEMETRY),
        "readings": {str(source_id): count for source_id, count in sorted(dropped.readings.items())},
        "from_ms": dropped.from_ms,
        "to_ms": dropped.to_ms,
        "reason": QUEUE_FULL,
    }
    if dropped.others:
        body["events_and_energy"] = dropped.others
    return _event(clock, body)


def _event(clock: Clock, body: dict[str, object]) -> Event:
    mono_ms = clock.mono_ms()
    return Event(KIND, clock.wall_ms(mono_ms), mono_ms, clock.trust, None, body)
