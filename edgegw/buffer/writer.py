"""The thread that owns the only writing connection: it keeps the deadlines, answers questions, and gets over a disk that fails.

Any fault of the disk ends in `_fail`: the connection is closed, and every RETRY_S the file is opened anew and everything that is held
in memory is written again (`_recover`). Meanwhile readings wait in the queue, which drops the oldest telemetry when it is full;
polling never notices.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
from pathlib import Path
from time import monotonic

from edgegw.buffer.database import checkpoint, is_damage, open_database
from edgegw.buffer.status import Tail, Unsent
from edgegw.buffer.transactions import Parts, Transactions
from edgegw.errors import EdgegwError
from edgegw.model import Event

_log = logging.getLogger("edgegw.buffer")

# A disk that failed is tried again this often: soon enough for a full disk that was cleared, rarely enough for one that is dead.
RETRY_S = 3.0
# The thread turns at least this often, so that whoever watches it sees it alive.
TURN_S_MAX = 1.0
# Receipts that nothing else brings to the file are written after this time; losing them costs one resend.
_RECEIPTS_AFTER_S = 1.0


class RemovedError(sqlite3.OperationalError):
    """The file in use has no name any more."""


class Writer:
    """`start` and `join` are for the owner; what stands without an underscore may be read by any thread."""

    def __init__(self, path: Path, parts: Parts) -> None:
        self.parts = parts
        self.transactions = Transactions(parts)
        self.fault = ""
        """What the disk said, while it fails."""
        self.tail = Tail(0, 0)
        self.unsent: dict[str, Unsent] = {}
        self.turned_ms = parts.clock.mono_ms()
        self._path = path
        self._intake = parts.intake
        self._outgoing = parts.outgoing
        self._windows = parts.windows
        self._connection: sqlite3.Connection | None = None
        self._damage = ""
        self._is_full = False
        self._is_removed = False
        self._file_id: tuple[int, int] | None = None
        self._retry_s = math.inf
        self._receipts_s = math.inf
        self._thread = threading.Thread(target=self._run, name="edgegw-writer", daemon=True)

    def start(self, connection: sqlite3.Connection) -> None:
        """The first transaction of this start, then the thread. A disk that refuses it does not prevent the start."""
        self._connection = connection
        self._file_id = _file_id(self._path)
        try:
            self.transactions.write_all(connection, after_fault=False)
        except sqlite3.Error as error:
            self._fail(error)
        self._publish()
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """False before `start`, after `join`, and when a mistake of ours ended the thread."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._intake.stopping:
                self._intake.wait(self._wake_s(), for_packages=not self.fault)
                self.turned_ms = self.parts.clock.mono_ms()
                self._turn()
            self._finish()
        finally:
            self._intake.stop()
            self._answer()
            if self._connection is not None:
                self._connection.close()

    def _wake_s(self) -> float:
        turn_s = monotonic() + TURN_S_MAX
        if self.fault:
            return min(turn_s, self._retry_s)
        return min(turn_s, self._windows.sync_at_s(), self._receipts_s)

    def _turn(self) -> None:
        try:
            if not self.fault:
                self._work(monotonic())
            elif monotonic() >= self._retry_s:
                self._recover()
            self._answer()
        except (sqlite3.Error, OSError, EdgegwError) as error:
            self._fail(error)
        self._publish()

    def _work(self, now_s: float) -> None:
        connection = self._sound()
        if self._outgoing.is_dirty:
            self._outgoing.settle(connection)
            self._receipts_s = min(self._receipts_s, now_s + _RECEIPTS_AFTER_S)
        sync = now_s >= self._windows.sync_at_s()
        if sync and _file_id(self._path) != self._file_id:
            # SQLite does not notice: it would go on writing into a file that ends with the process.
            raise RemovedError("somebody removed or replaced the file")
        if sync or now_s >= self._receipts_s or self._intake.is_due(now_s):
            self.transactions.commit(connection, now_s, sync=sync)
            self._receipts_s = math.inf

    def _sound(self) -> sqlite3.Connection:
        assert self._connection is not None, "there is a connection while nothing failed"
        return self._connection

    def _publish(self) -> None:
        """Numbers for whoever looks from another thread."""
        rows = [row for held in self.parts.ledger.held.values() for row in held]
        self.tail = Tail(sum(len(row.readings) for row in rows), sum(row.values for row in rows))
        self.unsent = self._outgoing.unsent(self.parts.clock.wall_ms())
        self._intake.settled()

    # -- faults

    def _fail(self, error: sqlite3.Error | OSError | EdgegwError) -> None:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        first = not self.fault
        self.fault = f"{name}: {error}"
        if first:
            _log.error("the store cannot be written (%s); readings wait in memory, tried again every %g s", self.fault, RETRY_S)
        self._is_full = name == "SQLITE_FULL"
        self._is_removed = self._is_removed or isinstance(error, RemovedError)
        self._damage = self.fault if isinstance(error, sqlite3.Error) and is_damage(error) else ""
        self._retry_s = monotonic() + (0.0 if first else RETRY_S)

    def _recover(self) -> None:
        """A new connection, everything held written and synced, the log emptied into the file: only then the disk counts as well."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        # A full disk does not damage a file; all else may have.
        opened = open_database(self._path, self.parts.limits, check=not self._is_full, condemned=self._damage)
        connection = self._connection = opened.connection
        self._damage = ""
        if opened.set_aside is not None:
            self._tell_damage({"state": "damaged", "set_aside": opened.set_aside.name})
        elif self._is_removed:
            self._tell_damage({"state": "removed"})
        self._is_removed = False
        self._file_id = _file_id(self._path)
        self._outgoing.recount(connection)
        self._outgoing.settle(connection)
        self.transactions.make_first_room(connection, was_full=self._is_full)
        self.transactions.write_all(connection, after_fault=True)
        _log.warning("the store is written again (it was not: %s)", self.fault)
        self.fault = ""
        self.transactions.tell_all()

    def _tell_damage(self, body: dict[str, object]) -> None:
        clock = self.parts.clock
        mono_ms = clock.mono_ms()
        self.transactions.raise_events([Event("store", clock.wall_ms(mono_ms), mono_ms, clock.trust, None, body)])

    # -- questions and the end

    def _answer(self) -> None:
        failed: sqlite3.Error | None = None
        for job in self._intake.take_jobs():
            if not job.answer.set_running_or_notify_cancel():
                continue
            connection = None if failed or self._intake.stopping else self._connection
            try:
                job.answer.set_result(job.offline() if connection is None else job.work(connection))
            except sqlite3.Error as error:
                failed = error
                job.answer.set_result(job.offline())
            except ValueError as refusal:
                job.answer.set_exception(refusal)
        if failed is not None:
            raise failed

    def _finish(self) -> None:
        """The last commit: everything sealed, synced and in the file proper."""
        try:
            if self.fault:
                self._recover()
            connection = self._sound()
            while True:
                self.transactions.commit(connection, monotonic(), sync=True)
                if self._intake.is_empty:
                    break
            self.transactions.seal(connection, everything=True)
            checkpoint(connection)
        except (sqlite3.Error, OSError, EdgegwError) as error:
            _log.error("the store could not be completed at the end: %s", error)


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
