"""The tables, as numbered steps from an empty file to the present one (`PRAGMA user_version` says how far a file is).

    epoch     one row for each start of the daemon: its random id (8 bytes), its schema, the boot it ran in and how long after the boot it began
    schema    layouts of the sources, named by their hash
    sequence  last sequence of sealed data and events in each epoch and stream
    tail      readings not yet sealed: one row for each commit and stream, deleted when they are in a block
    block     sealed readings: `body` is what is sent. block_id and event.number are one count: the order of sending. `moved_ms` is what a
              correction of the clock has added to its wall times (null: nothing), so that the original is kept
    event     events, stream 1
    receipt   what each uplink's cloud has confirmed: intervals of sequences
    cursor    up to this number an uplink's receipts cover a stream without a hole
    state     what the rules must know after a restart
    synced    one row, a larger number with every synced commit: an empty transaction syncs nothing

A released step is never edited. sqlite-utils is imported only when a step runs: the import takes 85 ms (measured).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

# "egw1": tells our files from another program's.
APPLICATION_ID = 0x65677731


def _first_tables(database: Database) -> None:
    database.create_table("epoch", {"number": int, "id": bytes, "schema": bytes, "started_at_ms": int, "boot_id": str}, pk="number")
    database.create_table("schema", {"hash": bytes, "document": bytes}, pk="hash")
    database.create_table("sequence", {"epoch": int, "stream": int, "last": int}, pk=("epoch", "stream"))
    database.create_table("tail", {"id": int, "epoch": int, "stream": int, "first": int, "last": int, "body": bytes}, pk="id")
    block = {"block_id": int, "epoch": int, "stream": int, "first": int, "last": int, "schema": bytes, "from_ms": int, "to_ms": int, "vals": int, "body": bytes}
    database.create_table("block", block, pk="block_id")
    database.table("block").create_index(["stream", "block_id", "vals"], "block_order")
    database.table("block").create_index(["epoch", "stream", "first"], "block_identity", unique=True)
    event = {"number": int, "epoch": int, "seq": int, "kind": str, "device": str, "at_ms": int, "body": bytes}
    database.create_table("event", event, pk="number")
    database.table("event").create_index(["epoch", "seq"], "event_identity", unique=True)
    receipt = {"uplink": str, "epoch": int, "stream": int, "first": int, "last": int}
    database.create_table("receipt", receipt, pk=("uplink", "epoch", "stream", "first"))
    database.create_table("cursor", {"uplink": str, "stream": int, "number": int}, pk=("uplink", "stream"))
    database.create_table("state", {"key": str, "value": bytes}, pk="key")
    database.create_table("synced", {"id": int, "commits": int}, pk="id")
    database.table("synced").insert({"id": 1, "commits": 0})


def _corrected_clocks(database: Database) -> None:
    database.table("block").add_column("moved_ms", int)
    database.table("epoch").add_column("boot_ms", int)


STEPS: tuple[Callable[[Database], None], ...] = (_first_tables, _corrected_clocks)
VERSION = len(STEPS)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to VERSION, each step in a transaction of its own."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return
    from sqlite_utils import Database  # noqa: PLC0415 - slow to import, rarely needed

    database = Database(connection, execute_plugins=False)
    for number, step in enumerate(STEPS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            step(database)
            connection.execute(f"PRAGMA user_version={number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    # The number must stand in the file itself: an older program looks there before it opens anything.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
