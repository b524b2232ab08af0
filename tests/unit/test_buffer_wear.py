"""What the store says of the disk: bytes and syncs a day, and room that others take."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from edgegw.buffer import space as space_module
from edgegw.buffer import wear as wear_module
from edgegw.buffer.database import open_database
from edgegw.buffer.limits import PAGE_BYTES, Limits, pages_kept_free
from edgegw.buffer.space import FILE_NAME, Space
from edgegw.buffer.wear import DAY_S, Meter, written_bytes
from tests.unit.buffer_rig import METER, event, reading, running, wait_for

MIB = 1024 * 1024
LIMITS = Limits(16 * MIB)


def test_the_limit_holds_all_that_the_store_may_take():
    """
    Pages, log, its index and reserve together are the limit, for small and large ones.
    """
    for size in (4 * MIB, 64 * MIB, 8192 * MIB):
        limits = Limits(size)
        index_bytes = 32 * 1024 * (1 + limits.log_bytes // (4096 * PAGE_BYTES))
        together = limits.pages_max * PAGE_BYTES + limits.log_bytes + index_bytes + limits.reserve_bytes
        assert size - 16 * PAGE_BYTES < together <= size
        assert limits.log_pages_copied * PAGE_BYTES + limits.transaction_bytes < limits.log_bytes
        assert pages_kept_free(limits.pages_max) < limits.pages_max


def test_writing_is_counted_by_the_kernel(tmp_path):
    """
    Bytes that this process brings to the disk show in its count.
    """
    before = written_bytes()
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(bytes(MIB))
        os.fsync(file.fileno())
    if written_bytes() == before:
        pytest.skip("a file system in memory, or a kernel that does not count")
    assert MIB <= written_bytes() - before


def test_a_budget_that_is_exceeded_is_told_once(monkeypatch):
    """
    After an hour above the budget one word, none while it lasts, another when it comes back.
    """
    total = [0]
    monkeypatch.setattr(wear_module, "written_bytes", lambda: total[0])
    meter = Meter(1_000_000_000, 0.0)
    told = []
    for quarter in range(1, 13):
        total[0] += 20_000_000
        told.append(meter.look(900.0 * quarter, 900 * quarter))
    assert [4] == [number for number, word in enumerate(told, 1) if word]
    assert (1_920_000_000, 86_400) == (meter.wear().written_bytes_a_day, meter.wear().syncs_a_day)
    for quarter in range(13, 13 + 96):
        assert meter.look(900.0 * quarter, 900 * quarter) is None
    total[0] += 2_000_000_000
    assert meter.look(900.0 * 109, 900 * 109)


def test_too_many_syncs_are_told_too(monkeypatch):
    """
    90,000 syncs a day are the budget, whatever the bytes.
    """
    monkeypatch.setattr(wear_module, "written_bytes", lambda: 0)
    meter = Meter(1_000_000_000, 0.0)
    words = [meter.look(900.0 * quarter, 1000 * quarter) for quarter in range(1, 6)]
    assert [None, None, None] == words[:3]
    assert words[3].syncs_a_day == int(1000 * DAY_S / 900)


class Disk:
    """What statvfs says."""

    f_frsize = 1

    def __init__(self, free):
        self.f_bavail = free


def test_the_reserve_goes_and_comes_with_the_room(tmp_path, monkeypatch):
    """
    On a short disk the reserve is gone and the file may grow by a quarter of it, if others leave that; with room for it and as much again it is back.
    """
    free = [100 * MIB]
    monkeypatch.setattr(space_module.os, "statvfs", lambda _: Disk(free[0]))
    space = Space(tmp_path, LIMITS)
    space.look(may_make=False)
    assert not (tmp_path / FILE_NAME).exists()
    space.look()
    assert LIMITS.reserve_bytes == (tmp_path / FILE_NAME).stat().st_size
    with closing(open_database(tmp_path / "edgegw.db", LIMITS).connection) as connection:
        assert LIMITS.pages_max == space.pages_max(connection)
        assert not space.is_short(connection, 0)
        for free[0], tight, more_bytes in ((MIB, True, 0), (3 * MIB, True, LIMITS.reserve_bytes // 4), (MIB, True, 0), (7 * MIB, False, None)):
            space.look()
            space.bound_log(connection)
            assert tight == space.is_tight
            assert tight != (tmp_path / FILE_NAME).exists()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            assert more_bytes is None or pages + more_bytes // PAGE_BYTES == space.pages_max(connection)
            (log_pages,) = connection.execute("PRAGMA wal_autocheckpoint").fetchone()
            assert tight == (log_pages < LIMITS.log_pages_copied)


def test_the_reserve_is_made_though_every_commit_is_synced_at_once(tmp_path):
    """
    The disk is looked after by time, not by the kind of commit: a station that sends nothing but events has its reserve within seconds.
    """
    with running(tmp_path) as rig:
        there = wait_for("the reserve", lambda: rig.buffer.accept([], [event()]) or (tmp_path / FILE_NAME).exists())
        assert there


def test_what_is_deleted_is_not_written_again(tmp_path):
    """
    Some builds of SQLite overwrite deleted rows with zeros, which writes every tail row twice: the store's connection does not.
    """
    with closing(open_database(tmp_path / "edgegw.db", LIMITS).connection) as connection:
        connection.execute("CREATE TABLE wide(body)")
        connection.execute("INSERT INTO wide VALUES (randomblob(1000000))")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("DELETE FROM wide")
        assert (tmp_path / "edgegw.db-wal").stat().st_size < 100_000


def test_the_status_tells_the_disk(tmp_path):
    """
    A status says whether the disk is tight and what is written a day.
    """
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
        status = rig.buffer.status()
    assert (False, 0) == (status.disk_tight, status.written_bytes_a_day)
    assert status.syncs_a_day >= 0
