"""Power off at every edge of a batch's way, and stores that are made anew, put back or copied: each reading is at the receiver once, with its value."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fault.uplink_child import EDGES, END
from tests.uplink_rig import Place, no_thread_left, place, wait_for

pytestmark = pytest.mark.broker

# Of each kind in one life: some batches of telemetry, one message for each register of energy, one batch of alarms.
COUNT = 25
CHILD_S = 60.0


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        # Without TLS, which is allowed towards this machine itself: a life of the gateway takes half as long.
        made.start_broker(f"listener {made.plain_port} 127.0.0.1\nallow_anonymous true")
        yield made


def live(here: Place, first: int, edge: str = "", count: int = COUNT) -> int:
    """One life of the gateway: its exit code, -9 where it met its edge."""
    arguments = (str(here.directory), str(here.plain_port), str(first), str(count), edge)
    done = subprocess.run([sys.executable, "-m", "tests.fault.uplink_child", *arguments], capture_output=True, text=True, timeout=CHILD_S, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def at_the_receiver(here: Place) -> dict[str, object]:
    """What is there of each kind, how much of it came as new, and what was refused."""
    numbers = "SELECT CAST(value * 10 AS INTEGER) FROM readings WHERE point = 'p0' AND stream = {} ORDER BY 1"
    return {
        "telemetry": [number for (number,) in here.rows(numbers.format(3))],
        "energy": [number for (number,) in here.rows(numbers.format(2))],
        "alarms": [number for (number,) in here.rows("SELECT body ->> 'n' FROM events WHERE kind = 'tick' ORDER BY 1")],
        "new, but not a row": here.rows(
            "SELECT (SELECT sum(new) FROM batches) - (SELECT count(*) FROM (SELECT DISTINCT epoch, stream, seq FROM readings)) - (SELECT count(*) FROM events)"
        ),
        "refused": here.rows("SELECT reason FROM refused"),
    }


def exactly_once(last: int) -> dict[str, object]:
    every = list(range(1, last + 1))
    return {"telemetry": every, "energy": every, "alarms": every, "new, but not a row": [(0,)], "refused": []}


@pytest.mark.parametrize("edge", [*EDGES, END])
def test_a_gateway_that_dies_at_an_edge_loses_and_doubles_nothing(here, edge):
    """
    SIGKILL before the publish, behind it, at the PUBACK, at the receipt and around its being kept; the next life has other sources: all is there once.
    """
    here.start_receiver()
    assert -signal.SIGKILL == live(here, 1, edge)
    assert 0 == live(here, 1 + COUNT)
    wait_for(lambda: exactly_once(2 * COUNT) == at_the_receiver(here))
    assert exactly_once(2 * COUNT) == at_the_receiver(here)


@pytest.mark.parametrize("edge", ["SqliteSink.commit, before", "SqliteSink.commit, behind", "Receiver._send_receipt, before"])
def test_a_receiver_that_dies_at_an_edge_loses_and_doubles_nothing(here, edge):
    """
    SIGKILL of the receiver before its commit, between commit and PUBACK, and between PUBACK and receipt: the next one has all once and gives the receipt.
    """
    here.start_receiver_process(dies_at=edge)
    gateway = subprocess.Popen([sys.executable, "-m", "tests.fault.uplink_child", str(here.directory), str(here.plain_port), "1", str(COUNT), ""])
    try:
        assert -signal.SIGKILL == here.wait_for_receiver_process()
        here.start_receiver_process()
        assert 0 == gateway.wait(CHILD_S)
    finally:
        gateway.kill()
        gateway.wait()
    assert exactly_once(COUNT) == at_the_receiver(here)


def test_a_store_that_is_made_anew_goes_on_under_new_identities(here):
    """
    The database is lost: what was confirmed is there, what comes is taken under another epoch, and nothing meets what was before.
    """
    here.start_receiver()
    assert 0 == live(here, 1)
    shutil.rmtree(here.directory / "store")
    assert 0 == live(here, 1 + COUNT)
    wait_for(lambda: exactly_once(2 * COUNT) == at_the_receiver(here))
    assert [(2,)] == here.rows("SELECT count(DISTINCT epoch) FROM readings")


def test_a_store_that_is_put_back_to_an_older_copy_sends_nothing_twice(here):
    """
    An old copy of the database is put in place: what it holds comes again as repeats, the gap is what was confirmed before, and new readings are taken.
    """
    here.start_receiver()
    assert -signal.SIGKILL == live(here, 1, "nothing has gone")
    copy = shutil.copytree(here.directory / "store", here.directory / "copy")
    assert 0 == live(here, 1 + COUNT)
    shutil.rmtree(here.directory / "store")
    Path(copy).rename(here.directory / "store")
    assert 0 == live(here, 1 + 2 * COUNT)
    wait_for(lambda: exactly_once(3 * COUNT) == at_the_receiver(here))
    assert here.rows("SELECT count(*) FROM batches WHERE new = 0")[0][0] > 0


def test_a_store_that_was_copied_to_a_second_gateway_costs_nobody_anything(here):
    """
    Two gateways go on from the same database: what both have is taken once, what each reads alone is taken from each.
    """
    here.start_receiver()
    assert -signal.SIGKILL == live(here, 1, "PUBACK taken")
    first, second = here.directory / "store", here.directory / "second"
    shutil.copytree(first, second)
    assert 0 == live(here, 1 + COUNT)
    shutil.rmtree(first)
    second.rename(first)
    assert 0 == live(here, 1 + 2 * COUNT)
    wait_for(lambda: exactly_once(3 * COUNT) == at_the_receiver(here))
    with closing(sqlite3.connect(here.sink)) as sink:
        assert [(0,)] == sink.execute("SELECT count(*) FROM refused").fetchall()
