"""A day of the reference station without a cloud on a disk that is too small: within the limit at every moment, and a ledger that is exact."""

from __future__ import annotations

from edgegw.buffer import writer
from tests.fault.full_run import outage, small_disk

CAP_MIB = 4
# The first cut of a tenth of a day meets the other program; the whole day comes to thinning many times.
SHORT_DAYS = 0.1


def test_a_day_of_outage_is_thinned_within_the_limit_and_told_to_the_reading(tmp_path):
    """
    1.6 million readings into a file of 4 MiB: never beyond it, each one there or told lost, none both.
    """
    found = outage(tmp_path, 1.0, cap_mib=CAP_MIB, others=False)
    assert (0, 0, True) == (found.doubled, found.missing, found.is_exact), found.line()
    assert found.bytes_seen_max <= found.bytes_max == CAP_MIB * 2**20
    assert found.reasons["thinned"] > 1_000_000
    assert found.thinned_rows > 1_000


def test_a_disk_that_others_fill_costs_no_reading_untold(tmp_path, monkeypatch):
    """
    On a tmpfs that another program fills for half of the time (where this machine may mount one): the store writes again, and the ledger is exact.
    """
    monkeypatch.setattr(writer, "RETRY_S", 0.1)
    with small_disk(tmp_path / "disk") as mounted:
        found = outage(tmp_path / "disk", SHORT_DAYS, cap_mib=0 if mounted else CAP_MIB, others=mounted)
    assert found.is_exact, found.line()
    assert found.filled == mounted
    assert found.bytes_seen_max <= found.bytes_max
