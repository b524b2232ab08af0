"""The receiver's SQLite sink: the tables of docs/uplink.md, and what the receiver must remember.

    readings   one row a value                          events     one row an event
    settled    intervals stored or declared lost        schemas    documents by gateway and hash
    batches    every batch as it came, in order         parked     batches whose schema has not come yet
    refused    what was not taken, and why      schema_part  documents of which not all parts have come

`PRAGMA user_version` counts the steps that a file has behind it; one that is older is brought up when it is opened. One connection; WAL and synchronous=FULL, since a receipt says that the data survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgegw.cloud.opening import EventRow, ReadingRow
from edgegw.cloud.sink import Arrival, Parked, SinkConflictError, SinkError
from edgegw.errors import EXIT_STORE, EdgegwError
from edgegw.intervals import IntervalSet
from edgegw.model import Identity
from edgegw.uplink.schema_parts import PARTS_MAX

# Batches wait for a schema document that travels before them: more than a few mean a fault, and the gateway keeps what is not receipted.
PARKED_MAX = 1000
# One gateway without its schema document must not take the room of the others.
PARKED_GATEWAY_MAX = 100
# Evidence, not an archive: anyone who may publish can fill it.
REFUSED_MAX = 10_000
# Documents of one gateway that come in parts at the same time: a gateway has a handful of schemas in its store.
SCHEMAS_IN_PARTS_MAX = 8
# (gateway, epoch, stream) whose intervals are held in memory; a gateway has three or four at a time.
_SETTLED_IN_MEMORY_MAX = 4096

_FIRST_TABLES = (
    """CREATE TABLE IF NOT EXISTS readings(gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream INTEGER NOT NULL, seq INTEGER NOT NULL, device TEXT NOT NULL,
    point TEXT NOT NULL, read_at_ms INTEGER NOT NULL, value, quality TEXT NOT NULL, clock TEXT NOT NULL,
        PRIMARY KEY(gateway, epoch, stream, seq, point)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS events(gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
    device TEXT, at_ms INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY(gateway, epoch, stream, seq)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS settled(gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY(gateway, epoch, stream, first)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS schemas(gateway TEXT NOT NULL, schema BLOB NOT NULL, document BLOB NOT NULL, received_at_ms INTEGER NOT NULL,
        PRIMARY KEY(gateway, schema)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS batches(arrival INTEGER PRIMARY KEY, topic_kind TEXT NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL,
    stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, new INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS parked(parked_id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, schema BLOB NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    received_at_ms INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS refused(refused_id INTEGER PRIMARY KEY, received_at_ms INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
    text TEXT NOT NULL, bytes INTEGER NOT NULL)""",
)
_PARTS_AND_VOLATILE = (
    "ALTER TABLE batches ADD COLUMN volatile INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE schema_part(gateway TEXT NOT NULL, schema BLOB NOT NULL, at_byte INTEGER NOT NULL, bytes BLOB NOT NULL, received_at_ms INTEGER NOT NULL,
    PRIMARY KEY(gateway, schema, at_byte)) WITHOUT ROWID""",
)
# A released step is never edited. The first is also for files that were made before steps were counted.
STEPS = (_FIRST_TABLES, _PARTS_AND_VOLATILE)
_RANGE = "gateway = ? AND epoch = ? AND stream = ? AND seq BETWEEN ? AND ?"


class SqliteSink:
    """Fulfils `sink.Sink`."""

    def __init__(self, path: Path) -> None:
        self._settled: dict[tuple[str, str, int], IntervalSet] = {}
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
        except sqlite3.Error as fault:
            raise _unusable(path, fault) from fault
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._migrate(path)
        except sqlite3.Error as fault:
            self._connection.close()
            raise _unusable(path, fault) from fault

    def _migrate(self, path: Path) -> None:
        """All steps in one transaction: another receiver may open the same file."""
        self._connection.execute("BEGIN IMMEDIATE")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(STEPS):
            self._connection.close()
            what = f"the sink {path} was written by a newer edgegw (version {version} of its tables, known are {len(STEPS)})"
            raise EdgegwError("E-SINK", what, "update this receiver, or name another sink", EXIT_STORE)
        for statement in (one for step in STEPS[version:] for one in step):
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version={len(STEPS)}")
        self._connection.execute("COMMIT")

    def begin(self) -> None:
        with _told():
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        with _told():
            self._connection.execute("COMMIT")
        if len(self._settled) > _SETTLED_IN_MEMORY_MAX:
            self._settled.clear()

    def rollback(self) -> None:
        self._settled.clear()
        if self._connection.in_transaction:
            with _told():
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def settled(self, gateway: str, epoch: str, stream: int) -> IntervalSet:
        key = (gateway, epoch, stream)
        known = self._settled.get(key)
        if known is None:
            with _told():
                rows = self._connection.execute("SELECT first, last FROM settled WHERE gateway = ? AND epoch = ? AND stream = ?", key).fetchall()
            known = self._settled[key] = IntervalSet(rows)
        return known

    def holes(self, gateway: str) -> list[Identity]:
        with _told():
            streams = self._connection.execute("SELECT epoch, stream, max(last) FROM settled WHERE gateway = ? GROUP BY epoch, stream", (gateway,)).fetchall()
        return [
            Identity(int(epoch, 16), stream, first, last)
            for epoch, stream, newest in streams
            for first, last in self.settled(gateway, epoch, stream).missing(1, newest)
        ]

    def settle(self, gateway: str, epoch: str, stream: int, first: int, last: int) -> None:
        swallowed, merged, _ = self.settled(gateway, epoch, stream).add(first, last)
        with _told():
            for interval in swallowed:
                self._connection.execute(
                    "DELETE FROM settled WHERE gateway = ? AND epoch = ? AND stream = ? AND first = ?", (gateway, epoch, stream, interval[0])
                )
            self._connection.execute("INSERT INTO settled VALUES(?, ?, ?, ?, ?)", (gateway, epoch, stream, *merged))

    def write_readings(self, rows: Sequence[ReadingRow]) -> None:
        self._insert("INSERT INTO readings VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def write_events(self, rows: Sequence[EventRow]) -> None:
        self._insert("INSERT INTO events VALUES(?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _insert(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """All rows or none."""
        with _told():
            self._connection.execute("SAVEPOINT rows")
            try:
                self._connection.executemany(statement, rows)
            except sqlite3.IntegrityError as fault:
                self._connection.execute("ROLLBACK TO rows")
                raise SinkConflictError(str(fault)) from fault
            finally:
                self._connection.execute("RELEASE rows")

    def stored_readings(self, gateway: str, epoch: str, stream: int, first: int, last: int) -> set[tuple[object, ...]]:
        question = f"SELECT seq, device, point, value, quality FROM readings WHERE {_RANGE}"  # noqa: S608 - a constant
        with _told():
            return set(self._connection.execute(question, (gateway, epoch, stream, first, last)))

    def stored_events(self, gateway: str, epoch: str, stream: int, first: int, last: int) -> set[tuple[object, ...]]:
        question = f"SELECT seq, kind, device, body FROM events WHERE {_RANGE}"  # noqa: S608 - a constant
        with _told():
            return set(self._connection.execute(question, (gateway, epoch, stream, first, last)))

    def schema(self, gateway: str, schema: bytes) -> bytes | None:
        with _told():
            row = self._connection.execute("SELECT document FROM schemas WHERE gateway = ? AND schema = ?", (gateway, schema)).fetchone()
        return None if row is None else bytes(row[0])

    def write_schema(self, gateway: str, schema: bytes, document: bytes, received_at_ms: int) -> None:
        with _told():
            self._connection.execute("INSERT OR IGNORE INTO schemas VALUES(?, ?, ?, ?)", (gateway, schema, document, received_at_ms))

    def write_schema_part(self, gateway: str, schema: bytes, offset: int, content: bytes, received_at_ms: int) -> int:
        """A document with too many parts begins anew; of too many documents the one that has waited longest goes: both come again."""
        with _told():
            if self._count_parts(gateway, schema)[0] >= PARTS_MAX:
                self.drop_schema_parts(gateway, schema)
            # Cut differently, the longer part has more of the document.
            keep_longer = "ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE length(excluded.bytes) > length(schema_part.bytes)"
            self._connection.execute(f"INSERT INTO schema_part VALUES(?, ?, ?, ?, ?) {keep_longer}", (gateway, schema, offset, content, received_at_ms))
            others = "SELECT schema FROM schema_part WHERE gateway = ? AND schema <> ? GROUP BY schema ORDER BY max(received_at_ms) DESC LIMIT -1 OFFSET ?"
            for (one,) in self._connection.execute(others, (gateway, schema, SCHEMAS_IN_PARTS_MAX - 1)).fetchall():
                self.drop_schema_parts(gateway, one)
            return self._count_parts(gateway, schema)[1]

    def _count_parts(self, gateway: str, schema: bytes) -> tuple[int, int]:
        """(parts, bytes)"""
        question = "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM schema_part WHERE gateway = ? AND schema = ?"
        count, size = self._connection.execute(question, (gateway, schema)).fetchone()
        return count, size

    def schema_parts(self, gateway: str, schema: bytes) -> list[tuple[int, bytes]]:
        question = "SELECT at_byte, bytes FROM schema_part WHERE gateway = ? AND schema = ? ORDER BY at_byte"
        with _told():
            return self._connection.execute(question, (gateway, schema)).fetchall()

    def drop_schema_parts(self, gateway: str, schema: bytes) -> None:
        with _told():
            self._connection.execute("DELETE FROM schema_part WHERE gateway = ? AND schema = ?", (gateway, schema))

    def park(self, gateway: str, schema: bytes, topic: str, payload: bytes, received_at_ms: int) -> bool:
        with _told():
            count, own = self._connection.execute("SELECT count(*), coalesce(sum(gateway = ?), 0) FROM parked", (gateway,)).fetchone()
            if count >= PARKED_MAX or own >= PARKED_GATEWAY_MAX:
                return False
            row = (gateway, schema, topic, payload, received_at_ms)
            self._connection.execute("INSERT INTO parked(gateway, schema, topic, payload, received_at_ms) VALUES(?, ?, ?, ?, ?)", row)
        return True

    def parked(self, gateway: str, schema: bytes) -> list[Parked]:
        question = "SELECT parked_id, topic, payload FROM parked WHERE gateway = ? AND schema = ? ORDER BY parked_id"
        with _told():
            return [Parked(*row) for row in self._connection.execute(question, (gateway, schema))]

    def unpark(self, parked_id: int) -> None:
        with _told():
            self._connection.execute("DELETE FROM parked WHERE parked_id = ?", (parked_id,))

    def record_batch(self, arrival: Arrival) -> None:
        row = (
            *(arrival.kind, arrival.gateway, arrival.epoch, arrival.stream, arrival.first, arrival.last),
            *(arrival.received_at_ms, arrival.size_bytes, arrival.new, int(arrival.volatile)),
        )
        columns = "topic_kind, gateway, epoch, stream, first, last, received_at_ms, bytes, new, volatile"
        with _told():
            self._connection.execute(f"INSERT INTO batches({columns}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def record_refused(self, received_at_ms: int, topic: str, reason: str, text: str, size_bytes: int) -> None:
        row = (received_at_ms, topic[:128], reason, text[:256], size_bytes)
        with _told():
            newest = self._connection.execute("INSERT INTO refused(received_at_ms, topic, reason, text, bytes) VALUES(?, ?, ?, ?, ?)", row).lastrowid
            self._connection.execute("DELETE FROM refused WHERE refused_id <= ?", ((newest or 0) - REFUSED_MAX,))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise SinkError(str(fault)) from fault


def _unusable(path: Path, fault: sqlite3.Error) -> EdgegwError:
    return EdgegwError("E-SINK", f"the sink {path} cannot be used: {fault}", "check directory, rights and file, or name another one", EXIT_STORE)
