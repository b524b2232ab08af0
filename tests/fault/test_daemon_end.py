"""A real daemon that is told to end at awkward moments: exit code 0, and nothing left behind that would hold up the next start."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

WAIT_S = 20.0
CONFIG = """\
[gateway]
operator = "op"
station = "st"
gateway = "gw"

[paths]
state_dir = "{directory}/state"
control_socket = "{directory}/control.sock"
"""


def start(config: Path) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "edgegw", "run", "--config", str(config))
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_under_way_ends_cleanly(tmp_path, number):
    """
    Told to end while it still reads its configuration, before its loop runs, the daemon ends with 0 and says nothing.
    """
    config = tmp_path / "config.toml"
    os.mkfifo(config)
    process = start(config)
    with config.open("wb", buffering=0) as pipe:  # opens when the daemon does
        process.send_signal(number)
        said = process.communicate(timeout=WAIT_S)[1]
        with suppress(BrokenPipeError):
            pipe.write(b"\n")
    assert (0, "") == (process.returncode, said)


def test_a_second_signal_while_the_store_is_closed_does_not_kill(tmp_path):
    """
    When the loop has ended and the last checkpoint waits half a second for a reader, more SIGTERMs change nothing: exit code 0.
    """
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(directory=tmp_path))
    process = start(config)
    killer = threading.Timer(WAIT_S, process.kill)
    killer.start()
    assert process.stderr is not None
    database = tmp_path / "state" / "edgegw.db"
    _read_until(process, "polls")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)) as reader:
        wait_for_events(reader)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchone()
        wait_for_end(process)
    killer.cancel()
    process.stderr.close()
    assert 0 == process.returncode


def wait_for_events(reader: sqlite3.Connection) -> None:
    end_s = time.monotonic() + WAIT_S
    while not reader.execute("SELECT count(*) FROM event").fetchone()[0]:
        assert time.monotonic() < end_s
        time.sleep(0.01)


def wait_for_end(process: subprocess.Popen[str]) -> None:
    """Asks for the end until it has come."""
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)


def _read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    assert any(word in line for line in process.stderr)
