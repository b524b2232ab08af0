"""Files that only their owner may read: keys and passwords. Refused, with the command that repairs it, before a byte of them is used."""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import stat
from pathlib import Path

from edgegw.errors import EXIT_USAGE, EdgegwError

# A PEM key has 120 bytes, a chain of certificates some kB: anything larger is not what it claims to be.
FILE_BYTES_MAX = 64 * 1024
_GROUP_OR_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def read_private(path: Path, make_it: str) -> bytes:
    """The content of a file that is ours alone. `make_it` is the next step where there is no such file. Raises EdgegwError."""
    content, state = _read(path, make_it)
    if state.st_uid != os.geteuid():
        raise _mode(path, f"belongs to {_user(state.st_uid)}, not to {_user(os.geteuid())}", f"chown {_user(os.geteuid())} {_quoted(path)}")
    if state.st_mode & _GROUP_OR_OTHERS:
        raise _mode(path, f"may be read or written by others (mode {stat.S_IMODE(state.st_mode):04o})", f"chmod 600 {_quoted(path)}")
    _check_directory(path.parent)
    return content


def read_public(path: Path, make_it: str) -> bytes:
    """The content of a file that others may read but not change. Raises EdgegwError."""
    content, state = _read(path, make_it)
    if state.st_mode & _OTHERS_WRITE:
        raise _mode(path, f"may be changed by others (mode {stat.S_IMODE(state.st_mode):04o})", f"chmod 644 {_quoted(path)}")
    return content


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Writes and syncs a file that must not exist yet. Raises EdgegwError, FileExistsError when another was faster."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as fault:
        raise EdgegwError("E-KEY-EXISTS", f"{path} is already there and is never overwritten", "name another directory", EXIT_USAGE) from fault
    except OSError as fault:
        raise EdgegwError("E-KEY-WRITE", f"{path} cannot be written: {fault.strerror}", f"check the directory {path.parent}", EXIT_USAGE) from fault


def _read(path: Path, make_it: str) -> tuple[bytes, os.stat_result]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as fault:
        raise EdgegwError("E-KEY-MISSING", f"{path} is not there", make_it, EXIT_USAGE) from fault
    except PermissionError as fault:
        raise _mode(path, f"may not be read by {_user(os.geteuid())}", f"chown {_user(os.geteuid())} {_quoted(path)}") from fault
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise _mode(path, "is a symbolic link", f'cp --remove-destination "$(readlink -f {_quoted(path)})" {_quoted(path)}') from fault
        raise EdgegwError("E-KEY-MISSING", f"{path} cannot be opened: {fault.strerror}", make_it, EXIT_USAGE) from fault
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size > FILE_BYTES_MAX:
            raise EdgegwError("E-KEY-BAD", f"{path} is no file of at most {FILE_BYTES_MAX} bytes", make_it, EXIT_USAGE)
        return file.read(FILE_BYTES_MAX), state


def _check_directory(directory: Path) -> None:
    state = directory.stat()
    if state.st_mode & _OTHERS_WRITE and not state.st_mode & stat.S_ISVTX:
        raise _mode(directory, f"may be changed by others (mode {stat.S_IMODE(state.st_mode):04o})", f"chmod 700 {_quoted(directory)}")


def _mode(path: Path, what: str, command: str) -> EdgegwError:
    return EdgegwError("E-KEY-MODE", f"{path} {what}", command, EXIT_USAGE)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
