"""What one uplink's cloud has not confirmed, read from the file while the service goes on writing: for a parcel that goes by hand.

Reads what the sender would be given, in its order, and changes nothing: only a receipt ends the waiting. Rows that are not in a block yet (the last
window) wait for the next parcel or for the link.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from edgegw.buffer.epochs import load_epochs
from edgegw.buffer.filtering import STATE_KEY, Filters
from edgegw.buffer.ledger import load_ledger
from edgegw.buffer.loading import schema_of
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.uplinks import load_uplink
from edgegw.errors import EXIT_STORE, EdgegwError
from edgegw.model import Batch, Stream

_BUSY_S = 5.0
# Alarms first, as on the link.
_ORDER: Sequence[Sequence[int]] = ((Stream.EVENT,), (Stream.ENERGY,), (Stream.TELEMETRY, Stream.RECORD, Stream.THINNED))


def waiting(path: Path, uplink: str, points: Sequence[str] = ()) -> Iterator[tuple[Batch, bytes | None]]:
    """Each batch, with its schema document where it is the first that names it. Raises EdgegwError E-STORE-OPEN, E-STORE-PAGE."""
    if not path.is_file():
        raise EdgegwError("E-STORE-OPEN", f"there is no file {path}", "edgegw buffer status", EXIT_STORE)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None)) as connection:
            yield from _waiting(connection, uplink, points)
    except sqlite3.OperationalError as fault:
        raise EdgegwError("E-STORE-OPEN", f"cannot read {path}: {fault}", f"ls -l {path}", EXIT_STORE) from fault
    except sqlite3.DatabaseError as fault:
        raise EdgegwError("E-STORE-PAGE", f"{path} is damaged: {fault}", "edgegw buffer verify", EXIT_STORE) from fault


def _waiting(connection: sqlite3.Connection, uplink: str, points: Sequence[str]) -> Iterator[tuple[Batch, bytes | None]]:
    epochs = load_epochs(connection)
    # An epoch of its own, in memory alone: nothing is numbered here.
    ledger = load_ledger(connection, epochs, epochs.begin(schema_of(()), 0, 0), ())
    ledger.all_is_synced()
    # What the service began with holds for what it has read, whatever the configuration says now.
    filters = Filters({uplink: points}, ledger.states.get(STATE_KEY), ledger.current.number)
    outgoing = Outgoing(ledger, [load_uplink(connection, uplink)], filters)
    told: set[bytes] = set()
    for streams in _ORDER:
        after = 0
        while (batch := outgoing.next_batch(connection, uplink, streams, after, None)) is not None:
            after = batch.block_id
            document = None
            if batch.schema is not None and batch.schema not in told:
                told.add(batch.schema)
                document = outgoing.schema_document(connection, batch.schema)
            yield batch, document
