"""A file at its limit, a disk that refuses, damage while running: the process goes on, and every loss is told."""

from __future__ import annotations

import random
import sqlite3
import threading

import pytest

from edgegw.block import decode_schema
from edgegw.buffer import ring, transactions
from edgegw.buffer import writer as writer_module
from edgegw.buffer.database import DamagedError
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.limits import Limits
from edgegw.buffer.room import Room
from edgegw.model import Identity, Stream
from tests.unit.buffer_rig import METER, UPLINK, event, events_of, is_stored, look, reading, rows_of, running, source, wait_for

WIDE = source(1, width=100)
LIMIT_MIB = 4


@pytest.fixture
def impatient(monkeypatch):
    """The same way back, tried more often."""
    monkeypatch.setattr(writer_module, "RETRY_S", 0.05)


def noise(number, dice):
    return reading(WIDE, number, [dice.randrange(2**40) for _ in range(100)])


def test_a_full_file_thins_the_oldest_telemetry_and_tells_it_to_the_reading(tmp_path):
    """
    Below its limit at every moment; what is handed out and what the loss events tell are together everything, nothing is in both, and thinned rows stand for it.
    """
    dice = random.Random(3)
    count = 0
    with running(tmp_path, [WIDE], max_size_mib=LIMIT_MIB) as rig:
        while not [one for _, one in events_of(rig.batches(streams=[1]))] or count < 8_000:
            rig.buffer.accept([noise(count + number, dice) for number in range(400)])
            count += 400
            rig.settle()
            status = rig.buffer.status()
            assert sum(part.stat().st_size for part in tmp_path.glob("edgegw.*")) <= LIMIT_MIB * 2**20
            assert status.file_bytes <= LIMIT_MIB * 2**20
            assert status.writing
            assert count < 40_000
        batches = rig.batches()
        rows = rows_of(batches)
        kept = {seq for _, stream, seq in rows if stream == Stream.TELEMETRY}
        thinned = {seq: row for (_, stream, seq), row in rows.items() if stream == Stream.THINNED}
        losses = [one.body for _, one in events_of(batches)]
    assert {"thinned"} == {body["reason"] for body in losses}
    assert list(range(1, len(losses) + 1)) == sorted(thinned)
    assert {400} == {len(row[3]) for row in thinned.values()}
    lost = [seq for body in losses for seq in range(body["first"], body["last"] + 1)]
    assert len(lost) == len(set(lost)) == status.dropped_readings
    assert len(lost) == sum(body["readings"]["1"] for body in losses)
    assert set(range(1, count + 1)) == kept | set(lost)
    assert not kept & set(lost)
    assert max(lost) < min(kept)


def test_what_a_stall_has_piled_up_stays_within_the_limit(tmp_path):
    """
    While the writer is held up, 100,000 values gather in memory: they are written in parts, so that neither the log nor the whole exceeds its share.
    """
    dice = random.Random(6)
    limits = Limits(LIMIT_MIB * 2**20)
    held = threading.Event()
    with running(tmp_path, [WIDE], max_size_mib=LIMIT_MIB, window_idle_s=60.0) as rig:
        rig.buffer.accept([noise(number, dice) for number in range(300)])
        rig.settle()
        rig.buffer._intake.ask(lambda _: held.wait(20), lambda: None)
        for number in range(300, 1300, 10):
            rig.buffer.accept([noise(number + more, dice) for more in range(10)])
        wait_for("memory to take it", lambda: rig.buffer._intake.is_empty)
        before = rig.buffer.status().commits
        held.set()
        log_bytes = 0

        def is_written():
            nonlocal log_bytes
            log_bytes = max(log_bytes, rig.path.with_name("edgegw.db-wal").stat().st_size)
            return rig.buffer.status().commits > before and rig.ask("newest_block_id", [1]) >= 0

        wait_for("the commit", is_written)
        assert log_bytes <= limits.log_bytes
        rig.settle()
        assert {(rig.buffer.epoch, 3, seq) for seq in range(1, 1301)} == set(rows_of(rig.batches()))


