"""The command's end of the control socket (`protocol.py`). Standard library only: this is what makes `edgegw status` start fast."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from edgegw.control.protocol import ANSWER_BYTES_MAX, DEADLINE_MS_MAX, SCHEMA
from edgegw.errors import EXIT_NO_ANSWER, EXIT_NO_DAEMON, EXIT_NOT_ALLOWED, EdgegwError

# The answer may come this much after the deadline that the daemon was told, so that its own sentence arrives.
_GRACE_S = 1.0
_CHUNK_BYTES = 65536


def ask(socket_path: str | os.PathLike[str], command: str, args: dict[str, Any], timeout_s: float) -> Any:
    """One question on a connection of its own. Returns the answer's data; raises EdgegwError."""
    with Connection(socket_path, timeout_s) as connection:
        return connection.ask(command, args, timeout_s)


class Connection:
    """A connection to the daemon; several questions, one after the other."""

    def __init__(self, socket_path: str | os.PathLike[str], timeout_s: float) -> None:
        self._path = socket_path
        self._rest = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(os.fspath(socket_path))
            greeting = self._line(time.monotonic() + timeout_s)
        except OSError as fault:
            self._socket.close()
            raise absent(socket_path, fault) from fault
        except EdgegwError:
            self._socket.close()
            raise
        if greeting.get("schema") != SCHEMA:
            self._socket.close()
            raise EdgegwError("E-CTL-VERSION", f"{socket_path} speaks {greeting.get('schema')!r}, not {SCHEMA}", "use the edgegw that the service runs")
        self.gateway: str = greeting.get("gateway", "")
        self.version: str = greeting.get("version", "")
        self.language: str = greeting.get("language", "en")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, command: str, args: dict[str, Any], timeout_s: float) -> Any:
        """Returns the answer's data. An error of the daemon comes out as the EdgegwError that it was there."""
        deadline_ms = min(max(int(timeout_s * 1000), 1), DEADLINE_MS_MAX)
        question = {"command": command, "args": args, "deadline_ms": deadline_ms}
        try:
            # Who is refused at once finds the reason in what was sent before the door closed.
            with suppress(BrokenPipeError):
                self._socket.sendall(json.dumps(question).encode() + b"\n")
            answer = self._line(time.monotonic() + timeout_s + _GRACE_S)
        except ConnectionError as fault:
            raise _closed(self._path) from fault
        except TimeoutError as fault:
            raise EdgegwError("E-DAEMON-SLOW", f"no answer to {command} within {timeout_s:g} s", "edgegw status; --timeout 60", EXIT_NO_ANSWER) from fault
        if answer.get("ok") is True:
            return answer.get("data")
        error = answer.get("error") or {}
        raise EdgegwError(error.get("id", "E-CTL-VERSION"), error.get("text", "an answer without meaning"), error.get("next", ""), error.get("exit_code", 1))

    def _line(self, until_s: float) -> dict[str, Any]:
        """The next object. Raises OSError (timeout included) or EdgegwError."""
        parts = [self._rest]
        size = len(self._rest)
        while b"\n" not in parts[-1]:
            self._socket.settimeout(max(until_s - time.monotonic(), 0.001))
            parts.append(self._socket.recv(_CHUNK_BYTES))
            size += len(parts[-1])
            if not parts[-1] or size > ANSWER_BYTES_MAX:
                raise _closed(self._path)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        try:
            found = json.loads(line)
        except ValueError as fault:
            raise EdgegwError("E-CTL-VERSION", f"what answers on {self._path} is no edgegw", "check --socket", EXIT_NO_DAEMON) from fault
        return found if isinstance(found, dict) else {}


def absent(socket_path: str | os.PathLike[str], fault: OSError) -> EdgegwError:
    """Why nobody answers, and what helps."""
    if isinstance(fault, PermissionError):
        text = f"you may not use {socket_path}"
        return EdgegwError("E-DAEMON-DENIED", text, "sudo edgegw ..., or join its group: sudo usermod -aG edgegw $USER, then log in again", EXIT_NOT_ALLOWED)
    if isinstance(fault, TimeoutError):
        return EdgegwError("E-DAEMON-SLOW", f"the service does not answer on {socket_path}", "journalctl -u edgegw -n 50", EXIT_NO_ANSWER)
    why = "nothing listens there" if isinstance(fault, ConnectionRefusedError) else (fault.strerror or str(fault))
    return EdgegwError("E-DAEMON-ABSENT", f"the service is not running ({socket_path}: {why})", "systemctl status edgegw, or: edgegw run", EXIT_NO_DAEMON)


def _closed(path: str | os.PathLike[str]) -> EdgegwError:
    return EdgegwError("E-DAEMON-CLOSED", f"the service ended the connection on {path}", "journalctl -u edgegw -n 50", EXIT_NO_DAEMON)
