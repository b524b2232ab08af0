"""The disk around the file: a reserve that is given up when others fill the disk, and how far the file may grow meanwhile.

    edgegw.reserve   allocated and empty; while it exists, deleting and checkpoints have found room

On a full disk every write of a log fails, deletes too. The reserve is removed as soon as the disk is short, and made anew when there is room
for it and as much again; between the two the file grows by a quarter of it at most, the rest is the log's: what comes takes the place of what has to go.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from edgegw.buffer.limits import PAGE_BYTES, Limits, pages_kept_free

_log = logging.getLogger("edgegw.buffer")

FILE_NAME = "edgegw.reserve"


class Space:
    """Looked at before the file is opened, every second and after every fault. Never raises for what the disk says."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self.limits = limits
        self.is_tight = False
        """Others have filled the disk so far that the reserve had to go."""
        self._free_bytes = 0
        self._tight_pages: int | None = None
        self._refused: int | None = None
        self._log_is_tight = False

    def look(self, *, may_make: bool = True) -> None:
        """At the start without making: the log comes first where files are scarce."""
        try:
            self._free_bytes = self._free()
        except OSError:
            return  # no directory, or none that lets itself be looked at: the store says so
        has_reserve = os.path.exists(self._path)  # noqa: PTH110 - raises nothing
        if self._free_bytes < self.limits.reserve_bytes:
            self.release()
            with suppress(OSError):
                self._free_bytes = self._free()
        elif may_make and not has_reserve and self._free_bytes >= 3 * self.limits.reserve_bytes:
            self._make()
            with suppress(OSError):
                self._free_bytes = self._free()

    def release(self) -> None:
        """The reserve goes: its bytes are the log's now."""
        if not self.is_tight:
            _log.error("E-STORE-DISK: the disk is nearly full (%d KiB are free): the reserve is given up, the buffer does not grow", self._free_bytes // 1024)
        self.is_tight = True
        try:
            self._path.unlink(missing_ok=True)
        except OSError as fault:
            _log.warning("%s cannot be removed: %s", self._path, fault.strerror)

    def bound_log(self, connection: sqlite3.Connection) -> None:
        """On a tight disk the log is copied early, so that it stays within what the reserve gave."""
        if self._log_is_tight != self.is_tight:
            pages = self.limits.reserve_bytes // 4 // PAGE_BYTES if self.is_tight else self.limits.log_pages_copied
            connection.execute(f"PRAGMA wal_autocheckpoint={pages}")
            self._log_is_tight = self.is_tight

    def opened(self, connection: sqlite3.Connection) -> None:
        """A new connection, with the log's usual bound."""
        self._log_is_tight = False
        self.bound_log(connection)

    def pages_max(self, connection: sqlite3.Connection) -> int:
        """How many pages the file may have at present."""
        there = int(connection.execute("PRAGMA page_count").fetchone()[0])
        if not self.is_tight:
            self._tight_pages = None
            return min(self.limits.pages_max, there + max(0, self._free_bytes - self.limits.reserve_bytes) // PAGE_BYTES)
        if self._tight_pages is None:
            self._tight_pages = there + self.limits.reserve_bytes // 4 // PAGE_BYTES
        # Others may have taken what the reserve gave: the log comes first.
        room = max(0, self._free_bytes - self.limits.reserve_bytes // 2) // PAGE_BYTES
        return min(self.limits.pages_max, max(there, min(self._tight_pages, there + room)))

    def is_short(self, connection: sqlite3.Connection, coming_bytes: int) -> bool:
        """Whether room must be made before so much is written."""
        pages_max = self.pages_max(connection)
        used = connection.execute("PRAGMA page_count").fetchone()[0] - connection.execute("PRAGMA freelist_count").fetchone()[0]
        return int(used) + coming_bytes // PAGE_BYTES > pages_max - pages_kept_free(pages_max)

    def _make(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.limits.reserve_bytes)
            finally:
                os.close(descriptor)
        except OSError as fault:
            if fault.errno != self._refused:
                _log.warning("no reserve can be made (%s): on a full disk nothing can be written", fault.strerror)
            self._refused = fault.errno
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            return
        if self.is_tight:
            _log.warning("the disk has room again, the reserve is back")
        self.is_tight = False

    def _free(self) -> int:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize
