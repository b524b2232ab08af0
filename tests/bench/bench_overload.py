"""Too much of it: 20 devices x 50 registers every 20 ms, delivered once and with its time; and memory at 5 ms towards a broker that is slow.

The whole daemon over mutual TLS, devices, mosquitto and a raw receiver that signs a receipt for each batch on the same cores. The devices number
their answers and write down when each was asked and answered. The slow broker is a link of 20 kB/s in front of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import paho.mqtt.client as paho

from edgegw.block import Row, decode_block
from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.uplink.envelope import BATCH, Receipt, open_sealed, sign_receipt, take_apart
from edgegw.uplink.keys import load_cloud_keys
from tests.bench.bench_way import cpu_s, rss_mb, tables, write_profile
from tests.bench.marks import Figure
from tests.bench.modbus_server import REGISTERS
from tests.bench.numbered_server import Asked, log_of, numbers_of
from tests.proxy import Proxy, wait_until

DEVICES = 20
PERIOD_S, POLLED_S = 0.02, 60.0
DRAIN_S_MAX = 120.0
# A label follows the system's clock when it is 5 ms off (docs/architecture.md, "Time"), and both are cut to milliseconds.
SLACK_MS = 6.0
HURRIED_PERIOD_S, HURRIED_S, CALM_PERIOD_S, CALM_S = 0.005, 240.0, 10.0, 60.0
LINK_BYTES_S = 20_000.0


class Cloud:
    """Keeps every batch as it comes and says that it is stored."""

    def __init__(self, rig: Rig) -> None:
        pki = rig.directory / "pki"
        self._keys = load_cloud_keys(rig.directory / "cloud")
        self._batches: list[bytes] = []
        self._ready = False
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.tls_set(str(pki / "ca.crt"), str(pki / "receiver.crt"), str(pki / "receiver.key"))
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("localhost", rig.broker_port)
        self._client.subscribe([(f"egw/1/{IDENTITY}/{lane}", 1) for lane in "enthm"])

    def __enter__(self) -> Self:
        self._client.loop_start()
        wait_for("the subscription", lambda: self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: object) -> None:
        self._ready = True

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        lane = message.topic.rpartition("/")[2]
        if lane == "m":  # a schema document, which needs no receipt
            return
        if lane != "e":
            self._batches.append(message.payload)
        receipt = Receipt(IDENTITY, time.time_ns() // 1_000_000, (take_apart(message.payload).identity,))
        self._client.publish(f"egw/1/{IDENTITY}/d/ack", sign_receipt(receipt, self._keys.sign), qos=1)

    def answers(self) -> Iterator[Row]:
        """What the devices said, each identity once, as any receiver must see to."""
        seen: set[tuple[int, int, int]] = set()
        for payload in self._batches:
            sealed = take_apart(payload)
            epoch, stream, first = sealed.identity.epoch, sealed.identity.stream, sealed.identity.first
            for row in decode_block(open_sealed(sealed, BATCH, self._keys.open), first)[1]:
                if (epoch, stream, row.seq) not in seen and len(row.values) == REGISTERS and row.values[0] is not None:
                    seen.add((epoch, stream, row.seq))
                    yield row


class Found(NamedTuple):
    """Answers of the devices against what came of them."""

    answers: int
    right: int
    """There once, and not before the device answered nor after the gateway asked again."""
    lost: int
    twice: int
    foreign: int
    """Readings that no device has sent."""
    behind_ms: list[float]
    """From the device's answer to the time of its reading, ascending."""


def compare(asked: Sequence[Asked], readings: Sequence[tuple[tuple[int, int], int]]) -> Found:
    """`readings`: (device, number) and wall time in milliseconds."""
    again_ns = {(one.device, one.number - 1): one.asked_ns for one in asked}
    answered_ns = {(one.device, one.number): one.answered_ns for one in asked if one.answered_ns}
    counts = Counter(key for key, _ in readings)
    behind = [(key, read_at_ms - answered_ns[key] / 1e6) for key, read_at_ms in readings if key in answered_ns]
    in_time = {key for key, ms in behind if -SLACK_MS <= ms <= (again_ns.get(key, answered_ns[key]) - answered_ns[key]) / 1e6 + SLACK_MS}
    return Found(
        answers=len(answered_ns),
        right=sum(counts[key] == 1 for key in in_time),
        lost=len(answered_ns.keys() - counts.keys()),
        twice=sum(count > 1 for count in counts.values()),
        foreign=len(counts.keys() - answered_ns.keys()),
        behind_ms=sorted(ms for _, ms in behind),
    )


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgegw-bench-overload-") as directory:
        rig = Rig(Path(directory))
        try:
            rig.make_keys()
            rig.start_broker()
            yield from _exactly_once(rig)
            yield from _memory(rig)
        finally:
            rig.close()


