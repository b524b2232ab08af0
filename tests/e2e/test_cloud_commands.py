"""The commands of the cloud beside a whole running gateway: tested without throwing it out, looked at, made live, and counted over a restart."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.clock import read_clock_trust
from edgegw.cloud.asking import Way
from edgegw.cloud.receiver import ReceiverOptions
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


# -- acknowledgements


def alarm_of(rig, device):
    return next((alarm for alarm in told(rig, "alarms", "--all")[1]["alarms"] if alarm["device"] == device), None)


def the_cloud_says(rig, alarm_id, by, *, at_ms=None):
    """A signed `ack` through the real broker, said at `at_ms`."""
    pki = rig.directory / "pki"
    files = ReceiverOptions(broker="", keys_dir="", sink="", ca=str(pki / "ca.crt"), cert=str(pki / "receiver.crt"), cert_key=str(pki / "receiver.key"))
    way = Way(f"mqtts://localhost:{rig.broker_port}", str(rig.directory / "cloud"), IDENTITY, files)
    assert way.order("ack", (alarm_id, by, "from the control room"), at_ms=at_ms) == ""


def events_received(rig, kind):
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
        return [json.loads(body) for (body,) in sink.execute("SELECT body FROM events WHERE kind = ? ORDER BY epoch, seq", (kind,))]


def results(rig):
    return [body["result"] for body in events_received(rig, "command") if body["command"] == "ack"]


def test_the_control_room_acknowledges_over_the_broker(rig):
    """
    The reference command acknowledges an open alarm with name and note; the gateway shows it, and its answer and the alarm's event arrive at the receiver.
    """
    rig.tell_station("silence", device="TH-02")
    wait_for("the alarm", lambda: alarm_of(rig, "TH-02"), 90)
    alarm_id = alarm_of(rig, "TH-02")["alarm_id"]
    pki = rig.directory / "pki"
    where = ("--broker", f"mqtts://localhost:{rig.broker_port}", "--keys", str(rig.directory / "cloud"), "--gateway", IDENTITY)
    files = ("--ca", str(pki / "ca.crt"), "--cert", str(pki / "receiver.crt"), "--cert-key", str(pki / "receiver.key"))
    assert "its event `command`" in rig.command("cloud", "ack", alarm_id, "--by", "wang", "-m", "sending a team", *where, *files).lower()
    wait_for("the acknowledgement", lambda: alarm_of(rig, "TH-02")["acknowledged"])
    assert ("wang (cloud)", "sending a team") == (alarm_of(rig, "TH-02")["acknowledged_by"], alarm_of(rig, "TH-02")["note"])
    wait_for("the answer", lambda: f"#{alarm_of(rig, 'TH-02')['number']} acknowledged for wang (cloud)" in results(rig), 60)
    assert ["wang (cloud)"] == [body["by"] for body in events_received(rig, "alarm") if body["edge"] == "acknowledged" and body["id"] == alarm_id]


def test_after_a_cut_the_first_word_counts_and_both_are_kept(rig):
    """
    While the broker is away somebody acknowledges at the cabinet; a word of the control room that was said before counts when it is heard, and the receiver has both.
    """
    rig.tell_station("silence", device="TH-01")
    wait_for("the alarm", lambda: alarm_of(rig, "TH-01"), 90)
    alarm = alarm_of(rig, "TH-01")
    wait_for("its time to pass", lambda: time.time() * 1000 > alarm["raised_at_ms"] + 2000)
    said_ms = alarm["raised_at_ms"] + 1000
    rig.stop("broker")
    assert EXIT_OK == told(rig, "alarms", "ack", str(alarm["number"]), "-m", "here already")[0]
    here = alarm_of(rig, "TH-01")["acknowledged_by"]
    rig.start_broker()
    wait_for("the connection", lambda: told(rig, "cloud", "status")[1][0]["connected"], 90)
    the_cloud_says(rig, alarm["alarm_id"], "zhao", at_ms=said_ms)
    wait_for("the word of the cloud", lambda: alarm_of(rig, "TH-01")["acknowledged_by"] == "zhao (cloud)")
    assert said_ms == alarm_of(rig, "TH-01")["acknowledged_at_ms"]
    wait_for("both", lambda: len([b for b in events_received(rig, "alarm") if b["edge"] == "acknowledged" and b["id"] == alarm["alarm_id"]]) == 2, 90)
    first, second = (b for b in events_received(rig, "alarm") if b["edge"] == "acknowledged" and b["id"] == alarm["alarm_id"])
    assert (here, "zhao (cloud)", here) == (first["by"], second["by"], second["before"]["by"])


def test_an_unknown_alarm_is_answered_and_written_down(rig):
    """
    An id that nobody has changes nothing; the receiver gets the answer.
    """
    the_cloud_says(rig, "0" * 16 + "-99", "wang")
    wait_for("the answer", lambda: f"no open alarm {'0' * 16}-99: it is over, or never was" in results(rig), 60)
    assert all(alarm["number"] for alarm in told(rig, "alarms", "--all")[1]["alarms"])
