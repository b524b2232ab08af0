"""`edgegw buffer recover`: a damaged file that was set aside, portion by portion into the store that runs.

    Recovery.step()   one portion: read on a thread, stored by the writer; the caller asks again until it is done
    the end           receipts of the old file, a loss event for each range that is nowhere, one event `salvaged` with the counts

Every step can be repeated, and so can the whole: what the store has is not stored again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgegw.buffer import losses
from edgegw.buffer.adopting import Adoption
from edgegw.buffer.blocks import Lost
from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.salvage import DamagedFile, Portion
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.errors import EXIT_STORE, EXIT_UNKNOWN, EdgegwError
from edgegw.model import Event, Identity

# Loss events of one commit: a file in shreds has many.
_EVENTS_AT_ONCE = 200


class Progress(msgspec.Struct):
    """What has been done so far."""

    file: str
    blocks: int = 0
    events: int = 0
    tail_rows: int = 0
    readings: int = 0
    unreadable: int = 0
    """Rows that were there and could not be opened."""
    stored: int = 0
    """Readings that the store did not have."""
    stored_events: int = 0
    lost: int = 0
    """Sequences that are nowhere and were declared lost."""
    done: bool = False


class Recovery:
    """One damaged file. `step` until `progress.done`, then `close`."""

    def __init__(self, buffer: Buffer, clock: Clock, path: Path) -> None:
        self.progress = Progress(path.name)
        self._buffer = buffer
        self._clock = clock
        self._file = DamagedFile(path)
        self._origins = {origin.epoch: origin for origin in self._file.origins.values()}
        self._portions: Iterator[Portion] = self._file.portions()

    def close(self) -> None:
        self._file.__exit__()

    async def step(self) -> Progress:
        """One portion. Raises EdgegwError E-RECOVER when the store does not take it."""
        portion = await asyncio.to_thread(next, self._portions, None)
        if portion is None:
            await self._finish()
        else:
            await self._store(portion)
        counts = self._file.counts
        progress = self.progress
        progress.blocks, progress.events, progress.tail_rows = counts.blocks, counts.events, counts.tail_rows
        progress.readings, progress.unreadable = counts.readings, counts.unreadable
        return progress

    async def _store(self, portion: Portion) -> None:
        adopted = await self._buffer.adopt(Adoption(portion, self._origins, self._file.documents))
        if adopted is None:
            raise EdgegwError("E-RECOVER", "the store cannot be written at present", "df -h; then the same again: nothing is stored twice", EXIT_STORE)
        self.progress.stored += adopted.readings
        self.progress.stored_events += sum(stream == 1 for stream, _ in adopted.headers)

    async def _finish(self) -> None:
        for uplink, intervals in (await asyncio.to_thread(self._file.confirmed)).items():
            await self._confirm(uplink, intervals)
        lost = await asyncio.to_thread(self._file.lost)
        self.progress.lost = sum(one.last - one.first + 1 for one in lost)
        events = [losses.range_lost(self._clock, Lost(one.epoch, one.stream, one.first, one.last, {}), losses.DAMAGED) for one in lost]
        counts = self._file.counts
        body: dict[str, object] = {
            "file": self.progress.file,
            "epochs": [f"{epoch:016x}" for epoch in self._origins],
            "readings": counts.readings,
            "events": counts.events,
            "unreadable": counts.unreadable,
            "lost": self.progress.lost,
        }
        mono_ms = self._clock.mono_ms()
        for start in range(0, len(events), _EVENTS_AT_ONCE):
            self._buffer.accept((), events[start : start + _EVENTS_AT_ONCE])
        self._buffer.accept((), [Event("salvaged", self._clock.wall_ms(mono_ms), mono_ms, self._clock.trust, None, body)])
        self.progress.done = True

    async def _confirm(self, uplink: str, intervals: list[Identity]) -> None:
        """For an uplink that there still is; ranges of what could not be read are unknown here and need none."""
        if not self._buffer.has_uplink(uplink):
            return
        for interval in intervals:
            try:
                await self._buffer.receipt(uplink, [interval])
            except ValueError:
                continue


def find_damaged(directory: Path, name: str) -> Path:
    """The file of that name, or the only one that was set aside. Raises EdgegwError E-RECOVER-FILE."""
    there = sorted(path for path in directory.glob(f"{FILE_NAME}.damaged-*") if not path.name.endswith(("-wal", "-shm")))
    named = [path for path in there if path.name == Path(name).name] if name else there
    if len(named) == 1:
        return named[0]
    if not there:
        raise EdgegwError("E-RECOVER-FILE", f"no damaged file was set aside in {directory}", "edgegw buffer status", EXIT_UNKNOWN)
    text = f"{name} is none of the files that were set aside" if name else f"{len(there)} files were set aside"
    raise EdgegwError("E-RECOVER-FILE", text, f"edgegw buffer recover {' | '.join(path.name for path in there[:4])}", EXIT_UNKNOWN)


def plain(progress: Progress) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(progress)
    return found
