"""A batch that is too large is halved: the same rows under the same identities."""

from __future__ import annotations

import cbor2
import pytest

from edgegw.block import BlockError, decode_block, decode_events, encode_block, pack, unpack
from edgegw.model import Batch, ClockTrust, Identity, Reading, Source
from edgegw.uplink.packets import PARKED_MAX, Packets
from edgegw.uplink.splitting import halves
from tests.unit.test_uplink_vectors import mixed
from tests.uplink_rig import EPOCH, SCHEMA, alarm, block, event_batch, readings


def whole(rows, first=501, *, stored=True):
    return Batch(9, Identity(EPOCH, 3, first, first + len(rows) - 1), SCHEMA, encode_block(SCHEMA, rows, stored=stored), 3 * len(rows))


def rows_in(batches):
    return [row for batch in batches for row in decode_block(batch.body, batch.identity.first)[1]]


@pytest.mark.parametrize("rows", [mixed(), readings(2), readings(401)])
def test_halves_hold_the_same_rows(rows):
    """
    Two halves hold every row of the block with its sequence, time, values and qualities, in ranges that touch.
    """
    batch = whole(rows)
    older, newer = halves(batch)
    assert rows_in([batch]) == rows_in([older, newer])
    assert (501, older.identity.last + 1, 500 + len(rows)) == (older.identity.first, newer.identity.first, newer.identity.last)
    assert (9, 9, 3 * len(rows)) == (older.block_id, newer.block_id, older.values + newer.values)


def test_halves_keep_the_period_and_several_sources():
    """
    Rows of several sources stay in the order of their times, and each half has the periods of its sources.
    """
    sources = [Source(number, "", "", 1000 * number, ()) for number in (1, 2)]
    rows = [Reading(source, 5_000_000 + at, at, ClockTrust.HELD, (at,), {}) for at in range(0, 200_000, 2000) for source in sources]
    batch = whole(rows, first=1)
    parts = halves(batch)
    assert rows_in([batch]) == rows_in(parts)
    assert [[1000, 2000], [1000, 2000]] == [[run[2] for run in cbor2.loads(unpack(part.body))[5]] for part in parts]


def test_cutting_goes_down_to_single_rows():
    """
    Halves of halves end with one row each; a single row has no halves.
    """
    todo, single = [whole(mixed())], []
    while todo:
        parts = halves(todo[0])
        single += [] if parts else [todo[0]]
        todo = [*parts, *todo[1:]]
    assert list(range(501, 507)) == [batch.identity.first for batch in single]
    assert rows_in([whole(mixed())]) == rows_in(single)


def test_a_volatile_batch_stays_volatile():
    """
    The mark of what is not on the disk yet goes into both halves.
    """
    parts = halves(whole(mixed(), stored=False))
    again = tuple(whole(rows, first=part.identity.first, stored=False).body for part, rows in zip(parts, (mixed()[:3], mixed()[3:]), strict=True))
    assert again == tuple(part.body for part in parts)


def test_events_are_halved():
    """
    A batch of events becomes two, with the events in their order.
    """
    older, newer = halves(event_batch(4, 10, [alarm(number) for number in range(5)]))
    assert [alarm(number) for number in range(5)] == [*decode_events(older.body), *decode_events(newer.body)]
    assert ((10, 11), (12, 14)) == ((older.identity.first, older.identity.last), (newer.identity.first, newer.identity.last))


def test_what_cannot_be_read_is_no_batch_to_cut():
    """
    A body that is no block is refused by name, and parked, never cut to something else.
    """
    broken = Batch(1, Identity(EPOCH, 3, 1, 2), SCHEMA, pack(b"\x01"), 2)
    with pytest.raises(BlockError):
        halves(broken)
    packets = Packets("cloud")
    assert () == packets.cut(broken)
    assert [broken.identity] == list(packets.parked)


def test_a_limit_is_learnt_once_for_all_that_was_under_way():
    """
    Several refusals of one size teach one limit; a smaller refusal a smaller one; below the smallest nothing is learnt.
    """
    packets = Packets("cloud")
    packets.begin(None)
    learnt = [(packets.refused(size), packets.bytes_max) for size in (8000, 8000, 7000, 3000, 1200, 500)]
    assert [(True, 4000), (True, 4000), (True, 4000), (True, 1500), (True, 600), (False, 600)] == learnt
    packets.begin(550)
    assert 550 == packets.bytes_max


def test_what_is_parked_is_bounded_and_leaves_when_it_goes():
    """
    No more single records are remembered than the limit, and one that was sent after all is forgotten.
    """
    packets = Packets("cloud")
    for number in range(PARKED_MAX + 5):
        packets.cut(block(number + 1, number + 1, 1))
    assert PARKED_MAX == len(packets.parked)
    packets.sent(Identity(EPOCH, 3, 1, 10))
    assert PARKED_MAX - 10 == len(packets.parked)


def test_a_guess_makes_batches_smaller_and_leaves_no_record_behind():
    """
    A broker that hangs up, or a bad link, makes batches smaller down to a floor; a single record still goes, until the broker hung up twice on it.
    """
    packets = Packets("cloud")
    packets.begin(None)
    batch, single = Identity(EPOCH, 3, 1, 9), Identity(EPOCH, 3, 4, 4)
    fitting = []
    for size in (8000, 4000, 2000):
        packets.hung_up(size, batch)
        fitting.append([packets.fits("t", bytes(length), batch) for length in (4001, 4000, 2048)])
    assert [[False, True, True], [False, False, True], [False, False, True]] == fitting
    assert (True, False) == (packets.fits("t", bytes(9000), single), packets.fits("m", bytes(9000)))
    packets.hung_up(9000, single)
    assert (False, True) == (packets.fits("t", bytes(9000), single), packets.fits("t", bytes(9000), Identity(EPOCH, 3, 5, 5)))
    assert packets.bytes_max is None
