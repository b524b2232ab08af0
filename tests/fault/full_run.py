"""An outage of the reference station fed to a store on a small disk that another program fills: how much of the disk it took, and whether the losses add up.

the disk     a tmpfs of 64 MB where this machine may mount one, else a directory and a limit for the store's file
the other    a file that takes all that is free from a quarter of the outage on, and is gone after three quarters
the ledger   readings fed = readings still there + readings that loss events tell, by source, each sequence in one of the two
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from edgegw.block import decode_block
from edgegw.intervals import IntervalSet
from edgegw.model import Batch, Reading, Stream
from tests.bench.r10 import Station
from tests.unit.buffer_rig import Rig, events_of

TMPFS_MIB = 64
# Readings of one call, as many as the station gives in ten seconds; the queue is kept below its limit, so that nothing is dropped before the writer.
_CHUNK = 200
_QUEUE_MAX = 4_000
# A disk that refuses for so long is not coming back.
_PATIENCE_S = 60.0
_DAY_S = 86_400
# Share of the outage during which the other program has what was free when it came.
_FILLED_FROM, _FILLED_TO = 0.25, 0.75


class Outcome(msgspec.Struct):
    """What came of it."""

    fed: Counter[int] = msgspec.field(default_factory=Counter)
    """Readings by source id."""
    present: Counter[int] = msgspec.field(default_factory=Counter)
    told: Counter[int] = msgspec.field(default_factory=Counter)
    """What loss events tell."""
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    thinned_rows: int = 0
    doubled: int = 0
    """Sequences that are there and told lost."""
    missing: int = 0
    """Sequences that are neither."""
    bytes_max: int = 0
    bytes_seen_max: int = 0
    seconds: float = 0.0
    filled: bool = False
    """The other program had the disk full for a while."""

    @property
    def is_exact(self) -> bool:
        return self.fed == self.present + self.told and not self.doubled and not self.missing

    def line(self) -> str:
        fed, there, told = (sum(counts.values()) for counts in (self.fed, self.present, self.told))
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.reasons.items()))
        return (
            f"{fed:,} readings fed in {self.seconds:.0f} s, {there:,} there, {told:,} told lost ({reasons}), {self.thinned_rows:,} thinned rows; "
            f"{self.doubled} doubled, {self.missing} missing; at most {self.bytes_seen_max / 2**20:.1f} of {self.bytes_max / 2**20:.1f} MiB"
        )


@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """Whether `directory` is a file system of its own of TMPFS_MIB now."""
    directory.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "edgegw-test", str(directory)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(directory)], check=True)


def outage(directory: Path, days: float, *, cap_mib: int, others: bool, progress: Callable[[float], None] = lambda _: None) -> Outcome:
    """Feeds so many days as fast as the writer takes them. `cap_mib` 0: the default, half of the file system."""
    station = Station()
    rig = Rig(directory, station.sources, window_idle_s=10, max_size_mib=cap_mib)
    found = Outcome(bytes_max=rig.buffer.status().bytes_max)
    began_s = time.monotonic()
    filler = directory / "other-program"
    total_s = days * _DAY_S
    try:
        chunk: list[Reading] = []
        for reading in station.readings(0, total_s):
            chunk.append(reading)
            if len(chunk) == _CHUNK:
                share = reading.mono_ms / 1000 / total_s
                _feed(rig, chunk, found, directory)
                chunk = []
                if others and not found.filled and share >= _FILLED_FROM:
                    found.filled = _fill(filler)
                elif share >= _FILLED_TO:
                    filler.unlink(missing_ok=True)
                progress(share)
        _feed(rig, chunk, found, directory)
        filler.unlink(missing_ok=True)
        _settle(rig, found, directory)
        found.seconds = time.monotonic() - began_s
        _count(rig, found)
    finally:
        rig.buffer.close()
    return found


def _feed(rig: Rig, chunk: list[Reading], found: Outcome, directory: Path) -> None:
    rig.buffer.accept(chunk)
    found.fed.update(reading.source.source_id for reading in chunk)

    def is_taken() -> bool:
        """While the writer is busy, what waits moves to memory: that counts as well, unless the disk takes nothing at all."""
        status = rig.buffer.status()
        return status.queue_readings <= _QUEUE_MAX and (status.tail_readings <= _QUEUE_MAX or not status.writing)

    _wait(is_taken, found, directory)


def _settle(rig: Rig, found: Outcome, directory: Path) -> None:
    def is_sealed() -> bool:
        rig.buffer.seal_soon(0)
        return rig.buffer._intake.waiting() == (0, 0) and rig.buffer.status().writing and not rig.buffer.status().tail_readings

    _wait(is_sealed, found, directory)


def _wait(condition: Callable[[], bool], found: Outcome, directory: Path) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        _look(found, directory)
        if condition():
            return
        assert time.monotonic() < deadline_s, "the store takes nothing any more"
        time.sleep(0.001)


def _look(found: Outcome, directory: Path) -> None:
    """What the store takes now: file, log, its index and the reserve."""
    size = 0
    for part in directory.glob("edgegw.*"):
        with suppress(FileNotFoundError):
            size += part.stat().st_size
    found.bytes_seen_max = max(found.bytes_seen_max, size)


def _fill(path: Path) -> bool:
    """All that is free, at once; whether the disk was full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while True:
            os.write(descriptor, bytes(64 * 1024))
    except OSError as fault:
        if fault.errno != errno.ENOSPC:
            raise
        return True
    finally:
        os.close(descriptor)


