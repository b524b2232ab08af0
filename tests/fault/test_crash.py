"""Power cuts at every boundary of a recorded run: what was synced is there, once, with one content, in a file that opens."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.fault import crash_check, crash_states, crash_vfs
from tests.unit.buffer_rig import METER, event, reading, rows_of, running

pytestmark = pytest.mark.skipif(not crash_vfs.is_available(), reason="this interpreter hides its SQLite: nothing can be recorded")

STEPS, STATES = 400, 1_000
# Enough of a run, and of its states, for a fault to show.
WEAK_STEPS, WEAK_STATES = 120, 200
PROCESSES = 2


@pytest.fixture
def scratch(tmp_path):
    """Memory where the machine has some for files: a thousand states are written and opened."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return tmp_path
    with tempfile.TemporaryDirectory(dir=shared, prefix="edgegw-crash-") as directory:
        yield Path(directory)


def test_a_power_cut_at_any_moment_loses_nothing_that_was_synced(scratch):
    """
    A thousand states, torn and reordered writes among them: no synced reading is lost, no identity has two contents, every file opens.
    """
    operations = crash_check.record(scratch / "record", STEPS, seed=1)
    verdict = crash_check.judge_all(operations, STATES, 1, scratch / "states", PROCESSES)
    assert (0, []) == (verdict.faults, verdict.examples), verdict.line()
    assert verdict.states >= STATES * 0.9
    assert verdict.checked > 100_000
    assert {"whole", "bare", "torn"} == verdict.kinds.keys()
    assert {"synced", "given", "confirmed", "joined", "thinned", "buffer full", "given up"} == crash_check.deeds(operations), "the run comes to all of it"


def test_commits_that_are_never_synced_are_lost_in_a_power_cut(scratch):
    """
    The simulator can fail: with synchronous=NORMAL throughout, files stay sound and promised readings are missing.
    """
    operations = crash_check.record(scratch / "record", WEAK_STEPS, seed=2, level="normal")
    verdict = crash_check.judge_all(operations, WEAK_STATES, 2, scratch / "states", PROCESSES)
    assert 0 < verdict.lost
    assert 0 == verdict.unopenable + verdict.doubled


def test_without_any_sync_files_are_damaged_in_a_power_cut(scratch):
    """
    The simulator can fail: with synchronous=OFF readings are lost and files cannot be opened.
    """
    operations = crash_check.record(scratch / "record", WEAK_STEPS, seed=3, level="off")
    verdict = crash_check.judge_all(operations, WEAK_STATES, 3, scratch / "states", PROCESSES)
    assert 0 < verdict.lost
    assert 0 < verdict.unopenable


def test_what_was_synced_is_in_every_state_and_the_rest_is_in_some():
    """
    The model of the disk: before the sync of a file its writes may be missing each for itself, after it none is; a name is safe with the first sync.
    """
    run = [("create", 1, "a"), ("write", 1, 0, b"old" * 300), ("sync", 1), ("write", 1, 3, b"new"), ("write", 1, 900, b"tail"), ("unlink", "a")]
    disk, dice = crash_states.Disk(), random.Random(1)
    for operation in run[:2]:
        disk.do(operation)
    assert {} == disk.bare()
    for operation in run[2:5]:
        disk.do(operation)
    assert {"a": b"old" * 300} == disk.bare()
    assert {"a": b"oldnew" + b"old" * 298 + b"tail"} == disk.whole()
    seen = {disk.torn(dice)["a"] for _ in range(200)}
    assert {b"oldnew" + b"old" * 298, b"old" * 300 + b"tail"} <= seen
    assert all(image.startswith(b"old") for image in seen)
    disk.do(run[5])
    assert {"a"} == disk.bare().keys()
    assert {} == disk.whole()


def test_a_header_torn_while_the_log_is_copied_is_read_from_the_log(tmp_path):
    """
    Rubbish in the first page of the file is no damage while the log holds that page: nothing is set aside, nothing is lost.
    """
    cut = tmp_path / "cut"
    cut.mkdir()
    with running(tmp_path) as rig:
        # A file that grows changes its first page.
        rig.buffer.accept([reading(METER, number) for number in range(50)], [event(n=n, text="x" * 4_000) for n in range(20)])
        rig.settle()
        for name in ("edgegw.db", "edgegw.db-wal"):
            shutil.copy(tmp_path / name, cut / name)
    with (cut / "edgegw.db").open("r+b") as file:
        file.write(random.Random(1).randbytes(400))
    with running(cut) as rig:
        assert None is rig.buffer.set_aside
        assert 50 == len(rows_of(rig.batches()))
