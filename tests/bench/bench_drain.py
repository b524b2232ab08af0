"""Drain from disk after a restart: a backlog of the reference station, joined and sealed, to a raw subscriber over mutual TLS, values a second.

The store is filled first (seven hours of readings, 2.7 million values), then the gateway starts on it; mosquitto and the subscriber run beside it on the same
cores. Nobody gives receipts, so the gateway sends what it may send without: 256 batches, and these are counted, from the first to the last.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edgegw.cli.rig import Rig, wait_for
from tests.bench.bench_store_r10 import run
from tests.bench.marks import Figure
from tests.bench.subscriber import Subscriber

HOURS = 7.0
RUNS = 3
# ThingsBoard IoT Gateway 3.8.5 from its disk, on another day.
THINGSBOARD_VALUES_S = 304_000
_BUS = '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "127.0.0.1"\nport = 1\n'
_QUIET_S = 2.0


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgegw-bench-drain-") as directory:
        rig = Rig(Path(directory), window_s=60.0)
        try:
            stored = run(rig.directory / "filled", "fill", HOURS, "joined")
            rig.make_keys()
            rig.start_broker()
            rig.write_config(_BUS)
            yield from drained(rig, json.dumps(stored))
        finally:
            rig.close()


def drained(rig: Rig, _stored: str) -> Iterator[Figure]:
    state = rig.directory / "state"
    rates = []
    for _ in range(RUNS):
        for file in state.glob("edgegw.db*"):
            file.unlink()
        (state / "edgegw.db").write_bytes((rig.directory / "filled" / "edgegw.db").read_bytes())
        with Subscriber(rig) as subscriber:
            rig.start_gateway()
            wait_for("backlog", lambda heard=subscriber.heard: any(one.lane == "h" for one in heard))
            wait_for("its end", lambda heard=subscriber.heard: time.perf_counter() - heard[-1].at_s > _QUIET_S, 60)
            rig.stop("gateway")
            heard = [one for one in subscriber.heard if one.lane == "h"]
        rates.append(values_of(rig, len(heard)) / (heard[-1].at_s - heard[0].at_s))
    yield Figure("P12", "values a second from disk to a raw subscriber, the best of three", max(rates), "values/s")
    yield Figure("", "the same, the worst of three", min(rates), "values/s")
    yield Figure("", "against ThingsBoard from its disk", max(rates) / THINGSBOARD_VALUES_S, "x")
    yield Figure("", "batches", len(heard))
    yield Figure("", "sealed bytes a value", sum(one.payload_bytes for one in heard) / values_of(rig, len(heard)), "B")


def values_of(rig: Rig, batches: int) -> int:
    """Values of the first so many blocks of telemetry, save the first one: the clock starts when it has come."""
    with closing(sqlite3.connect(rig.directory / "filled" / "edgegw.db")) as file:
        question = "SELECT sum(vals) FROM (SELECT vals FROM block WHERE stream = 3 ORDER BY block_id LIMIT ? OFFSET 1)"
        return int(file.execute(question, (batches - 1,)).fetchone()[0])