def test_the_memory_is_bounded_also_when_a_commit_was_cut_off(tmp_path, impatient, monkeypatch):
    """
    The disk fails in the middle of a commit and stays away: its readings may go like all others, the newest stay, and what went is told to the reading.
    """
    monkeypatch.setattr(ring, "RING_VALUES_MAX", 4 * 200)
    write = Ledger.write
    broken = [True]

    def fail(ledger, connection, group):
        if broken:
            raise sqlite3.OperationalError("disk I/O error")
        write(ledger, connection, group)

    monkeypatch.setattr(Ledger, "write", fail)
    with running(tmp_path, [METER], window_idle_s=0.1) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(300)])
        for number in range(300, 1000, 50):
            rig.buffer.accept([reading(METER, number + more) for more in range(50)])
            wait_for("a trimmed ring", lambda: rig.buffer._intake.is_empty and rig.buffer.status().tail_readings <= 200)
        broken.clear()
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        lost = wait_for("the loss", lambda: [one.body for _, one in events_of(rig.batches(streams=[1]))])
        kept = sorted(seq for _, _, seq in rows_of(rig.batches()))
    assert list(range(801, 1001)) == kept
    assert [(1, 800, {"1": 800})] == [(body["first"], body["last"], body["readings"]) for body in lost]


def test_readings_are_held_when_making_room_for_them_fails(tmp_path, impatient, monkeypatch):
    """
    What has left the queue is numbered and written again, also when the disk fails before its transaction began.
    """
    make = Room.make
    failing = ["disk I/O error"]

    def fail_once(room, connection, coming_bytes, tell):
        if failing and coming_bytes > 100_000:
            raise sqlite3.OperationalError(failing.pop())
        make(room, connection, coming_bytes, tell)

    monkeypatch.setattr(Room, "make", fail_once)
    dice = random.Random(7)
    with running(tmp_path, [WIDE]) as rig:
        rig.buffer.accept([noise(number, dice) for number in range(200)])
        wait_for("the fault", lambda: not failing)
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        assert {(rig.buffer.epoch, 3, seq) for seq in range(1, 201)} == set(rows_of(rig.batches()))


def test_what_every_cloud_has_goes_first_and_without_a_loss(tmp_path):
    """
    Confirmed blocks make room silently; nothing unconfirmed is lost while there are any.
    """
    dice = random.Random(4)
    sent = 0
    with running(tmp_path, [WIDE], max_size_mib=LIMIT_MIB) as rig:
        for number in range(0, 10_000, 500):
            rig.buffer.accept([noise(number + more, dice) for more in range(500)])
            rig.settle()
            batches = rig.batches()
            assert [] == events_of(batches)
            sent += rig.confirm(batches)
        assert look(rig.path, "SELECT min(first) > 1 FROM block") == [(1,)]
        assert 0 == rig.buffer.status().dropped_readings
    assert 10_000 == sent


def fill_with_events(rig):
    """Losses are never removed unconfirmed: at last SQLite itself refuses."""
    dice = random.Random(5)
    number = 0
    while rig.buffer.status().writing:
        rig.buffer.accept([], [event("loss", n=number + more, text=dice.randbytes(4000)) for more in range(20)])
        number += 20
        wait_for("commit or refusal", lambda: rig.buffer.status().queue_readings == 0 and rig.buffer._intake.is_empty)
        rig.ask("newest_block_id", [1])
        assert number < 5_000
    return number


def test_a_disk_that_refuses_is_outlived(tmp_path, impatient, monkeypatch):
    """
    On SQLITE_FULL polling goes on, nothing unsynced is handed out, the status says why; when room comes, everything is written under the sequences it had.
    """
    monkeypatch.setattr(ring, "RING_VALUES_MAX", 4 * 200)
    with running(tmp_path, [METER], max_size_mib=LIMIT_MIB) as rig:
        events = fill_with_events(rig)
        assert rig.buffer.status().last_error.startswith("SQLITE_FULL")
        for number in range(300):
            rig.buffer.accept([reading(METER, number)], [], {"n": b"%d" % number})
        wait_for("a full ring", lambda: rig.buffer.status().dropped_readings == 100)
        wait_for("the count", lambda: rig.buffer.status().tail_readings == 200)
        told = events_of(rig.batches())
        assert list(range(events - len(told), events)) == [one.body["n"] for _, one in told]
        (written,) = look(rig.path, "SELECT count(*) FROM event")[0]
        assert look(rig.path, "PRAGMA page_count")[0][0] <= 3 * 1024

        rig.ask("receipt", UPLINK, [Identity(rig.buffer.epoch, 1, 1, written)])
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        after = events_of(rig.batches(streams=[1]))
        assert list(range(written, events)) == [one.body["n"] for _, one in after if "n" in one.body]
        assert list(range(written + 1, written + 1 + len(after))) == [seq for seq, _ in after]
        (loss,) = [one.body for _, one in after if "reason" in one.body]
        assert ("queue full", 1, 100, {"1": 100}) == (loss["reason"], loss["first"], loss["last"], loss["readings"])
        assert list(range(100, 300)) == [row[3][0] for row in rows_of(rig.batches()).values()]
        assert "" == rig.buffer.status().last_error
    with running(tmp_path, [METER], max_size_mib=LIMIT_MIB) as rig:
        assert {"n": b"299"} == rig.buffer.states()


