"""Small blocks joined to large ones: the same rows under the same identities, in fewer bytes, whatever happens beside."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegw.block import decode_block
from edgegw.buffer import joining, sealing, transactions
from edgegw.buffer.joining import ALONE_A_LOOK, Joining
from edgegw.buffer.migrations import migrate
from edgegw.buffer.sealing import VALUES_A_BLOCK
from edgegw.model import ClockTrust, Stream
from tests.unit.buffer_rig import ENERGY, METER, OTHER, UPLINK, failed, look, reading, rows_of, running, source, wait_for

WIDE = source(1, width=100)


@pytest.fixture
def eager(monkeypatch):
    """Joins whenever the writer turns, blocks of a hundred values instead of ten thousand."""
    monkeypatch.setattr(joining, "VALUES_A_BLOCK", 100)
    monkeypatch.setattr(joining, "_SMALL_VALUES", 50)
    monkeypatch.setattr(transactions, "LOOK_S", 0.0)
    monkeypatch.setattr(transactions, "AGAIN_S", 0.0)


def join_all(rig):
    """Every join that the file offers, as the writer does them, one by one."""

    def step(connection):
        return rig.buffer._writer.transactions._join_some(connection)

    count = 0
    while rig.buffer._intake.ask(step, lambda: False).result(10):
        count += 1
    return count


def fill(rig, blocks, *, width=4, first=0, offset_ms=1_800_000_000_000):
    """So many blocks of five readings each."""
    of = METER if width == 4 else WIDE
    for number in range(first, first + blocks):
        rig.buffer.accept([reading(of, 100 * number + more, offset_ms=offset_ms) for more in range(5)])
        rig.settle()


def test_joined_blocks_hold_the_same_rows_in_the_same_order(tmp_path, eager):
    """
    Forty small blocks become a few, with every row under its identity, and what is young stays as it is.
    """
    with running(tmp_path) as rig:
        fill(rig, 40)
        before = rows_of(rig.batches())
        made = join_all(rig)
        batches = rig.batches()
        assert 6 <= made
        assert before == rows_of(batches)
        assert [batch.block_id for batch in batches] == sorted(batch.block_id for batch in batches)
        assert len(batches) < 20
        assert [20] * 5 == [batch.values for batch in batches[-5:]]
    with running(tmp_path) as rig:
        assert before == rows_of(rig.batches(streams=[Stream.TELEMETRY]))


contents = st.tuples(st.sampled_from([METER, OTHER, ENERGY]), st.integers(0, 30), st.booleans())
steps = st.tuples(st.lists(contents, min_size=1, max_size=6), st.sampled_from([0, 0, 0, 60_000]), st.sampled_from([None, "receipt", "join", "border"]))


@given(st.lists(steps, min_size=5, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_changes_and_no_receipt_is_lost(tmp_path_factory, eager, calls, dice):
    """
    Whatever was read, confirmed and divided when, joins change no row, no count of what is unsent and no range that waits for a receipt.
    """
    rows, confirmed = {}, set()
    with running(tmp_path_factory.mktemp("state")) as rig:
        for number, (call, step_ms, then) in enumerate(calls):
            offset_ms = 1_800_000_000_000 + step_ms
            rig.buffer.accept([reading(of, 100 * number + ms, offset_ms=offset_ms) if ok else failed(of, 100 * number + ms) for of, ms, ok in call])
            rig.settle()
            rows.update(rows_of(rig.batches(streams=[2, 3])))
            if then == "receipt":
                chosen = [batch for batch in rig.batches() if dice.random() < 0.7]
                confirmed |= set(rows_of(chosen))
                rig.confirm(chosen)
            elif then == "join":
                join_all(rig)
            elif then == "border":
                rig.ask("newest_block_id", [Stream.TELEMETRY])
        join_all(rig)
        rig.ask("receipt", UPLINK, [])
        left = rows_of(rig.batches())
        assert set(rows) - confirmed <= set(left)
        assert all(rows[identity] == row for identity, row in left.items())
        uplink = rig.buffer._outgoing.uplinks[UPLINK]
        for stream in (Stream.ENERGY, Stream.TELEMETRY):
            behind = look(rig.path, "SELECT coalesce(sum(vals), 0) FROM block WHERE stream = ? AND block_id > ?", stream, uplink.mark(stream))
            assert [(uplink.unsent[stream],)] == behind
        rig.confirm(rig.batches())
        wait_for("nothing unsent", lambda: rig.buffer.status().unsent[UPLINK].values == 0)
        assert rows == stored(rig)


def stored(rig):
    found = {}
    epoch = rig.buffer.epoch
    for stream, first, body in look(rig.path, "SELECT stream, first, body FROM block"):
        for row in decode_block(body, first)[1]:
            found[epoch, stream, row.seq] = (row.source_id, row.mono_ms, row.read_at_ms, row.values, row.quality)
    return found


def test_no_block_reaches_across_a_border_of_backlog_and_fresh(tmp_path, eager):
    """
    What an uplink divided at its connect stays divided: the backlog ends where it did.
    """
    with running(tmp_path) as rig:
        fill(rig, 8)
        border = rig.ask("newest_block_id", [Stream.TELEMETRY])
        fill(rig, 20, first=8)
        backlog = rows_of([batch for batch in rig.batches() if batch.block_id <= border])
        assert join_all(rig)
        assert backlog == rows_of([batch for batch in rig.batches() if batch.block_id <= border])
        assert 40 == len(backlog)


def test_a_step_of_the_clock_and_a_start_end_a_block(tmp_path, eager):
    """
    Rows under two offsets, two trusts or two epochs never stand in one block.
    """
    with running(tmp_path) as rig:
        fill(rig, 6)
        fill(rig, 6, first=6, offset_ms=1_900_000_000_000)
        rig.buffer.accept([reading(METER, 5000, clock=ClockTrust.HELD)])
        rig.settle()
        first_rows = rows_of(rig.batches(streams=[3]))
    with running(tmp_path) as rig:
        fill(rig, 25)
        join_all(rig)
        batches = rig.batches(streams=[3])
        rows = rows_of(batches)
        assert first_rows == {identity: row for identity, row in rows.items() if identity[0] != rig.buffer.epoch}
        offsets = [{row.read_at_ms - row.mono_ms for row in decode_block(batch.body, 1)[1]} for batch in batches]
        assert {1} == {len(found) for found in offsets}
        assert len(batches) < 20


def test_the_writer_joins_by_itself(tmp_path, monkeypatch):
    """
    Beside its commits the writer joins what is old enough to blocks of ten thousand values, which take half the bytes.
    """
    monkeypatch.setattr(transactions, "LOOK_S", 0.0)
    monkeypatch.setattr(transactions, "AGAIN_S", 0.0)
    dice = random.Random(7)
    state = [dice.randrange(2000, 2400) for _ in range(100)]
    with running(tmp_path, [WIDE]) as rig:
        for number in range(40):
            readings = []
            for second in range(10):
                state = [value + dice.choice((-1, 0, 0, 0, 1)) for value in state]
                readings.append(reading(WIDE, 10_000 * number + 1000 * second, state))
            rig.buffer.accept(readings)
            rig.settle()
        rig.buffer.set_window_ms(50)
        wait_for("joined blocks", lambda: fed(rig) and rig.buffer._writer.transactions.counts.joined >= 20)
        sizes = [values for (values,) in look(rig.path, "SELECT vals FROM block ORDER BY block_id")]
        assert [10_000, 10_000] == sizes[:2]
        assert VALUES_A_BLOCK == max(sizes)
        (joined,) = look(rig.path, "SELECT sum(length(body)) * 1.0 / sum(vals) FROM block WHERE vals = 10000")
        (small,) = look(rig.path, "SELECT sum(length(body)) * 1.0 / sum(vals) FROM block WHERE vals = 1000")
        assert joined[0] < 0.5 * small[0]


def test_what_barely_compresses_holds_nobody_up(tmp_path, monkeypatch):
    """
    Blocks that do not fit together are opened one run at a time, not all that lie there at once; the rest is looked at next time.
    """
    monkeypatch.setattr(joining, "VALUES_A_BLOCK", 500)
    monkeypatch.setattr(joining, "_SMALL_VALUES", 250)
    monkeypatch.setattr(sealing, "BODY_BYTES_MAX", 1200)
    dice = random.Random(8)
    with running(tmp_path, [WIDE]) as rig:
        rig.buffer._writer.transactions._join_s = float("inf")
        for number in range(15):
            rig.buffer.accept([reading(WIDE, 10 * number, [dice.randrange(2**62) for _ in range(100)])])
            rig.settle()
        opened = []

        def step(connection):
            connection.set_trace_callback(lambda text: opened.append(text) if "SELECT body FROM block" in text else None)
            again = rig.buffer._writer.transactions._join_some(connection)
            connection.set_trace_callback(None)
            return again

        assert rig.buffer._intake.ask(step, lambda: False).result(10)
        assert 5 == len(opened)


def fed(rig):
    """The writer turns when there is something to do."""
    fed.mono_ms += 1
    rig.buffer.accept([reading(WIDE, fed.mono_ms)])
    return True


fed.mono_ms = 1_000_000


def test_a_store_of_a_month_holds_nobody_up_at_the_start():
    """
    The first look passes over thousands of joined blocks with a question or two, and over many small ones that stand alone in several looks.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        row = "INSERT INTO block(block_id, epoch, stream, first, last, schema, from_ms, to_ms, vals, body) VALUES (?, ?, 3, ?, ?, x'00', 0, 0, ?, x'')"
        connection.executemany(row, [(number, 1, number * 100, number * 100 + 99, VALUES_A_BLOCK) for number in range(1, 5001)])
        alone = 3 * ALONE_A_LOOK
        connection.executemany(row, [(number, number, 1, 10, 10) for number in range(5001, 5001 + alone)])
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        joined, looks = Joining(), 1
        while joined.next_join(connection, ()) is None and joined.is_behind:
            assert len(asked) <= 2 * ALONE_A_LOOK + 8
            asked.clear()
            looks += 1
    assert 3 == looks
