"""The receiver as a program: says when it is ready, ends when it is told to, and names what it lacks."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from edgegw.cloud.receiver import main
from edgegw.errors import EXIT_STORE, EXIT_USAGE
from tests.uplink_rig import MemoryOutbox, block, no_thread_left, place, until


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
