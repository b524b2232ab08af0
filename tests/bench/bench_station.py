"""The simulated station: bytes a value on the wire and in the file, CPU, memory, and start to first value at the receiver.

Twice the whole way of the data over mutual TLS: as its profiles poll it, with windows of 10 s, and every group each second, with windows of 1 s.
It is smaller than the reference station of the marks and not joined, so these figures have no mark; only what its readings take counts
(topics t, n and h; rows and indexes of the blocks), events and status apart.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edgegw.cli.rig import Rig, wait_for
from tests.bench.bench_way import rss_mb, spend
from tests.bench.marks import Figure
from tests.bench.subscriber import Subscriber

WARM_S = 12.0
# Groups that are read each minute come at least once.
MEASURED_S = 70.0
# What a block takes beside its page: its row and its entries in two indexes.
_BLOCK_PAGES = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('block', 'block_order', 'block_identity')"


def measure() -> Iterator[Figure]:
    yield from run("own periods, 10 s windows", None, 10.0)
    yield from run("1 s periods, 1 s windows", 1.0, 1.0)


def run(title: str, period_s: float | None, window_s: float) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory), period_s=period_s, window_s=window_s)
        try:
            rig.make_keys()
            rig.start_station()
            rig.start_broker()
            rig.start_receiver()
            rig.write_config()
            # Compiles what is not compiled yet. Its database goes: what is left in it would be taken for the next start's first value.
            rig.start_gateway()
            wait_for("the first value", rig.values_received)
            rig.stop("gateway")
            for file in (rig.directory / "state").glob("edgegw.db*"):
                file.unlink()
            with Subscriber(rig) as subscriber:
                yield from measured(rig, subscriber, title)
        finally:
            rig.close()


def measured(rig: Rig, subscriber: Subscriber, title: str) -> Iterator[Figure]:
    before, started_s = rig.values_received(), time.perf_counter()
    rig.start_gateway()
    wait_for("the first value of this start", lambda: rig.values_received() > before)
    received_s = time.perf_counter() - started_s
    yield Figure("", f"{title}: exec to first value at the receiver", received_s, "s")
    yield Figure("", f"{title}: the same, at a raw subscriber", subscriber.first_s("tn", started_s), "s")
    spent = spend(rig, WARM_S, MEASURED_S)
    wire_bytes = subscriber.bytes_of("tnh", spent.from_s, spent.until_s)
    yield Figure("", f"{title}: values received a second", spent.values_a_second, "1/s")
    yield Figure("", f"{title}: sealed bytes a value on the wire", wire_bytes / spent.values, "B")
    yield Figure("", f"{title}: CPU s per 1,000 values", spent.cpu_s_a_thousand, "s")
    yield Figure("", f"{title}: RSS", rss_mb(rig.pid_of("gateway")), "MB")
    rig.stop("gateway")
    yield Figure("", f"{title}: bytes a value in the file, not joined", file_bytes_a_value(rig.directory / "state" / "edgegw.db"), "B")


def file_bytes_a_value(path: Path) -> float:
    """Of all blocks, after a clean end."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        pages, values = (database.execute(question).fetchone()[0] for question in (_BLOCK_PAGES, "SELECT sum(vals) FROM block"))
    return float(pages / values)
