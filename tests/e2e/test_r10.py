"""The reference station: 39 devices and 521 points on real ptys and sockets, and every value that is stored is the one that was sent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgegw.config.check import forecasts, read
from tests.r10_rig import STATION, points_of, poll

EXAMPLE = STATION.with_name("r10.toml")
# Of section "points and rates" of the reference station: devices and points of each kind.
KINDS = {"M-IN": 45, "M-PV": 37, "M-DC": 74, "M-G": 40, "M-AC": 104, "M-AUX": 13, "UPS": 17, "PV": 51, "TH": 18, "PT": 9, "DI": 9, "DO": 2, "DC": 34, "AC": 48}
POLLED_S = 60.0
# Every line stays below this share of its time, or there is no room for a repeated question.
BUSY_SHARE_MAX = 0.6


def test_the_example_is_the_reference_station():
    """
    Its configuration has no mistake, 39 devices with the gateway itself, the points of each kind, and no line that is too busy.
    """
    loaded = read(EXAMPLE)
    assert [("W-CFG-LINE", "warning")] == [(finding.id, finding.severity) for finding in loaded.findings]
    points = points_of(loaded.config)
    count = Counter(next((kind for kind in sorted(KINDS, key=len, reverse=True) if device.startswith(kind)), "gateway") for device, _ in points)
    assert {**KINDS, "gateway": 20} == count
    assert (39, 521) == (len({device for device, _ in points}), len(points))
    assert max(line.busy_share for line in forecasts(loaded.config)) < BUSY_SHARE_MAX


@pytest.mark.broker
def test_a_minute_of_the_reference_station(tmp_path: Path):
    """
    Each of its points comes and is good, energy at the start too, and no stored value differs from what a device sent or is there twice.
    """
    verdict = poll(tmp_path, POLLED_S)
    assert ([], []) == (verdict.missing, verdict.doubtful)
    assert (0, 0, 0, []) == (verdict.different, verdict.exit_code, verdict.audit.excused, verdict.audit.examples)
    assert (38, 521) == (verdict.audit.devices, len(verdict.good))
    assert verdict.punctual, verdict.line()
    assert verdict.audit.matched > 1000
