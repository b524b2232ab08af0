"""The commands of the cloud beside a whole running gateway: tested without throwing it out, looked at, made live, and counted over a restart."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from edgegw.cli.rig import Rig, wait_for
from edgegw.clock import read_clock_trust
from edgegw.errors import EXIT_OK, EXIT_WARNINGS
from edgegw.uplink.staged import TRUSTED

pytestmark = pytest.mark.broker

WINDOW_S = 15.0
# What the machine that runs these tests says of its clock.
GOOD = EXIT_OK if read_clock_trust() in TRUSTED else EXIT_WARNINGS


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    made = Rig(tmp_path_factory.mktemp("cloud"), window_s=WINDOW_S)
    try:
        made.make_keys()
        made.start_station()
        made.start_broker()
        made.start_receiver()
        made.write_config()
        made.config.write_text(made.config.read_text().replace("[[uplink]]", "[[uplink]]\nquota_mb_month = 1000", 1))
        made.start_gateway()
        wait_for("values at the receiver", made.values_received)
        yield made
    finally:
        made.close()


def told(rig, *arguments):
    """(exit code, data) of one command in JSON."""
    where = ("--config", str(rig.config), "--socket", str(rig.directory / "control.sock"), "--json")
    done = subprocess.run([sys.executable, "-m", "edgegw", *arguments, *where], capture_output=True, text=True, timeout=60, check=False)
    assert "" == done.stderr
    return done.returncode, json.loads(done.stdout)["data"]


def logged(rig):
    return [json.loads(line)["text"] for line in rig.log_of("gateway").read_text().splitlines() if line.startswith("{")]


def test_the_test_beside_the_service_goes_the_whole_way_and_throws_nobody_out(rig):
    """
    Nine stages are good while the service is connected, and its one connection lasts.
    """
    code, data = told(rig, "cloud", "test")
    stages = data["uplinks"][0]["stages"]
    assert (GOOD, ["ok"] * 8) == (code, [stage["state"] for stage in stages[1:]])
    assert stages[6]["found"]["client_id"].endswith("-test")
    _, (uplink,) = told(rig, "cloud", "status")
    assert uplink["connected"]
    assert 1 == sum("connected to" in line for line in logged(rig))
    assert [] == [line for line in logged(rig) if "E-MQTT-TAKEOVER" in line]


def test_live_makes_readings_fresh_for_some_minutes(rig):
    """
    While live, telemetry comes about every second in place of every window, and ends when it is told to.
    """
    code, data = told(rig, "cloud", "live", "--for", "1")
    assert (EXIT_OK, {"minutes": 1, "window_s": 1.0, "economy": False}) == (code, data)

    def fresh():
        with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
            return sink.execute("SELECT count(*) FROM batches WHERE topic_kind = 't'").fetchone()[0]

    before, began_s = fresh(), time.monotonic()
    wait_for("six more batches", lambda: fresh() >= before + 6)
    assert time.monotonic() - began_s < 2 * WINDOW_S
    assert {"minutes": 0, "window_s": WINDOW_S, "economy": False} == told(rig, "cloud", "live", "--for", "0")[1]


def test_the_counts_outlive_a_restart_of_the_service(rig):
    """
    The bytes of today and of the month go on where they were, lane by lane, and the certificates are known with their days.
    """
    wait_for("certificates", lambda: told(rig, "cloud", "status")[1][0]["certificates"])
    _, (before,) = told(rig, "cloud", "status")
    assert {"client", "authority", "broker"} == {found["which"] for found in before["certificates"]}
    assert all(28 <= found["days_left"] <= 30 for found in before["certificates"])
    assert sum(lane["up"] + lane["down"] for lane in before["bytes_today"].values()) <= before["bytes_month"]
    rig.stop("gateway")
    rig.start_gateway()
    wait_for("the service", (rig.directory / "control.sock").exists)
    wait_for("a connection", lambda: told(rig, "cloud", "status")[1][0]["connected"])
    _, (after,) = told(rig, "cloud", "status")
    for lane, counts in before["bytes_today"].items():
        assert after["bytes_today"][lane]["up"] >= counts["up"]
    assert after["bytes_month"] >= before["bytes_month"] > 10_000
