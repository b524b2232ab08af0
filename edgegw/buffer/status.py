"""What the buffer says of itself, for status screens and for the rules that watch it."""

from __future__ import annotations

import msgspec


class Tail(msgspec.Struct, frozen=True):
    """What is committed and not yet sealed."""

    readings: int
    values: int


class Unsent(msgspec.Struct, frozen=True):
    """What one uplink's cloud has not confirmed yet."""

    values: int
    """Values in blocks, in the tail and in the queue."""
    events: int
    oldest_age_ms: int
    """Age of the oldest reading that lies in an unconfirmed block; 0 when there is none."""


class BufferStatus(msgspec.Struct, frozen=True):
    """A look at the buffer; made without touching the disk save for the size of two files."""

    epoch: str
    writing: bool
    """False while the disk refuses to be written."""
    last_error: str
    """Of the fault that lasts, else empty."""
    file_bytes: int
    """Database and log."""
    bytes_max: int
    queue_readings: int
    """Accepted, not yet committed."""
    tail_readings: int
    """Committed, not yet sealed."""
    commits: int
    syncs: int
    blocks: int
    """Sealed since the start."""
    dropped_readings: int
    """By a full queue or a full file, since the start; each stands in a loss event."""
    unsent: dict[str, Unsent]
    disk_tight: bool
    """Others have filled the disk: the file does not grow."""
    written_bytes_a_day: int
    """At the present rate; 0 in the first quarter of an hour."""
    syncs_a_day: int
