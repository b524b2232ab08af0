"""One daemon for one state directory: a locked file with the pid and the start time of its holder.

The lock is the kernel's (flock): it ends with the process, however that ends, so a file that is left over holds nobody back.
"""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgegw.errors import EXIT_HELD, EXIT_STORE, EdgegwError

FILE_NAME = "edgegw.lock"
_HOLDER_BYTES_MAX = 256


class Holder(msgspec.Struct, frozen=True):
    """What stands in the file."""

    pid: int
    started: str


class InstanceLock:
    """Held from `acquire` to `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Once it is held, nothing. Raises EdgegwError E-RUN-SECOND when another process holds it, E-STORE-OPEN when there can be no such file."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            raise EdgegwError("E-STORE-OPEN", f"cannot open {self._path}: {fault.strerror}", f"ls -ld {self._path.parent}", EXIT_STORE) from fault
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            held_by = _read_holder(descriptor)
            os.close(descriptor)
            raise EdgegwError(
                "E-RUN-SECOND", f"{self._path} is held by another edgegw ({held_by})", "edgegw status, or stop that one first", EXIT_HELD
            ) from fault
        self._descriptor = descriptor
        _write_holder(descriptor)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_holder(descriptor: int) -> None:
    holder = Holder(os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(holder) + b"\n", 0)
    except OSError:
        # A full disk: the lock holds all the same, only its holder stays unnamed.
        return


def _read_holder(descriptor: int) -> str:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, _HOLDER_BYTES_MAX, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return "pid unknown"
    return f"pid {holder.pid}, started {holder.started}"
