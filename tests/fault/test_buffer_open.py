"""Starting on whatever lies there: nothing, a damaged file, another's file, a newer one, one in use."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager

import pytest

from edgegw.buffer import writer as writer_module
from edgegw.buffer.migrations import APPLICATION_ID, VERSION
from edgegw.errors import EXIT_HELD, EXIT_STORE, EdgegwError
from tests.unit.buffer_rig import METER, event, events_of, is_stored, reading, rows_of, running, wait_for

READINGS = 200
NOBODY = 65_534


@pytest.fixture
def filled(tmp_path):
    """A state directory with a database that holds blocks, events and states, cleanly closed."""
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(METER, number, (number, number * 7919 % 10_007, 3, 4)) for number in range(READINGS)], [event()] * 50, {"a": b"1"})
        rig.settle()
    return tmp_path


def destroy_header(path):
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)


def cut(path):
    os.truncate(path, 50)


def empty(path):
    os.truncate(path, 0)


def destroy_pages(path):
    """Every page but the first: whichever holds a table's root is hit."""
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(os.urandom(path.stat().st_size - 1024))


def halve(path):
    os.truncate(path, path.stat().st_size // 2 // 1024 * 1024)


def not_a_database(path):
    path.write_text("a note of the administrator\n" * 40, encoding="utf-8")


def other_program(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious(x)")
        connection.commit()


def log_without_database(path):
    path.unlink()
    path.with_name(path.name + "-wal").write_bytes(b"\x37\x7f\x06\x82" + bytes(2000))


def without_epochs(path):
    """Sound for SQLite, senseless for us: the check passes, the reading of it does not."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM epoch")
        connection.execute("INSERT INTO tail VALUES (1, 99, 3, 1, 1, x'90')")
        connection.commit()


DAMAGES = [destroy_header, cut, empty, destroy_pages, halve, not_a_database, other_program, log_without_database]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_whole_and_a_new_one_begun(filled, damage):
    """
    Whatever is wrong with the file, it is kept byte for byte under another name, told, and the store works at once in a new epoch.
    """
    path = filled / "edgegw.db"
    damage(path)
    before = {part: part.read_bytes() for part in filled.glob("edgegw.db*") if not part.name.endswith("-shm")}
    with running(filled) as rig:
        assert rig.buffer.set_aside.name.startswith("edgegw.db.damaged-")
        assert rig.buffer.previous is None
        for part, content in before.items():
            kept = rig.buffer.set_aside.with_name(rig.buffer.set_aside.name + part.name.removeprefix("edgegw.db"))
            if damage in (destroy_header, cut, empty, not_a_database, other_program, log_without_database):
                assert content == kept.read_bytes()
            assert kept.exists()
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
        assert {(rig.buffer.epoch, 3, 1)} == set(rows_of(rig.batches()))
    with running(filled) as rig:
        assert rig.buffer.set_aside is None


def test_rows_that_contradict_each_other_are_damage_too(filled):
    """
    What only shows after the check sets the file aside as well, while the daemon runs, and the event tells it.
    """
    without_epochs(filled / "edgegw.db")
    with running(filled) as rig:
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
        rows = rows_of(rig.batches())
        assert {(rig.buffer.epoch, 3, 1)} == set(rows)
        assert [("store", "damaged")] == [(one.kind, one.body["state"]) for one in _events(rig)]
    assert 1 == len([part for part in filled.glob("edgegw.db.damaged-*") if not part.name.endswith(("-wal", "-shm"))])


def _events(rig):
    wait_for("event", lambda: events_of(rig.batches()))
    return [one for _, one in events_of(rig.batches())]


def test_two_damaged_files_keep_two_names(filled):
    """
    A second damage in the same second does not overwrite what the first set aside.
    """
    for _ in range(2):
        destroy_header(filled / "edgegw.db")
        with running(filled):
            pass
    assert 2 == len([part for part in filled.glob("edgegw.db.damaged-*") if not part.name.endswith(("-wal", "-shm"))])


@pytest.mark.parametrize("in_log", [False, True])
def test_a_newer_file_is_refused_untouched(filled, in_log):
    """
    A file of a newer version ends the start with E-STORE-NEWER and keeps every byte that it had.
    """
    path = filled / "edgegw.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
        connection.commit()
        if not in_log:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.read_bytes()
        with pytest.raises(EdgegwError) as refusal, running(filled):
            pass
        assert before == path.read_bytes()
    assert ("E-STORE-NEWER", EXIT_STORE) == (refusal.value.message_id, refusal.value.exit_code)
    assert str(VERSION + 1) in str(refusal.value)
    assert [] == list(filled.glob("*damaged*"))


def test_a_second_instance_is_refused_with_the_name_of_the_first(tmp_path):
    """
    The second daemon on one state directory gets pid and start time of the first; the first goes on.
    """
    with running(tmp_path) as rig:
        with pytest.raises(EdgegwError) as refusal, running(tmp_path):
            pass
        assert ("E-RUN-SECOND", EXIT_HELD) == (refusal.value.message_id, refusal.value.exit_code)
        assert f"pid {os.getpid()}, started 2" in refusal.value.text
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
    with running(tmp_path):
        pass


@pytest.mark.parametrize("obstacle", ["directory is a file", "database is a directory", "lock is a directory"])
def test_a_store_that_cannot_be_opened_says_where(tmp_path, obstacle):
    """
    What cannot be opened at all ends the start with E-STORE-OPEN, the path and a next step; the lock is free again.
    """
    directory = tmp_path / "state"
    if obstacle == "directory is a file":
        directory.write_text("x", encoding="utf-8")
    else:
        (directory / ("edgegw.db" if obstacle == "database is a directory" else "edgegw.lock")).mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(EdgegwError) as refusal, running(directory):
            pass
        assert ("E-STORE-OPEN", EXIT_STORE) == (refusal.value.message_id, refusal.value.exit_code)
        assert str(directory) in refusal.value.text
        assert refusal.value.next_step


@pytest.mark.parametrize("obstacle", ["directory is a file", "database is a directory", "lock is a directory"])
def test_a_daemon_begins_without_its_store_and_gets_it_back(filled, tmp_path_factory, monkeypatch, obstacle):
    """
    Nothing can be opened: readings and alarms go out from memory, marked; when the obstacle is gone they are in the file under the identities that they had,
    behind what an earlier start left there, and receipts of both count.
    """
    monkeypatch.setattr(writer_module, "RETRY_S", 0.05)
    monkeypatch.setattr(writer_module, "_RING_TURN_S", 0.02)
    path, aside = filled / "edgegw.db", tmp_path_factory.mktemp("aside")
    blocked = {"directory is a file": filled, "database is a directory": path, "lock is a directory": filled / "edgegw.lock"}[obstacle]
    blocked.rename(aside / "kept")
    if obstacle == "directory is a file":
        blocked.write_text("x", encoding="utf-8")
    else:
        blocked.mkdir()
    with running(filled, may_wait=True) as rig:
        assert (False, None) == (rig.buffer.status().writing, rig.buffer.previous)
        assert "E-STORE-OPEN" in rig.buffer.trouble
        rig.buffer.accept([reading(METER, number) for number in range(10)], [event(n=7)], {"b": b"2"})
        told = wait_for("batches from memory", lambda: len(found := rig.batches()) == 2 and found)
        assert [False, False] == [is_stored(batch) for batch in told]
        assert 1 == rig.confirm([batch for batch in told if batch.identity.stream == 1])
        if blocked.is_dir():
            blocked.rmdir()
        else:
            blocked.unlink()
        (aside / "kept").rename(blocked)
        wait_for("the file", lambda: rig.buffer.status().writing)
        rig.settle()
        rows = rows_of(rig.batches())
        assert {(rig.buffer.epoch, 3, seq) for seq in range(1, 11)} == {key for key in rows if key[0] == rig.buffer.epoch}
        assert READINGS + 10 == len(rows)
        assert 50 == len(events_of(rig.batches()))
        epoch = rig.buffer.epoch
    with running(filled) as rig:
        assert (epoch, {1: 1, 3: 10}) == (rig.buffer.previous.epoch, rig.buffer.previous.last)
        assert {"a": b"1", "b": b"2"} == rig.buffer.states()
        assert rows == rows_of(rig.batches())


@contextmanager
def read_only(disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def no_permission(disk):
    """As the service's user, on files of root's."""
    disk.chmod(0o700)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount and be somebody else")
@pytest.mark.parametrize("obstacle", [read_only, no_permission])
def test_a_daemon_begins_on_a_disk_that_it_may_not_write(tmp_path, monkeypatch, obstacle):
    """
    Read-only or another user's: the start goes on from memory, the file is not touched, and when it may be written everything is in it.
    """
    monkeypatch.setattr(writer_module, "RETRY_S", 0.05)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "edgegw-test", str(disk)], check=False, capture_output=True).returncode:
        pytest.skip("this machine may not mount")
    try:
        with running(disk) as rig:
            rig.buffer.accept([reading(METER, 1)])
            rig.settle()
            earlier = rows_of(rig.batches())
        with ExitStack() as started:
            file = started.enter_context((disk / "edgegw.db").open("rb"))
            before = file.read()
            with obstacle(disk):
                rig = started.enter_context(running(disk, may_wait=True))
                rig.buffer.accept([reading(METER, 2)], [event()])
                told = wait_for("batches from memory", lambda: len(found := rig.batches()) == 2 and found)
                assert [False, False] == [is_stored(batch) for batch in told]
                file.seek(0)
                assert before == file.read()
            wait_for("the file", lambda: rig.buffer.status().writing)
            rig.settle()
            assert earlier.keys() | {(rig.buffer.epoch, 3, 1)} == rows_of(rig.batches()).keys()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_file_is_ours_and_private(filled):
    """
    Small pages, a write-ahead log, our mark and version in the header, and nobody else may read it.
    """
    path = filled / "edgegw.db"
    header = path.read_bytes()[:100]
    assert 0o600 == path.stat().st_mode & 0o777
    assert (1024, 2, APPLICATION_ID, VERSION) == (
        int.from_bytes(header[16:18], "big"),
        header[18],
        int.from_bytes(header[68:72], "big"),
        int.from_bytes(header[60:64], "big"),
    )


def test_a_half_made_file_of_an_earlier_start_is_no_obstacle(tmp_path):
    """
    A start that was killed while it made the file leaves a draft that the next one replaces.
    """
    (tmp_path / "edgegw.db.new").write_bytes(b"half")
    with running(tmp_path) as rig:
        assert rig.buffer.set_aside is None
    assert not (tmp_path / "edgegw.db.new").exists()


PROGRAM = """
import sys
from pathlib import Path
from tests.unit.buffer_rig import running
with running(Path(sys.argv[1])):
    print("sqlite_utils" in sys.modules)
"""


def test_sqlite_utils_is_imported_for_a_migration_only(tmp_path):
    """
    The slow import happens when the file is made and never again.
    """
    seen = [subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
    assert ["True", "False"] == seen
