"""`edgegw demo` as people meet it: Ctrl-C on the terminal, a part that dies, an end before it has begun; nothing is left behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgegw.cli.rig import wait_for

END_S = 60.0
CTRL_C = b"\x03"


class Demo:
    """A demo that leads the session of a terminal of its own, as a login shell's foreground job does."""

    def __init__(self, directory: Path) -> None:
        self.kept = directory / "kept"
        self._out, self._err = directory / "out", directory / "err"
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            line = f"exec {sys.executable} -m edgegw demo --json --keep {self.kept} >{self._out} 2>{self._err}"
            os.execv("/bin/sh", ["sh", "-c", line])
        self.exit_code: int | None = None

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def wait(self) -> int:
        if self.exit_code is None:
            wait_for("the end of the demo", self._has_ended, END_S)
        assert self.exit_code is not None
        return self.exit_code

    def _has_ended(self) -> bool:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.exit_code = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def close(self) -> None:
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGTERM)
            self.wait()
        os.close(self._terminal)

    @property
    def last_line(self) -> str:
        return self._out.read_text().splitlines()[-1]

    @property
    def said(self) -> str:
        return self._err.read_text()

    def parts(self) -> dict[int, str]:
        """The processes that work in its directory, without its own: pid to command line."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # ended meanwhile
                found[int(entry.parent.name)] = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return {pid: line for pid, line in found.items() if str(self.kept) in line and pid != self.pid}

    def pid_of(self, part: str) -> int:
        (pid,) = (pid for pid, line in self.parts().items() if f" {part} " in line)
        return pid

    def is_polling(self) -> bool:
        journal = self.kept / "journal.jsonl"
        return (self.kept / "control.sock").exists() and journal.exists() and journal.stat().st_size > 0


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    started = Demo(tmp_path)
    yield started
    started.close()


@pytest.mark.broker
def test_ctrl_c_on_the_terminal_ends_the_demo_with_its_verdict(demo):
    """
    The terminal's signal reaches only the demo, which lets its parts deliver what is under way; exit 0 says that nothing is missing.
    """
    wait_for("the first polls", demo.is_polling)
    demo.type(CTRL_C)
    assert 0 == demo.wait(), demo.said
    verdict = json.loads(demo.last_line)
    assert ("edgegw.demo/1", True, 0, 0) == tuple(verdict[key] for key in ("schema", "ok", "lost", "duplicates"))
    assert verdict["values_received"] > 0
    assert {} == demo.parts()


@pytest.mark.broker
def test_a_part_that_dies_is_named_and_ends_the_demo(demo):
    """
    The demo says which part ended instead of waiting for it, and ends the others.
    """
    wait_for("the first polls", demo.is_polling)
    os.kill(demo.pid_of("simulate"), signal.SIGKILL)
    assert 1 == demo.wait()
    assert "E-DEMO-ENDED: the station ended by itself with exit code -9" in demo.said
    assert "Traceback" not in demo.said
    assert {} == demo.parts()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing(demo, number):
    """
    A `kill` or a closed terminal before the first screen ends what was started so far.
    """
    wait_for("the first part", (demo.kept / "station.0.log").exists)
    os.kill(demo.pid, number)
    assert 130 == demo.wait()
    assert {} == demo.parts()