@contextmanager
def _devices(rig: Rig, period_s: float, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The devices and a running gateway that polls them; `port`: of the broker."""
    command = (sys.executable, "-m", "tests.bench.numbered_server", str(DEVICES), str(rig.directory / "asked"))
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        profile = rig.directory / "bench.toml"
        write_profile(profile, period_s)
        rig.write_config(tables(json.loads(server.stdout.readline()), profile, None))
        rig.config.write_text(rig.config.read_text().replace(f":{rig.broker_port}", f":{port}"))
        rig.start_gateway()
        wait_for("the gateway", lambda: "polls" in rig.log_of("gateway").read_text())
        yield server
    finally:
        rig.stop("gateway")
        server.kill()
        server.communicate()


def _silence(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(b"\n")
    server.stdin.flush()
    assert server.stdout.readline() == b"written\n"


def _counted(rig: Rig) -> tuple[int, int]:
    """(Questions asked, moments at which a device was due and not asked)."""
    units = [unit for bus in rig.ask_gateway("bus-stats")["buses"] for unit in bus["units"]]
    return sum(unit["asked"] for unit in units), sum(unit["missed_slots"] for unit in units)


def _exactly_once(rig: Rig) -> Iterator[Figure]:
    with Cloud(rig) as cloud, _devices(rig, PERIOD_S, rig.broker_port) as server:
        used_s, began_s = cpu_s(rig.pid_of("gateway")), time.monotonic()
        wait_until(began_s + POLLED_S)
        used_s, polled_s = cpu_s(rig.pid_of("gateway")) - used_s, time.monotonic() - began_s
        missed = _counted(rig)[1]
        _silence(server)
        silenced_s = time.monotonic()
        # As Rig.drain: what is under way is sealed within two windows.
        wait_until(silenced_s + 2 * rig.window_s + 1)
        wait_for("the receipt of everything", lambda: rig.ask_gateway("status")["buffer"]["oldest_age_s"] < time.monotonic() - silenced_s, DRAIN_S_MAX)
    readings = [(numbers_of(row.values), row.read_at_ms) for row in cloud.answers()]  # type: ignore[arg-type]
    found = compare(list(log_of(rig.directory / "asked")), readings)
    yield Figure("P15", "20 ms: answers delivered once, with their time", 100 * found.right / found.answers, "%")
    yield Figure("", "answers", found.answers)
    yield Figure("", "answers a second", found.answers / polled_s, "1/s")
    yield Figure("", "due and not asked, counted by the gateway", missed)
    yield Figure("", "lost", found.lost)
    yield Figure("", "delivered twice under two identities", found.twice)
    yield Figure("", "readings that no device has sent", found.foreign)
    yield Figure("", "from the device's answer to the reading's time, p99", found.behind_ms[len(found.behind_ms) * 99 // 100], "ms")
    yield Figure("", "the same, at most", found.behind_ms[-1], "ms")
    yield Figure("", "the same, at least", found.behind_ms[0], "ms")
    yield Figure("", "share of a core", used_s / polled_s)


def _memory(rig: Rig) -> Iterator[Figure]:
    with Cloud(rig), Proxy(rig.broker_port, bytes_per_s=LINK_BYTES_S) as link:
        with _devices(rig, CALM_PERIOD_S, link.port):
            calm_mb = _sizes_mb(rig, CALM_S)
        with _devices(rig, HURRIED_PERIOD_S, link.port):
            sizes_mb = _sizes_mb(rig, HURRIED_S)
            asked, missed = _counted(rig)
            status = rig.ask_gateway("status")
    yield Figure("P18", "5 ms and a slow broker: largest RSS, times the calm one", max(sizes_mb) / max(calm_mb), "x")
    yield Figure("", "RSS, polled every 10 s", max(calm_mb), "MB")
    for part in (1, 2, 3, 4):
        yield Figure("", f"RSS under overload, quarter {part} of the time", max(sizes_mb[(part - 1) * len(sizes_mb) // 4 : part * len(sizes_mb) // 4]), "MB")
    yield Figure("", "questions a second", asked / HURRIED_S, "1/s")
    yield Figure("", "due and not asked, counted by the gateway, a second", missed / HURRIED_S, "1/s")
    yield Figure("", "age of what waits for the broker", status["buffer"]["oldest_age_s"], "s")


def _sizes_mb(rig: Rig, seconds: float) -> list[float]:
    """One a second."""
    sizes_mb = []
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        wait_until(time.monotonic() + 1)
        sizes_mb.append(rss_mb(rig.pid_of("gateway")))
    return sizes_mb
