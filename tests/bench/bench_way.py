"""The whole way of the data: CPU and memory of the gateway at 20 and 200 devices x 50 registers x 1 s, and start to first value.

Poll, store, rules, seal, encrypt, MQTT over mutual TLS to mosquitto, receiver with signed receipts; window 1 s. Best of the rivals on the same
work, measured on another day: 0.034 CPU s per 1,000 values and 66 MB at 20 devices (Node-RED, ThingsBoard), 0.0088 and 83 MB at 200;
ThingsBoard 1.8 s from exec to the first reading. A lone CPU time is worth little on a noisy machine: the ratio stands on those figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgegw.cli.rig import Rig, wait_for
from tests.bench.marks import Figure
from tests.bench.modbus_server import REGISTERS

WARM_S, MEASURED_S = 8.0, 20.0
BEST = {20: (0.034, 66.0), 200: (0.0088, 83.0)}
THINGSBOARD_FIRST_S = 1.8
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
period_s = 1
"""
RULE = """
[[rule]]
name = "high"
point = "string.1.current"
condition = "high"
limit = 500
"""


def write_profile(path: Path) -> None:
    points = (
        f'[[point]]\npoint = "string.{i + 1}.current"\ngroup = "electrical"\naddress = {i}\ntype = "u16"\nscale = "0.01"\ndecimals = 2\n'
        for i in range(REGISTERS)
    )
    path.write_text(PROFILE + "\n".join(points))


def tables(ports: list[int], profile: Path, period_s: float) -> str:
    rows = [RULE]
    for number, port in enumerate(ports, 1):
        rows.append(f'[[bus]]\nname = "lan{number}"\nkind = "tcp"\nhost = "127.0.0.1"\nport = {port}\n')
        rows.append(f'[[device]]\ncode = "D-{number}"\nbus = "lan{number}"\nunit = 1\nprofile = "{profile}"\nperiod_s = {{ electrical = {period_s} }}\n')
    return "\n".join(rows)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


def run(devices: int) -> Iterator[Figure]:
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
            started = time.perf_counter()
            rig.start_gateway()
            wait_for("the first value", lambda: rig.values_received() > 0)
            first_s = time.perf_counter() - started
            yield from measured(rig, devices, first_s)
        finally:
            rig.close()
            server.kill()
            server.communicate()


def measured(rig: Rig, devices: int, first_s: float) -> Iterator[Figure]:
    pid = rig.pid_of("gateway")
    time.sleep(WARM_S)
    before_s, before, from_s = cpu_s(pid), rig.values_received(), time.monotonic()
    time.sleep(MEASURED_S)
    used_s, values = cpu_s(pid) - before_s, rig.values_received() - before
    per_thousand_s = used_s / (values / 1000)
    best_s, best_mb = BEST[devices]
    status = rig.ask_gateway("status")
    a = "a" if devices == 20 else "b"
    yield Figure("", f"{devices} devices: values received a second", values / (time.monotonic() - from_s), "1/s")
    yield Figure("", f"{devices} devices: CPU s per 1,000 values", per_thousand_s, "s")
    yield Figure("P4" if devices == 20 else "P5", f"{devices} devices: the same, times best", per_thousand_s / best_s, "x")
    yield Figure("", f"{devices} devices: RSS", rss_mb(pid), "MB")
    yield Figure(f"P7{a}", f"{devices} devices: RSS, times ThingsBoard's", rss_mb(pid) / best_mb, "x")
    yield Figure("", f"{devices} devices: sealed bytes a value", status["uplinks"][0]["bytes_sent"] / rig.values_received(), "B")
    yield Figure("", f"{devices} devices: exec to first value in the receiver's database", first_s, "s")
    if devices == 20:
        yield Figure("P16", "the same, times ThingsBoard's", first_s / THINGSBOARD_FIRST_S, "x")


def measure() -> Iterator[Figure]:
    yield from run(20)
    yield from run(200)
