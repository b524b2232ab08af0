"""Salvage: what a damaged file still holds is delivered under the identities it had, the rest is declared lost, and nothing is in both."""

from __future__ import annotations

import asyncio
import random
import shutil

import pytest

from edgegw.buffer.history import Reader
from edgegw.buffer.recovery import Recovery, find_damaged
from edgegw.buffer.verify import verify
from edgegw.clock import Clock
from edgegw.errors import EdgegwError
from edgegw.model import Stream
from tests.unit.buffer_rig import ENERGY, METER, event, events_of, look, reading, rows_of, running, source

WIDE = source(4, width=60)
SOURCES = (METER, ENERGY, WIDE)
PAGE = 1024


def fill(rig, count=1500):
    """Blocks of several streams, large ones and small ones, and events; returns all that was given out."""
    dice = random.Random(1)
    for start in range(0, count, 50):
        numbers = range(start, start + 50)
        of = (METER, WIDE, ENERGY)[start // 50 % 3]
        rig.buffer.accept([reading(of, n, [n, *(dice.randrange(2**40) for _ in of.points[1:])]) for n in numbers], [event(n=start, text="x" * 300)])
        rig.settle()
    batches = rig.batches()
    return batches, rows_of(batches)


def damaged_copy(path, directory, pages):
    """The file set aside with these pages destroyed, as the start would leave it."""
    target = directory / "edgegw.db.damaged-20270101T000000Z"
    shutil.copy(path, target)
    dice = random.Random(2)
    with target.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(dice.randbytes(PAGE))
    return target


def recover(rig, path):
    async def run():
        recovery = Recovery(rig.buffer, Clock(), path)
        try:
            while not (await recovery.step()).done:
                pass
        finally:
            recovery.close()
        return recovery.progress

    return asyncio.run(run())


def pages_of(path, table):
    return [page for (page,) in look(path, "SELECT pageno FROM dbstat WHERE name = ? ORDER BY pageno", table)]


@pytest.fixture
def filled(tmp_path):
    """A closed store with much in it: (path, its batches, its rows)."""
    (tmp_path / "old").mkdir()
    with running(tmp_path / "old", SOURCES) as rig:
        batches, rows = fill(rig)
        rig.confirm(batches[:3])
    return rig.path, batches, rows


def test_an_undamaged_file_comes_back_whole(tmp_path, filled):
    """
    Readings and events of the old file are handed out again with their identities, save what was confirmed; doing it twice changes nothing.
    """
    path, batches, rows = filled
    target = damaged_copy(path, tmp_path, [])
    with running(tmp_path, SOURCES) as rig:
        progress = recover(rig, target)
        assert (len(rows), 0, 0) == (progress.readings, progress.unreadable, progress.lost)
        again = rig.batches()
        found = {key: row for key, row in rows_of(again).items() if key[0] != rig.buffer.epoch}
        confirmed = rows_of(batches[:3]).keys()
        assert {key: row for key, row in rows.items() if key not in confirmed} == found
        assert {one.body["n"] for _, one in events_of(batches[3:]) if one.kind == "alarm"} <= {one.body.get("n") for _, one in events_of(again)}
        second = recover(rig, target)
        assert (0, 0) == (second.stored, second.stored_events)
        assert rows_of(rig.batches()).keys() == rows_of(again).keys()


@pytest.mark.parametrize("seed", range(6))
def test_destroyed_pages_cost_what_stood_on_them_and_no_more(tmp_path, filled, seed):
    """
    With pages of blocks and events destroyed: every reading is either stored as it was or declared lost, none is both, and none is invented.
    """
    path, _, rows = filled
    dice = random.Random(seed)
    pages = dice.sample(pages_of(path, "block"), 4) + dice.sample(pages_of(path, "event"), 2)
    target = damaged_copy(path, tmp_path, pages)
    original = target.read_bytes()
    with running(tmp_path, SOURCES) as rig:
        progress = recover(rig, target)
        batches = rig.batches()
        found = {key: row for key, row in rows_of(batches).items() if key[0] != rig.buffer.epoch}
        told = [one.body for _, one in events_of(batches) if one.kind == "loss"]
        lost = {(int(body["epoch"], 16), body["stream"], seq) for body in told for seq in range(body["first"], body["last"] + 1)}
        assert {"damaged"} == {body["reason"] for body in told}
        assert found.items() <= rows.items()
        assert rows.keys() <= found.keys() | lost | {key for key in rows if is_confirmed(path, key)}
        assert not found.keys() & lost
        assert 0 < progress.lost == len(lost)
        assert len(found) > 0.3 * len(rows)
        assert ["salvaged"] == [one.kind for _, one in events_of(batches) if one.kind == "salvaged"]
    assert original == target.read_bytes()


def is_confirmed(path, key):
    epoch, stream, seq = key
    question = "SELECT 1 FROM receipt r JOIN epoch e ON e.number = r.epoch WHERE e.id = ? AND r.stream = ? AND ? BETWEEN r.first AND r.last"
    return bool(look(path, question, epoch.to_bytes(8, "big"), stream, seq))


def test_tail_rows_that_were_never_sealed_come_back_too(tmp_path):
    """
    A copy taken while the store ran has its last readings in the tail: they are salvaged with the log beside the file.
    """
    (tmp_path / "old").mkdir()
    with running(tmp_path / "old", SOURCES, window_idle_s=60) as rig:
        rig.buffer.accept([reading(METER, n) for n in range(20)], [event(n=1)])
        rig.ask("declare_loss", [], "")
        target = damaged_copy(rig.path, tmp_path, [])
        shutil.copy(f"{rig.path}-wal", f"{target}-wal")
        epoch = rig.buffer.epoch
    with running(tmp_path, SOURCES) as rig:
        progress = recover(rig, target)
        assert (1, 20) == (progress.tail_rows, progress.stored)
        assert {(epoch, int(Stream.TELEMETRY), seq) for seq in range(1, 21)} == rows_of(rig.batches()).keys()


def test_a_file_without_its_first_page_is_refused_in_words(tmp_path, filled):
    """
    Nothing can be found without the header: E-RECOVER says so, and the store goes on.
    """
    target = damaged_copy(filled[0], tmp_path, [1])
    with running(tmp_path, SOURCES) as rig, pytest.raises(EdgegwError) as refusal:
        recover(rig, target)
    assert "E-RECOVER" == refusal.value.message_id


def test_the_only_file_that_was_set_aside_needs_no_name(tmp_path, filled):
    """
    One is found by itself; of two the name is asked for, and both are named.
    """
    target = damaged_copy(filled[0], tmp_path, [])
    assert target == find_damaged(tmp_path, "")
    shutil.copy(target, target.with_name("edgegw.db.damaged-20270102T000000Z"))
    with pytest.raises(EdgegwError, match="2 files were set aside"):
        find_damaged(tmp_path, "")
    assert target == find_damaged(tmp_path, target.name)


def test_verify_accounts_for_every_sequence_after_a_salvage(tmp_path, filled):
    """
    Nothing is a gap once the unreadable is declared lost.
    """
    path, _, _ = filled
    target = damaged_copy(path, tmp_path, pages_of(path, "block")[10:14])
    with running(tmp_path, SOURCES) as rig:
        recover(rig, target)
        rig.settle()
        rig.ask("declare_loss", [], "")
        with Reader(rig.path) as reader:
            report = verify(reader)
    assert ([], []) == (report.gaps, report.damaged)
    assert 0 < report.lost["damaged"]
