"""The database file: opened with the settings that durability rests on, checked, and set aside when it is damaged.

    edgegw.db                       the file; edgegw.db-wal and edgegw.db-shm belong to it
    edgegw.db.damaged-<UTC>[-wal|-shm]   a damaged one, kept whole under names with which SQLite still finds its log

A new file is made under another name and renamed when it is complete, so a file that is empty or has no tables was damaged, not begun.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from edgegw.buffer.limits import PAGE_BYTES, Limits
from edgegw.buffer.migrations import APPLICATION_ID, VERSION, migrate
from edgegw.errors import EXIT_STORE, EdgegwError

_log = logging.getLogger("edgegw.buffer")

FILE_NAME = "edgegw.db"
# 240 MB take 0.25 s from the page cache (measured), several times that from flash; the first poll must not wait for more.
CHECK_S_MAX = 2.0
# A checkpoint may meet a short reader; the writer must not wait for it longer than this.
BUSY_TIMEOUT_S = 0.5

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DamagedError(sqlite3.DatabaseError):
    """Rows contradict each other: damage that SQLite cannot see."""


class Opened(NamedTuple):
    connection: sqlite3.Connection
    set_aside: Path | None
    """Where the damaged file that stood in the way lies now."""


def open_database(path: Path, limits: Limits, *, check: bool = True, condemned: str = "") -> Opened:
    """A checked, migrated file under our settings. Raises EdgegwError E-STORE-NEWER or E-STORE-OPEN, sqlite3.Error when the disk fails.

    `condemned` says what was found to be wrong with the file in use: it is set aside without a further look.
    """
    try:
        fault = condemned or _look(path)
        connection = None if fault else _open_sound(path, limits, check=check)
        if connection is not None:
            return Opened(connection, None)
        set_aside = _set_aside(path, fault or "fails the check") if _holds_something(path) else None
        _create(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
            raise _unusable(path, str(error)) from error
        raise
    return Opened(_connect(path, limits), set_aside)


@contextmanager
def transaction(connection: sqlite3.Connection, *, sync: bool) -> Iterator[None]:
    """One transaction; with `sync` its COMMIT waits for the disk, provided that a page changes."""
    if sync:
        connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if sync:
        connection.execute("PRAGMA synchronous=NORMAL")


def checkpoint(connection: sqlite3.Connection) -> None:
    """Empties the log into the file. Raises sqlite3.Error when that is not done to the end."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("a reader holds the log")


def is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, DamagedError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE_CODES


def file_bytes(path: Path) -> int:
    """Size of the file and its log."""
    size = 0
    for part in _parts(path)[:2]:
        with suppress(OSError):
            size += part.stat().st_size
    return size


def _holds_something(path: Path) -> bool:
    wal = _parts(path)[1]
    return path.exists() or (wal.exists() and wal.stat().st_size > 0)


def _parts(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]


def _look(path: Path) -> str | None:
    """What is wrong as far as the bare bytes tell, before SQLite may touch them; also "missing"."""
    if not path.exists():
        return "the log has no database"
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        return "the file is empty"
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return None if _is_in_log(path) else "the header is damaged or not that of a database"
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        return None if _is_in_log(path) else "the file is another program's"
    _refuse_newer(path, int.from_bytes(header[60:64], "big"))
    return None


def _is_in_log(path: Path) -> bool:
    """Whether the log holds the page of the header: a power cut during a checkpoint can tear it, and SQLite reads it from there. Changes neither file."""
    wal = _parts(path)[1]
    if not wal.exists() or wal.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            return bool(connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)
    except sqlite3.DatabaseError:
        return False


def _refuse_newer(path: Path, version: int) -> None:
    if version > VERSION:
        raise EdgegwError(
            "E-STORE-NEWER", f"{path} was written by a newer edgegw (tables {version}, known {VERSION})", "install that version again", EXIT_STORE
        )


def _open_sound(path: Path, limits: Limits, *, check: bool) -> sqlite3.Connection | None:
    """The connection, or None when the file is damaged."""
    connection = None
    try:
        connection = _connect(path, limits)
        _refuse_newer(path, connection.execute("PRAGMA user_version").fetchone()[0])
        found = check_pages(connection) if check else None
        if found is None:
            migrate(connection)
            return connection
        _log.error("%s fails its check: %s", path, found)
    except sqlite3.DatabaseError as error:
        if connection is not None:
            connection.close()
        if not is_damage(error):
            raise
        _log.error("%s cannot be read: %s", path, error)
        return None
    except EdgegwError:
        if connection is not None:
            connection.close()
        raise
    connection.close()
    return None


def _connect(path: Path, limits: Limits) -> sqlite3.Connection:
    # The opener hands it to the writer's thread and never uses it again.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        # Debian's SQLite overwrites what is deleted with zeros: every tail row would be written twice.
        for setting in ("secure_delete=OFF", "cell_size_check=ON", "trusted_schema=OFF", "mmap_size=0", "synchronous=NORMAL", "journal_mode=WAL"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"PRAGMA wal_autocheckpoint={limits.log_pages_copied}")
        connection.execute(f"PRAGMA journal_size_limit={limits.log_bytes}")
        connection.execute(f"PRAGMA max_page_count={limits.pages_max}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def check_pages(connection: sqlite3.Connection) -> str | None:
    """The first fault that quick_check finds in the time it has; None when it finds none."""
    timer = threading.Timer(CHECK_S_MAX, connection.interrupt)
    timer.start()
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        _log.info("the database is too large to be checked within %g s; the rest is checked as it is read", CHECK_S_MAX)
        return None
    finally:
        timer.cancel()
        timer.join()
    return None if found == "ok" else found


def _create(path: Path) -> None:
    """A complete empty file, durable under its name."""
    draft = path.with_name(path.name + ".new")
    for part in _parts(draft):
        part.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        migrate(connection)
    draft.rename(path)
    _sync_directory(path.parent)


def _set_aside(path: Path, reason: str) -> Path:
    """Renames the file and what belongs to it; nothing is ever deleted."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while any(part.exists() for part in _parts(target)):
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}.{number}")
    for part, name in zip(_parts(path), _parts(target), strict=True):
        if part.exists():
            part.rename(name)
    _sync_directory(path.parent)
    _log.error("%s is damaged (%s); set aside as %s, a new one is begun", path, reason, target.name)
    return target


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, reason: str) -> EdgegwError:
    return EdgegwError("E-STORE-OPEN", f"cannot use the store {path}: {reason}", f"check owner, mode and mount: ls -ld {path.parent} {path}", EXIT_STORE)
