"""The starts of the daemon that the file knows, and the last sequence of each stream in each."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import msgspec

# A start that has left nothing in the file is forgotten when this many came after it.
EMPTY_EPOCHS_MAX = 1_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Previous(msgspec.Struct, frozen=True):
    """The start before this one, for the event `started`."""

    epoch: int
    last: dict[int, int]
    """Last sequence of each stream."""


class EpochRow(msgspec.Struct, frozen=True):
    """One start."""

    number: int
    epoch: int
    schema: bytes
    started_at_ms: int
    boot_id: str
    boot_ms: int | None = None
    """The machine's monotonic time at which the epoch's own began; None in files that did not tell it yet."""


class Epochs:
    """All starts by their short number (rows hold that) and by their id (everybody else knows that)."""

    def __init__(self) -> None:
        self.rows: dict[int, EpochRow] = {}
        self.numbers: dict[int, int] = {}
        self.last: dict[tuple[int, int], int] = {}
        """(epoch number, stream) to the last sequence given."""

    def add(self, row: EpochRow) -> None:
        self.rows[row.number] = row
        self.numbers[row.epoch] = row.number

    def begin(self, schema: bytes, started_at_ms: int, boot_ms: int) -> EpochRow:
        """The start that happens now."""
        row = EpochRow(max(self.rows, default=0) + 1, secrets.randbits(64), schema, started_at_ms, _boot_id(), boot_ms)
        self.add(row)
        return row

    def replace(self, found: Epochs, current: EpochRow, lasts: Mapping[int, int]) -> None:
        """By those of a file, and this start behind them."""
        self.rows, self.numbers, self.last = found.rows, found.numbers, found.last
        self.add(current)
        self.last.update({(current.number, stream): last for stream, last in lasts.items()})

    def previous(self, current: int) -> Previous | None:
        """The last start before the one numbered `current`."""
        number = max((number for number in self.rows if number < current), default=None)
        if number is None:
            return None
        return Previous(self.rows[number].epoch, {stream: last for (epoch, stream), last in sorted(self.last.items()) if epoch == number})


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def load_epochs(connection: sqlite3.Connection) -> Epochs:
    epochs = Epochs()
    for number, epoch, *rest in connection.execute("SELECT number, id, schema, started_at_ms, boot_id, boot_ms FROM epoch ORDER BY number"):
        epochs.add(EpochRow(number, int.from_bytes(epoch, "big"), *rest))
    for epoch, stream, last in connection.execute("SELECT epoch, stream, last FROM sequence"):
        epochs.last[epoch, stream] = last
    for epoch, stream, last in connection.execute("SELECT epoch, stream, max(last) FROM tail GROUP BY epoch, stream"):
        epochs.last[epoch, stream] = max(last, epochs.last.get((epoch, stream), 0))
    return epochs


def save_epochs(connection: sqlite3.Connection, epochs: Epochs) -> None:
    """Writes what the file does not have yet; into a new file, all of it."""
    rows = [(row.number, row.epoch.to_bytes(8, "big"), row.schema, row.started_at_ms, row.boot_id, row.boot_ms) for row in epochs.rows.values()]
    connection.executemany("INSERT OR IGNORE INTO epoch(number, id, schema, started_at_ms, boot_id, boot_ms) VALUES (?, ?, ?, ?, ?, ?)", rows)


def save_last(connection: sqlite3.Connection, epoch: int, stream: int, last: int) -> None:
    connection.execute(
        "INSERT INTO sequence(epoch, stream, last) VALUES (?, ?, ?) ON CONFLICT(epoch, stream) DO UPDATE SET last = max(last, excluded.last)",
        (epoch, stream, last),
    )


def forget_empty(connection: sqlite3.Connection, epochs: Epochs) -> None:
    """Keeps the table of starts bounded: the oldest that have nothing in the file go, with their receipts. Inside the caller's transaction."""
    if len(epochs.rows) <= EMPTY_EPOCHS_MAX:
        return
    held = {row[0] for row in connection.execute("SELECT epoch FROM event UNION SELECT epoch FROM tail")}
    for number in sorted(epochs.rows)[:-EMPTY_EPOCHS_MAX]:
        if number in held or connection.execute("SELECT 1 FROM block WHERE epoch = ? LIMIT 1", (number,)).fetchone():
            continue
        for table, column in (("sequence", "epoch"), ("receipt", "epoch"), ("epoch", "number")):
            connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))  # noqa: S608 - names of our own
