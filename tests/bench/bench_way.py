"""The whole way of the data: CPU and memory of the gateway at 20 and 200 devices x 50 registers x 1 s, and start to first value.

Poll, store, rules, seal, encrypt, MQTT over mutual TLS to mosquitto, receiver with signed receipts; window 1 s. Best of the rivals on the same
work, measured on another day: 0.034 CPU s per 1,000 values and 66 MB at 20 devices (Node-RED, ThingsBoard), 0.0088 and 83 MB at 200;
ThingsBoard 1.8 s from exec to the first reading. A lone CPU time is worth little on a noisy machine: the ratio stands on those figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgegw.cli.rig import Rig
from tests.bench.marks import Figure
from tests.bench.modbus_server import REGISTERS
from tests.bench.subscriber import Subscriber

WARM_S, MEASURED_S = 8.0, 20.0
# The median of so many counts.
STARTS = 5


class Beside(NamedTuple):
    """What the rivals need for the same work."""

    best_cpu_s: float
    """Per 1,000 values, the least of them."""
    thingsboard_mb: float
    thingsboard_first_s: float
    """From exec to the first value."""


BESIDE = {20: Beside(0.034, 66.0, 1.8), 200: Beside(0.0088, 83.0, 1.8)}
PROFILE = """\
[profile]
name = "bench"
maker = "none"
title = "Bench device"
title_zh = "测试设备"
class = "meter"
protocol = "modbus"
source = "tests/bench/modbus_server.py"
[group.electrical]
period_s = {period_s}
"""
RULE = """
[[rule]]
name = "high"
point = "string.1.current"
condition = "high"
limit = 500
"""


def write_profile(path: Path, period_s: float = 1.0) -> None:
    points = (
        f'[[point]]\npoint = "string.{i + 1}.current"\ngroup = "electrical"\naddress = {i}\ntype = "u16"\nscale = "0.01"\ndecimals = 2\n'
        for i in range(REGISTERS)
    )
    path.write_text(PROFILE.format(period_s=period_s) + "\n".join(points))


def tables(ports: list[int], profile: Path, period_s: float | None) -> str:
    """Without `period_s` that of the profile holds."""
    rows = [RULE]
    period = "" if period_s is None else f"period_s = {{ electrical = {period_s} }}\n"
    for number, port in enumerate(ports, 1):
        rows.append(f'[[bus]]\nname = "lan{number}"\nkind = "tcp"\nhost = "127.0.0.1"\nport = {port}\n')
        rows.append(f'[[device]]\ncode = "D-{number}"\nbus = "lan{number}"\nunit = 1\nprofile = "{profile}"\n{period}')
    return "\n".join(rows)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


class Spent(NamedTuple):
    """What a stretch of time cost the gateway, and what came of it."""

    from_s: float
    """Of `time.perf_counter()`."""
    until_s: float
    cpu_s: float
    values: int
    sent_bytes: int

    @property
    def values_a_second(self) -> float:
        return self.values / (self.until_s - self.from_s)

    @property
    def cpu_s_a_thousand(self) -> float:
        return self.cpu_s / (self.values / 1000)


def spend(rig: Rig, warm_s: float, measured_s: float) -> Spent:
    """Lets the gateway run for `warm_s`, then watches it for `measured_s`."""
    pid = rig.pid_of("gateway")
    time.sleep(warm_s)
    values, used_s, sent = rig.values_received(), cpu_s(pid), sent_bytes(rig)
    from_s = time.perf_counter()
    time.sleep(measured_s)
    until_s = time.perf_counter()
    return Spent(from_s, until_s, cpu_s(pid) - used_s, rig.values_received() - values, sent_bytes(rig) - sent)


def sent_bytes(rig: Rig) -> int:
    """All payload that went to the broker since the start."""
    return int(rig.ask_gateway("status")["uplinks"][0]["bytes_sent"])


def run(devices: int, beside: Beside | None = None) -> Iterator[Figure]:
    """`beside`: measured in the same run (`bench_rivals.py`), else on another day."""
    beside = beside or BESIDE[devices]
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory))
        server = subprocess.Popen((sys.executable, "-m", "tests.bench.modbus_server", str(devices)), stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            ports = json.loads(server.stdout.readline())
            rig.make_keys()
            rig.start_broker()
            rig.start_receiver()
            write_profile(Path(directory) / "bench.toml")
            rig.write_config(tables(ports, Path(directory) / "bench.toml", 1.0))
            with Subscriber(rig) as subscriber:
                yield from first_values(rig, subscriber, devices, beside)
            yield from measured(rig, devices, beside)
        finally:
            rig.close()
            server.kill()
            server.communicate()


def start_s(rig: Rig, subscriber: Subscriber) -> float:
    """From exec to the first sealed telemetry of this start at the subscriber."""
    started_s = time.perf_counter()
    rig.start_gateway()
    return subscriber.first_s("t", started_s)


def first_values(rig: Rig, subscriber: Subscriber, devices: int, beside: Beside) -> Iterator[Figure]:
    """The first start compiles the program, the second makes the database anew; then it is started as it is for years. The last start runs on."""
    start_s(rig, subscriber)
    rig.stop("gateway")
    for file in (rig.directory / "state").glob("edgegw.db*"):
        file.unlink()
    fresh_s = start_s(rig, subscriber)
    time.sleep(WARM_S)
    fresh_mb = rss_mb(rig.pid_of("gateway"))
    starts_s = []
    for _ in range(STARTS):
        rig.stop("gateway")
        starts_s.append(start_s(rig, subscriber))
    first_s = statistics.median(starts_s)
    yield Figure("", f"{devices} devices: RSS in the run that makes the database", fresh_mb, "MB")
    yield Figure("", f"{devices} devices: exec to first value, making the database", fresh_s, "s")
    yield Figure("", f"{devices} devices: exec to first value at a raw subscriber", first_s, "s")
    yield Figure("P16" if devices == 20 else "", "the same, times ThingsBoard's", first_s / beside.thingsboard_first_s, "x")


def measured(rig: Rig, devices: int, beside: Beside) -> Iterator[Figure]:
    spent = spend(rig, WARM_S, MEASURED_S)
    size_mb = rss_mb(rig.pid_of("gateway"))
    yield Figure("", f"{devices} devices: values received a second", spent.values_a_second, "1/s")
    yield Figure("", f"{devices} devices: CPU s per 1,000 values", spent.cpu_s_a_thousand, "s")
    yield Figure("P4" if devices == 20 else "P5", f"{devices} devices: the same, times best", spent.cpu_s_a_thousand / beside.best_cpu_s, "x")
    yield Figure("", f"{devices} devices: RSS", size_mb, "MB")
    yield Figure("P7a" if devices == 20 else "P7b", f"{devices} devices: RSS, times ThingsBoard's", size_mb / beside.thingsboard_mb, "x")
    yield Figure("", f"{devices} devices: sealed bytes a value, events and status among them", spent.sent_bytes / spent.values, "B")


def measure() -> Iterator[Figure]:
    yield from run(20)
    yield from run(200)
