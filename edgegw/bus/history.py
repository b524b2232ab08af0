"""What the counters of a bus were some time ago: a bounded ring of snapshots, from which `edgegw bus stats --since 10m` takes the difference. Pure.

A snapshot is a row of counts for each unit, most of them 0 or small: packed it takes a sixth of the memory of its numbers. They are near each
other in the last two minutes (what has just been mended is looked at then) and a minute apart before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

# How often the daemon takes one.
SNAPSHOT_S = 10.0
# Two minutes of those; of the older ones each sixth is kept for an hour. A unit costs some 100 bytes in each: 1.5 MiB for a station of 200 units.
RECENT_MAX = 12
MINUTE_EACH = 6
MINUTES_MAX = 60
# The longest time that can be looked back.
SINCE_S_MAX = 3600.0


class Snapshot(NamedTuple):
    """The counts of one bus at one moment."""

    at_s: float
    """`time.monotonic()`"""
    line: tuple[int, ...]
    units: Mapping[int, tuple[int, ...]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


class History:
    """Of one bus."""

    def __init__(self) -> None:
        self._recent: list[bytes] = []
        self._minutes: list[bytes] = []
        self._taken = 0

    def add(self, snapshot: Snapshot) -> None:
        """The newest one."""
        packed = _encoder.encode(snapshot)
        if self._taken % MINUTE_EACH == 0:
            self._minutes.append(packed)
            del self._minutes[:-MINUTES_MAX]
        self._taken += 1
        self._recent.append(packed)
        del self._recent[:-RECENT_MAX]

    def before(self, at_s: float) -> Snapshot | None:
        """The newest one that is not younger than this, else the oldest; None when there is none at all."""
        kept = sorted({snapshot.at_s: snapshot for snapshot in map(_decoder.decode, (*self._minutes, *self._recent))}.items())
        old = [snapshot for taken_s, snapshot in kept if taken_s <= at_s]
        return old[-1] if old else kept[0][1] if kept else None
