"""What ends the writer's thread for good is seen from outside, and what it leaves in the file stays bounded over many starts."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from edgegw import app
from edgegw.buffer import epochs, writer
from edgegw.buffer.transactions import Transactions
from edgegw.config.model import Config, Gateway, Paths
from tests.unit.buffer_rig import event, look, running
from tests.uplink_rig import until

DEADLINE_MS = 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_ended_withholds_the_watchdog(tmp_path, monkeypatch):
    """
    When a mistake ends the writer's thread, the store is late for the watchdog, and systemd starts the daemon anew; until then it is not.
    """
    monkeypatch.setattr(app, "STORE_CHECKPOINT_MS", DEADLINE_MS)
    paths = Paths(state_dir=str(tmp_path / "state"), control_socket=str(tmp_path / "control.sock"))
    daemon = app.Daemon(Config(gateway=Gateway(operator="op", station="st", gateway="gw"), paths=paths), {})

    async def body() -> None:
        living = asyncio.create_task(daemon.live())
        await until(lambda: daemon.buffer.status().commits and daemon.clock.mono_ms() > 3 * DEADLINE_MS)
        assert [] == daemon._supervisor.late_parts()
        monkeypatch.setattr(Transactions, "commit", broken)
        daemon.buffer.accept((), [event()])
        await until(lambda: daemon._supervisor.late_parts() == ["store"])
        daemon._supervisor.stop_requested.set()
        await living

    asyncio.run(body())
    daemon.buffer.close()


def test_a_disk_that_takes_nothing_is_an_alarm_while_it_lasts(tmp_path, monkeypatch):
    """
    A store that fails again and again raises one alarm, told from memory; when it is written again the alarm ends, and both edges are in the file.
    """
    monkeypatch.setattr(app, "CLOCK_LOOK_MS", 50)
    monkeypatch.setattr(writer, "RETRY_S", 0.1)
    paths = Paths(state_dir=str(tmp_path / "state"), control_socket=str(tmp_path / "control.sock"))
    daemon = app.Daemon(Config(gateway=Gateway(operator="op", station="st", gateway="gw"), paths=paths), {})
    failing = [True]

    def fail(self, connection, **more):
        if failing[0]:
            raise sqlite3.OperationalError("disk I/O error")
        return written(self, connection, **more)

    def open_rules():
        return [alarm.rule for alarm in daemon.engine.open_alarms()]

    async def body() -> None:
        living = asyncio.create_task(daemon.live())
        await until(lambda: daemon.buffer.status().commits)
        monkeypatch.setattr(Transactions, "write_all", fail)
        daemon.buffer._intake.ask(lambda _: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")), lambda: None)
        await until(lambda: open_rules() == [app.STORE_FAILING])
        failing[0] = False
        await until(lambda: open_rules() == [])
        assert daemon.buffer.status().writing
        daemon._supervisor.stop_requested.set()
        await living

    written = Transactions.write_all
    asyncio.run(body())
    daemon.buffer.close()
    assert [("alarm",), ("alarm",)] == look(tmp_path / "state" / "edgegw.db", "SELECT kind FROM event WHERE kind = 'alarm'")


def broken(*_: object, **__: object) -> None:
    raise TypeError("a mistake of ours")


def test_starts_that_left_nothing_are_forgotten(tmp_path, monkeypatch):
    """
    Of many starts that have nothing in the file only the youngest stay in its tables.
    """
    monkeypatch.setattr(epochs, "EMPTY_EPOCHS_MAX", 3)
    for _ in range(8):
        with running(tmp_path) as rig:
            rig.settle()
    assert [(6,), (7,), (8,)] == look(rig.path, "SELECT number FROM epoch ORDER BY number")
