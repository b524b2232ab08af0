"""Reading back: every stored value comes once, from blocks and tail alike, and a reader never holds up the writer."""

from __future__ import annotations

import csv
import io
import json
import sqlite3

import pytest

from edgegw.block import encode_schema, schema_hash
from edgegw.buffer import history
from edgegw.buffer.export import COLUMNS, check_format, rfc3339, write
from edgegw.buffer.history import Reader, Span
from edgegw.buffer.limits import Limits
from edgegw.buffer.overview import capacity, describe, newest
from edgegw.buffer.thinning import thin, thinned_sources
from edgegw.buffer.verify import verify
from edgegw.errors import EdgegwError
from edgegw.model import Quality, Reading, Stream
from tests.unit.buffer_rig import ENERGY, METER, OTHER, event, failed, look, reading, running

OFFSET_MS = 1_800_000_000_000
LIMITS = Limits(1 << 30)


def samples(path, **wanted):
    with Reader(path) as reader:
        return list(reader.samples(Span(**wanted)))


def test_blocks_and_tail_together_are_everything_in_order(tmp_path):
    """
    Values with their scale, unit and quality, first those in blocks, then those not sealed yet; a failed poll is there with its reason.
    """
    with running(tmp_path, window_idle_s=60) as rig:
        rig.buffer.accept([reading(METER, 1000, (2305, 0, 1, 2)), failed(METER, 2000)])
        rig.settle()
        rig.buffer.accept([reading(METER, 3000, (2310, 0, 1, 2))], [event(n=1)])
        rig.ask("declare_loss", [], "")
        found = samples(rig.path, point="p0")
        epoch = rig.buffer.epoch
    assert [(230.5, Quality.GOOD), (None, Quality.OFFLINE), (231.0, Quality.GOOD)] == [(one.value, one.quality) for one in found]
    assert [("METER-1", "p0", "V", epoch, 3, seq) for seq in (1, 2, 3)] == [(o.device, o.point, o.unit, o.epoch, o.stream, o.seq) for o in found]
    assert [OFFSET_MS + ms for ms in (1000, 2000, 3000)] == [one.read_at_ms for one in found]


def test_a_span_a_device_and_a_point_narrow_it_down(tmp_path):
    """
    Both ends of the span belong to it; other devices and points are left out.
    """
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(of, ms) for ms in range(0, 100, 10) for of in (METER, OTHER, ENERGY)])
        rig.settle()
        found = samples(rig.path, from_ms=OFFSET_MS + 20, to_ms=OFFSET_MS + 40, device="METER-2", point="p1")
        assert [20, 30, 40] == [one.read_at_ms - OFFSET_MS for one in found]
        assert {("METER-2", "p1")} == {(one.device, one.point) for one in found}
        assert 3 * 10 * 4 == len(samples(rig.path))


def test_thinned_values_come_under_the_name_of_their_point_and_are_marked(tmp_path):
    """
    A quarter of an hour that was thinned answers for its point with minimum, mean, maximum and last.
    """
    sources = {METER.source_id: METER}
    layouts = thinned_sources(sources)
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(METER, ms, (ms, 0, 0, 0)) for ms in (10, 20, 30)])
        rig.settle()
    with Reader(rig.path) as reader:
        (_, rows) = history.decode_block(reader.ask("SELECT body FROM block")[0][0], 1)
    (thinned,) = thin(rows, sources, layouts)
    document = encode_schema(layouts.values())
    insert_block(rig.path, schema_hash(document), document, thinned)
    found = samples(rig.path, point="p0")
    assert [False, False, False, True, True, True, True] == [one.is_thinned for one in found]
    assert [("p0.min", 1.0), ("p0.mean", 2.0), ("p0.max", 3.0), ("p0.last", 3.0)] == [(one.point, one.value) for one in found[3:]]


def insert_block(path, schema, document, thinned: Reading):
    """What the writer does when it thins, by hand."""
    (sealed,) = history_seal(schema, thinned)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema(hash, document) VALUES (?, ?)", (schema, document))
        row = (1000, 1, int(Stream.THINNED), 1, 1, schema, sealed.from_ms, sealed.to_ms, sealed.values, sealed.body)
        connection.execute("INSERT INTO block(block_id, epoch, stream, first, last, schema, from_ms, to_ms, vals, body) VALUES (?,?,?,?,?,?,?,?,?,?)", row)


