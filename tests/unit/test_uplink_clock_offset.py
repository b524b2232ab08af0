"""The difference of two clocks out of receipts that take their time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgegw.uplink.clock_offset import ClockOffset

NOW_MS = 1_800_000_000_000


def offset(differences_ms):
    clock = ClockOffset()
    for difference_ms in differences_ms:
        clock.note(NOW_MS, NOW_MS + difference_ms)
    return clock.offset_ms


def test_the_quickest_receipt_is_nearest_to_the_truth():
    """Delays only add; before three receipts nothing is said, and what a broker kept for an hour is forgotten."""
    assert [None, None, 120] == [offset([900, 120, 300][:count]) for count in (1, 2, 3)]
    assert -4000 == offset([-3000, -4000, 2000])
    assert 150 == offset([3_600_000] * 5 + [200, 180, 150])


@given(st.integers(-100_000, 100_000), st.lists(st.integers(0, 5000), min_size=3, max_size=8))
def test_it_is_never_further_off_than_the_quickest_way(offset_ms, delays_ms):
    """The true offset, and at most the smallest delay above it."""
    found = offset([offset_ms + delay_ms for delay_ms in delays_ms])
    assert found is not None
    assert 0 <= found - offset_ms == min(delays_ms)
