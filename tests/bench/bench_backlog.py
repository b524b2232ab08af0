"""Alarms live and while 72 h of backlog drain, and the drain over a link of 1 Mbit/s, on a store of the reference station.

The whole daemon over mutual TLS, with receiver and broker beside it on the same cores; alarms are put in where a bus would (the event is stored and synced before it
is sent) and timed at a raw subscriber. The backlog is seven hours of readings, and copies of them under other sequences up to 72 h.
"""

from __future__ import annotations

import math
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import paho.mqtt.client as paho

from edgegw.block import decode_events
from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.uplink.envelope import BATCH, open_sealed, take_apart
from edgegw.uplink.keys import load_cloud_keys
from edgegw.uplink.lanes import UNRECEIPTED_MAX
from tests.bench.alarm_child import KIND
from tests.bench.bench_drain import values_of
from tests.bench.bench_store_r10 import run
from tests.bench.marks import Figure
from tests.bench.subscriber import Subscriber
from tests.proxy import Proxy, wait_until

FILLED_HOURS = 7.0
BACKLOG_HOURS = 72.0
ALARMS, EACH_S = 400, 0.05
_WARM_S = 5.0
LINK_BYTES_S = 125_000.0
_BUS = '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "127.0.0.1"\nport = 1\n'
# The backlog rests while PUBACKs take longer than 2 s, as they do on a machine that has other work.
_QUIET_S = 10.0
_BARE = "bench/bare"


