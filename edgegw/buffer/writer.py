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

from edgegw.buffer.attaching import Attaching
from edgegw.buffer.database import checkpoint, is_damage, open_database
from edgegw.buffer.ring import STALL_S, TOLD_ANYWAY_S
from edgegw.buffer.status import Tail, Unsent
from edgegw.buffer.transactions import Parts, Transactions
from edgegw.errors import EdgegwError
from edgegw.model import Event

_log = logging.getLogger("edgegw.buffer")

# A disk that failed is tried again this often: soon enough for a full disk that was cleared, rarely enough for one that is dead.
RETRY_S = 3.0
# The thread turns at least this often, so that whoever watches it sees it alive.
TURN_S_MAX = 1.0
# The disk and the file are looked after this often, whatever is read: a few system calls.
LOOK_S = 1.0
# Receipts that nothing else brings to the file are written after this time; losing them costs one resend.
_RECEIPTS_AFTER_S = 1.0
# While the disk fails or stalls, what is accepted is looked after this often: an alarm is told within half a second.
_RING_TURN_S = 0.1


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
        self._attaching: Attaching | None = None
        self._damage = ""
        self._is_full = False
        self._is_removed = False
        self._file_id: tuple[int, int] | None = None
        self._retry_s = math.inf
        self._receipts_s = math.inf
        self._look_s = monotonic()
        self._failures = 0
        self._busy_s = math.inf
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgegw-writer", daemon=True)
        self._stand_in = threading.Thread(target=self._stand_by, name="edgegw-stand-in", daemon=True)

    def start(self, connection: sqlite3.Connection) -> None:
        """The first transaction of this start, then the thread. A disk that refuses it does not prevent the start."""
        self._connection = connection
        self._file_id = _file_id(self._path)
        self.parts.space.opened(connection)
        try:
            self.transactions.write_all(connection, after_fault=False)
        except sqlite3.Error as error:
            self._fail(error)
        self._publish()
        self._thread.start()
        self._stand_in.start()

    def start_without(self, attaching: Attaching, fault: str) -> None:
        """The thread, from the beginning as after a fault: there is no file that could be opened."""
        self._attaching = attaching
        self.fault, self._failures, self._retry_s = fault, 2, monotonic() + RETRY_S
        self._publish()
        self._thread.start()
        self._stand_in.start()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        self._stopped.set()
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """False before `start`, after `join`, and when a mistake of ours ended the thread."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """What keeps the disk from taking anything, once it lasts; from any thread."""
        stalled_s = monotonic() - self._busy_s
        if stalled_s >= STALL_S:
            return f"a write has been waiting for {stalled_s:.0f} s"
        return self.fault if self._failures > 1 else ""

    def _run(self) -> None:
        try:
            while not self._intake.stopping:
                self._intake.wait(self._wake_s(), for_packages=not self.fault)
                self.turned_ms = self.parts.clock.mono_ms()
                self._busy_s = monotonic()
                self._turn()
                self._busy_s = math.inf
            self._finish()
        finally:
            self._intake.stop()
            self._stopped.set()
            self._answer()
            if self._connection is not None:
                self._connection.close()

    def _wake_s(self) -> float:
        turn_s = monotonic() + TURN_S_MAX
        if self.fault:
            return min(monotonic() + _RING_TURN_S, self._retry_s)
        if self.transactions.is_correcting:
            return 0.0  # step by step, commits between them
        return min(turn_s, self._windows.sync_at_s(), self._receipts_s)

    def _turn(self) -> None:
        try:
            if not self.fault:
                self._work(monotonic())
            elif monotonic() >= self._retry_s:
                self._recover()
            if self.fault:
                self.transactions.ring.step(readings=True)
            self._answer()
        except (sqlite3.Error, OSError, EdgegwError) as error:
            self._fail(error)
            self.transactions.ring.step(readings=True)
        self._publish()

    def _stand_by(self) -> None:
        """The second thread: while the disk holds the writer up, alarms are told and, if it lasts, readings are sent from memory."""
        pause_s = TOLD_ANYWAY_S
        while not self._stopped.wait(pause_s):
            busy_s = monotonic() - self._busy_s
            # Seldom while nothing is under way: each look costs as much as ten values.
            pause_s = TOLD_ANYWAY_S if busy_s < 0 else _RING_TURN_S
            if busy_s < TOLD_ANYWAY_S - _RING_TURN_S:
                continue
            self.transactions.ring.step(readings=busy_s >= STALL_S)
            self.tail = Tail(*self.parts.ledger.held_counts())
            self._intake.settled()
            for job in self._intake.take_stalled_jobs():
                if job.stalled is not None and job.answer.set_running_or_notify_cancel():
                    job.answer.set_result(job.stalled())

    def _work(self, now_s: float) -> None:
        connection = self._sound()
        if self._outgoing.is_dirty:
            self._outgoing.settle(connection)
            self._receipts_s = min(self._receipts_s, now_s + _RECEIPTS_AFTER_S)
        sync = now_s >= self._windows.sync_at_s()
        is_look_due = now_s >= self._look_s
        if is_look_due and _file_id(self._path) != self._file_id:
            # SQLite does not notice: it would go on writing into a file that ends with the process.
            raise RemovedError("somebody removed or replaced the file")
        if sync or now_s >= self._receipts_s or self._intake.is_due(now_s) or self.parts.ledger.has_unwritten:
            self.transactions.commit(connection, now_s, sync=sync)
            self._receipts_s = math.inf
        if self.transactions.ring.is_used and self.transactions.ring.end():
            self.transactions.tell_all()
        # When nothing waits, as behind a commit: what comes meanwhile has the time of its group left.
        if (is_look_due and self._intake.is_empty) or now_s >= self._look_s + LOOK_S or self.transactions.is_correcting:
            self._look_s = now_s + LOOK_S
            self.parts.space.look()
            self.parts.space.bound_log(connection)
            wear = self.parts.meter.look(now_s, self.transactions.counts.syncs)
            if wear is not None:
                self._tell({"state": "wear", "written_bytes_a_day": wear.written_bytes_a_day, "syncs_a_day": wear.syncs_a_day})
            self.transactions.tidy(connection, now_s)

    def _sound(self) -> sqlite3.Connection:
        assert self._connection is not None, "there is a connection while nothing failed"
        return self._connection

    def _publish(self) -> None:
        """Numbers for whoever looks from another thread."""
        self.tail = Tail(*self.parts.ledger.held_counts())
        self.unsent = self._outgoing.unsent(self.parts.clock.wall_ms())
        self._intake.settled()

    # -- faults

    def _fail(self, error: sqlite3.Error | OSError | EdgegwError) -> None:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        first = not self.fault
        self._failures += 1
        self.parts.ledger.failed()
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
        if self._attaching is not None:
            self._attaching.admit()
        self.parts.space.look()
        # A full disk does not damage a file; all else may have.
        opened = open_database(self._path, self.parts.space.limits, check=not self._is_full, condemned=self._damage)
        connection = self._connection = opened.connection
        self.parts.space.opened(connection)
        self._damage = ""
        if opened.set_aside is not None:
            self._tell({"state": "damaged", "set_aside": opened.set_aside.name})
        elif self._is_removed:
            self._tell({"state": "removed"})
        self._is_removed = False
        self._file_id = _file_id(self._path)
        if self._attaching is not None:
            self._attaching.attach(connection, self.parts.ledger, self._outgoing)
            self._attaching = None
        self._outgoing.recount(connection)
        self._outgoing.settle(connection)
        self.transactions.write_all(connection, after_fault=True, was_full=self._is_full)
        _log.warning("the store is written again (it was not: %s)", self.fault)
        self.fault, self._failures = "", 0
        self.transactions.ring.end()
        self.transactions.tell_all()

    def _tell(self, body: dict[str, object]) -> None:
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
