"""`edgegw buffer` and `edgegw capacity`: with the service through its socket, without it from the file; screens, JSON, exit codes."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from edgegw.clock import Clock
from edgegw.config.load import load
from edgegw.control.server import ControlServer
from edgegw.views_buffer import BufferViews
from tests.fault.test_buffer_salvage import damaged_copy, pages_of
from tests.unit.buffer_rig import ENERGY, METER, event, look, reading, rows_of, running
from tests.unit.cli_daemon import WAIT_S, edgegw


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(f"""
        gateway = {{ operator = "OP", station = "ST", gateway = "GW" }}
        paths = {{ state_dir = "{tmp_path}", control_socket = "{tmp_path}/control.sock" }}
        bus = [{{ name = "lan", kind = "tcp", host = "127.0.0.1", port = 1 }}]
    """)
    return path


def fill(rig):
    for start in range(0, 60_000, 10_000):
        rig.buffer.accept(
            [reading(of, start + second * 1000, (2305 + second, 0, start, 1)) for second in range(10) for of in (METER, ENERGY)], [event(n=start)]
        )
        rig.settle()


@contextmanager
def service(rig, config):
    """The daemon's handlers on a real socket, over a real store."""
    loaded = load(config).config
    loop = asyncio.new_event_loop()
    server = ControlServer(rig.path.parent / "control.sock", BufferViews(loaded, Clock(), rig.buffer).handlers(), gateway="OP/ST/GW", language="zh")
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def fits(text):
    from edgegw.cli.cells import cells

    return all(cells(line) <= 80 for line in text.splitlines())


def test_status_through_the_service_and_from_the_file_agree(tmp_path, config):
    """
    The same streams either way; the service adds what only it knows, and without it the first line says so.
    """
    with running(tmp_path) as rig:
        fill(rig)
        with service(rig, config):
            online = edgegw("buffer", "status", "--json", "-c", config)
            screen = edgegw("buffer", "status", "--lang", "en", "-c", config)
            chinese = edgegw("buffer", "status", "-c", config, LC_ALL="", LANG="zh_CN.UTF-8", PYTHONUTF8="1")
    offline = edgegw("buffer", "status", "--json", "-c", config)
    assert (0, 0, 0) == (online.returncode, offline.returncode, screen.returncode), online.stderr + offline.stderr
    assert offline.stderr.startswith("The service is not running: reading ")
    with_service, alone = (json.loads(one.stdout)["data"] for one in (online, offline))
    assert with_service["streams"] == alone["streams"]
    assert with_service["live"]["writing"]
    assert 240 == {row["stream"]: row for row in alone["streams"]}["telemetry"]["values"]
    assert fits(screen.stdout)
    assert "telemetry" in screen.stdout
    assert "2027-01-15 16:00" in screen.stdout, "times of the screen are local"
    assert "遥测" in chinese.stdout
    assert fits(chinese.stdout)


def test_tail_shows_the_newest_values(tmp_path, config):
    """
    The last ones of a point, oldest first, with unit and quality; nothing stored is exit 4.
    """
    with running(tmp_path) as rig:
        fill(rig)
    done = edgegw("buffer", "tail", "METER-1", "p0", "-n", "2", "-c", config)
    assert 0 == done.returncode, done.stderr
    assert [
        "01-15 16:00:58.000 METER-1      p0                           231.3 V     good",
        "01-15 16:00:59.000 METER-1      p0                           231.4 V     good",
    ] == done.stdout.splitlines()[1:]
    assert 4 == edgegw("buffer", "tail", "NOBODY", "-c", config).returncode


def test_tail_follows_what_comes_and_ends_with_ctrl_c(tmp_path, config):
    """
    With `-f` every new value of the point is one line, once and in order, until Ctrl-C ends it with 130 and without a traceback.
    """
    command = [sys.executable, "-m", "edgegw", "buffer", "tail", "METER-1", "p0", "-n", "1", "-f", "--json", "-c", str(config)]
    with running(tmp_path) as rig:
        fill(rig)
        with service(rig, config), subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
            lines = [json.loads(following.stdout.readline())]
            for number in range(3):
                rig.buffer.accept([reading(METER, 70_000 + number, (4000 + number, 0, 0, 1))])
                rig.settle()
                lines.append(json.loads(following.stdout.readline()))
            following.send_signal(signal.SIGINT)
            rest, complaint = following.communicate(timeout=WAIT_S)
    assert (130, "", "") == (following.returncode, rest, complaint)
    assert [231.4, 400.0, 400.1, 400.2] == [line["value"] for line in lines]
    assert {("edgegw.buffer-tail/1", "sample", "METER-1", "p0")} == {(line["schema"], line["event"], line["device"], line["point"]) for line in lines}