class Alarms:
    """Opens what comes on topic `e` and takes the time; the opening is behind the stamp."""

    def __init__(self, rig: Rig) -> None:
        self._key = load_cloud_keys(rig.directory / "cloud").open
        self._messages: list[tuple[int, bytes]] = []
        self.bare_ms: list[float] = []
        """Of a bare sync and publish at the same pace: what this machine takes now, whoever asks."""
        self._ready = False
        pki = rig.directory / "pki"
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.tls_set(str(pki / "ca.crt"), str(pki / "receiver.crt"), str(pki / "receiver.key"))
        self._client.on_message = self._on_message
        # Else what is measured is Nagle's algorithm waiting for a delayed acknowledgement: 40 ms.
        self._client.on_socket_open = lambda _client, _data, opened: opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("localhost", rig.broker_port)
        self._client.subscribe([(f"egw/1/{IDENTITY}/e", 1), (_BARE, 1)])
        self._client.loop_start()
        wait_for("the subscription", lambda: self._ready)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        now_ns = time.monotonic_ns()
        if message.topic == _BARE:
            self.bare_ms.append((now_ns - int(message.payload)) / 1e6)
        else:
            self._messages.append((now_ns, message.payload))

    def publish_bare(self, file: IO[bytes]) -> None:
        """Syncs a page to the same disk, then publishes."""
        began_ns = time.monotonic_ns()
        file.write(bytes(4096))
        file.flush()
        os.fdatasync(file.fileno())
        self._client.publish(_BARE, str(began_ns), qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self._ready = True

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def latencies_ms(self) -> list[float]:
        """Of each alarm's first arrival, ascending."""
        first: dict[int, float] = {}
        for came_ns, payload in self._messages:
            for event in decode_events(open_sealed(take_apart(payload), BATCH, self._key)):
                if event.kind == KIND:
                    number, at_ns = event.body["number"], event.body["at_ns"]
                    assert isinstance(number, int)
                    assert isinstance(at_ns, int)
                    first.setdefault(number, (came_ns - at_ns) / 1e6)
        return sorted(first.values())


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgegw-bench-backlog-") as directory:
        rig = Rig(Path(directory))
        try:
            run(rig.directory / "filled", "fill", FILLED_HOURS, "joined")
            rig.make_keys()
            rig.start_broker()
            rig.write_config(_BUS)
            yield from _slow_link(rig)
            rig.start_receiver()
            yield from _alarms(rig, "P10a", "alarm to subscriber, live, p99")
            values = _lengthen(rig.directory / "filled" / "edgegw.db", round(BACKLOG_HOURS / FILLED_HOURS))
            yield Figure("", "values of backlog", values)
            _put(rig)
            config = rig.config.read_text()
            rig.config.write_text(config.replace("backlog_batches_per_s = 0", "backlog_batches_per_s = 2"))
            yield from _alarms(rig, "P10b", "the same while 72 h of backlog drain, 2 batches a second")
            rig.config.write_text(config)
            yield from _alarms(rig, "", "the same without a limit on the backlog")
        finally:
            rig.close()


def _put(rig: Rig) -> None:
    state = rig.directory / "state"
    for file in state.glob("edgegw.db*"):
        file.unlink()
    (state / "edgegw.db").write_bytes((rig.directory / "filled" / "edgegw.db").read_bytes())


def _lengthen(path: Path, times: int) -> int:
    """The same blocks again and again, under sequences of their own."""
    with closing(sqlite3.connect(path)) as file, file:
        columns = [row[1] for row in file.execute("PRAGMA table_info(block)")]
        shift, last = file.execute("SELECT max(block_id), max(last) FROM block").fetchone()
        moved = {"block_id": f"block_id + {{n}} * {shift}", "first": f"first + {{n}} * {last}", "last": f"last + {{n}} * {last}"}
        for number in range(1, times):
            chosen = ", ".join(moved.get(column, column).format(n=number) for column in columns)
            file.execute(f"INSERT INTO block({', '.join(columns)}) SELECT {chosen} FROM block WHERE block_id <= {shift}")
        file.execute("UPDATE sequence SET last = last + ?", ((times - 1) * last,))
        return int(file.execute("SELECT sum(vals) FROM block").fetchone()[0])


def _alarms(rig: Rig, mark: str, what: str) -> Iterator[Figure]:
    alarms = Alarms(rig)
    command = [sys.executable, "-m", "tests.bench.alarm_child", str(rig.config), str(EACH_S), str(ALARMS), str(_WARM_S)]
    child = subprocess.Popen(command, cwd=Path(__file__).parent.parent.parent, stderr=subprocess.DEVNULL)
    try:
        with (rig.directory / "bare").open("wb") as file:
            wait_for("the first alarm", alarms.latencies_ms, 60)
            ends_s = time.monotonic() + ALARMS * EACH_S
            while time.monotonic() < ends_s:
                alarms.publish_bare(file)
                wait_until(time.monotonic() + EACH_S)
        wait_for("all alarms", lambda: len(alarms.latencies_ms()) >= ALARMS, 180)
    finally:
        child.terminate()
        child.wait(20)
        alarms.close()
    found_ms, bare_ms = alarms.latencies_ms(), sorted(alarms.bare_ms)
    yield Figure(mark, what, _p99(found_ms), "ms")
    yield Figure("", "its median", found_ms[len(found_ms) // 2], "ms")
    yield Figure("", "a bare sync and publish in the same seconds, p99", _p99(bare_ms), "ms")
    yield Figure("", "its median", bare_ms[len(bare_ms) // 2], "ms")
    yield Figure("", "alarm against bare, p99", _p99(found_ms) / _p99(bare_ms), "x")


def _p99(ascending: Sequence[float]) -> float:
    return ascending[math.ceil(len(ascending) * 0.99) - 1]


def _slow_link(rig: Rig) -> Iterator[Figure]:
    """Nobody gives receipts: 256 batches go, and are counted from the first to the last."""
    _put(rig)
    config = rig.config.read_text()
    with Proxy(rig.broker_port, bytes_per_s=LINK_BYTES_S) as link, Subscriber(rig) as subscriber, _running(rig, config, link.port):
        wait_for("backlog", lambda: any(one.lane == "h" for one in subscriber.heard))
        wait_for("its end", lambda: time.perf_counter() - subscriber.heard[-1].at_s > _QUIET_S, 240)
    # What is behind them is no backlog: it came after the connection.
    heard = [one for one in subscriber.heard if one.lane == "h"][:UNRECEIPTED_MAX]
    taken_s = heard[-1].at_s - heard[0].at_s
    sealed_bytes = sum(one.payload_bytes for one in heard[1:])
    yield Figure("P13", "values a second over 1 Mbit/s", values_of(rig, len(heard)) / taken_s, "values/s")
    yield Figure("", "share of the link that is sealed payload", sealed_bytes / taken_s / LINK_BYTES_S)
    yield Figure("", "batches", len(heard))


@contextmanager
def _running(rig: Rig, config: str, port: int) -> Iterator[None]:
    rig.config.write_text(config.replace(f":{rig.broker_port}", f":{port}"))
    rig.start_gateway()
    try:
        yield
    finally:
        rig.stop("gateway")
        rig.config.write_text(config)
