"""What people really get wrong: each mistake is one clear line with the next step, and nothing that can go on stops."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from edgegw.buffer.migrations import APPLICATION_ID
from edgegw.cli.rig import Rig, free_port, wait_for
from edgegw.errors import EXIT_HELD, EXIT_STORE, EXIT_USAGE, EdgegwError


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """A simulated station with keys and certificates, without a broker."""
    rig = Rig(tmp_path_factory.mktemp("bad"))
    rig.make_keys()
    rig.start_station()
    yield rig
    rig.close()


@pytest.fixture
def rig(station, tmp_path):
    """A fresh configuration and store for one mistake on the station that runs."""
    station.write_config()
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    text = station.config.read_text().replace(f'state_dir = "{station.directory}/state"', f'state_dir = "{state}"')
    text = text.replace("[[uplink]]", f'[[uplink]]\nkey_dir = "{station.directory}/state/keys"', 1)
    station.config.write_text(text)
    station.state = state
    yield station
    if station.running("gateway"):
        station.stop("gateway")


def change(rig, old, new):
    text = rig.config.read_text()
    assert old in text
    rig.config.write_text(text.replace(old, new, 1))


def run_to_its_end(rig):
    """Exit code and lines of a run that is refused."""
    done = subprocess.run([sys.executable, "-m", "edgegw", "run", "--config", str(rig.config)], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line]


def log_lines(rig):
    return [json.loads(line)["text"] for line in rig.log_of("gateway").read_text().splitlines() if line.startswith("{")]


def polls(rig):
    return sum(bus["online"] for bus in rig.ask_gateway("status")["buses"])


def start(rig):
    rig.start_gateway()
    wait_for("the control socket", lambda: (rig.directory / "control.sock").exists() and _status(rig))


def _status(rig):
    try:
        return rig.ask_gateway("status")
    except EdgegwError:
        return None


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[gateway]", "[gateway", r"config\.toml:1: error E-CFG-TOML: "),
        ("baudrate", "baud", r'config\.toml:\d+: error E-CFG-KEY: bus "rs485a": unknown key "baud"; did you mean "baudrate"\?'),
        ("/cloud/cloud.pub", "/cloud/nowhere.pub", r"config\.toml:\d+: error E-[A-Z-]+: .*nowhere\.pub"),
    ],
)
def test_a_mistake_in_the_configuration_ends_the_run_with_2_and_its_line(rig, old, new, line):
    """
    Wrong TOML, an unknown key and a missing key file are each told with file and line before anything starts.
    """
    change(rig, old, new)
    code, said = run_to_its_end(rig)
    assert EXIT_USAGE == code
    assert 1 == len([text for text in said if re.match(line, text)]), said


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(rig):
    """
    A world-readable private key ends the run with 2 and says chmod.
    """
    key = rig.directory / "state" / "keys" / "gateway-sign.pem"
    key.chmod(0o644)
    try:
        code, said = run_to_its_end(rig)
    finally:
        key.chmod(0o600)
    assert EXIT_USAGE == code
    assert any("E-KEY-MODE" in text and f"chmod 600 {key}" in text for text in said), said


def test_a_missing_key_is_refused_with_the_command_that_makes_it(rig):
    """
    A gateway without keys ends with 2 and says `edgegw keys new gateway`.
    """
    change(rig, f'key_dir = "{rig.directory}/state/keys"', f'key_dir = "{rig.directory}/nokeys"')
    code, said = run_to_its_end(rig)
    assert EXIT_USAGE == code
    assert any("edgegw keys new gateway" in text for text in said), said


def test_a_store_of_a_newer_edgegw_is_refused_untouched(rig):
    """
    A database of a newer version ends the run with 11 and is not changed by a byte.
    """
    database = rig.state / "edgegw.db"
    with closing(sqlite3.connect(database)) as made:
        made.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        made.execute("CREATE TABLE future(x)")
        made.execute("PRAGMA user_version = 9999")
    before = database.read_bytes()
    code, said = run_to_its_end(rig)
    assert (EXIT_STORE, before) == (code, database.read_bytes())
    assert any("E-STORE-NEWER" in text for text in said), said


def test_a_store_that_cannot_be_opened_is_told_and_holds_nothing_up(rig):
    """
    A state directory that is a file: the devices are read, the status says that nothing is stored and why; when it can be opened it is, without a restart.
    """
    rig.state.rmdir()
    rig.state.write_text("not a directory")
    start(rig)
    wait_for("devices", lambda: polls(rig) > 0)
    assert any("E-STORE-OPEN" in text for text in log_lines(rig)), log_lines(rig)
    assert "fail" == rig.ask_gateway("status")["buffer"]["state"]
    rig.state.unlink()
    wait_for("the store", lambda: rig.ask_gateway("status")["buffer"]["state"] == "ok")
    assert (rig.state / "edgegw.db").is_file()


def test_a_second_daemon_is_refused_and_names_the_first(rig):
    """
    The second start ends with 7 and the process id of the first, which goes on.
    """
    start(rig)
    code, said = run_to_its_end(rig)
    assert EXIT_HELD == code
    assert any("E-RUN-SECOND" in text and re.search(r"\b\d{2,}\b", text) for text in said), said
    assert rig.running("gateway")


def test_a_missing_port_costs_only_its_own_bus(rig):
    """
    A serial port that is not there is told once with the next step, and the other buses are polled.
    """
    path = next(bus["path"] for bus in rig.station["buses"] if bus["name"] == "rs485a")
    change(rig, f'path = "{path}"', 'path = "/dev/ttyUSB99"')
    start(rig)
    wait_for("polls on the other buses", lambda: polls(rig) == 11)
    assert 1 == len([text for text in log_lines(rig) if "E-BUS-PORT" in text and "/dev/ttyUSB99" in text]), log_lines(rig)


def test_a_port_held_by_another_program_is_named_and_taken_when_it_is_free(rig):
    """
    A locked port is told with its holder's trace, and polled within 5 s after it was given up.
    """
    import fcntl

    path = next(bus["path"] for bus in rig.station["buses"] if bus["name"] == "rs485a")
    holder = os.open(path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        start(rig)
        wait_for("polls on the other buses", lambda: polls(rig) == 11)
        assert 1 == len([text for text in log_lines(rig) if "E-BUS-HELD" in text]), log_lines(rig)
    finally:
        os.close(holder)
    wait_for("the port to be taken", lambda: polls(rig) == 12, 7)


@pytest.mark.parametrize(
    ("broker", "message_id"),
    [("mqtts://broker.invalid:8883", "E-NET-DNS"), ("mqtts://localhost:{free}", "E-NET-REFUSED")],
)
def test_a_broker_that_cannot_be_reached_never_ends_the_run(rig, broker, message_id):
    """
    An unknown name and a refused connection are each told by their id; polling and storing go on.
    """
    change(rig, f"mqtts://localhost:{rig.broker_port}", broker.format(free=free_port()))
    start(rig)
    wait_for("the fault", lambda: (rig.ask_gateway("status")["uplinks"][0]["error"] or {}).get("id") == message_id)
    wait_for("polls on every bus", lambda: polls(rig) == 12)
    wait_for("values in the store", lambda: rig.ask_gateway("status")["buffer"]["values_waiting"] > 100)
    assert 0 == rig.stop("gateway")


@pytest.mark.broker
def test_a_broker_under_another_authority_gets_no_data(rig):
    """
    A server certificate of a foreign CA is refused, told by its id with the next step, and polling goes on.
    """
    from edgegw.cloud.pki import make_demo_pki

    make_demo_pki(rig.directory / "foreign", ["localhost"])
    change(rig, f'ca_file = "{rig.directory}/pki/ca.crt"', f'ca_file = "{rig.directory}/foreign/ca.crt"')
    rig.start_broker()
    try:
        start(rig)
        wait_for("the fault", lambda: (rig.ask_gateway("status")["uplinks"][0]["error"] or {}).get("id") == "E-TLS-CA")
        wait_for("polls on every bus", lambda: polls(rig) == 12)
        assert 0 == rig.ask_gateway("status")["uplinks"][0]["batches_sent"]
        assert 0 == rig.stop("gateway")
    finally:
        rig.stop("broker")
