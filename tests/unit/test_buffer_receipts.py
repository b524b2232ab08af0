"""What receipts, resends and declared losses do to what is handed out."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgegw.block import decode_block, decode_schema
from edgegw.buffer.waiting import waiting
from edgegw.cloud.opening import reading_rows
from edgegw.model import Identity, Quality, Stream
from tests.unit.buffer_rig import METER, OTHER, UPLINK, event, events_of, failed, interval, reading, rows_of, running, wait_for


def test_a_receipt_ends_the_handing_out(tmp_path):
    """
    What a receipt covers wholly is not handed out again, also after a restart; what it covers in part is.
    """
    with running(tmp_path) as rig:
        for number in range(3):
            rig.buffer.accept([reading(METER, 10 * number), reading(OTHER, 10 * number)], [event(n=number)])
            rig.settle()
        batches = rig.batches()
        first, second, third = (b for b in batches if b.identity.stream == Stream.TELEMETRY)
        assert 2 == rig.confirm([first])
        assert 0 == rig.confirm([first])
        assert 1 == rig.ask("receipt", UPLINK, [interval(second, second.identity.first, second.identity.first)])
        assert 1 == rig.ask("receipt", UPLINK, [interval(batches[0], 1, 1)])
        left = rig.batches()
        assert [second, third] == [b for b in left if b.identity.stream == Stream.TELEMETRY]
        assert [2, 3] == [seq for seq, _ in events_of(left)]
    with running(tmp_path) as rig:
        assert [second, third] == rig.batches(streams=[Stream.TELEMETRY])
        assert [2, 3] == [seq for seq, _ in events_of(rig.batches())]
        assert 3 == rig.confirm([second, third])
        assert rig.next(streams=[Stream.TELEMETRY]) is None
        wait_for("count", lambda: (0, 2) == (rig.buffer.status().unsent[UPLINK].values, rig.buffer.status().unsent[UPLINK].events))


def test_two_uplinks_know_nothing_of_each_other(tmp_path):
    """
    A receipt counts for the uplink that brought it alone.
    """
    with running(tmp_path, uplinks=["a", "b"]) as rig:
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
        batch = rig.next(uplink="a")
        rig.confirm([batch], uplink="a")
        assert rig.next(uplink="a") is None
        assert batch == rig.next(uplink="b")
        wait_for("count", lambda: [0, 4] == [rig.buffer.status().unsent[name].values for name in ("a", "b")])


@pytest.mark.parametrize("change", [{"epoch": 5}, {"last": 4}, {"first": 0}, {"first": 3, "last": 2}, {"stream": 2}, {"stream": 9}])
def test_a_receipt_of_what_was_never_given_changes_nothing(tmp_path, change):
    """
    An unknown epoch, a sequence beyond the last, or a range that is none is refused with everything that came with it.
    """
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(3)])
        rig.settle()
        good = {"epoch": rig.buffer.epoch, "stream": 3, "first": 1, "last": 3}
        with pytest.raises(ValueError, match="epoch"):
            rig.ask("receipt", UPLINK, [Identity(**good), Identity(**(good | change))])
        assert (1, 3) == (rig.next().identity.first, rig.next().identity.last)


steps = st.lists(st.tuples(st.sampled_from(["receipt", "receipt", "resend", "restart"]), st.integers(1, 20), st.integers(0, 12)), max_size=10)


@given(steps)
@example([("receipt", 1, 12), ("receipt", 10, 12), ("resend", 5, 3), ("restart", 1, 0), ("receipt", 5, 3), ("resend", 20, 0)])
@settings(max_examples=12, deadline=None)
def test_receipts_and_resends_behave_like_a_set(tmp_path_factory, steps):
    """
    Whatever is confirmed, asked for again and restarted: a block is handed out exactly when a sequence of it is not confirmed.
    """
    directory = tmp_path_factory.mktemp("state")
    with running(directory) as rig:
        epoch = rig.buffer.epoch
        for number in range(20):
            # Another offset of the clock each time: 20 readings are 20 blocks, one sealing.
            rig.buffer.accept([reading(METER, number, offset_ms=1_800_000_000_000 + number)])
        rig.settle()
    confirmed = set()
    manager = running(directory)
    rig = manager.__enter__()
    try:
        for step, first, more in steps:
            span = Identity(epoch, Stream.TELEMETRY, first, min(20, first + more))
            numbers = set(range(span.first, span.last + 1))
            if step == "receipt":
                assert len(numbers - confirmed) == rig.ask("receipt", UPLINK, [span])
                confirmed |= numbers
            elif step == "resend":
                rig.ask("resend", UPLINK, [span])
                confirmed -= numbers
            else:
                manager.__exit__(None, None, None)
                manager = running(directory)
                rig = manager.__enter__()
            assert [seq for seq in range(1, 21) if seq not in confirmed] == [b.identity.first for b in rig.batches(streams=[Stream.TELEMETRY])]
    finally:
        manager.__exit__(None, None, None)


def test_a_declared_loss_is_an_event(tmp_path):
    """
    When the call returns, one loss event for each interval is stored and handed out.
    """
    with running(tmp_path) as rig:
        rig.ask("declare_loss", [Identity(255, 3, 4, 9), Identity(rig.buffer.epoch, 2, 1, 1)], "cannot be sent")
        found = [one.body for _, one in events_of(rig.batches()) if one.kind == "loss"]
        assert {"epoch": "00000000000000ff", "stream": 3, "first": 4, "last": 9, "reason": "cannot be sent"} == found[0]
        assert [f"{rig.buffer.epoch:016x}"] == [body["epoch"] for body in found[1:]]


def test_a_point_filter_drops_columns_at_send_time(tmp_path):
    """
    An uplink with a filter is given the same sequences with fewer columns under a schema of its own; the other is given everything; each has its receipts.
    """
    with running(tmp_path, uplinks=(UPLINK, "other"), filters={"other": ["p1", "p3*"]}) as rig:
        rig.buffer.accept([reading(METER, 1, (10, 11, 12, 13)), failed(OTHER, 2), reading(METER, 3, (20, None, 22, 23), quality={1: Quality.BAD})])
        rig.settle()
        (whole,) = rig.batches()
        (part,) = rig.batches(uplink="other")
        assert whole.identity == part.identity
        rows = rows_of([part])
        assert [(11, 13), (None, None), (None, 23)] == [row[3] for row in rows.values()]
        assert [{}, {0: Quality.OFFLINE, 1: Quality.OFFLINE}, {0: Quality.BAD}] == [row[4] for row in rows.values()]
        assert [row[:3] for row in rows_of([whole]).values()] == [row[:3] for row in rows.values()]
        assert (12, 6) == (whole.values, part.values)
        points = decode_schema(rig.ask("schema_document", part.schema))[METER.source_id].points
        assert ["p1", "p3"] == [point.name for point in points]
        rig.confirm([part], "other")
        assert [] == rig.batches(uplink="other")
        assert [whole] == rig.batches()


def test_a_new_filter_holds_for_new_readings_only(tmp_path):
    """
    What waits when the configuration changes goes as it was given before, byte for byte, also after a third change: an identity has one content.
    """
    given = []
    for patterns in (["p1"], ["p2", "p3"], [], ["p1"]):
        with running(tmp_path, filters={UPLINK: patterns}) as rig:
            assert given == rig.batches()
            rig.buffer.accept([reading(METER, number) for number in range(3)])
            rig.settle()
            given = rig.batches()
            document = rig.ask("schema_document", given[0].schema)
            assert ["p1"] == [point.name for point in decode_schema(document)[METER.source_id].points]
    assert [1, 2, 4, 1] == [batch.values // 3 for batch in given]


def test_what_waits_for_a_parcel_is_filtered_as_it_was(tmp_path):
    """
    Rows of a start are the same by hand and over the link, also when the configuration has changed since.
    """
    with running(tmp_path, filters={UPLINK: ["p1"]}) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(3)])
        rig.settle()
        given = rig.batches()
    assert given == [batch for batch, _ in waiting(rig.path, UPLINK, ["p2", "p3"])]


def test_a_row_of_which_nothing_is_wanted_still_settles(tmp_path):
    """
    With a filter that fits no point the rows travel without columns, and the receiver settles their sequences without a row.
    """
    with running(tmp_path, filters={UPLINK: ["nothing"]}) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(3)])
        rig.settle()
        (batch,) = rig.batches()
        sources = decode_schema(rig.ask("schema_document", batch.schema))
        rows = decode_block(batch.body, batch.identity.first)[1]
        assert [1, 2, 3] == [row.seq for row in rows]
        assert [] == reading_rows("op/st/gw", batch.identity, sources, rows)
        assert 3 == rig.confirm([batch])


def test_a_resend_tells_what_is_no_longer_stored(tmp_path):
    """
    Of the ranges that a cloud asks for, those that are stored are handed out again; those that are not are named, also of an epoch nobody knows, and nothing
    beyond what was ever numbered.
    """
    with running(tmp_path) as rig:
        for number in range(3):
            rig.buffer.accept([reading(METER, 10 * number + at) for at in range(4)], [event(n=number)])
            rig.settle()
        batches = [batch for batch in rig.batches() if batch.identity.stream == Stream.TELEMETRY]
        rig.confirm(rig.batches())
        epoch = batches[0].identity.epoch
        asked = [Identity(epoch, 3, 3, 40), Identity(epoch, 1, 1, 2), Identity(77, 3, 5, 6)]
        assert [Identity(77, 3, 5, 6)] == rig.ask("resend", UPLINK, asked)
        assert batches == rig.batches(streams=[Stream.TELEMETRY])
        assert [1, 2] == [seq for seq, _ in events_of(rig.batches(streams=[Stream.EVENT]))]
    with closing(sqlite3.connect(tmp_path / "edgegw.db")) as file, file:
        file.execute("DELETE FROM block WHERE first <= 6 AND last >= 6 AND stream = 3")
    with running(tmp_path) as rig:
        gone = batches[1].identity
        assert [gone] == rig.ask("resend", UPLINK, [Identity(epoch, 3, 1, 12)])
