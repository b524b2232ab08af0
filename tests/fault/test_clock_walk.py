"""The daemon polls a station while its wall clock walks: 1970, the present, an hour back, fifty years on."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edgegw.block import decode_block, decode_schema
from edgegw.cli.rig import Rig
from edgegw.clock import _TIMESYNC_STAMP
from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust, Stream
from tests.unit.buffer_rig import METER, events_of, running, wait_for

PERIOD_S = 2.0
# Polls of one leg, so that each step falls into the middle of many.
LEG_S = 4 * PERIOD_S
YEAR_S = 31_556_952
HOUR_S = 3_600

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
    pytest.mark.skipif(_TIMESYNC_STAMP.exists(), reason="this machine's time service vouches for the clock"),
]


class Walk:
    """The wall clock of processes that are started with `environment`."""

    def __init__(self, directory: Path) -> None:
        library, self._file = directory / "clock_walk.so", directory / "walk"
        source = Path(__file__).parent / "clock_walk.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        self.set(0, known=False)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_WALK": str(self._file)}

    def set(self, seconds: int, *, known: bool) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=qq", seconds, known))


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path, period_s=PERIOD_S)
    made.make_keys()
    made.start_station()
    made.write_config()
    yield made
    made.close()


def poll_for_a_leg(rig):
    """Returns when the clock's step was seen and a few polls came after it."""
    until_s = time.monotonic() + LEG_S
    wait_for("the end of the leg", lambda: time.monotonic() >= until_s and rig.ask_gateway("status"), LEG_S + 30)


def devices_online(rig: Rig) -> int:
    """0 while nobody listens: the socket of the last run may still lie there."""
    try:
        return sum(bus["online"] for bus in rig.ask_gateway("status")["buses"])
    except EdgegwError:
        return 0


def test_a_clock_that_walks_while_the_bus_is_read_moves_no_reading(rig, tmp_path, monkeypatch):
    """
    Two runs that do not know the time, the second of which learns it, loses an hour and gains fifty years: no poll is lost or late by a period, no reading is
    out of order, and what was read before has its time.
    """
    walk = Walk(tmp_path)
    since_1970 = -int(time.time())
    for name, value in walk.environment.items():
        monkeypatch.setenv(name, value)
    walk.set(since_1970, known=False)
    for run in ("that never knows the time", "that learns it"):
        rig.start_gateway()
        wait_for("devices", lambda: devices_online(rig) > 5, 60)
        poll_for_a_leg(rig)
        if run == "that never knows the time":
            assert 0 == rig.stop("gateway")
    present_s = time.time()
    for seconds in (0, -HOUR_S, 50 * YEAR_S):
        walk.set(seconds, known=True)
        poll_for_a_leg(rig)
    assert 0 == rig.stop("gateway")
    for name in walk.environment:
        monkeypatch.delenv(name)

    with running(tmp_path / "state", [METER]) as opened:
        batches = opened.batches()
        layouts = {schema: decode_schema(opened.ask("schema_document", schema)) for schema in {batch.schema for batch in batches if batch.schema}}
    runs: dict[int, list] = {}
    periods_ms: dict[int, int] = {}
    for batch in batches:
        if batch.identity.stream == Stream.TELEMETRY:
            runs.setdefault(batch.identity.epoch, []).extend(decode_block(batch.body, batch.identity.first)[1])
            periods_ms.update({source_id: source.period_ms for source_id, source in layouts[batch.schema].items()})
    first, second = (sorted(rows, key=lambda row: row.seq) for rows in runs.values())

    for rows in (first, second):
        assert list(range(1, len(rows) + 1)) == [row.seq for row in rows]
        assert all(before.mono_ms <= row.mono_ms for before, row in pairwise(rows))
        polled = {row.source_id for row in rows if periods_ms[row.source_id] == PERIOD_S * 1000}
        assert len(polled) > 5
        gaps_ms = {
            source_id: [row.mono_ms - before.mono_ms for before, row in pairwise(row for row in rows if row.source_id == source_id)] for source_id in polled
        }
        late = {source_id: found for source_id, found in gaps_ms.items() if max(found) >= 2 * PERIOD_S * 1000}
        assert {} == late

    # Neither knew the time when it read them; both have it from the moment at which the second learned it.
    early = [*first, *(row for row in second if row.clock == ClockTrust.CORRECTED)]
    assert {ClockTrust.CORRECTED} == {row.clock for row in early}
    assert all(before.read_at_ms <= row.read_at_ms for before, row in pairwise(early))
    assert abs(early[-1].read_at_ms / 1000 - present_s) < LEG_S + 30
    years = sorted({round(1970 + row.read_at_ms / 1000 / YEAR_S) for row in second})
    assert 50 == years[-1] - years[0]
    steps_s = [round(one.body["step_ms"] / 1000) for _, one in events_of(batches) if one.kind == "clock_step"]
    assert [-since_1970, -HOUR_S, 50 * YEAR_S + HOUR_S] == [pytest.approx(step_s, abs=2) for step_s in steps_s]
