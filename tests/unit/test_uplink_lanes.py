"""Which batch goes next, what waits for a receipt, and what is taken for lost."""

from __future__ import annotations

import pytest

from edgegw.model import Batch, Identity, Stream
from edgegw.uplink.lanes import IN_FLIGHT_BYTES_MAX, RESEND_PAUSE_S_MAX, UNRECEIPTED_EVENTS_MAX, UNRECEIPTED_MAX, URGENT_BYTES, Lanes

TIMEOUT_S = 120.0


def batch(block_id: int, stream: int = 3, first: int | None = None, last: int | None = None) -> Batch:
    first = first or block_id * 10
    return Batch(block_id, Identity(1, stream, first, last or first + 9), b"schema!!", b"body", 10)


def lanes(border: int = 100, receive_maximum: int = 65_535) -> Lanes:
    made = Lanes()
    made.begin(border, receive_maximum, 0.0, kept_session=False)
    return made


def send(made: Lanes, mid: int, item: Batch, now_s: float = 0.0) -> str:
    lane = made.next_lane(now_s)
    assert lane is not None
    made.sent(mid, lane, item, 100, now_s)
    return lane.name


def drain(made: Lanes, *names: str) -> None:
    for lane in made.lanes:
        if lane.name in names:
            lane.more = False


def test_lanes_are_served_in_strict_preference():
    """
    Events go first, then energy, fresh telemetry, backlog and records; each class keeps its own window.
    """
    made = lanes()
    order = [send(made, mid, batch(mid, stream)) for mid, stream in enumerate([1, 1, 3, 3, 3, 3, 3, 3], 1)]
    assert ["event", "event", "fresh", "fresh", "backlog", "backlog", "backlog", "backlog"] == order
    assert made.next_lane(0.0) is None


def test_a_freed_window_goes_to_the_most_urgent():
    """
    When the broker takes one message at a time, each PUBACK lets the most urgent one go.
    """
    made = lanes(receive_maximum=1)
    drain(made, "event", "energy")
    assert "fresh" == send(made, 1, batch(101))
    assert made.next_lane(0.0) is None
    made.wake()
    made.acknowledged(1, 1.0)
    assert "event" == send(made, 2, batch(1, 1))


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ({1}, ["event"]),
        ({3}, ["fresh"]),
        ({2, 5}, ["energy", "record"]),
        (set(Stream), ["event", "energy", "fresh", "backlog", "record"]),
    ],
)
def test_only_lanes_that_can_have_news_are_asked(streams, expected):
    """
    What is stored wakes the lanes of its streams behind the border; a store that comes back from a fault wakes all.
    """
    made = lanes()
    drain(made, *(lane.name for lane in made.lanes))
    made.wake(streams)
    assert expected == [lane.name for lane in made.lanes if lane.more]


def test_a_store_that_comes_back_is_asked_from_the_beginning():
    """
    After a fault of the store every lane begins anew, since older blocks may not have been handed out; what is under way is known.
    """
    made = lanes(border=100)
    for mid, number in enumerate((101, 105), 1):
        made.sent(mid, made.lanes[2], batch(number), 100, 0.0)
        made.lanes[2].after = number
    made.wake({3})
    assert 105 == made.lanes[2].after
    made.wake(set(Stream))
    assert [100, 0] == [made.lanes[2].after, made.lanes[3].after]
    assert made.is_waiting(batch(105))


def test_bytes_under_way_are_bounded():
    """
    Together at most 64 KiB are under way, a quarter of them kept for events and energy; a single larger message still goes alone.
    """
    made = lanes()
    assert made.has_room(IN_FLIGHT_BYTES_MAX + 1)
    made.sent(1, made.lanes[0], batch(1, 1), IN_FLIGHT_BYTES_MAX - URGENT_BYTES - 100, 0.0)
    assert (True, False) == (made.has_room(100, "backlog"), made.has_room(101, "backlog"))
    assert (True, False) == (made.has_room(100 + URGENT_BYTES, "urgent"), made.has_room(101 + URGENT_BYTES, "urgent"))


def test_only_the_receipt_ends_the_waiting():
    """
    PUBACK frees the window and leaves the batch waiting; a receipt of its whole range ends that, a receipt of a part does not.
    """
    made = lanes()
    item = batch(1, 1)
    send(made, 1, item)
    assert 0.5 == made.acknowledged(1, 0.5)
    made.receipted([Identity(1, 1, 10, 18)])
    assert made.is_waiting(item)
    made.receipted([Identity(1, 1, 1, 500)])
    assert not made.is_waiting(item)