def test_a_start_on_a_full_file_works(tmp_path, impatient):
    """
    A store that cannot even write its new layout and epoch starts all the same and catches up when there is room.
    """
    many = [source(number, width=120) for number in range(1, 400)]
    with running(tmp_path, [METER], max_size_mib=LIMIT_MIB) as rig:
        fill_with_events(rig)
    with running(tmp_path, many, max_size_mib=LIMIT_MIB) as rig:
        assert not rig.buffer.status().writing
        rig.buffer.accept([reading(many[0], 1)], [], {"a": b"1"})
        rig.confirm(rig.batches(streams=[1]))
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        (batch,) = rig.batches(streams=[3])
        assert {(rig.buffer.epoch, 3, 1)} == set(rows_of([batch]))
        assert 399 == len(decode_schema(rig.ask("schema_document", batch.schema)))


def test_whoever_asked_during_a_fault_is_told_when_it_is_over(tmp_path, impatient):
    """
    While the disk fails there is only what memory has for the uplink; when it is written again, every stream is told anew, whether anything came or not.
    """
    with running(tmp_path, [METER]) as rig:

        def break_it(_connection):
            raise DamagedError("a test broke it")

        rig.buffer._intake.ask(break_it, lambda: None).result(10)
        wait_for("the call for all streams", lambda: frozenset(Stream) in rig.told)
        assert rig.buffer.status().writing


def test_a_file_damaged_while_running_is_set_aside(tmp_path, impatient):
    """
    Pages destroyed under the running daemon: the file is kept, everything that memory holds is in the new one, identities go on, an event tells it.
    """
    with running(tmp_path, [METER], window_idle_s=60.0) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(1000)], [event()])
        rig.settle()
        rig.buffer.accept([reading(METER, 2000)], [], {"a": b"1"})
        rig.confirm(rig.batches())
        wait_for("commit", lambda: rig.buffer.status().tail_readings == 1)

        def break_it(_connection):
            raise DamagedError("a test broke it")

        rig.buffer._intake.ask(break_it, lambda: None).result(10)
        wait_for("a new file", lambda: list(tmp_path.glob("edgegw.db.damaged-*")))
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        found = rows_of(rig.batches())
        assert {(rig.buffer.epoch, 3, 1001): 2000} == {identity: row[1] for identity, row in found.items()}
        (told,) = [one for _, one in events_of(rig.batches())]
        assert ("store", "damaged") == (told.kind, told.body["state"])
        assert 2 == rig.confirm(rig.batches())
        epoch = rig.buffer.epoch
    with running(tmp_path, [METER]) as rig:
        assert (epoch, 1001) == (rig.buffer.previous.epoch, rig.buffer.previous.last[3])
        assert {"a": b"1"} == rig.buffer.states()


def test_the_daily_check_finds_what_nobody_reads(tmp_path, impatient, monkeypatch):
    """
    A page that is destroyed under the running daemon and never read: the check of the day finds it, the file is set aside, an event tells it.
    """
    monkeypatch.setattr(transactions, "_CHECK_EVERY_S", 0.5)
    with running(tmp_path, [WIDE]) as rig:
        dice = random.Random(9)
        rig.buffer.accept([noise(number, dice) for number in range(500)])
        rig.settle()
        rig.buffer._intake.ask(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), list).result(10)
        (root,) = look(rig.path, "SELECT rootpage FROM sqlite_schema WHERE name = 'block_order'")[0]
        with rig.path.open("r+b") as file:
            file.seek((root - 1) * 1024)
            file.write(b"\xff" * 1024)
        rig.buffer._intake.ask(lambda connection: connection.execute("PRAGMA shrink_memory"), lambda: None).result(10)
        number = iter(range(1000, 100_000))
        wait_for("the check", lambda: rig.buffer.accept([noise(next(number), dice)]) or list(tmp_path.glob("edgegw.db.damaged-*")))
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        assert [("store", "damaged")] == [(one.kind, one.body["state"]) for _, one in events_of(rig.batches(streams=[1]))]


