"""The reference station against the real daemon: polled for a while on real ports, then every value compared with what the devices say they sent."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edgegw.app import plan_buses
from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.clock import Clock
from edgegw.config.check import read
from edgegw.config.model import Config
from edgegw.own_points import OwnPoints
from edgegw.sim.audit import Audit, audit
from edgegw.sim.gateway_config import bus_and_device_tables
from edgegw.sim.station import load_station

STATION = Path(__file__).parents[1] / "examples" / "r10-station.toml"
# Its serial ports and TCP ports are for people; beside a station that runs already another one must find its own.
_FIXED = ("links =", "port =")
# Of the gateway's own points those that this machine has not.
_NOT_FITTED = "not fitted"
# A machine that is busy with others holds a simulated line back for longer than the gateway has learnt to wait: such a share of the polls may be missed, and
# of the answers come when nobody waits for them any more. Both are told.
MISSED_SHARE_MAX = 0.01

Place = tuple[str, str]
"""Device and point."""


class Verdict(NamedTuple):
    """What was found; `points` are all that the configuration names, (device, point)."""

    points: frozenset[Place]
    good: frozenset[Place]
    """Of which a good value has come, or which this machine has not."""
    doubtful: list[str]
    """Values of another quality, in words."""
    missed: int
    """Values of polls that nobody answered."""
    lines: list[str]
    """What the simulated lines have against their master: for whoever looks for a cause."""
    audit: Audit
    values: int
    exit_code: int

    @property
    def missing(self) -> list[Place]:
        return sorted(self.points - self.good)

    @property
    def different(self) -> int:
        """Values that are not what was sent, or twice there."""
        found = self.audit
        return found.wrong + found.unexplained + found.duplicates

    @property
    def punctual(self) -> bool:
        """Few polls were missed, and few answers came too late."""
        return self.missed <= MISSED_SHARE_MAX * self.values and self.audit.lost_count <= MISSED_SHARE_MAX * self.audit.matched

    @property
    def clean(self) -> bool:
        hale = not (self.missing or self.doubtful or self.different or self.exit_code)
        return hale and self.punctual and self.audit.matched > 0

    def line(self) -> str:
        devices = len({device for device, _ in self.points})
        head = f"{devices} devices, {len(self.points)} points: {len(self.good)} good, {len(self.missing)} missing, {len(self.doubtful)} kinds of value not good"
        found = self.audit
        tail = f"wrong {found.wrong}, unexplained {found.unexplained}, doubled {found.duplicates}"
        late = f"missed values {self.missed}, answers nobody waited for {found.lost_count}"
        return f"{head}; {found.matched:,} answers, {self.values:,} values compared, {self.different} different ({tail}); {late}, exit {self.exit_code}"


def points_of(config: Config) -> frozenset[Place]:
    """Every point that a gateway of this configuration stores, its own among them."""
    own = OwnPoints(config.gateway.gateway, {device.code: device.points for device in config.device}, Path("/"), Clock())
    planned = [planned.source for plans in plan_buses(config).values() for plan in plans for planned in plan.sources]
    return frozenset((source.device, point.name) for source in (*planned, *own.sources) for point in source.points)


def poll(directory: Path, seconds: float) -> Verdict:
    """Runs station, broker, receiver and gateway below `directory` for so long after the first value, and compares."""
    file = directory / "station.toml"
    file.write_text("".join(line for line in STATION.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith(_FIXED)), encoding="utf-8")
    rig = Rig(directory, period_s=None)
    try:
        rig.make_keys()
        rig.start_station(str(file))
        rig.start_broker()
        rig.start_receiver()
        rig.write_config(bus_and_device_tables(load_station(file), rig.station, None))
        rig.start_gateway()
        wait_for("the first value at the receiver", rig.values_received)
        wait_to_pass(seconds)
        rig.must_run()
        until_ms = time.time_ns() // 1_000_000
        lines = [str(bus) for bus in rig.tell_station("counts")["buses"] if bus["violations"] + bus["overlaps"] + bus["bad_requests"]]
        rig.drain()
        exit_code = rig.stop("gateway")
    finally:
        rig.close()
    config = read(rig.config).config
    assert config is not None
    good, doubtful, missed = _qualities(rig.sink, until_ms, config.gateway.gateway)
    points = points_of(config)
    found = audit(rig.journal, rig.sink, IDENTITY, wanted=points)
    return Verdict(points, good, doubtful, missed, lines, found, found.values_received, exit_code)


def wait_to_pass(seconds: float) -> None:
    """How long a station is polled is a matter of time alone."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(left_s)


def _qualities(sink: Path, until_ms: int, own: str) -> tuple[frozenset[Place], list[str], int]:
    """Points with a good value, the values of another quality, and how many were not answered, up to a time: after it the station is silenced."""
    good: set[Place] = set()
    doubtful: list[str] = []
    missed = 0
    question = """
        SELECT device, point, quality, value, count(*), min(read_at_ms) FROM readings WHERE read_at_ms <= ? GROUP BY device, point, quality, value IS NULL
    """
    with closing(sqlite3.connect(f"file:{sink}?mode=ro", uri=True)) as database:
        for device, point, quality, value, count, first_ms in database.execute(question, (until_ms,)):
            if (quality == "good" and value is not None) or (device == own and quality == _NOT_FITTED):
                good.add((device, point))
            elif quality == "offline":
                missed += count
            else:
                doubtful += [f"{device} {point}: {count} x {quality}, value {value}, first {(until_ms - first_ms) / 1000:.1f} s before the end"]
    return frozenset(good), doubtful, missed
