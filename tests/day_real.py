"""The reference station's day on real ports, in a hurry: station, gateway, broker and receiver, each its own process, in one simulated time.

What the gateway told and wrote down is read where a cloud team reads it, in the receiver's database.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from edgegw.cli.rig import Rig
from edgegw.sim.gateway_config import bus_and_device_tables
from tests.day_rig import BELOW_COM4, BELOW_MAINS, STATION, Called, below, called, day_station, expected
from tests.proxy import Proxy

# A pty knows no speed: the gateway's own pauses between frames are those of a fast line.
BAUDRATE = 115_200
# A silent device costs its line so many seconds of the day: as much as nine of them on one line allow, because a busy machine lets an answer wait too.
TIMEOUT_S, TIMEOUT_MS_MIN = 2.0, 25
# The least that a configuration may name. With the time-out it must be shorter than the 3 s of the day after which a contact counts as lost, or one answer that
# a busy machine held back is an alarm: so it is up to a speed of 20.
GUARD_MS = 100
# Devices and lines are punctual, and so is a gateway that has a core for itself: where the rights are there, the rest of the machine waits for them.
NICENESS = -10
WINDOW_S = 60.0
# The mobile network is away; at speed 40 that is some two minutes.
OUTAGE_HOURS = (20.0, 21.5)
RECEIVED_S_MAX = 60.0
QUIET_S = 4
_DAY_MS = 86_400_000


class Verdict(NamedTuple):
    """What came of a day, or of a part of it."""

    calls: list[tuple[str, Called]]
    """Time of the day, and what people were called for."""
    wanted: list[Called]
    astray: set[tuple[str, str]]
    """(rule, subject) that should have been written down below the mains failure or the dead line, and were not."""
    dips: list[str]
    """Times of the day."""
    events: int
    values: int
    exit_code: int

    @property
    def good(self) -> bool:
        return self.wanted == [call for _, call in self.calls] and not (self.astray or self.exit_code)


class _Hurry:
    """The station's time as this process knows it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.speed, self.hour, self.anchor_ns = float(told["speed"]), float(told["hour"]), int(told["monotonic_ns"])
        self.midnight_ms = time.time_ns() // 1_000_000 // _DAY_MS * _DAY_MS

    def option(self) -> tuple[str, str]:
        return "--simulated-time", f"{self.speed:g}@{self.anchor_ns}={self.midnight_ms + round(self.hour * 3_600_000)}"

    def now_hour(self) -> float:
        return self.hour + (time.monotonic_ns() - self.anchor_ns) / 1e9 * self.speed / 3600

    def wait_until(self, hour: float, rig: Rig) -> None:
        """A part that ends by itself ends the wait."""
        while (left_s := (hour - self.now_hour()) * 3600 / self.speed) > 0:
            rig.must_run()
            time.sleep(min(left_s, 1.0))


def run_day(directory: Path, speed: float, seed: int, from_hour: float, to_hour: float) -> Verdict:
    """Runs everything below `directory` from hour to hour and compares."""
    station = directory / "station.toml"
    station.write_text(_station_text(seed), encoding="utf-8")
    rig = Rig(directory, period_s=None, window_s=WINDOW_S)
    link: Proxy | None = None
    try:
        rig.make_keys()
        rig.start_broker()
        link = Proxy(rig.broker_port)
        rig.start_receiver()
        rig.start_station(str(station), "--scenario", "day", "--speed", f"{speed:g}", "--from", f"{int(from_hour):02d}:{round(from_hour % 1 * 60):02d}")
        hurry = _Hurry(rig.station["time"])
        rig.write_config(_tables(rig.station, from_hour, seed, speed))
        rig.config.write_text(rig.config.read_text().replace(f"localhost:{rig.broker_port}", f"localhost:{link.port}"))
        rig.start_gateway(*hurry.option())
        for part in ("station", "gateway"):
            _be_punctual(rig.pid_of(part))
        if from_hour < OUTAGE_HOURS[0] < to_hour:
            hurry.wait_until(OUTAGE_HOURS[0], rig)
            link.stalled.set()
            hurry.wait_until(min(OUTAGE_HOURS[1], to_hour), rig)
            link.stalled.clear()
        hurry.wait_until(to_hour, rig)
        wait_for_events(rig)
        exit_code = rig.stop("gateway")
        return _judge(rig, hurry, expected(from_hour, to_hour), exit_code)
    finally:
        if link is not None:
            link.close()
        rig.close()


def _be_punctual(pid: int) -> None:
    """All threads of a process; those that it starts later are as the one that starts them."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)


def _station_text(seed: int) -> str:
    """The reference station with ports of its own."""
    lines = [line for line in STATION.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith(("links =", "port ="))]
    return re.sub(r"^seed = \d+", f"seed = {seed}", "".join(lines), flags=re.MULTILINE)


def _tables(told: dict[str, Any], from_hour: float, seed: int, speed: float) -> str:
    """The gateway's configuration of a day that runs fast."""
    ports = {"buses": [{**port, "baudrate": BAUDRATE} if port["kind"] == "serial" else port for port in told["buses"]]}
    waits = f"answer_timeout_ms = {max(TIMEOUT_MS_MIN, round(1000 * TIMEOUT_S / speed))}\nlate_answer_guard_ms = {GUARD_MS}\n"
    tables = re.sub(r"^late_answer_guard_ms = .*\n", "", bus_and_device_tables(day_station(from_hour, seed), ports, None), flags=re.MULTILINE)
    return re.sub(r'^kind = "(serial|tcp)"\n', lambda found: found[0] + waits, tables, flags=re.MULTILINE)


def wait_for_events(rig: Rig) -> None:
    """Until nothing that is written down waits any more: events go first, so some seconds without a new one are enough."""
    counts: list[int] = []
    deadline_s = time.monotonic() + RECEIVED_S_MAX
    while time.monotonic() < deadline_s and (len(counts) < QUIET_S or len(set(counts[-QUIET_S:])) > 1):
        counts.append(_count(rig.sink, "events"))
        time.sleep(1.0)


def _count(sink: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{sink}?mode=ro", uri=True)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _judge(rig: Rig, hurry: _Hurry, wanted: list[Called], exit_code: int) -> Verdict:
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT kind, device, at_ms, body FROM events ORDER BY stream, seq").fetchall()
    events = [(kind, device, _of_day(at_ms - hurry.midnight_ms), json.loads(body)) for kind, device, at_ms, body in rows]
    calls = [(at, called(body["rule"], body["level"], device or body.get("bus") or "")) for kind, device, at, body in events if kind == "told"]
    alarms = [(body, device) for kind, device, _, body in events if kind == "alarm"]
    dips = [at for kind, _, at, _ in events if kind == "voltage_dip"]
    words = {call.what for call in wanted}
    astray = BELOW_MAINS - below("mains-lost", alarms) if "mains lost" in words else frozenset()
    astray |= BELOW_COM4 - below("bus offline", alarms) if "bus offline" in words else frozenset()
    return Verdict(calls, wanted, set(astray), dips, len(events), _count(rig.sink, "readings"), exit_code)


def _of_day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S")
