"""What the uplink's tests stand on: a real mosquitto with mutual TLS, keys of both sides, a store in memory, readings with known values."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgegw.block import encode_block, encode_events, encode_schema, schema_hash
from edgegw.clock import Clock
from edgegw.cloud.pki import Authority, DemoPki, make_demo_pki
from edgegw.cloud.receiver import Receiver, ReceiverOptions
from edgegw.config.model import Gateway, Uplink
from edgegw.model import Batch, ClockTrust, Event, Identity, Point, Reading, Source
from edgegw.uplink.keys import enrol_gateway, load_uplink_keys, new_cloud_keys, new_gateway_keys
from edgegw.uplink.sender import Sender
from tests.uplink_witness import Listened

GATEWAY = Gateway(operator="op", station="st", gateway="gw")
IDENTITY = "op/st/gw"
EPOCH = 0x0123456789ABCDEF
SOURCE = Source(
    7,
    "meter-07",
    "electrical",
    1000,
    (Point("phase_voltage.a", 1, "V", "measure"), Point("active_power", 3, "kW", "measure"), Point("state", 0, "1", "state")),
    "meter",
)
DOCUMENT = encode_schema([SOURCE])
SCHEMA = schema_hash(DOCUMENT)
DEADLINE_S = 20.0


def readings(count: int, first_value: int = 0) -> list[Reading]:
    """Readings whose voltage is 220.0 plus a tenth for each number from `first_value`."""
    return [
        Reading(SOURCE, 1_800_000_000_000 + n * 1000, n * 1000, ClockTrust.SYNCHRONISED, (2200 + n, -1500 - n, n % 3))
        for n in range(first_value, first_value + count)
    ]


def block(block_id: int, first: int, count: int, stream: int = 3) -> Batch:
    identity = Identity(EPOCH, stream, first, first + count - 1)
    return Batch(block_id, identity, SCHEMA, encode_block(SCHEMA, readings(count, first)), count * 3)


def event_batch(block_id: int, first: int, events: Sequence[Event]) -> Batch:
    return Batch(block_id, Identity(EPOCH, 1, first, first + len(events) - 1), None, encode_events(events), len(events))


def alarm(number: int) -> Event:
    return Event("alarm", 1_800_000_000_000 + number, number, ClockTrust.SYNCHRONISED, "pile-03", {"number": number, "text": "over-temperature"})


class MemoryOutbox:
    """A store in memory that keeps the promises of `Outbox`."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.receipted: set[tuple[int, int, int]] = set()
        self.lost: list[tuple[Identity, str]] = []

    def add(self, *batches: Batch) -> None:
        self.batches += batches
        self.batches.sort(key=lambda batch: batch.block_id)

    @property
    def open(self) -> list[Batch]:
        return [batch for batch in self.batches if not self._is_done(batch)]

    def _is_done(self, batch: Batch) -> bool:
        return all((batch.identity.epoch, batch.identity.stream, seq) in self.receipted for seq in range(batch.identity.first, batch.identity.last + 1))

    async def next_batch(self, uplink: str, streams: Sequence[int], after: int, up_to: int | None = None) -> Batch | None:
        await asyncio.sleep(0)
        for batch in self.batches:
            inside = batch.identity.stream in streams and after < batch.block_id and (up_to is None or batch.block_id <= up_to)
            if inside and not self._is_done(batch):
                return batch
        return None

    async def newest_block_id(self, streams: Sequence[int]) -> int:
        return max((batch.block_id for batch in self.batches if batch.identity.stream in streams), default=0)

    async def receipt(self, uplink: str, intervals: Sequence[Identity]) -> int:
        known = {(b.identity.epoch, b.identity.stream, seq) for b in self.batches for seq in range(b.identity.first, b.identity.last + 1)}
        told = {(i.epoch, i.stream, seq) for i in intervals for seq in range(i.first, min(i.last, i.first + 100_000) + 1)}
        if not told <= known:
            raise ValueError("never handed out")
        new = told - self.receipted
        self.receipted |= told
        return len(new)

    async def resend(self, uplink: str, intervals: Sequence[Identity]) -> Sequence[Identity]:
        self.receipted -= {(i.epoch, i.stream, seq) for i in intervals for seq in range(i.first, i.last + 1)}
        stored = {(b.identity.epoch, b.identity.stream, seq) for b in self.batches for seq in range(b.identity.first, b.identity.last + 1)}
        return [Identity(i.epoch, i.stream, seq, seq) for i in intervals for seq in range(i.first, i.last + 1) if (i.epoch, i.stream, seq) not in stored]

    async def declare_loss(self, intervals: Sequence[Identity], reason: str) -> None:
        self.lost += [(interval, reason) for interval in intervals]

    async def schema_document(self, schema: bytes) -> bytes | None:
        return DOCUMENT if schema == SCHEMA else None


