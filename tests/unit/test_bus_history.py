"""The counters of the last hour: near snapshots, then one a minute, and never more than the bound."""

from __future__ import annotations

import pytest

from edgegw.bus.history import MINUTES_MAX, RECENT_MAX, SNAPSHOT_S, History, Snapshot


def filled(count):
    history = History()
    for number in range(count):
        history.add(Snapshot(number * SNAPSHOT_S, (number, 0, 0), {}))
    return history


@pytest.mark.parametrize("since_s", [10, 30, 110, 120, 600, 3000])
def test_the_snapshot_is_as_old_as_was_asked_and_a_minute_older_at_most(since_s):
    """Of the last two minutes it is the very one, further back the next older one that is kept."""
    now_s = 399 * SNAPSHOT_S
    age_s = now_s - filled(400).before(now_s - since_s).at_s
    assert since_s == age_s if since_s < RECENT_MAX * SNAPSHOT_S else since_s <= age_s <= since_s + 60


def test_before_the_first_the_oldest_is_told():
    """Whoever asks further back than is kept gets what there is, and nothing where nothing is."""
    assert 0 == filled(5).before(-100).at_s
    assert None is History().before(0)


def test_a_day_needs_no_more_room_than_an_hour():
    """What is kept is bounded."""
    history = filled(24 * 360)
    kept = {history.before(at_s).at_s for at_s in range(0, 86_400, 10)}
    assert MINUTES_MAX <= len(kept) <= MINUTES_MAX + RECENT_MAX