def test_a_database_that_was_removed_is_made_again(tmp_path, impatient):
    """
    Somebody removed the file of the running daemon: within a second it begins a new one, and an event tells it.
    """
    with running(tmp_path, [METER], window_idle_s=60.0) as rig:
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
        for part in tmp_path.glob("edgegw.db*"):
            part.unlink()
        rig.buffer.accept([reading(METER, 2)])
        wait_for("a new file", rig.path.exists)
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        assert {(rig.buffer.epoch, 3, 2): 2} == {identity: row[1] for identity, row in rows_of(rig.batches()).items()}
        assert [{"state": "removed"}] == [one.body for _, one in events_of(rig.batches())]


def test_after_a_fault_nothing_counts_as_synced_before_the_log_is_empty(tmp_path, impatient):
    """
    The way back is complete only when the file itself was synced: while a reader prevents that, what was written again is not handed out.
    """
    with running(tmp_path, [METER]) as rig:
        rig.buffer.accept([], [event(n=0)])
        wait_for("event", lambda: events_of(rig.batches()))
        reader = sqlite3.connect(f"file:{rig.path}?mode=ro", uri=True, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM event").fetchall()
            rig.buffer._intake.ask(_fail_to_sync, lambda: None).result(10)
            rig.buffer.accept([reading(METER, 1)], [event(n=1)])
            wait_for("the reader to be in the way", lambda: "reader" in rig.buffer.status().last_error)
            rig.buffer._intake.ask(_fail_to_sync, lambda: None).result(10)
            told = wait_for("the event from memory", lambda: [batch for batch in rig.batches(streams=[1]) if batch.identity.last == 2])
            assert [False] == [is_stored(batch) for batch in told]
        finally:
            reader.close()
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        assert [(1, 0), (2, 1)] == [(seq, one.body["n"]) for seq, one in events_of(rig.batches())]
        assert {(rig.buffer.epoch, 3, 1)} == set(rows_of(rig.batches()))


def test_events_in_the_file_wait_for_their_sync(tmp_path):
    """
    Whatever the file shows, an event beyond the last sync is not handed out.
    """
    with running(tmp_path, [METER]) as rig:
        rig.buffer.accept([], [event(n=number) for number in range(5)])
        wait_for("events", lambda: events_of(rig.batches()))
        rig.buffer._writer.parts.ledger.synced_number -= 2
        assert [0, 1, 2] == [one.body["n"] for _, one in events_of(rig.batches())]
        assert rig.batches()[-1].block_id == rig.ask("newest_block_id", [1])


def _fail_to_sync(_connection):
    raise sqlite3.OperationalError("disk I/O error")


def test_a_long_reader_does_not_stop_commits(tmp_path):
    """
    Another process that keeps a transaction open costs log space and nothing else.
    """
    with running(tmp_path, [METER]) as rig:
        rig.buffer.accept([reading(METER, 0)])
        rig.settle()
        reader = sqlite3.connect(f"file:{rig.path}?mode=ro", uri=True, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM block").fetchall()
            for number in range(1, 50):
                rig.buffer.accept([reading(METER, number)])
                rig.settle()
            assert rig.buffer.status().writing
            assert 50 == len(rows_of(rig.batches(uplink=UPLINK)))
        finally:
            reader.close()


def test_what_memory_gave_up_does_not_come_back_from_the_file(tmp_path, impatient, monkeypatch):
    """
    Rows that were committed, then given up while the disk failed: the loss event tells exactly them, and neither this start nor the next delivers one of them.
    """
    monkeypatch.setattr(ring, "RING_VALUES_MAX", 4 * 200)
    with running(tmp_path, [METER], window_idle_s=60.0) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(100)])
        wait_for("commit", lambda: rig.buffer.status().tail_readings == 100)
        reader = sqlite3.connect(f"file:{rig.path}?mode=ro", uri=True, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM tail").fetchall()
            rig.buffer._intake.ask(_fail_to_sync, lambda: None).result(10)
            for number in range(100, 400):
                rig.buffer.accept([reading(METER, number)])
            wait_for("a full ring", lambda: rig.buffer.status().dropped_readings >= 200)
        finally:
            reader.close()
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        wait_for("the loss", lambda: rig.batches(streams=[1]))
        batches = rig.batches()
        epoch = rig.buffer.epoch
    with running(tmp_path, [METER]) as rig:
        assert {identity: row for identity, row in rows_of(rig.batches()).items() if identity[0] == epoch} == rows_of(batches)
    lost = [seq for _, one in events_of(batches) for seq in range(one.body["first"], one.body["last"] + 1)]
    kept = [seq for _, _, seq in sorted(rows_of(batches))]
    assert list(range(1, 401)) == lost + kept
    assert len(lost) == sum(one.body["readings"]["1"] for _, one in events_of(batches))
