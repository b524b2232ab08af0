"""What a screen shows of a point: its value, its age, and whether it is still true."""

from __future__ import annotations

from edgegw.live import Live
from edgegw.model import ClockTrust, Point, Quality, Reading, Source

SOURCE = Source(1, "T-1", "air", 1000, (Point("temperature", 1, "C", "measure"), Point("humidity", 1, "%RH", "measure")), "sensor")


def live(*readings):
    view = Live([SOURCE])
    for mono_ms, values, quality in readings:
        view.put(Reading(SOURCE, 1_795_000_000_000 + mono_ms, mono_ms, ClockTrust.HELD, values, quality))
    return view


def shown(view, now_ms):
    return [(value.number, value.quality, value.age_ms) for value in view.values("T-1", now_ms)]


def test_a_fresh_value_has_its_unit_and_age():
    """
    A value just read is good, in its unit, with its age.
    """
    assert [(21.5, "good", 200), (54.6, "good", 200)] == shown(live((1000, (215, 546), {})), 1200)


def test_an_old_value_is_stale():
    """
    A good value older than three periods is never shown as fresh.
    """
    assert [(21.5, "stale", 3100), (54.6, "stale", 3100)] == shown(live((1000, (215, 546), {})), 4100)


def test_the_last_value_of_a_silent_device_stays_visible_as_stale():
    """
    After a failed poll the last value is shown with its true age, not as good and not as nothing.
    """
    offline = dict.fromkeys(range(2), Quality.OFFLINE)
    assert [(21.5, "stale", 1500), (54.6, "stale", 1500)] == shown(live((1000, (215, 546), {}), (2000, (None, None), offline)), 2500)


def test_a_bad_value_is_no_number():
    """
    A value that the device calls invalid is shown as bad without a number, the other beside it as good.
    """
    assert [(None, "bad", 0), (54.6, "good", 0)] == shown(live((1000, (None, 546), {0: Quality.BAD})), 1000)


def test_a_point_never_read_says_so():
    """
    Before the first poll there is neither value nor age.
    """
    assert [(None, "not read yet", None)] * 2 == shown(live(), 5000)
