"""A start without its file: no permission, a disk that is read-only or not there yet. Everything goes on from memory (ring.py) until it can be opened.

What memory has numbered by then keeps its epoch, streams and sequences; only the short numbers of rows, which no one else knows, move behind those
that the file has.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from edgegw.buffer.epochs import load_epochs
from edgegw.buffer.filtering import STATE_KEY, Filters
from edgegw.buffer.instance import InstanceLock
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.loading import load_counters, load_states
from edgegw.buffer.migrations import migrate
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.uplinks import load_uplink

_log = logging.getLogger("edgegw.buffer")

T = TypeVar("T")


class Attaching:
    """What is left to do when the file can be opened."""

    def __init__(self, directory: Path, lock: InstanceLock, filters: Mapping[str, Sequence[str]]) -> None:
        self._directory = directory
        self._lock = lock
        self._filters = filters

    def admit(self) -> None:
        """Before the file is touched. Raises EdgegwError E-RUN-SECOND or E-STORE-OPEN, OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()

    def attach(self, connection: sqlite3.Connection, ledger: Ledger, outgoing: Outgoing) -> None:
        """The file's starts, receipts and states join what memory has. Reads only; the next transaction writes all of memory."""
        epochs, counters, states = load_epochs(connection), load_counters(connection), load_states(connection)
        before = ledger.current.number
        ledger.attach(epochs, counters, states)
        chosen = Filters(self._filters, states.get(STATE_KEY), ledger.current.number)
        ledger.states[STATE_KEY] = chosen.document()
        outgoing.attach(chosen, [load_uplink(connection, name) for name in outgoing.uplinks], before)
        _log.warning("the store could be opened at last; it is start number %d of this file", len(epochs.rows))


def in_memory(read: Callable[[sqlite3.Connection], T]) -> T:
    """What a new and empty file would give."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        return read(connection)
