"""Nothing that a test run started may outlive it.

`./dev test` puts a mark into the environment of the run. A child inherits it, whatever session or process group it moves to, so
that Linux itself (/proc/PID/environ) tells what belongs to the run: `python tests/leftovers.py MARK` ends what is left.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

MARK_NAME = "EDGEGW_TEST_RUN"
# A daemon under test has 10 s for its own end; what is still there after the run gets a last word and little time.
TERM_GRACE_S = 2.0
# What is about to end by itself when the run ends may do so.
END_GRACE_S = 1.0
# Helper of Python's multiprocessing: it ends with the process that tests run in.
_ENDS_WITH_PARENT = b"multiprocessing.resource_tracker"
_LOOK_INTERVAL_S = 0.05


def find(mark: str) -> dict[int, str]:
    """Processes of the run, {pid: command line}, without the caller and those it descends from."""
    own = set(_ancestors(os.getpid()))
    needle = f"{MARK_NAME}={mark}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own or needle not in _read(entry / "environ").split(b"\0"):
            continue
        command = _read(entry / "cmdline").replace(b"\0", b" ")
        if _ENDS_WITH_PARENT not in command:
            found[int(entry.name)] = command.decode(errors="replace").strip()
    return found


def end(mark: str) -> list[str]:
    """Ends what is left of the run, first with SIGTERM, then with SIGKILL. Returns one line for each process it found."""
    wait_until(lambda: not find(mark), END_GRACE_S)
    left = find(mark)
    if left:
        _signal(left, signal.SIGTERM)
        if not wait_until(lambda: not find(mark), TERM_GRACE_S):
            _signal(find(mark), signal.SIGKILL)
    return [f"still running after the tests, ended: {pid} {command}" for pid, command in sorted(left.items())]


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition came true in time; looks every 50 ms."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_INTERVAL_S)
    return True


def _ancestors(pid: int) -> list[int]:
    """The process, its parent, and so on up to the first that is gone."""
    line = [pid]
    while line[-1] > 1:
        # The name in parentheses may hold anything; behind its last ")" come state and parent.
        fields = _read(Path(f"/proc/{line[-1]}/stat")).rpartition(b")")[2].split()
        if len(fields) < 2:
            break
        line.append(int(fields[1]))
    return line


def _read(path: Path) -> bytes:
    """What the file holds; nothing when the process is gone, another's, or a zombie."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _signal(pids: dict[int, str], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    lines = end(sys.argv[1])
    print("\n".join(lines))
    sys.exit(1 if lines else 0)