def test_an_unknown_puback_changes_nothing():
    """
    A PUBACK for what is not under way is no acknowledgement of anything.
    """
    made = lanes()
    send(made, 1, batch(1, 1))
    assert made.acknowledged(77, 1.0) is None
    assert [1] == list(made.in_flight)


def test_a_lost_receipt_sends_again_ever_later():
    """
    Without a receipt a batch is overdue after 120 s, then after 240 s more, at last once an hour.
    """
    made = lanes()
    now_s, pauses = 0.0, []
    for mid in range(1, 9):
        made.wake()
        send(made, mid, batch(1, 1), now_s)
        made.acknowledged(mid, now_s)
        pause_s = next(pause_s for pause_s in range(0, 10_000, 10) if made.overdue(now_s + pause_s, TIMEOUT_S))
        pauses.append(pause_s)
        now_s += pause_s
        made.resend(made.overdue(now_s, TIMEOUT_S)[0])
    assert [120, 240, 480, 960, 1920, RESEND_PAUSE_S_MAX, RESEND_PAUSE_S_MAX, RESEND_PAUSE_S_MAX] == pauses


def test_a_resend_goes_back_in_its_lane_only():
    """
    A batch that is taken for lost moves the cursor of its own lane back, no other.
    """
    made = lanes(border=100)
    drain(made, "event", "energy")
    old, new = batch(50), batch(101)
    fresh, backlog = made.lanes[2], made.lanes[3]
    made.sent(0, backlog, batch(49), 100, 0.0)
    made.sent(1, backlog, old, 100, 0.0)
    made.sent(2, fresh, new, 100, 0.0)
    made.acknowledged(1, 0.0)
    made.resend(made.overdue(1000.0, TIMEOUT_S)[0])
    assert (49, 101) == (backlog.after, fresh.after)
    assert not made.is_waiting(old)


def test_a_resend_of_events_goes_back_to_the_first_of_them():
    """
    A batch of events is numbered by its last one; taken for lost, its lane goes back to where it stood before the batch.
    """
    made = lanes()
    event = made.lanes[0]
    made.sent(1, event, batch(3, 1, first=1, last=1), 100, 0.0)
    made.sent(2, event, batch(40, 1, first=2, last=20), 100, 0.0)
    made.sent(3, event, batch(41, 1, first=21, last=21), 100, 0.0)
    made.unheard(2, 0.0)
    assert 3 == event.after


def test_a_resend_may_be_cut_differently():
    """
    When blocks were joined meanwhile, the joined one takes the place of what it holds.
    """
    made = lanes()
    made.sent(1, made.lanes[3], batch(5, first=1, last=10), 100, 0.0)
    made.acknowledged(1, 0.0)
    made.resend(made.overdue(1000.0, TIMEOUT_S)[0])
    made.sent(2, made.lanes[3], batch(5, first=1, last=30), 100, 1000.0)
    assert [(Identity(1, 3, 1, 30), 2)] == [(sent.identity, sent.tries) for sent in made.waiting.values()]


def test_what_is_no_longer_stored_is_forgotten():
    """
    A batch that was to be sent again and that the store no longer has does not wait for ever.
    """
    made = lanes()
    made.sent(1, made.lanes[3], batch(5), 100, 0.0)
    made.acknowledged(1, 0.0)
    made.resend(made.overdue(1000.0, TIMEOUT_S)[0])
    made.exhausted(made.lanes[3])
    assert {} == made.waiting


def test_alarms_go_on_while_the_receiver_is_behind_with_the_backlog():
    """
    With as many batches of events without a receipt as stop any other lane, the next alarm goes; their own limit is larger, and there is one.
    """
    made = lanes()
    drain(made, "energy", "fresh", "backlog", "record")
    for mid in range(1, UNRECEIPTED_EVENTS_MAX + 1):
        assert "event" == send(made, mid, batch(mid, Stream.EVENT))
        made.acknowledged(mid, 0.0)
    assert made.next_lane(0.0) is None


def test_a_dead_receiver_stops_the_lane():
    """
    Without receipts a lane sends a bounded number of batches and then rests.
    """
    made = lanes()
    drain(made, "event", "energy", "fresh", "record")
    for mid in range(1, UNRECEIPTED_MAX + 1):
        assert "backlog" == send(made, mid, batch(mid, first=mid * 100))
        made.acknowledged(mid, 0.0)
    assert made.next_lane(0.0) is None


