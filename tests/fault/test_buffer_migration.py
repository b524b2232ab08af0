"""Database files of every released schema open today: nothing in them is lost, moved or told twice."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgegw.buffer.migrations import STEPS, VERSION
from edgegw.errors import EdgegwError
from edgegw.model import Identity, Quality, Stream
from tests.unit.buffer_rig import METER, UPLINK, event, events_of, look, reading, rows_of, running

# vN.db is a file that the program of schema N left behind without an orderly end, with rows in its tail.
FILES = sorted((Path(__file__).parents[1] / "golden" / "buffer").glob("v*.db"))


def test_there_is_a_file_of_every_released_schema():
    """
    Each schema before the present one has a file among the test data; whoever adds a step adds a file.
    """
    assert [f"v{version}.db" for version in range(1, VERSION)] == [file.name for file in FILES if file.name != f"v{VERSION}.db"]
    assert VERSION == len(STEPS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_older_file_is_brought_up_whole(tmp_path, file):
    """
    Blocks, tail, events, receipts and states of an older file are all there after the migration, and the store goes on with them.
    """
    shutil.copy(file, tmp_path / "edgegw.db")
    with closing(sqlite3.connect(tmp_path / "edgegw.db")) as database:
        epochs = [int.from_bytes(row[0], "big") for row in database.execute("SELECT id FROM epoch ORDER BY number")]
    with running(tmp_path) as rig:
        assert [(VERSION,)] == look(rig.path, "PRAGMA user_version")
        assert {"rules/a": b"1"} == rig.buffer.states()
        assert epochs[-1] == rig.buffer.previous.epoch
        rig.buffer.accept([reading(METER, 1)], [event()])
        rig.settle()
        rows = rows_of(rig.batches())
        expected = {(epochs[0], Stream.ENERGY, 1), (rig.buffer.epoch, Stream.TELEMETRY, 1)}
        expected |= {(epochs[1], Stream.TELEMETRY, seq) for seq in range(1, 6)}
        assert expected == set(rows)
        assert (10, 20, 30, 40) == rows[epochs[0], Stream.ENERGY, 1][3]
        assert [(n, 1, 2, 3) for n in range(5)] == [rows[epochs[1], Stream.TELEMETRY, seq][3] for seq in range(1, 6)]
        assert ["alarm", "alarm"] == [one.kind for _, one in events_of(rig.batches())]
        rig.ask("resend", UPLINK, [batch_range(epochs[0], Stream.TELEMETRY, 21)])
        again = {identity: row for identity, row in rows_of(rig.batches()).items() if identity[:2] == (epochs[0], Stream.TELEMETRY)}
        assert 21 == len(again)
        assert 1 == sum(row[4] == dict.fromkeys(range(4), Quality.OFFLINE) for row in again.values())
    with running(tmp_path) as rig:
        assert rig.buffer.set_aside is None


def test_what_an_older_log_holds_is_brought_up_too(tmp_path):
    """
    The older program was killed: its last commit lies in the log alone, and is there after the migration.
    """
    path = tmp_path / "then" / "edgegw.db"
    path.parent.mkdir()
    shutil.copy(FILES[0], path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("INSERT INTO state VALUES ('rules/late', x'31')")
        now = tmp_path / "now"
        now.mkdir()
        for part in path.parent.glob("edgegw.db*"):
            if not part.name.endswith("-shm"):
                shutil.copy(part, now)
    assert (now / "edgegw.db-wal").stat().st_size > 0
    with running(now) as rig:
        assert [(VERSION,)] == look(rig.path, "PRAGMA user_version")
        assert {"rules/a": b"1", "rules/late": b"1"} == rig.buffer.states()
        assert rig.buffer.set_aside is None


def batch_range(epoch, stream, last):
    return Identity(epoch, int(stream), 1, last)


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    """
    A migration that is cut off leaves the older schema behind, and the next start does it again.
    """
    shutil.copy(FILES[0], tmp_path / "edgegw.db")

    def half(database):
        STEPS[1](database)
        database.conn.execute("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setattr("edgegw.buffer.migrations.STEPS", (STEPS[0], half))
    with pytest.raises(EdgegwError, match="nowhere"), running(tmp_path):
        pass
    assert [(1,)] == look(tmp_path / "edgegw.db", "PRAGMA user_version")
    monkeypatch.undo()
    with running(tmp_path) as rig:
        assert [(VERSION,)] == look(rig.path, "PRAGMA user_version")
        assert rig.buffer.set_aside is None