def history_seal(schema, thinned):
    from edgegw.buffer.sealing import seal

    return seal(schema, 1, [thinned])


def test_blocks_that_are_joined_under_the_walk_come_once(tmp_path):
    """
    While a reader walks, the writer joins what it has read and what it has not: no value is missed or doubled.
    """
    with running(tmp_path) as rig:
        for start in range(0, 60, 5):
            rig.buffer.accept([reading(METER, ms, (ms, 0, 0, 0)) for ms in range(start, start + 5)])
            rig.settle()
    with Reader(rig.path) as reader:
        walk = reader.samples(Span(point="p0"))
        seen = [next(walk).seq for _ in range(7)]
        join(rig.path, 2, 9)
        seen += [one.seq for one in walk]
    assert list(range(1, 61)) == seen


def join(path, start, end):
    """Blocks start..end (by rank) made one, under the number of the last, as the writer does it."""
    from edgegw.block import decode_block
    from edgegw.buffer.sealing import seal

    with sqlite3.connect(path) as connection:
        heads = connection.execute("SELECT block_id, first, body, schema FROM block ORDER BY block_id").fetchall()[start : end + 1]
        rows = [row for _, first, body, _ in heads for row in decode_block(body, first)[1]]
        (sealed,) = seal(heads[0][3], heads[0][1], [Reading(METER, r.read_at_ms, r.mono_ms, r.clock, r.values, r.quality) for r in rows])
        connection.executemany("DELETE FROM block WHERE block_id = ?", [(head[0],) for head in heads[:-1]])
        question = "UPDATE block SET first = ?, from_ms = ?, vals = ?, body = ? WHERE block_id = ?"
        connection.execute(question, (sealed.first, sealed.from_ms, sealed.values, sealed.body, heads[-1][0]))


def test_a_slow_reader_does_not_make_the_log_grow(tmp_path):
    """
    With a walk begun and left standing, the log is copied and used again as without it: a transaction that stays open would stop that.
    """

    def write_much(rig):
        for start in range(0, 30_000, 1_000):
            rig.buffer.accept([reading(METER, start + ms, (ms, start, 7 * ms, 4)) for ms in range(1_000)])
            rig.settle()
        return wal.stat().st_size

    wal = tmp_path / "edgegw.db-wal"
    with running(tmp_path, max_size_mib=4) as rig:
        alone = write_much(rig)
        with Reader(rig.path) as reader:
            walk = reader.samples(Span())
            next(walk)
            beside = write_much(rig)
            assert 1 <= len(list(walk))
        assert beside <= max(alone, LOG_BYTES)


# What `log_bytes` of a limit of 4 MiB allows.
LOG_BYTES = 1 << 20


def test_a_reader_cannot_write(tmp_path):
    """
    The connection is read-only, whatever is asked of it.
    """
    with running(tmp_path) as rig, Reader(rig.path) as reader, pytest.raises(EdgegwError, match="readonly"):
        reader.ask("DELETE FROM block")
    assert not look(rig.path, "SELECT * FROM block")


def test_csv_and_json_lines_say_the_same(tmp_path):
    """
    One line a value, times in UTC with milliseconds, nothing where there is no value.
    """
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(METER, 1, (2305, 0, 1, 2)), failed(OTHER, 2)])
        rig.settle()
        written = {}
        for kind in ("csv", "jsonl"):
            out = io.BytesIO()
            with Reader(rig.path) as reader:
                assert 8 == write(reader.samples(Span()), kind, out, lambda _: None)
            written[kind] = out.getvalue().decode()
    lines = list(csv.DictReader(io.StringIO(written["csv"])))
    objects = [json.loads(line) for line in written["jsonl"].splitlines()]
    assert list(COLUMNS) == list(lines[0]) == list(objects[0])
    assert [{name: "" if field is None else str(field) for name, field in one.items()} for one in objects] == lines
    assert ("2027-01-15T08:00:00.001Z", "230.5", "V", "good", "synchronised", "raw") == tuple(
        lines[0][name] for name in ("time", "value", "unit", "quality", "clock", "kind")
    )
    assert ("", "offline") == (lines[4]["value"], lines[4]["quality"])


