"""A piece of the compressed day on real ports: the mains failure, twelve times as fast as ours. The whole day: ./dev soak day."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.day_real import run_day

# From a minute before the mains fail until a minute after they are back: 50 s. At this speed a machine that is busy with the other tests has more than a second
# before a device counts as silent.
SPEED, FROM_HOUR, TO_HOUR = 12.0, 15 + 19 / 60, 15 + 29 / 60


@pytest.mark.broker
def test_the_mains_failure_is_told_once_and_the_low_battery_for_itself(tmp_path: Path):
    """
    Two alarms are told and nothing else, everything else of the failure stands below it in the receiver's database, and 15:20 of the day is 15:20.
    """
    verdict = run_day(tmp_path, SPEED, seed=10, from_hour=FROM_HOUR, to_hour=TO_HOUR)
    assert ["mains lost", "low battery"] == [call.what for call in verdict.wanted]
    assert verdict.wanted == [call for _, call in verdict.calls]
    assert ["15:20", "15:26"] == [at[:5] for at, _ in verdict.calls]
    assert (set(), 0) == (verdict.astray, verdict.exit_code)