def test_export_writes_what_was_asked_for_and_overwrites_nothing(tmp_path, config):
    """
    A range in local time as CSV; a second export to the same name is refused.
    """
    with running(tmp_path) as rig:
        fill(rig)
        command = (
            "buffer",
            "export",
            "--from",
            "2027-01-15T16:00:10",
            "--to",
            "2027-01-15T16:00:19.999",
            "--device",
            "METER-1",
            "--point",
            "p0",
            "-o",
            tmp_path / "a.csv",
            "-c",
            config,
        )
        done = edgegw(*command)
        again = edgegw(*command)
    assert 0 == done.returncode, done.stderr
    assert "10 values written to" in done.stdout
    with (tmp_path / "a.csv").open() as file:
        assert [f"2027-01-15T08:00:{second}.000Z" for second in range(10, 20)] == [line["time"] for line in csv.DictReader(file)]
    assert (2, "E-EXPORT-FILE") == (again.returncode, again.stderr.split(":")[0])


def test_export_to_standard_output_is_the_data_alone(tmp_path, config):
    """
    JSON lines for a pipe; the count goes to stderr; an empty range is exit 4, a time that is none exit 2.
    """
    with running(tmp_path) as rig:
        fill(rig)
    done = edgegw("buffer", "export", "--format", "jsonl", "--device", "METER-3", "-c", config)
    assert 60 * 4 == len([json.loads(line) for line in done.stdout.splitlines()])
    assert "240 values" in done.stderr
    assert 4 == edgegw("buffer", "export", "--from", "1h", "--to", "2001-01-01", "-c", config).returncode
    assert 2 == edgegw("buffer", "export", "--from", "yesterday", "-c", config).returncode


def test_verify_says_what_is_missing(tmp_path, config):
    """
    Exit 0 on a sound file; a block that was taken out is a gap and exit 1.
    """
    import sqlite3

    with running(tmp_path) as rig:
        fill(rig)
    good = edgegw("buffer", "verify", "-c", config)
    assert (0, True) == (good.returncode, "every sequence accounted for" in " ".join(good.stdout.split()))
    with sqlite3.connect(rig.path) as connection:
        connection.execute("DELETE FROM block WHERE stream = 3 AND first = 11")
    bad = edgegw("buffer", "verify", "--json", "-c", config)
    assert 1 == bad.returncode
    assert [(3, 11, 20)] == [(gap["stream"], gap["first"], gap["last"]) for gap in json.loads(bad.stdout)["data"]["gaps"]]


def test_capacity_tells_room_and_traffic(tmp_path, config):
    """
    Hours of room and megabytes a month, through the service and without it.
    """
    with running(tmp_path) as rig:
        fill(rig)
        with service(rig, config):
            online = edgegw("capacity", "--json", "-c", config)
    screen = edgegw("capacity", "-c", config)
    chinese = edgegw("capacity", "-c", config, "--lang", "zh")
    data = json.loads(online.stdout)["data"]
    assert 8.1 == pytest.approx(data["values_per_s"], rel=0.01)
    assert data["room_h"] > 24
    assert 0 == screen.returncode, screen.stderr
    assert "without a cloud before anything is thinned" in screen.stdout
    assert "之后才抽稀" in chinese.stdout
    assert fits(screen.stdout + chinese.stdout)


@pytest.fixture
def damaged(tmp_path):
    """A damaged file beside where the store will be."""
    (tmp_path / "old").mkdir()
    with running(tmp_path / "old") as rig:
        fill(rig)
    return damaged_copy(rig.path, tmp_path, pages_of(rig.path, "block")[2:4])


def test_recover_through_the_service(tmp_path, config, damaged):
    """
    What can be read of a file that was set aside waits for delivery in the running store; the counts are told, exit 10 as something is lost.
    """
    with running(tmp_path) as rig, service(rig, config):
        done = edgegw("buffer", "recover", "--json", "-c", config)
        assert 10 == done.returncode, done.stderr
        data = json.loads(done.stdout)["data"]
        assert data["stored"] == len(rows_of(rig.batches()))
        again = json.loads(edgegw("buffer", "recover", damaged.name, "--json", "-c", config).stdout)["data"]
    assert (data["readings"], 0) == (again["readings"], again["stored"])
    assert 0 < data["lost"] < 120
    assert 120 == data["readings"] + data["lost"]


def test_recover_without_the_service(tmp_path, config, damaged):
    """
    The store is opened here, under its lock: what another gateway holds is refused.
    """
    with running(tmp_path):
        held = edgegw("buffer", "recover", "--offline", "-c", config)
    done = edgegw("buffer", "recover", "-c", config)
    assert (7, "E-RUN-SECOND") == (held.returncode, held.stderr.splitlines()[-1].split(":")[0])
    assert 10 == done.returncode, done.stderr
    assert "New in the store, to be delivered: " in done.stdout
    assert fits(done.stdout)
    assert look(tmp_path / "edgegw.db", "SELECT count(*) > 0 FROM block WHERE epoch <= 0") == [(1,)]


def test_recover_with_nothing_set_aside(tmp_path, config):
    """
    E-RECOVER-FILE and exit 4.
    """
    with running(tmp_path):
        pass
    done = edgegw("buffer", "recover", "-c", config)
    assert (4, "E-RECOVER-FILE") == (done.returncode, done.stderr.splitlines()[-1].split(":")[0])