class Place:
    """One directory with keys, certificates, broker, receiver and gateway."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.plain_port = free_port()
        """For a second listener, without TLS."""
        self.pki: DemoPki = make_demo_pki(directory / "pki")
        new_cloud_keys(directory / "cloud")
        new_gateway_keys(directory / "state" / "keys", IDENTITY)
        enrol_gateway(directory / "state" / "keys" / "gateway.pub", directory / "cloud", IDENTITY)
        self.sink = directory / "cloud.db"
        self._broker: subprocess.Popen[bytes] | None = None
        self._receiver: tuple[Receiver, threading.Thread] | None = None
        self._process: subprocess.Popen[str] | None = None
        self.trusted_ca = str(self.pki.ca)
        self.clock = Clock()
        """Of the sender that was made last."""

    def both_authorities(self, other: Authority) -> Path:
        """A file with our authority and another one, for a broker that trusts both."""
        both = self.directory / "both.crt"
        both.write_bytes(self.pki.ca.read_bytes() + other.write(self.directory / "other-ca.crt").read_bytes())
        return both

    # -- broker

    def start_broker(self, extra: str = "", *, tls: str | None = None) -> None:
        if tls is None:
            pki = self.pki
            tls = f"cafile {pki.ca}\ncertfile {pki.server_cert}\nkeyfile {pki.server_key}\nrequire_certificate true\nallow_anonymous true"
        settings = self.directory / "mosquitto.conf"
        settings.write_text(f"listener {self.port} 127.0.0.1\n{tls}\nuser root\nmax_queued_messages 0\n{extra}\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self.directory / "mosquitto.log").open("ab") as log:
            self._broker = subprocess.Popen([program, "-v", "-c", str(settings)], stdout=log, stderr=log)
        wait_for(lambda: answers(self.port))

    def stop_broker(self, *, kill: bool = False) -> None:
        if self._broker is not None:
            (self._broker.kill if kill else self._broker.terminate)()
            self._broker.wait(10)
            self._broker = None

    # -- receiver

    def start_receiver(self, receipt_interval_s: float = 0.2) -> Receiver:
        ready = threading.Event()
        pki = self.pki
        options = ReceiverOptions(
            broker=f"mqtts://localhost:{self.port}",
            keys_dir=str(self.directory / "cloud"),
            sink=f"sqlite:{self.sink}",
            ca=str(pki.ca),
            cert=str(pki.receiver_cert),
            cert_key=str(pki.receiver_key),
            receipt_interval_s=receipt_interval_s,
        )
        receiver = Receiver(options, ready.set)
        self.run_receiver(receiver)
        assert ready.wait(DEADLINE_S)
        return receiver

    def run_receiver(self, receiver: Receiver) -> threading.Thread:
        """On a thread of its own, until `stop_receiver`."""
        thread = threading.Thread(target=receiver.run, name="receiver")
        thread.start()
        self._receiver = (receiver, thread)
        return thread

    def change(self, *statements: str) -> None:
        """What somebody did to the receiver's database while it was not running."""
        connection = sqlite3.connect(self.sink, timeout=5)
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def stop_receiver(self) -> None:
        if self._receiver is not None:
            self._receiver[0].stop()
            self._receiver[1].join(10)
            assert not self._receiver[1].is_alive()
            self._receiver = None

    def rows(self, question: str) -> list[tuple[object, ...]]:
        if not self.sink.exists():
            return []
        connection = sqlite3.connect(f"file:{self.sink}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(question).fetchall()
        finally:
            connection.close()

    def start_receiver_process(self, *, dies_at: str = "") -> None:
        """The receiver as its own process, which can be killed; `dies_at`: it kills itself, `CLASS.METHOD, before` or `behind`."""
        pki = self.pki
        options = {
            "broker": f"mqtts://localhost:{self.port}",
            "keys_dir": str(self.directory / "cloud"),
            "sink": f"sqlite:{self.sink}",
            "ca": str(pki.ca),
            "cert": str(pki.receiver_cert),
            "cert_key": str(pki.receiver_key),
            "receipt_interval_s": 0.2,
            "as_json": True,
        }
        program = f"import sys; from edgegw.cloud.receiver import main; {_dies_at(dies_at)}; sys.exit(main(**{options!r}))"
        self._process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert '{"event":"ready"}\n' == self._process.stdout.readline()

    def kill_receiver_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def wait_for_receiver_process(self) -> int:
        """Its exit code, when it has ended by itself."""
        assert self._process is not None
        self._process.communicate(timeout=60)
        code, self._process = self._process.returncode, None
        return code

    def end_receiver_process(self) -> int:
        """Its exit code after SIGTERM."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=10)
        code, self._process = self._process.returncode, None
        return code

    # -- others at the broker

    def _client(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        context.load_cert_chain(str(self.pki.receiver_cert), str(self.pki.receiver_key))
        client.tls_set_context(context)
        return client

    def publish(self, topic: str, payload: bytes) -> None:
        """As anyone who may log in."""
        client = self._client("someone")
        client.connect("localhost", self.port)
        client.loop_start()
        client.publish(topic, payload, qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()

    def listen(self, topic: str) -> Listened:
        return Listened(self._client("listener"), self.port, topic)

    # -- gateway

    def uplink(self, **changes: object) -> Uplink:
        pki = self.pki
        settings: dict[str, object] = {
            "name": "cloud",
            "broker": f"mqtts://localhost:{self.port}",
            "recipient_file": str(self.directory / "cloud" / "cloud.pub"),
            "ca_file": str(pki.ca),
            "cert_file": str(pki.gateway_cert),
            "cert_key_file": str(pki.gateway_key),
            "backlog_batches_per_s": 0.0,
        }
        return Uplink(**(settings | changes))  # type: ignore[arg-type]

    def sender(self, outbox: MemoryOutbox, *, trust: ClockTrust = ClockTrust.SYNCHRONISED, **changes: object) -> Sender:
        uplink = self.uplink(**changes)
        clock = self.clock = Clock()
        clock.trust = trust
        return Sender(uplink, GATEWAY, load_uplink_keys(uplink, str(self.directory / "state")), outbox, clock)

    def close(self) -> None:
        self.kill_receiver_process()
        self.stop_receiver()
        self.stop_broker()


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    made = Place(directory)
    try:
        yield made
    finally:
        made.close()


def _dies_at(edge: str) -> str:
    """A statement for the receiver's process: the first call of this method with something in it is its last."""
    if not edge:
        return "pass"
    where, when = edge.split(", ")
    owner, name = where.split(".")
    module = {"SqliteSink": "edgegw.cloud.sink_sqlite", "Receiver": "edgegw.cloud.receiver"}[owner]
    return f"from tests.uplink_rig import die_at; from {module} import {owner}; die_at({owner}, {name!r}, {when!r})"


def die_at(owner: type, name: str, when: str) -> None:
    """SIGKILL before or behind the first call."""
    original = getattr(owner, name)

    def hooked(*arguments: object) -> None:
        if when == "behind":
            original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, hooked)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "did not come true in time"
        time.sleep(0.02)


async def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "did not come true in time"
        await asyncio.sleep(0.02)


async def running(sender: Sender, body: Callable[[], Awaitable[None]]) -> None:
    """Runs `body` beside the sender and ends the sender cleanly."""
    task = asyncio.create_task(sender.run())
    try:
        await body()
    finally:
        await sender.stop(1.0)
        await task


def log_of(caplog: pytest.LogCaptureFixture, message_id: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if message_id in record.getMessage()]


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Every thread that is started inside has ended."""
    before = set(threading.enumerate())
    yield
    wait_for(lambda: not set(threading.enumerate()) - before, 5.0)
