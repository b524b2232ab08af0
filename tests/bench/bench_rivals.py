"""CPU, memory, bytes and start beside ThingsBoard, Node-RED and collectd in one run, in turn, on the same devices (P4, P5, P7, P16 side by side).

Measured are those whose variables are set (`rivals.py`); without any the bench says so. One run: each rival, then edgegw with all it does
(TLS both ways, store, rules, encryption, signed receipts), at 20 and at 200 devices x 50 registers x 1 s.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgegw.cli.rig import free_port, wait_for
from tests.bench import rivals
from tests.bench.bench_way import BESIDE, Beside, cpu_s, rss_mb, run
from tests.bench.marks import Figure

WARM_S, MEASURED_S = 25.0, 20.0


class Work(NamedTuple):
    """What a rival did and what it cost."""

    values_a_second: float
    cpu_s_a_thousand: float
    rss_mb: float
    bytes_a_value: float
    first_s: float


class Ear:
    """Counts what comes over the plain broker."""

    def __init__(self, port: int, rival: rivals.Rival) -> None:
        self.values = self.bytes = 0
        self.first_s = 0.0
        self._rival = rival
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", 0)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        answer = rivals.platform_answer(message.topic)
        if answer is not None:
            client.publish(*answer, qos=1)
            return
        try:
            values = self._rival.values_of(bytes(message.payload))
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if values and not self.first_s:
            self.first_s = time.perf_counter()
        self.values += values
        self.bytes += len(message.payload)


def broker(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nlog_type none\n")
    return subprocess.Popen(("mosquitto", "-c", str(folder / "mosquitto.conf")), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), port


def work_of(rival: rivals.Rival, ports: list[int]) -> Work:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        served, port = broker(folder)
        wait_for("the broker", lambda: _listens(port))
        ear = Ear(port, rival)
        started_s = time.perf_counter()
        process = rivals.start(rival, folder / "rival", ports, port)
        try:
            time.sleep(WARM_S)
            used_s, values, size, from_s = cpu_s(process.pid), ear.values, ear.bytes, time.perf_counter()
            time.sleep(MEASURED_S)
            took_s, got = time.perf_counter() - from_s, ear.values - values
            if not got:
                raise SystemExit(f"{rival.name} delivered nothing: {(folder / 'rival' / 'out').read_text(errors='replace')[-2000:]}")
            spent_s = cpu_s(process.pid) - used_s
            return Work(got / took_s, spent_s / got * 1000, rss_mb(process.pid), (ear.bytes - size) / got, ear.first_s - started_s)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ear.close()
            served.kill()
            served.wait()


def _listens(port: int) -> bool:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    try:
        client.connect("127.0.0.1", port)
    except OSError:
        return False
    client.disconnect()
    return True


def rival_figures(devices: int) -> Iterator[tuple[rivals.Rival, Work]]:
    server = subprocess.Popen((sys.executable, "-m", "tests.bench.modbus_server", str(devices)), stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        ports = [int(word) for word in server.stdout.readline().decode().strip("[]\n ").split(",")]
        for rival in rivals.installed():
            yield rival, work_of(rival, ports)
    finally:
        server.kill()
        server.communicate()


def measure() -> Iterator[Figure]:
    if not rivals.installed():
        print("no rival is installed here: set EDGEGW_BENCH_THINGSBOARD, EDGEGW_BENCH_NODE_RED or EDGEGW_BENCH_COLLECTD (tests/bench/rivals.py)")
    for devices in (20, 200):
        found = list(rival_figures(devices))
        for rival, work in found:
            who = f"{devices} devices, {rival.name}"
            yield Figure("", f"{who}: values received a second", work.values_a_second, "1/s")
            yield Figure("", f"{who}: CPU s per 1,000 values", work.cpu_s_a_thousand, "s")
            yield Figure("", f"{who}: RSS", work.rss_mb, "MB")
            yield Figure("", f"{who}: payload bytes a value", work.bytes_a_value, "B")
            yield Figure("", f"{who}: exec to first value", work.first_s, "s")
        yield from run(devices, beside(devices, {rival.name: work for rival, work in found}))


def beside(devices: int, works: dict[str, Work]) -> Beside:
    """What was measured here, and of another day what was not."""
    known, thingsboard = BESIDE[devices], works.get("ThingsBoard")
    least_s = min((work.cpu_s_a_thousand for work in works.values()), default=known.best_cpu_s)
    return Beside(least_s, thingsboard.rss_mb, thingsboard.first_s) if thingsboard else known._replace(best_cpu_s=least_s)
