"""The run that the crash simulator records: `python -m tests.fault.crash_child DIRECTORY RECORD STEPS SEED full|normal|off`.

Two starts of a real buffer on a small file: commits with and without sync, seals, receipts, resends, states, removal at the limit, a migration between
the starts. Reading number n holds n in its first value. Marks in the record tell what was promised at that point, and to whom:

    ("synced", n)            reading n is safe, and the event n of its commit too
    ("given", {identity: content})   handed out, hence synced: identity = (epoch, stream, sequence)
    ("joined", how many blocks are made one now)
    ("confirmed", [(epoch, stream, first, last)])   about to be confirmed: from here on these may go
"""

from __future__ import annotations

import logging
import pickle
import random
import sqlite3
import sys
from pathlib import Path
from typing import Any

from edgegw.buffer import database, joining, migrations, store, transactions, writer
from edgegw.buffer.limits import Limits
from edgegw.model import Batch, Stream
from tests.fault.crash_vfs import Recorder
from tests.unit.buffer_rig import ENERGY, METER, OTHER, Rig, event, events_of, reading, rows_of, source, wait_for

WIDE = source(4, width=200)
SOURCES = (METER, OTHER, ENERGY, WIDE)
# Small enough that the run comes to the limit, large enough for what may never go.
BYTES_MAX = 576 * 1024
# A quarter of an hour has a hundred readings: what is thinned shrinks.
APART_MS = 9_000
_FACTS: dict[str, str | None] = {"full": None, "normal": "NORMAL", "off": "OFF"}


def shrink() -> None:
    """A small limit, and joins of few values: the run comes to all of it within a second. Run and check share it."""
    store.limits_of = lambda *_: Limits(BYTES_MAX)
    transactions.LOOK_S = transactions.AGAIN_S = writer.LOOK_S = 0.02
    joining.VALUES_A_BLOCK, joining.BLOCKS_A_JOIN, joining._SMALL_VALUES = 1_500, 16, 750


def add_migration() -> None:
    """A step that a later version could bring: a column and an index, in a file with data."""

    def step(tables: Any) -> None:
        tables.execute("ALTER TABLE event ADD COLUMN crash_test INTEGER")
        tables.table("event").create_index(["kind"], "crash_test_kind")

    migrations.STEPS = (*migrations.STEPS, step)
    migrations.VERSION = len(migrations.STEPS)
    database.VERSION = migrations.VERSION


def weaken(level: str) -> None:
    """Every connection syncs less than it was told: what the simulator must notice."""
    connect = sqlite3.connect

    class Weak(sqlite3.Connection):
        def execute(self, question: str, *values: Any) -> sqlite3.Cursor:
            return super().execute(f"PRAGMA synchronous={level}" if question.startswith("PRAGMA synchronous=") else question, *values)

    def weak(*arguments: Any, **words: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=Weak, **words)

    sqlite3.connect = weak  # type: ignore[assignment]


def tell_joins(recorder: Recorder) -> None:
    write = joining.Plan.write

    def told(plan: joining.Plan, connection: sqlite3.Connection) -> joining.Joined:
        recorder.mark(("joined", len(plan.parts)))
        return write(plan, connection)

    joining.Plan.write = told  # type: ignore[method-assign]


class Run:
    """One start after the other, on one record."""

    def __init__(self, directory: Path, recorder: Recorder, dice: random.Random) -> None:
        self._directory = directory
        self._recorder = recorder
        self._dice = dice
        self._number = 0

    def start(self, steps: int, *, online: bool) -> None:
        """Without a cloud the file fills up: what nobody confirmed is thinned."""
        rig = Rig(self._directory, SOURCES, window_idle_s=0.2)
        given: list[Batch] = []
        try:
            for step in range(steps):
                self._accept(rig, synced=step % 3 != 2)
                if step % 7 == 6:
                    rig.settle()
                    given += self._take(rig, given)
                if online and step % 20 == 13 and given:
                    self._confirm(rig, given[: max(1, len(given) // 2)])
                    given = given[max(1, len(given) // 2) :]
                if step % 33 == 32 and given:
                    rig.ask("resend", "cloud", [given[0].identity])
                if step % 50 == 49:
                    rig.ask("declare_loss", [given[0].identity] if given else [], "given up")
        finally:
            rig.buffer.close()

    def _accept(self, rig: Rig, *, synced: bool) -> None:
        """One commit: readings of several streams, with a state; with an event it is synced."""
        first = self._number + 1
        self._number += self._dice.randint(1, 6)
        readings = [self._reading(n) for n in range(first, self._number + 1)]
        events = [event("tick", first, n=self._number, text="x" * self._dice.randrange(200))] if synced else []
        rig.buffer.accept(readings, events, {"n": b"%d" % self._number})
        if not synced:
            return

        def is_given() -> bool:
            """Only what is synced is handed out: whoever sees the event knows the commit to be safe."""
            return not rig.buffer.status().queue_readings and rig.buffer._intake.is_empty and rig.ask("newest_block_id", [Stream.EVENT]) > before

        before = self._last_event
        wait_for("synced event", is_given)
        self._last_event = rig.ask("newest_block_id", [Stream.EVENT])
        self._recorder.mark(("synced", range(first, self._number + 1)))

    _last_event = 0

    def _reading(self, n: int) -> Any:
        of = ENERGY if n % 11 == 0 else (METER, OTHER, WIDE)[n % 3]
        width = len(of.points)
        return reading(of, n * APART_MS, (n, *(self._dice.randrange(2**30) for _ in range(width - 1))))

    def _take(self, rig: Rig, known: list[Batch]) -> list[Batch]:
        """What the cloud would be given now and had not been given before."""
        old = {batch.identity for batch in known}
        batches = rig.batches()
        contents: dict[Any, Any] = {**rows_of(batches)}
        for batch in batches:
            if batch.identity.stream == Stream.EVENT:
                contents.update({(batch.identity.epoch, 1, seq): (one.kind, one.at_ms, dict(one.body)) for seq, one in events_of([batch])})
        self._recorder.mark(("given", contents))
        return [batch for batch in batches if batch.identity not in old]

    def _confirm(self, rig: Rig, batches: list[Batch]) -> None:
        intervals = [(one.identity.epoch, int(one.identity.stream), one.identity.first, one.identity.last) for one in batches]
        self._recorder.mark(("confirmed", intervals))
        rig.confirm(batches)

    def end(self) -> None:
        """Everything that is left is handed out once, so that every number has its identity."""
        rig = Rig(self._directory, SOURCES, window_idle_s=0.2)
        try:
            self._take(rig, [])
        finally:
            rig.buffer.close()


def main() -> None:
    directory, record, steps, seed, level = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), _FACTS[sys.argv[5]]
    recorder = Recorder(directory)
    if level:
        weaken(level)
    logging.getLogger("edgegw").setLevel(logging.CRITICAL)
    shrink()
    tell_joins(recorder)
    run = Run(directory, recorder, random.Random(seed))
    run.start(steps // 2, online=True)
    add_migration()
    run.start(steps - steps // 2, online=False)
    run.end()
    record.write_bytes(pickle.dumps(recorder.operations))


if __name__ == "__main__":
    main()
