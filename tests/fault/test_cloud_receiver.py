"""The receiver as a program: says when it is ready, ends when it is told to, and names what it lacks."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.cloud.debts import receipts
from edgegw.cloud.receiver import Receiver, ReceiverOptions, main
from edgegw.errors import EXIT_STORE, EXIT_USAGE
from edgegw.model import Identity
from tests.broker_double import BrokerDouble, Habits
from tests.uplink_rig import IDENTITY, MemoryOutbox, Place, block, log_of, no_thread_left, place, until, wait_for


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def refusal(here, capsys, **changes: str) -> tuple[int, str]:
    options = {"broker": f"mqtts://localhost:{here.port}", "keys_dir": str(here.directory / "cloud"), "sink": f"sqlite:{here.sink}", "ca": str(here.pki.ca)}
    code = main(**(options | changes))
    return code, capsys.readouterr().err.split(":")[0]


def test_what_it_lacks_is_one_line_and_an_exit_code(here, capsys):
    """
    Missing or readable keys, an unknown or unusable sink, a wrong address and missing certificates end it with one line and the exit code.
    """
    assert (EXIT_USAGE, "E-KEY-MISSING") == refusal(here, capsys, keys_dir=str(here.directory / "nowhere"))
    assert (EXIT_USAGE, "E-SINK-UNKNOWN") == refusal(here, capsys, sink="postgresql://db/x")
    assert (EXIT_STORE, "E-SINK") == refusal(here, capsys, sink="sqlite:/nowhere/at/all.db")
    assert (EXIT_USAGE, "E-CFG-BROKER") == refusal(here, capsys, broker="mqtt://broker.example")
    assert (EXIT_USAGE, "E-TLS-FILES") == refusal(here, capsys, ca="/nowhere/ca.crt")
    (here.directory / "cloud/cloud-open.pem").chmod(0o644)
    assert (EXIT_USAGE, "E-KEY-MODE") == refusal(here, capsys)


@pytest.mark.broker
def test_it_ends_cleanly_when_told(here):
    """
    After SIGTERM it ends with exit code 0, what it has taken is stored and receipted.
    """
    outbox = MemoryOutbox()
    outbox.add(*[block(number, number * 10, 10) for number in range(1, 11)])
    here.start_broker()
    here.start_receiver_process()
    sender = here.sender(outbox)

    async def go() -> None:
        task = asyncio.create_task(sender.run())
        await until(lambda: not outbox.open)
        await sender.stop(1.0)
        await task

    asyncio.run(go())
    assert 0 == here.end_receiver_process()
    assert not (here.directory / "cloud.db-wal").exists()
    assert [(300,)] == here.rows("SELECT count(*) FROM readings")


@pytest.mark.broker
def test_a_sink_that_fails_costs_nothing(here):
    """
    While another program holds the sink's lock nothing is receipted; afterwards everything is stored once.
    """
    outbox = MemoryOutbox()
    outbox.add(*[block(number, number * 10, 10) for number in range(1, 6)])
    here.start_broker()
    receiver = here.start_receiver()
    receiver._sink._connection.execute("PRAGMA busy_timeout=50")
    receiver_retry = "edgegw.cloud.receiver._REFUSED_RETRY_S"
    sender = here.sender(outbox, receipt_timeout_s=1.0)
    holder = sqlite3.connect(here.sink, isolation_level=None)

    async def go() -> None:
        task = asyncio.create_task(sender.run())
        await until(lambda: sender.status().batches_sent == 5)
        await until(lambda: "E-SINK" in receiver._said)
        assert 5 == len(outbox.open)
        holder.execute("ROLLBACK")
        await until(lambda: not outbox.open)
        await sender.stop(1.0)
        await task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiver_retry, 0.5)
        holder.execute("BEGIN IMMEDIATE")
        try:
            asyncio.run(go())
        finally:
            holder.close()
    assert [(150, 50)] == here.rows("SELECT count(*), count(DISTINCT seq) FROM readings")


@contextmanager
def running_against(here: Place, double: BrokerDouble, **more):
    options = ReceiverOptions(broker=f"mqtt://127.0.0.1:{double.port}", keys_dir=str(here.directory / "cloud"), sink=f"sqlite:{here.sink}", **more)
    receiver = Receiver(options)
    here.run_receiver(receiver)
    try:
        yield receiver
    finally:
        here.stop_receiver()


def test_a_broker_that_never_answers_is_left(here, caplog):
    """
    A broker that takes the connection and sends no CONNACK is left after the deadline and tried again.
    """
    with BrokerDouble(Habits(connack=None)) as double, running_against(here, double, connack_timeout_s=0.5):
        wait_for(lambda: len(double.seen.connects_at_s) >= 2)
    assert 1 == len(log_of(caplog, "E-NET-TIMEOUT"))


@pytest.mark.parametrize("habits", [Habits(only_311=True), Habits(hang_up_on_5=True)])
def test_a_broker_of_version_3_1_1_is_received_from(here, habits):
    """
    A broker that refuses MQTT 5, by a code or by hanging up, is asked again in 3.1.1.
    """
    with BrokerDouble(habits) as double, running_against(here, double):
        wait_for(lambda: 4 in double.seen.versions)
    assert [5, 4] == double.seen.versions[:2]


def test_receipts_fit_the_brokers_packets():
    """
    Under a packet limit of the broker many ranges go in several receipts, each within it, and together they name every range once.
    """
    signer = Ed25519PrivateKey.generate()
    ranges = [Identity(2**64 - 1, 3, 2**62 + 10 * n, 2**62 + 10 * n + 5) for n in range(1000)]
    made = list(receipts("o" * 16 + "/" + "s" * 16 + "/" + "g" * 16, ranges, 2**50, signer, 2000))
    assert ranges == [one for _, part in made for one in part]
    assert max(len(message) for message, _ in made) + 90 <= 2000
    assert 3 == len(list(receipts(IDENTITY, ranges, 1, signer)))