def _count(rig: Rig, found: Outcome) -> None:
    """The ledger, from what an uplink would be handed."""
    there: dict[tuple[int, int], IntervalSet] = {}
    lost: dict[tuple[int, int], IntervalSet] = {}
    for batch in rig.batches(streams=tuple(Stream)):
        identity = batch.identity
        known = there.setdefault((identity.epoch, identity.stream), IntervalSet())
        # Blocks may be joined while they are handed out: what came in a small one comes again in the large one.
        new = known.missing(identity.first, identity.last)
        known.add(identity.first, identity.last)
        if identity.stream == Stream.EVENT:
            for _, one in events_of([batch]):
                if one.kind == "loss":
                    _add_loss(dict(one.body), lost, found)
        elif identity.stream == Stream.THINNED:
            found.thinned_rows += sum(last - first + 1 for first, last in new)
        else:
            found.present.update(_sources_of(batch, IntervalSet(new)))
    _compare(rig, there, lost, found)


def _sources_of(batch: Batch, wanted: IntervalSet) -> list[int]:
    return [row.source_id for row in decode_block(batch.body, batch.identity.first)[1] if row.seq in wanted]


def _add_loss(body: dict[str, Any], lost: dict[tuple[int, int], IntervalSet], found: Outcome) -> None:
    counts = {int(source): count for source, count in body["readings"].items()}
    found.reasons[body["reason"]] += sum(counts.values())
    if body["stream"] != Stream.THINNED:
        found.told.update(counts)
    if "first" in body:
        key = int(body["epoch"], 16), body["stream"]
        new = lost.setdefault(key, IntervalSet()).add(body["first"], body["last"]).new
        found.doubled += body["last"] - body["first"] + 1 - new


def _compare(rig: Rig, there: dict[tuple[int, int], IntervalSet], lost: dict[tuple[int, int], IntervalSet], found: Outcome) -> None:
    epoch = rig.buffer.epoch
    for stream in (int(Stream.ENERGY), int(Stream.TELEMETRY)):
        held, told = there.get((epoch, stream), IntervalSet()), lost.get((epoch, stream), IntervalSet())
        last = max((end for sets in (held, told) for _, end in sets), default=0)
        both = IntervalSet([*held, *told])
        found.missing += sum(end - start + 1 for start, end in both.missing(1, last))
        sizes = [sum(end - start + 1 for start, end in sets) for sets in (held, told, both)]
        found.doubled += sizes[0] + sizes[1] - sizes[2]