def test_parquet_without_its_package_is_refused_in_words(monkeypatch):
    """
    Before anything is written: which extra is missing, and what can be had without it.
    """
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EdgegwError, match="pyarrow") as refusal:
        check_format("parquet")
    assert "edgegw[parquet]" in refusal.value.next_step


def test_a_time_far_off_is_told_all_the_same():
    """
    A clock that was years off must not end an export.
    """
    assert "1970-01-01T00:00:00.005Z" == rfc3339(5)
    assert f"{2**60} ms" == rfc3339(2**60)


def test_verify_finds_a_missing_and_a_damaged_block(tmp_path):
    """
    A sound file has neither; a block taken out is a gap, one with other bytes is damage.
    """
    with running(tmp_path) as rig:
        for start in range(0, 50, 10):
            rig.buffer.accept([reading(METER, ms) for ms in range(start, start + 10)], [event(n=start)])
            rig.settle()
    with Reader(rig.path) as reader:
        assert verify(reader).is_good
    with sqlite3.connect(rig.path) as connection:
        connection.execute("DELETE FROM block WHERE first = 11")
        connection.execute("UPDATE block SET body = ? WHERE first = 31", (b"\x01rubbish",))
    with Reader(rig.path) as reader:
        report = verify(reader)
    assert [(3, 11, 20)] == [(gap.stream, gap.first, gap.last) for gap in report.gaps]
    assert [(3, 31, 40)] == [(one.stream, one.first, one.last) for one in report.damaged]
    assert not report.is_good


def test_verify_accepts_what_was_confirmed_and_what_was_told_lost(tmp_path):
    """
    A block that every cloud has may be gone, and so may one that a loss event tells.
    """
    with running(tmp_path) as rig:
        for start in range(0, 30, 10):
            rig.buffer.accept([reading(METER, ms) for ms in range(start, start + 10)])
            rig.settle()
        batches = rig.batches(streams=[3])
        rig.confirm(batches[:1])
        rig.ask("declare_loss", [batches[1].identity], "given up")
    with sqlite3.connect(rig.path) as connection:
        connection.execute("DELETE FROM block WHERE first <= 11")
    with Reader(rig.path) as reader:
        report = verify(reader)
    assert ([], {"given up": 10}) == (report.gaps, dict(report.lost))


def test_the_overview_counts_what_is_there(tmp_path):
    """
    Streams with their values and times, what an uplink waits for, the newest samples, and a rate that fits what was stored.
    """
    with running(tmp_path) as rig:
        for minute in range(10):
            rig.buffer.accept([reading(METER, minute * 60_000 + second * 1000) for second in range(60)])
            rig.settle()
        rig.confirm(rig.batches()[:4])
        rig.settle()
        rig.buffer.accept((), [event(n=1)])
        rig.ask("declare_loss", [], "")
        with Reader(rig.path) as reader:
            data, room = describe(reader, LIMITS), capacity(reader, LIMITS)
            last = newest(reader, 3, Span(point="p1"))
    streams = {row["stream"]: row for row in data["streams"]}
    assert (10, 2400, OFFSET_MS, OFFSET_MS + 599_000) == tuple(streams["telemetry"][name] for name in ("blocks", "values", "from_ms", "to_ms"))
    assert 1 == streams["event"]["values"]
    assert [597_000, 598_000, 599_000] == [one.read_at_ms - OFFSET_MS for one in last]
    assert 4.0 == pytest.approx(room["values_per_s"], rel=0.01)
    assert 0.17 == room["span_h"]
    assert room["room_h"] > 1_000
    assert 0 < room["used_bytes"] < room["room_bytes"] < LIMITS.bytes_max


def test_a_file_that_is_not_there_or_not_ours_is_refused_in_words(tmp_path):
    """
    E-STORE-OPEN with the path, never a traceback.
    """
    (tmp_path / "text").write_text("no database " * 100)
    for name in ("nothing", "text"):
        with pytest.raises(EdgegwError, match=name) as refusal:
            samples(tmp_path / name)
        assert "E-STORE-OPEN" == refusal.value.message_id