@pytest.mark.parametrize(("kept_session", "expected"), [(True, [1]), (False, [])])
def test_a_kept_session_keeps_what_the_broker_acknowledged(kept_session, expected):
    """
    After a reconnect only what the broker acknowledged counts as sent, and only when it kept the session.
    """
    made = lanes()
    made.sent(1, made.lanes[3], batch(1), 100, 0.0)
    made.sent(2, made.lanes[3], batch(2), 100, 0.0)
    made.acknowledged(1, 0.0)
    made.begin(100, 65_535, 0.0, kept_session=kept_session)
    assert expected == [sent.block_id for sent in made.waiting.values()]
    assert {} == made.in_flight


def test_a_refused_message_is_sent_again_later():
    """
    What the broker refuses goes again when its lane has rested.
    """
    made = lanes()
    send(made, 1, batch(1, 1))
    made.refused(1, 30.0)
    assert "event" not in {lane.name for lane in [made.next_lane(29.0)] if lane}
    lane = made.next_lane(30.0)
    assert lane is not None
    assert ("event", 0) == (lane.name, lane.after)


def test_the_backlog_starts_when_it_may():
    """
    Until its start the backlog rests, and new data goes on.
    """
    made = Lanes()
    made.begin(100, 65_535, 50.0, kept_session=False)
    drain(made, "event", "energy", "fresh")
    assert made.next_lane(49.0) is None
    lane = made.next_lane(50.0)
    assert lane is not None
    assert "backlog" == lane.name


def test_what_nobody_heard_is_not_sent():
    """
    A batch of which the broker said that nobody listens goes again; a receipt for it shows that the broker's word is worth nothing.
    """
    made = lanes()
    item = batch(1, 1)
    send(made, 1, item)
    made.unheard(1, 1.0)
    assert not made.is_waiting(item)
    assert 0 == made.lanes[0].after
    assert made.receipted([item.identity])
    assert {} == made.waiting


def test_probing_sends_one_at_a_time():
    """
    While nobody listens, one message is under way at most.
    """
    made = lanes()
    made.probing = True
    send(made, 1, batch(1, 1))
    assert made.next_lane(0.0) is None


def test_a_batch_in_parts_is_passed_with_its_last_part():
    """
    The lane stays before a batch that was cut until its last part is handed out or left behind.
    """
    made = lanes(border=0)
    lane = next(lane for lane in made.lanes if lane.name == "fresh")
    parts = [batch(7, first=10 + 5 * n, last=14 + 5 * n) for n in range(3)]
    lane.parts.extend(parts)
    seen = []
    for mid, part in enumerate(parts[:2], 1):
        made.sent(mid, lane, part, 100, 0.0)
        seen.append((lane.after, len(lane.parts)))
    lane.passed(parts[2])
    assert [(0, 2), (0, 1), (7, 0)] == [*seen, (lane.after, len(lane.parts))]
    assert {0} == {sent.after for sent in made.waiting.values()}


def test_a_part_taken_for_lost_has_its_batch_cut_anew():
    """
    When a part is lost, the lane goes back before its batch and forgets the cut: what is on its way is known by its own range.
    """
    made = lanes(border=0)
    lane = next(lane for lane in made.lanes if lane.name == "fresh")
    parts = [batch(7, first=10, last=14), batch(7, first=15, last=19)]
    lane.parts.extend(parts)
    made.sent(1, lane, parts[0], 100, 0.0)
    made.resend(made.waiting[parts[0].identity])
    assert (0, 0, True) == (lane.after, len(lane.parts), lane.more)
    made.sent(2, lane, parts[0], 100, 1.0)
    assert 2 == made.waiting[parts[0].identity].tries


def test_what_the_cloud_asks_for_again_counts_as_never_sent():
    """
    Ranges that a cloud lacks wait for no receipt any more; the others do.
    """
    made = lanes(border=0)
    for mid, item in enumerate((batch(1), batch(2)), 1):
        send_fresh = next(lane for lane in made.lanes if lane.name == "fresh")
        made.sent(mid, send_fresh, item, 100, 0.0)
    made.forget([Identity(1, 3, 12, 13)])
    assert [batch(2).identity] == list(made.waiting)
