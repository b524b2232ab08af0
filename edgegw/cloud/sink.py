"""Where a receiver puts what it has opened. One transaction holds the rows and what they settle; only after its commit a receipt is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from edgegw.cloud.opening import EventRow, ReadingRow
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.intervals import IntervalSet
from edgegw.model import Identity


class SinkError(Exception):
    """The sink cannot be written now: nothing of the transaction is kept, no receipt is given."""


class SinkConflictError(Exception):
    """A row of this identity is there already; none of the rows was written."""


class Arrival(msgspec.Struct, frozen=True):
    """One batch as it came in."""

    kind: str
    gateway: str
    epoch: str
    stream: int
    first: int
    last: int
    received_at_ms: int
    size_bytes: int
    new: int
    """Sequences that were not settled before; 0 for a repeated batch."""
    volatile: bool = False
    """Sent from memory while the gateway's disk took nothing."""


class Parked(msgspec.Struct, frozen=True):
    """A batch that waits for its schema document, sealed as it came."""

    parked_id: int
    topic: str
    payload: bytes


class Sink(Protocol):
    """All calls on one thread, between `begin` and `commit`; any of them may raise SinkError, the writing of rows SinkConflictError."""

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...

    def settled(self, gateway: str, epoch: str, stream: int) -> IntervalSet:
        """What is stored or declared lost. For reading only."""
        ...

    def holes(self, gateway: str) -> list[Identity]:
        """What is not settled below the last sequence of each (epoch, stream) that is known."""
        ...

    def settle(self, gateway: str, epoch: str, stream: int, first: int, last: int) -> None: ...

    def write_readings(self, rows: Sequence[ReadingRow]) -> None: ...

    def write_events(self, rows: Sequence[EventRow]) -> None: ...

    def stored_readings(self, gateway: str, epoch: str, stream: int, first: int, last: int) -> set[tuple[object, ...]]:
        """(seq, device, point, value, quality) of what is stored in the range."""
        ...

    def stored_events(self, gateway: str, epoch: str, stream: int, first: int, last: int) -> set[tuple[object, ...]]:
        """(seq, kind, device, body) of what is stored in the range."""
        ...

    def schema(self, gateway: str, schema: bytes) -> bytes | None: ...

    def write_schema(self, gateway: str, schema: bytes, document: bytes, received_at_ms: int) -> None: ...

    def write_schema_part(self, gateway: str, schema: bytes, offset: int, content: bytes, received_at_ms: int) -> int:
        """Keeps a part of a schema document until the whole is there; returns how many bytes of it are kept, what came twice counted twice."""
        ...

    def schema_parts(self, gateway: str, schema: bytes) -> Sequence[tuple[int, bytes]]:
        """(offset, bytes), ascending."""
        ...

    def drop_schema_parts(self, gateway: str, schema: bytes) -> None: ...

    def park(self, gateway: str, schema: bytes, topic: str, payload: bytes, received_at_ms: int) -> bool:
        """False when there is no room: the gateway keeps the batch and sends it again."""
        ...

    def parked(self, gateway: str, schema: bytes) -> Sequence[Parked]: ...

    def unpark(self, parked_id: int) -> None: ...

    def record_batch(self, arrival: Arrival) -> None: ...

    def record_refused(self, received_at_ms: int, topic: str, reason: str, text: str, size_bytes: int) -> None: ...


def open_sink(url: str) -> Sink:
    """`sqlite:PATH`. Raises EdgegwError."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from edgegw.cloud.sink_sqlite import SqliteSink  # noqa: PLC0415 - a sink's library is loaded only where it is used

        return SqliteSink(Path(rest))
    if scheme in ("postgresql", "postgres"):
        raise EdgegwError("E-SINK-UNKNOWN", f'sink "{url}": PostgreSQL is not built in yet', "use sqlite:PATH", EXIT_USAGE)
    raise EdgegwError("E-SINK-UNKNOWN", f'sink "{url}" is of no known kind', "use sqlite:PATH", EXIT_USAGE)
