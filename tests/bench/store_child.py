"""One store fed with readings of R10: `python -m tests.bench.store_child fill|live DIRECTORY HOURS|SECONDS joined|apart`.

    fill   as fast as the writer takes it, sealed every 10 s of the station's time; joined as it goes, or never
    live   at the station's own pace, windows of 10 s, for so many seconds

Tells one JSON object: values, bytes in the file, and what reached the disk, counted where SQLite writes.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from edgegw.buffer import joining, transactions, writer
from edgegw.model import Reading
from tests.bench.r10 import Station
from tests.fault.crash_vfs import Recorder
from tests.unit.buffer_rig import Rig, wait_for

WINDOW_S = 10
# Four stretches of the day: night, morning sun, noon, evening.
STRETCHES_H = (2, 9, 12, 19)
_PAGES = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('block', 'block_order', 'block_identity')"
_PATIENCE_S = 20.0


class Tally(list[Any]):
    """In the place of the recorder's list: only counts."""

    def __init__(self) -> None:
        super().__init__()
        self.written_bytes = 0
        self.syncs = 0

    def append(self, operation: tuple[Any, ...]) -> None:
        if operation[0] == "write":
            self.written_bytes += len(operation[3])
        elif operation[0] == "sync":
            self.syncs += 1


def main() -> None:
    kind, directory, amount, joined = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "joined"
    recorder = Recorder(directory)
    tally = recorder.operations = Tally()
    if joined and kind == "fill":
        transactions.LOOK_S = transactions.AGAIN_S = writer.LOOK_S = 0.0
    elif not joined:
        joining.Joining.next_join = lambda *_: None  # type: ignore[assignment, method-assign]
    station = Station()
    rig = Rig(directory, station.sources, window_idle_s=3600 if kind == "fill" else WINDOW_S)
    before = (tally.written_bytes, tally.syncs)
    values = fill(rig, station, amount) if kind == "fill" else live(rig, station, amount)
    spent = (tally.written_bytes - before[0], tally.syncs - before[1])
    if joined and kind == "fill":
        finish_joins(rig, station)
    rig.buffer.close()
    with closing(sqlite3.connect(rig.path)) as file:
        pages, stored = file.execute(_PAGES).fetchone()[0], file.execute("SELECT sum(vals) FROM block").fetchone()[0]
        blocks = file.execute("SELECT count(*), sum(length(body)) FROM block").fetchone()
    found = {
        "values": values,
        "stored": stored,
        "pages_bytes": pages,
        "blocks": blocks[0],
        "body_bytes": blocks[1],
        "written_bytes": spent[0],
        "syncs": spent[1],
    }
    print(json.dumps(found))


def fill(rig: Rig, station: Station, hours: float) -> int:
    values = 0
    for stretch in STRETCHES_H:
        end_s = stretch * 3600 + hours / len(STRETCHES_H) * 3600
        window: list[Reading] = []
        limit_ms = stretch * 3_600_000 + WINDOW_S * 1000
        for reading in station.readings(stretch * 3600, end_s):
            if reading.mono_ms >= limit_ms:
                seal(rig, window)
                values += sum(len(one.values) for one in window)
                window, limit_ms = [], limit_ms + WINDOW_S * 1000
            window.append(reading)
        seal(rig, window)
        values += sum(len(one.values) for one in window)
    return values


def seal(rig: Rig, window: list[Reading]) -> None:
    rig.buffer.accept(window)

    def is_sealed() -> bool:
        rig.buffer.seal_soon(0)
        return rig.buffer._intake.waiting() == (0, 0) and not rig.buffer.status().tail_readings

    wait_for("sealed window", is_sealed, _PATIENCE_S)


def finish_joins(rig: Rig, station: Station) -> None:
    """The writer joins one run at each of its turns: readings of a last minute give it the occasion."""
    counts = rig.buffer._writer.transactions.counts
    before, number = -1, 0
    while counts.joined != before:
        before = counts.joined
        for _ in range(20):
            number += 1
            seal(rig, list(station.readings(86_000 + number, 86_001 + number))[:1])


def live(rig: Rig, station: Station, seconds: float) -> int:
    values = 0
    begin_s = time.monotonic()
    start_s = STRETCHES_H[2] * 3600
    for reading in station.readings(start_s, start_s + seconds):
        wait_until(begin_s + reading.mono_ms / 1000 - start_s)
        rig.buffer.accept([reading])
        values += len(reading.values)
    return values


def wait_until(at_s: float) -> None:
    while (left_s := at_s - time.monotonic()) > 0:
        time.sleep(left_s)


if __name__ == "__main__":
    main()
