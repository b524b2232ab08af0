"""How much of the disk the database, its log and the reserve may take (pure but for the default, which asks the file system)."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_MIB = 1024 * 1024
# Small pages: 1.0 GB of flash writes a day on the reference station against 2.5 with 4 KiB (decision D4).
PAGE_BYTES = 1024
# Default limit: half of the file system, so that a full buffer never fills the machine; more than 8 GiB is more than two years of data.
BYTES_MAX_DEFAULT = 8 * 1024 * _MIB
# The log's part: most of what it takes is rewritten before it is ever copied, since tail rows live for one window only.
_LOG_BYTES_MAX = 16 * _MIB
# Copied into the file when it holds this much; the rest is for one large transaction and for a reader that holds it.
_LOG_PAGES_COPIED_MAX = 4096
# The reserve: enough log for deleting and for a checkpoint on a disk that others have filled.
_RESERVE_BYTES_MAX = 8 * _MIB
_RESERVE_SHARE = 8
# The log's index: 32 KiB for each 4,096 pages of it; and what is in the lock.
_INDEX_SHARE = 128
_SMALL_FILES_BYTES = 36 * 1024
# Removal begins when this share of the pages is left: deleting and a commit must still find room.
_FREE_SHARE = 0.04
_FREE_PAGES_MIN = 256


class Limits(msgspec.Struct, frozen=True):
    """Of database, log, its index and reserve together."""

    bytes_max: int

    @property
    def log_bytes(self) -> int:
        return min(_LOG_BYTES_MAX, self.bytes_max // 4)

    @property
    def log_pages_copied(self) -> int:
        return min(_LOG_PAGES_COPIED_MAX, self.log_bytes // 2 // PAGE_BYTES)

    @property
    def reserve_bytes(self) -> int:
        return min(_RESERVE_BYTES_MAX, self.bytes_max // _RESERVE_SHARE)

    @property
    def transaction_bytes(self) -> int:
        """What is large is written in parts: the log must hold one beyond the pages at which it is copied, on a tight disk within what the reserve gave."""
        return self.reserve_bytes // 4

    @property
    def pages_max(self) -> int:
        index_bytes = self.log_bytes // _INDEX_SHARE + _SMALL_FILES_BYTES
        return (self.bytes_max - self.log_bytes - self.reserve_bytes - index_bytes) // PAGE_BYTES


def pages_kept_free(pages_max: int) -> int:
    """Of so many pages that the file may have."""
    return max(_FREE_PAGES_MIN, int(pages_max * _FREE_SHARE))


def limits_of(directory: Path, max_size_mib: int) -> Limits:
    """The limit that is configured, or the default."""
    if max_size_mib:
        return Limits(max_size_mib * _MIB)
    disk = os.statvfs(directory)
    return Limits(min(BYTES_MAX_DEFAULT, disk.f_blocks * disk.f_frsize // 2))
